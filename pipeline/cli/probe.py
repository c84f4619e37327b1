"""`probe`: print what the endpoint supports."""

import asyncio

from pipeline.cli.console import print_lines, print_result
from pipeline.commands import probe as command
from pipeline.config import Config
from pipeline.telemetry.logs import one_line


def probe(config: Config) -> int:
    """Print what the endpoint supports."""
    findings = asyncio.run(command.probe(config))
    marks = {True: "yes", False: "no", None: "?"}
    print_lines([one_line(f"{each.name:20} {marks[each.works]:4} {each.detail}") for each in findings])
    print_result({finding.name.replace(" ", "_"): finding.works for finding in findings})
    return command.exit_status(findings)
