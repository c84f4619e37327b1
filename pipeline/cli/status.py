"""`status`: print where the latest run stands."""

from pipeline.cli.console import fact_lines, print_lines, print_result
from pipeline.commands import status as command
from pipeline.config import Config


def status(config: Config) -> int:
    """Print where the latest run stands."""
    facts = command.status(config)
    print_lines(fact_lines({name: value for name, value in facts.items() if name != "summary"}))
    print_result(facts)
    return 0
