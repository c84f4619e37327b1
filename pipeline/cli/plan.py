"""`plan`: print what a run would send and cost."""

from pipeline import api
from pipeline.cli.console import print_lines, print_result
from pipeline.commands.plan import Plan
from pipeline.config import Config
from pipeline.job.job import RunOptions


def plan(config: Config, options: RunOptions, *, quiet: bool = False) -> int:
    """Print what a run would send and cost."""
    found = api.plan(config, options)
    print_lines([] if quiet else plan_text(found, config))
    print_result(found.as_dict())
    return 0


def plan_text(found: Plan, config: Config) -> list[str]:
    """Return the lines that describe a plan to people."""
    cost = (
        "no price known unless the endpoint tells one; see model.price"
        if found.cost_usd is None
        else f"about ${found.cost_usd:.4f} (price from {found.cost_source})"
    )
    limit = getattr(config.limits, found.bound)
    return [
        f"{found.rows:,} rows, {found.empty:,} of them empty; {found.prompts:,} different prompts",
        f"{found.answered:,} are answered already; {found.requests:,} requests would be sent",
        f"about {found.prompt_tokens:,} prompt and {found.completion_tokens:,} completion tokens, {cost}",
        f"about {duration(found.seconds)} at limits.{found.bound} = {limit:,}",
    ]


def duration(seconds: float) -> str:
    """Return *seconds* in the unit that people would choose."""
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"  # noqa: PLR2004
