"""`probe`: print what the endpoint supports."""

import asyncio

from pipeline.cli.console import failure_facts, print_lines, print_problems, print_result
from pipeline.commands import probe as command
from pipeline.config import Config
from pipeline.telemetry.logs import one_line


def probe(config: Config) -> int:
    """Print what the endpoint supports, and what would end a run there."""
    findings = asyncio.run(command.probe(config))
    marks = {True: "yes", False: "no", None: "unknown"}
    print_lines([one_line(f"{each.name:20} {marks[each.works]:8} {each.detail}") for each in findings])
    facts = {finding.name.replace(" ", "_"): finding.works for finding in findings}
    problem = command.problem(findings)
    if problem is None:
        print_result({"status": "ok", **facts})
        return 0
    print_problems(problem.problems)
    print_result({**failure_facts(problem), **facts})
    return problem.exit_status
