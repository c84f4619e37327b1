"""`plan`: print what a run would send and cost."""

import logging
from collections.abc import Iterator

from pipeline import api
from pipeline.cli.console import is_json_lines, print_lines, print_result
from pipeline.commands.plan import Plan
from pipeline.config import Config
from pipeline.figures import count, duration, usd
from pipeline.job.job import RunOptions
from pipeline.telemetry.logs import configure


def plan(config: Config, options: RunOptions, *, quiet: bool = False) -> int:
    """Print what a run would send and cost."""
    configure(json_lines=is_json_lines(), level=logging.WARNING if quiet else logging.INFO)
    found = api.plan(config, options)
    print_lines([] if quiet else plan_text(found, config))
    print_result(found.as_dict())
    return 0


def plan_text(found: Plan, config: Config) -> list[str]:
    """Return the lines that describe a plan to people."""
    dearest = f", the dearest of {len(config.model.endpoints)}" if len(config.model.endpoints) > 1 else ""
    if found.cost_usd is None:
        cost = "no price known unless the endpoint tells one; see model.price"
    elif found.cost_source == "free":
        cost = "free"
    else:
        cost = f"about {usd(found.cost_usd)} (price from {found.cost_source}{dearest})"
    limit, several = getattr(config.limits, found.bound, None), len(config.model.endpoints)
    bound = "on two cores" if limit is None else f"at limits.{found.bound} = {limit:,}"
    bound = f"at the limits of {count(several, 'endpoint')}" if several else bound
    texts = f"{found.truncated:,} texts" if found.truncated != 1 else "1 text"
    cut = [f"{texts} would be cut at task.max_text_tokens = {config.task.max_text_tokens:,}"]
    version = found.input_version
    return [
        *([] if version is None else [f"version {version} of the Delta table {config.input.path} is read"]),
        f"{found.rows:,} rows, {found.empty:,} of them empty; {found.prompts:,} different prompts",
        *(cut if found.truncated else []),
        f"{found.answered:,} are answered already; {found.requests:,} requests would be sent",
        f"about {found.prompt_tokens:,} prompt and {found.completion_tokens:,} completion tokens, {cost}",
        *_notes(found),
        *_canary(found),
        f"about {duration(found.seconds)} {bound}",
    ]


def _canary(found: Plan) -> Iterator[str]:
    """Yield what is asked and paid for beside the rows."""
    if found.asked_anew:
        cost = usd(found.asked_anew_cost_usd, "no price known")
        yield (
            f"besides, the canary asks {count(found.asked_anew, 'row')} anew (gates.canary_flips): about {cost}, "
            "from what limits.max_cost_usd leaves"
        )


def _notes(found: Plan) -> list[str]:
    """Return what the tokens and the cost leave out."""
    match found:
        case Plan(requests=0) | Plan(reasons=False) | Plan(completion_source="answers"):
            return []
        case Plan(completion_source="model"):
            return ["the completion tokens are those of this model's last answers, to other questions"]
        case Plan(reasons=True):
            what = "this model reasons; its thoughts are billed as completion tokens, many more than these"
        case _:
            what = "if this model reasons, its thoughts are billed as completion tokens, and not among these"
    return [f"{what}: `run --limit 20`, and `plan` knows how many"]
