"""`plan`: print what a run would send and cost."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pipeline import api
from pipeline.cli.console import is_json_lines, print_lines, print_result
from pipeline.commands.plan.command import Plan
from pipeline.config import Config
from pipeline.figures import count, duration, usd
from pipeline.job.options import RunOptions
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
    duration_told = f"about {duration(found.seconds)} {bound}"
    if found.bound == "batch":
        duration_told = "handed in as batches, which take up to 24 h; `run --no-wait` ends at once, and the next run fetches them"
    texts = f"{found.truncated:,} texts" if found.truncated != 1 else "1 text"
    cut = [f"{texts} would be cut at task.max_text_tokens = {config.task.max_text_tokens:,}"]
    version = found.input_version
    return [
        *([] if version is None else [f"version {version} of the Delta table {config.input.path} is read"]),
        f"{found.rows:,} rows, {found.empty:,} of them empty; {found.prompts:,} different prompts",
        *(cut if found.truncated else []),
        f"{found.answered:,} are answered already{_carried(found)}; {_waiting(found)}{found.requests:,} requests would be sent{_packs(found)}",
        f"about {found.prompt_tokens:,} prompt{_cached(found)} and {found.completion_tokens:,} completion tokens, {cost}",
        *_notes(found),
        *_canary(found),
        *_student(found),
        *_second(found),
        *_other_lane(found),
        duration_told,
        *([found.finish["told"]] if found.finish else []),
        *(f"advice: {each}" for each in found.advice),
    ]


def _other_lane(found: Plan) -> Iterator[str]:
    """Yield what the same costs in the other lane."""
    if found.lane == "batch" and found.live_cost_usd:
        yield f"row by row, at once, it would be about {usd(found.live_cost_usd)} (model.lane: live)"
    elif found.lane == "live" and found.live_cost_usd and found.batch_cost_usd is not None:
        yield f"handed in as batches, which take up to 24 h, it would be about {usd(found.batch_cost_usd)} (model.lane: batch)"


def _carried(found: Plan) -> str:
    """Return how many prompts have labels of an earlier config."""
    told = f", {found.carried:,} more have labels of an earlier config" if found.carried else ""
    return told + (
        f", {found.to_carry:,} more keep such labels if the audit passes, and are asked as well if it does not"
        if found.to_carry
        else ""
    )


def _waiting(found: Plan) -> str:
    """Return how many prompts are being asked."""
    return (
        f"{found.being_asked:,} are being asked in batches, and not asked again; "
        if found.being_asked
        else ""
    )


def _cached(found: Plan) -> str:
    """Return how many of the prompts' tokens come from the provider's cache."""
    return f" ({found.cached_tokens:,} of them cached)" if found.cached_tokens else ""


def _packs(found: Plan) -> str:
    """Return how many rows these carry, where it is not one each."""
    if found.asked_again:
        again = f", {found.asked_again:,} of them once more, as unusable replies make it"
        return again if found.rows_per_request == 1 else f"{again}{_packs(replace(found, asked_again=0))}"
    if found.rows_per_request == 1:
        return ""
    compared = (
        f"; {count(found.compared, 'row')} of them are asked alone, too, to compare" if found.compared else ""
    )
    return f", about {found.rows_per_request} rows each{compared}"


def _canary(found: Plan) -> Iterator[str]:
    """Yield what is asked and paid for beside the rows."""
    if found.asked_anew:
        cost = usd(found.asked_anew_cost_usd, "no price known")
        yield (
            f"besides, the canary asks {count(found.asked_anew, 'row')} anew (gates.canary_flips): about {cost}, "
            "from what limits.max_cost_usd leaves"
        )


def _student(found: Plan) -> Iterator[str]:
    """Yield what the student may spare."""
    if (student := found.student) is None:
        return
    if student["own"]:
        yield f"{count(student['own'], 'prompt')} more have the student's label already"
    if not found.requests:
        return
    if not student["worth_it"]:
        yield "the student is not worth it here: so few can be spared that all of these would be asked, or nearly all"
        return
    bought = f"{student['bought']:,} requests for answers to learn from, " if student["bought"] else ""
    source = SOURCES[student["coverage_source"]]
    missing = (
        found.prompts - found.answered - found.being_asked - student["own"] - found.carried - found.to_carry
    )
    all_of_them = "; all of them if it is refused" if student["requests_most"] == missing else ""
    ends = "" if student.get("cost_usd_least") is None else f", {_range(student, 'cost_usd', usd)}"
    ends += f", {_range(student, 'seconds', duration)}"
    yield (
        f"with the student {student['requests_least']:,} to {student['requests_most']:,} of these prompts{ends}, about "
        f"{student['requests_likely']:,} ({source}){all_of_them}. Among them {bought}{student['audits']:,} audits"
    )


def _range(student: Mapping[str, Any], name: str, write: Callable[[float], str]) -> str:
    return f"{write(student[f'{name}_least'])} to {write(student[f'{name}_most'])}"


SOURCES = {
    "last night": "what it came to last",
    "rehearsal": "rehearsed with the answers that there are",
    "guess": "a careful guess",
}


def _second(found: Plan) -> Iterator[str]:
    """Yield what is put to the second model."""
    if (second := found.second) is None or not second["requests_most"]:
        return
    least, likely, most = (second[f"requests_{name}"] for name in ("least", "likely", "most"))
    costs = [second[f"cost_{name}_usd"] for name in ("least", "likely", "most")]
    if likely is None:
        number = f"{least:,} to {most:,} rows"
        why = "how many is unknown before the first model has answered some: `run --limit 200`, and `plan` knows"
        cost = "no price known" if costs[2] is None else f"{usd(costs[0])} to {usd(costs[2])}"
    else:
        number = f"about {count(likely, 'row')}" + (f" ({least:,} to {most:,})" if least < most else "")
        why = f"{second['unsure']:,} of {count(second['answered'], 'answer')} were unsure so far"
        cost = "no price known" if costs[1] is None else f"about {usd(costs[1])}"
        cost += f" ({usd(costs[0])} to {usd(costs[2])})" if costs[1] is not None and least < most else ""
    source = f", price from {second['cost_source']}" if second["cost_source"] else ""
    yield f"besides, {number} are put to {second['model']}: {cost}{source}; {why}"


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
