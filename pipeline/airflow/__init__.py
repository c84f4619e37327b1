"""A run as an Airflow task: `from pipeline.airflow import ClassifyOperator`. Needs the extra `airflow`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.airflow.hook import PipelineHook
    from pipeline.airflow.operator import ClassifyOperator

__all__ = ["ClassifyOperator", "PipelineHook"]

_HOMES = {"ClassifyOperator": "pipeline.airflow.operator", "PipelineHook": "pipeline.airflow.hook"}


def __getattr__(name: str) -> Any:
    # Airflow imports pipeline.airflow.provider while it is itself being imported, so Airflow must not be needed here.
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline.airflow' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
