"""`probe`: print what the endpoint supports."""

import asyncio
from typing import Any

from pipeline.cli.console import failure_facts, print_lines, print_problems, print_result
from pipeline.commands import probe as command
from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.telemetry.logs import one_line


def probe(config: Config) -> int:
    """Print what each endpoint supports, and what would end a run there."""
    found = asyncio.run(command.probe(config))
    marks = {True: "yes", False: "no", None: "unknown"}
    facts: dict[str, Any] = {}
    problems: dict[str, PipelineError] = {}
    for name, findings in found.items():
        print_lines([f"{name}:"] if name else [])
        print_lines([one_line(f"{each.name:20} {marks[each.works]:8} {each.detail}") for each in findings])
        of_one = {finding.name.replace(" ", "_"): finding.works for finding in findings}
        if name:
            facts.setdefault("endpoints", {})[name] = of_one
        else:
            facts = of_one
        if (problem := command.problem(findings)) is not None:
            problems[name] = problem
    if not problems:
        print_result({"status": "ok", **facts})
        return 0
    print_problems(
        [f"{name}: {each}" if name else each for name in problems for each in problems[name].problems]
    )
    first = next(iter(problems.values()))
    print_result({**failure_facts(first), **facts})
    return first.exit_status
