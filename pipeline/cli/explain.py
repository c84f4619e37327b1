"""`status` and `explain`: where the latest run stands, and everything about one row."""

from collections.abc import Mapping
from typing import Any

from pipeline.cli.console import last_line, tell
from pipeline.commands import explain as explaining
from pipeline.commands.status import status as standing
from pipeline.config import Config
from pipeline.telemetry.logs import one_line


def status(config: Config) -> int:
    """Print where the latest run stands."""
    facts = standing(config)
    tell(_pairs({name: value for name, value in facts.items() if name != "summary"}))
    last_line(facts)
    return 0


def explain(config: Config, row: str) -> int:
    """Print everything about one row."""
    found = explaining.explain(config, row)
    facts = found.as_dict()
    if found.prompt:
        tell(["--- system message", found.system, "--- request", found.body, "--- answer"])
    tell(_pairs(facts))
    last_line(facts)
    return 0


def _pairs(facts: Mapping[str, Any]) -> list[str]:
    return [f"{name:18} {one_line(str(value))}" for name, value in facts.items() if value is not None]
