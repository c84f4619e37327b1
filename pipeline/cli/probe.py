"""`probe`: what the endpoint supports."""

import asyncio

from pipeline.cli.console import last_line, tell
from pipeline.commands.probe import probe as ask
from pipeline.config import Config
from pipeline.errors import ProviderUnavailableError
from pipeline.llm.protocol.body import MODES
from pipeline.telemetry.logs import one_line


def probe(config: Config) -> int:
    """Print what the endpoint supports."""
    findings = asyncio.run(ask(config))
    marks = {True: "yes", False: "no", None: "?"}
    tell([one_line(f"{each.name:20} {marks[each.works]:4} {each.detail}") for each in findings])
    last_line({finding.name.replace(" ", "_"): finding.works for finding in findings})
    modes = [finding for finding in findings if finding.name in MODES]
    return (
        0
        if any(finding.works for finding in modes)
        else modes[-1].exit_status or ProviderUnavailableError.exit_status
    )
