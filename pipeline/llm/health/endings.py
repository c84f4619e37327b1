"""The error that ends a run, for a refusal that concerns all rows: its class by kind and status, then by the endpoint's words."""

import re

from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.llm.replies import Failure, FailureKind

MONEY = re.compile(r"(?<![a-z])(?:budget|quota|billing|payment|spend|(?:credits?|balance|funds?)(?![a-z]))")
"""Whole words where a part of another would be found: a load balancer has no balance, and what is suspended did not spend."""

CONFIG_WORDS = ("config", "model", "param", "unsupported", "not support", "deployment", "endpoint", "schema")
KEY_WORDS = ("key", "token", "permission", "authori", "authenti", "credential", "access")

REQUEST_STATUSES = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses that say that the request is wrong, and not that the endpoint cannot serve it now."""

UNAUTHORIZED = 401

_Ending = tuple[type[PipelineError], str]

NO_MONEY: _Ending = (KeyRefusedError, "the account has no credit or quota left: {}; top it up and run again")
NO_MODEL: _Ending = (
    ConfigError,
    "no reply so far was a chat completion: {}; check model.base_url, to which /chat/completions is added",
)


def ending(failure: Failure, *, succeeded: bool) -> PipelineError:
    """Return the error that ends the run for *failure*, which concerns all rows.

    Args:
        failure: The last refusal.
        succeeded: Whether the run had a reply before.
    """
    words = f"{failure.code} {failure.message}".lower()
    error: type[PipelineError]
    match failure.kind:
        case FailureKind.QUOTA:
            error, sentence = NO_MONEY
        case FailureKind.CONFIG:
            error, sentence = ConfigError, "{}; set model.name or model.base_url to what the endpoint has"
        case FailureKind.UNTRUSTED:
            error, sentence = ConfigError, "{}; check model.base_url"
        case FailureKind.DENIED:
            refuses_key = failure.status == UNAUTHORIZED or _any_in(KEY_WORDS, words)
            what = "refuses the key" if refuses_key else "forbids every request"
            error, sentence = KeyRefusedError, f"the endpoint {what}: {{}}; check the key and its rights"
        case FailureKind.GARBLED if not succeeded:
            error, sentence = NO_MODEL
        case _:
            error, sentence = _by_words(failure, words, succeeded=succeeded)
    return error(sentence.format(failure.message))


def _by_words(failure: Failure, words: str, *, succeeded: bool) -> _Ending:
    """Return the class of error and its sentence for a refusal that looks as if it were one row's."""
    if MONEY.search(words):
        return NO_MONEY
    about_request = failure.status in REQUEST_STATUSES
    if about_request and (failure.param or _any_in(CONFIG_WORDS, words) or not succeeded):
        return (
            ConfigError,
            "the endpoint refuses every row: {}; check model and task with `probe`, and run again to continue",
        )
    return ProviderUnavailableError, "the endpoint refuses every row: {}; run again to continue"


def _any_in(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)
