"""`explain`: print everything about one row."""

from pipeline.cli.console import fact_lines, print_lines, print_result
from pipeline.commands import explain as command
from pipeline.config import Config


def explain(config: Config, row: str) -> int:
    """Print everything about one row."""
    explanation = command.explain(config, row)
    facts = explanation.as_dict()
    if explanation.prompt:
        print_lines(["--- system message", explanation.system, "--- request", explanation.body, "--- answer"])
    print_lines(fact_lines(facts))
    print_result(facts)
    return 0
