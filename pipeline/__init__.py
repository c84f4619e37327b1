r"""Label every row of a table by asking a small language model.

A frame or a list of texts, in a script or a notebook:

    from pipeline import classify

    labelled = classify(frame, labels=["billing", "bug", "praise"], text="{title}\n{body}")

A table on disk that a config describes:

    from pipeline import load_config, plan, run

    config = load_config("configs/tags.yaml")
    plan(config)    # what it would send and cost
    result = run(config)
    result.frame()  # the labelled table

`aclassify` and `arun` are the same for code that awaits. All errors are PipelineErrors.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline._version import __version__

if TYPE_CHECKING:
    from pipeline.api import arun, load_config, plan, run
    from pipeline.commands.plan.command import Plan
    from pipeline.config import Config
    from pipeline.errors import PipelineError
    from pipeline.frames.labelling import aclassify, classify
    from pipeline.job.options import RunOptions
    from pipeline.system.shutdown import Stop
    from pipeline.telemetry.summary import RunResult

__all__ = [
    "Config",
    "PipelineError",
    "Plan",
    "RunOptions",
    "RunResult",
    "Stop",
    "__version__",
    "aclassify",
    "arun",
    "classify",
    "load_config",
    "plan",
    "run",
]

_HOMES = {
    "Config": "pipeline.config",
    "PipelineError": "pipeline.errors",
    "Plan": "pipeline.commands.plan.command",
    "RunOptions": "pipeline.job.options",
    "RunResult": "pipeline.telemetry.summary",
    "Stop": "pipeline.system.shutdown",
    "aclassify": "pipeline.frames.labelling",
    "arun": "pipeline.api",
    "classify": "pipeline.frames.labelling",
    "load_config": "pipeline.api",
    "plan": "pipeline.api",
    "run": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `--help` and Airflow DAG files must not load polars and aiohttp.
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
