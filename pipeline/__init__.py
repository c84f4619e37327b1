"""Label every row of a table by asking a small language model.

    from pipeline import load_config, plan, run

    result = run(load_config("configs/tags.yaml"))

`load_config` reads and checks a config, `plan` estimates what a run would send and cost, `run` labels the table.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline._version import __version__

if TYPE_CHECKING:
    from pipeline.api import load_config, plan, run
    from pipeline.commands.plan import Plan
    from pipeline.errors import PipelineError
    from pipeline.job.job import RunOptions
    from pipeline.summary import RunResult
    from pipeline.system.shutdown import Stop

__all__ = [
    "PipelineError",
    "Plan",
    "RunOptions",
    "RunResult",
    "Stop",
    "__version__",
    "load_config",
    "plan",
    "run",
]

_HOMES = {
    "PipelineError": "pipeline.errors",
    "Plan": "pipeline.commands.plan",
    "RunOptions": "pipeline.job.job",
    "RunResult": "pipeline.summary",
    "Stop": "pipeline.system.shutdown",
    "load_config": "pipeline.api",
    "plan": "pipeline.api",
    "run": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `--help` and Airflow DAG files must not load polars and aiohttp.
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
