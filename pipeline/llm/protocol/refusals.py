"""Reading a refusal: whether it may be about the request's form, and which part of it it names.

The part is looked for in `error.param` first, then by its API name in the sentence, then by looser words for it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.config import ModelSettings
from pipeline.llm.protocol.form import EFFORTS, Part, RequestForm, is_sent
from pipeline.llm.replies import Failure, FailureKind

UNNAMED = frozenset({FailureKind.UNSUPPORTED, FailureKind.ROW})
"""Kinds of failures that may be about the form even if they name no part of it."""

NAMED = UNNAMED | {FailureKind.CONFIG, FailureKind.TRANSIENT, FailureKind.DENIED}
"""Kinds that may be about it if they do; money, throttles, outages and broken replies never are.

OpenAI answers 403, as if the key were refused: "You are not allowed to request logprobs from this model".
"""

CLIENT_ERRORS = range(400, 500)
NAMED_STATUSES = frozenset({*CLIENT_ERRORS, 500, 501, 502}) - {401, 402, 408, 429}
"""Statuses whose words may name a part: some servers answer 500 to what they do not take, and gateways 502."""

# The names that the parts have in requests, those of endpoints other than OpenAI's included.
_NAMES: tuple[tuple[Part, str], ...] = (
    ("limit", r"max_(?:completion_|output_)?tokens|maxoutputtokens"),
    ("temperature", r"temperature"),
    ("logprobs", r"(?:top_|response_?)?log_?probs"),
    ("structure", r"response_?(?:format|schema|json_?schema|mime_?type)|json_schema|json_object|guided_\w+|additionalproperties"),
    ("effort", r"reasoning[_.]effort|thinking_?(?:budget|level|config)"),
    ("seed", r"(?:random_)?seed"),
)  # fmt: skip
# Looser words for them in sentences.
_WORDS: tuple[tuple[Part, str], ...] = (
    ("logprobs", r"log[ -]?prob(?:s|abilit(?:y|ies))"),
    ("structure", r"structured[ _-]?outputs?|guided[ -](?:decoding|generation|json)|json[ -](?:schema|object|mode)|schema|grammar"),
    ("effort", r"reasoning|thinking"),
)  # fmt: skip


def _compiled(names: tuple[tuple[Part, str], ...]) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?P<{part}>(?<![a-z]){pattern}(?![a-z]))" for part, pattern in names))


_NAME, _WORD = _compiled(_NAMES), re.compile(
    "|".join(rf"(?P<{part}>{pattern})" for part, pattern in _WORDS)  # within words, too: xgrammar
)  # fmt: skip
_LOOSE = re.compile(r"additional_?properties|(?<![a-z])strict(?![a-z])")
_ANY_PART = re.compile(
    r"(?:requested|unsupported|unrecognized|unknown|extra|invalid) (?:parameter|argument|field|input|value)s?"
)
_OF_THE_QUESTION = re.compile(r"(?:body\.)?(?:model|messages?|input|prompt|contents?)(?![a-z_])")


@dataclass(frozen=True, slots=True)
class Named:
    """A part of the request that a refusal names.

    Attributes:
        part: A part that may give way; None if it is a setting of the config that always stays.
        setting: The setting of the config that asks for it, such as `model.top_p`.
        allowed: The efforts that the refusal offers instead.
        loosely: Whether it speaks of the schema's strictness alone.
    """

    part: Part | None
    setting: str
    allowed: frozenset[str] = frozenset()
    loosely: bool = False


SETTINGS: dict[Part, str] = {
    "structure": "model.structured_output",
    "logprobs": "model.logprobs",
    "temperature": "model.temperature",
    "effort": "model.reasoning_effort",
    "limit": "model.max_tokens",
    "seed": "model.seed",
}


def may_be_about_form(failure: Failure) -> bool:
    """Return whether *failure* may be a refusal of the request's form, by its class and status alone."""
    return failure.kind in NAMED and failure.status in NAMED_STATUSES and not failure.about_content


def may_be_unnamed(failure: Failure) -> bool:
    """Return whether *failure* may be about the form although it names no part of it.

    A 404 that names none says something about the model, a server error about the server.
    """
    if failure.status not in CLIENT_ERRORS:
        return False
    if failure.param is not None and _OF_THE_QUESTION.match(failure.param.lower()):
        return False
    if failure.kind in UNNAMED:
        return True
    return failure.kind is FailureKind.CONFIG and _ANY_PART.search(failure.message.lower()) is not None


def named(failure: Failure, form: RequestForm, model: ModelSettings) -> Named | None:
    """Return the part of a request in *form* that *failure* names; None if it names none that is sent."""
    message = failure.message.lower()
    for part in _in_order(failure.param, message):
        if is_sent(part, form):
            allowed = (
                frozenset(e for e in EFFORTS if _quoted(e, message)) if part == "effort" else frozenset()
            )
            return Named(part, SETTINGS[part], allowed, _LOOSE.search(message) is not None)
    if form.effort and _quoted(form.effort, message):  # by its value alone
        return Named("effort", SETTINGS["effort"])
    setting = _named_setting(f"{failure.param or ''} {message}", model)
    return Named(None, setting) if setting else None


def _in_order(param: str | None, message: str) -> Iterator[Part]:
    """Yield the parts that are named, the likeliest first."""
    for pattern, text in ((_NAME, (param or "").lower()), (_NAME, message), (_WORD, message)):
        for found in pattern.finditer(text):
            yield found.lastgroup  # type: ignore[misc]  # the groups are named after the parts


def _quoted(word: str, message: str) -> bool:
    return re.search(rf"['\"`]{word}['\"`]", message) is not None


def _named_setting(text: str, model: ModelSettings) -> str | None:
    """Return the setting that always stays and that *text* names."""
    sent = [name for name in ("top_p", "seed") if getattr(model, name) is not None]
    for name in [*sent, *model.parameters]:
        if re.search(rf"(?<![\w-]){re.escape(name.lower())}(?![\w-])", text):
            return f"model.{name}" if name in sent else f"model.parameters.{name}"
    return None
