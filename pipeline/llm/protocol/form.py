"""The form of a request: how each of its optional parts is sent, and what is left of it when one is refused.

Which parts may give way follows from the config: what it sets is what the user asked for and stays; what it leaves to a
default or to `auto` may be renamed, weakened or left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

from pipeline.config import ModelSettings
from pipeline.llm.protocol.families import Family, family_of

MODES = ("json_schema", "json_object", "text")
"""The modes of structured output, the strictest first."""

LIMITS = ("max_tokens", "max_completion_tokens")
"""The names of the ceiling of a reply: of most endpoints, and of OpenAI's newer models."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""The efforts of reasoning that have a name at some endpoint, the least first."""

MOST_EFFORT_OF_AUTO = "low"
"""More than this is never sent unasked: beyond it the endpoint's default is as good a guess."""

SEEDS = ("seed", "random_seed")
"""The names of the sampling seed: of most endpoints, and of Mistral's."""

Part: TypeAlias = Literal["structure", "logprobs", "temperature", "effort", "limit", "seed"]
"""An optional part of a request that may give way."""

PARTS: tuple[Part, ...] = ("logprobs", "structure", "temperature", "effort", "limit")
"""Those that are suspected of a refusal that names none, in this order."""

OWN_REASONING = frozenset({"reasoning", "thinking", "thinking_budget", "chat_template_kwargs", "extra_body"})
"""Entries of `model.parameters` that tell the reasoning in an endpoint's own way: an effort beside them may clash."""


@dataclass(frozen=True, slots=True)
class RequestForm:
    """How the optional parts of a request are sent.

    Attributes:
        mode: How structured output is asked for: one of MODES.
        logprobs: Whether the tokens' log-probabilities are asked for.
        limit: The name under which the ceiling is sent, one of LIMITS; None if none is sent.
        ceiling: The most tokens of a reply.
        temperature: Whether the configured temperature is sent.
        effort: The value of `reasoning_effort`; None if none is sent.
        strict: Whether the schema is asked for as strict, and closed to other properties.
        seed: The name under which the seed is sent, one of SEEDS; None if none is sent.
    """

    mode: str
    logprobs: bool
    limit: str | None = LIMITS[0]
    ceiling: int = 32
    temperature: bool = True
    effort: str | None = None
    strict: bool = True
    seed: str | None = None


def first_form(model: ModelSettings) -> RequestForm:
    """Return the form to try first: the strictest that the config allows and the model's family is known to take."""
    family = family_of(model)
    effort = _first_effort(model, family)
    # Models that reason take neither unless told not to reason.
    samples = family.samples or effort == "none"
    return RequestForm(
        mode=MODES[0] if model.structured_output == "auto" else model.structured_output,
        logprobs=samples if model.logprobs == "auto" else model.logprobs,
        limit=family.limit,
        ceiling=model.max_tokens,
        temperature=model.temperature is not None and (samples or not is_free("temperature", model)),
        effort=effort,
        seed=None if model.seed is None else SEEDS[0],
    )


def _first_effort(model: ModelSettings, family: Family) -> str | None:
    if model.reasoning_effort != "auto":
        return model.reasoning_effort
    return None if OWN_REASONING & set(model.parameters) else family.effort


def is_free(part: Part, model: ModelSettings) -> bool:
    """Return whether *part* may be left out: the config does not ask for it."""
    match part:
        case "structure":
            return model.structured_output == "auto"
        case "logprobs":
            return model.logprobs == "auto"
        case "effort":
            return model.reasoning_effort == "auto"
        case "temperature":
            return "temperature" not in model.model_fields_set
        case "limit":
            return "max_tokens" not in model.model_fields_set
        case "seed":
            return False


def is_sent(part: Part, form: RequestForm) -> bool:
    """Return whether a request in *form* has *part*."""
    match part:
        case "structure":
            return form.mode != MODES[-1]
        case "logprobs":
            return form.logprobs
        case "effort":
            return form.effort is not None
        case "temperature":
            return form.temperature
        case "limit":
            return form.limit is not None
        case "seed":
            return form.seed is not None


def weaker(
    form: RequestForm, part: Part, model: ModelSettings, *, allowed: Iterable[str] = (), loosely: bool = False
) -> RequestForm | None:
    """Return *form* with *part* renamed, weakened or left out; None if it has no weaker form, or must stay.

    Args:
        form: What was refused.
        part: The part that was refused.
        model: What the user asked for.
        allowed: The values that the refusal offers instead.
        loosely: Whether only the schema's strictness was refused.
    """
    renamed = part in {"limit", "seed"}  # which may stay under their other name
    if not renamed and not (is_sent(part, form) and is_free(part, model)):
        return None
    match part:
        case "limit":
            return _with_other_limit(form, model)
        case "seed":
            return _with_other_seed(form)
        case "structure":
            return _with_weaker_structure(form, loosely=loosely)
        case "effort":
            return replace(form, effort=_next_effort(form.effort, set(allowed)))
        case "logprobs" | "temperature":
            without: dict[str, Any] = {part: False}
            return replace(form, **without)


def _with_weaker_structure(form: RequestForm, *, loosely: bool) -> RequestForm:
    if loosely and form.strict and form.mode == MODES[0]:
        return replace(form, strict=False)
    return replace(form, mode=MODES[MODES.index(form.mode) + 1])


def _with_other_limit(form: RequestForm, model: ModelSettings) -> RequestForm | None:
    if form.limit is None:
        return None
    first = family_of(model).limit
    if form.limit == first:  # under its other name it asks for the same
        return replace(form, limit=next(name for name in LIMITS if name != first))
    return replace(form, limit=None) if is_free("limit", model) else None


def _with_other_seed(form: RequestForm) -> RequestForm | None:
    return replace(form, seed=SEEDS[1]) if form.seed == SEEDS[0] else None


def _next_effort(refused: str | None, allowed: set[str]) -> str | None:
    rank = EFFORTS.index(refused) if refused in EFFORTS else -1
    usual = EFFORTS[rank + 1 : EFFORTS.index(MOST_EFFORT_OF_AUTO) + 1]
    # What the endpoint offers itself is the better guess; it may also be less than what was refused.
    offered = [effort for effort in EFFORTS if effort in allowed and effort != refused]
    return next(iter(offered or usual), None)


def trials(form: RequestForm, model: ModelSettings) -> Iterator[RequestForm]:
    """Yield the forms to try after *form* was refused with no word about which part of it is to blame.

    First the same again, as one refusal may be a mishap; then without each part in turn; then without all of them.
    """
    yield form
    kept_shape = weakest = form
    for part in PARTS:
        alone = weaker(form, part, model)
        while alone is not None:
            yield alone
            alone = weaker(alone, part, model) if part == "structure" else None
        if part != "structure":
            kept_shape = without(kept_shape, part, model)
    if (object_only := weaker(kept_shape, "structure", model)) is not None and object_only.mode != MODES[-1]:
        yield object_only
    weakest = without(kept_shape, "structure", model)
    if weakest != form:
        yield weakest


def without(form: RequestForm, part: Part, model: ModelSettings) -> RequestForm:
    """Return *form* with nothing of *part* in it that may give way; the ceiling keeps one of its names."""
    found: RequestForm | None = form
    while found is not None:
        form, found = found, weaker(found, part, model) if part != "limit" else None
    return form


def difference(before: RequestForm, after: RequestForm) -> str:
    """Word what *after* asks for that *before* did not, as the end of a sentence."""
    changed = [
        each.name for each in fields(RequestForm) if getattr(before, each.name) != getattr(after, each.name)
    ]
    return " and ".join(_worded(name, before, after) for name in changed) or "the same again"


def _worded(name: str, before: RequestForm, after: RequestForm) -> str:
    match name:
        case "mode":
            return f"{after.mode} instead of {before.mode}"
        case "limit" | "seed":
            return f"{getattr(after, name) or 'no ceiling'} instead of {getattr(before, name)}"
        case "ceiling":
            return f"at most {after.ceiling} tokens"
        case "effort":
            return f"reasoning_effort {after.effort}" if after.effort else "no reasoning_effort"
        case "strict":
            return "a schema that is not strict"
        case _:
            return f"no {name}"
