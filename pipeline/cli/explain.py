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
    under = facts["answered_under"]
    print_lines(fact_lines({**facts, "answered_under": None, "models": None}))
    for which, said in explanation.models.items():
        print_lines([f"--- {which} model", *fact_lines(said)])
    if under:
        whose = f"run {under['run']} (provider {under['provider']}, model {under['model']})"
        print_lines(
            ["these settings have no answer to it;", f"answered under {whose}, for {under['output']}"]
        )
    print_result(facts)
    return 0
