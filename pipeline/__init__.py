"""Label every row of a table by asking a small language model.

    from pipeline import load_config, plan, run

    result = run(load_config("configs/tags.yaml"))

`load_config` reads and checks a config, `plan` says what a run would send and cost, `run` labels the table.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api import load_config, plan, run
    from pipeline.errors import PipelineError
    from pipeline.job import RunOptions
    from pipeline.plan import Plan
    from pipeline.result import RunResult

__version__ = "0.1.0"

__all__ = ["PipelineError", "Plan", "RunOptions", "RunResult", "load_config", "plan", "run"]

_HOMES = {
    "PipelineError": "pipeline.errors",
    "Plan": "pipeline.plan",
    "RunOptions": "pipeline.job",
    "RunResult": "pipeline.result",
    "load_config": "pipeline.api",
    "plan": "pipeline.api",
    "run": "pipeline.api",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `--help`, and an Airflow DAG file, must not load polars and aiohttp.
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


class _Package(ModuleType):
    """Keeps `pipeline.run` and `pipeline.plan` the functions, though modules of these names are imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
