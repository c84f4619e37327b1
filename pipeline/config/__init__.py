"""Load a YAML file into a frozen Config, or report everything that is wrong by file, line and key."""

from pipeline.config.endpoint import ModelSettings
from pipeline.config.endpoints import PriceSettings
from pipeline.config.load import load_config, named_provider
from pipeline.config.models import Config, LimitSettings
from pipeline.config.nights import GateSettings
from pipeline.config.schema import json_schema
from pipeline.config.simulate.settings import SimulateSettings
from pipeline.config.tables import ColumnsSettings, CsvSettings, InputSettings, OutputSettings, StateSettings
from pipeline.config.task import ExampleSettings, LabelSettings, TaskSettings
from pipeline.config.values import FailureAllowance

__all__ = [
    "ColumnsSettings",
    "Config",
    "CsvSettings",
    "ExampleSettings",
    "FailureAllowance",
    "GateSettings",
    "InputSettings",
    "LabelSettings",
    "LimitSettings",
    "ModelSettings",
    "OutputSettings",
    "PriceSettings",
    "SimulateSettings",
    "StateSettings",
    "TaskSettings",
    "json_schema",
    "load_config",
    "named_provider",
]
