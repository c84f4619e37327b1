"""Classification of failures: by the HTTP status and what the error blames, and by its words only where those decide nothing.

Endpoints differ most in how they fail. The words below stand for kinds of complaints, not for endpoints.
"""

import re
from typing import NamedTuple

from pipeline.llm.protocol.envelope import Said
from pipeline.llm.replies import SERVER_ERRORS, FailureKind
from pipeline.records import Status

BY_STATUS: dict[int, FailureKind] = {
    401: FailureKind.DENIED,
    402: FailureKind.QUOTA,
    404: FailureKind.CONFIG,
    408: FailureKind.TRANSIENT,
    409: FailureKind.TRANSIENT,
    421: FailureKind.TRANSIENT,  # misdirected: another connection may reach the right server
    423: FailureKind.TRANSIENT,
    424: FailureKind.TRANSIENT,  # a server behind the gateway is not ready
    425: FailureKind.TRANSIENT,
    429: FailureKind.THROTTLED,
    449: FailureKind.TRANSIENT,
    460: FailureKind.TRANSIENT,  # load balancer: the client closed the connection
    498: FailureKind.THROTTLED,  # Groq: no capacity for the flex tier
    499: FailureKind.TRANSIENT,  # cancelled on the way
    529: FailureKind.THROTTLED,  # Anthropic: overloaded
}
TOO_MANY = 429
FORBIDDEN = 403
TOO_LARGE = 413
SUCCESSES = range(200, 300)
FORM_STATUSES = frozenset({400, 404, 415, 422, 500, 501})
"""Statuses with which endpoints refuse a part of the request."""

# All are matched against lower-case text in which anything but letters and digits is one blank.
MONEY = re.compile(
    r"insufficient ?(quota|credits?|balance|funds)|(credit|account) balance|spend(ing)? limit|budget ?(has been )?exceeded"
    r"|exceeded current quota|payment required|billing (hard )?limit|out of credits?"
)
MODEL = re.compile(
    r"model not (found|available|exist)|(invalid|unknown|no such) model|\bmodel\b.{0,80}?\b(does not exist|doesn t exist|not found)"
)
NEVER_FITS = re.compile(r"request too large")
"""OpenAI's message, with status 429, for a request larger than the limit of tokens per minute."""

THROTTLE = re.compile(
    r"rate ?limit|throttl|slow ?down|over ?load|too ?many ?((concurrent|parallel|simultaneous) )?(requests|connections)|resource ?exhausted|at capacity|capacity exceeded|queue (is )?full"
    r"|requests? ?limit ?exceeded"
)
CONTEXT = re.compile(r"context ?(length|size|window)|maximum context|string above max length")
LONG = re.compile(
    r"too many (\w+ )?tokens|tokens? (limit|count)|tokens?\b.{0,40}\bexceed|exceed.{0,40}\btokens?\b"
    r"|\b(request|payload|entity|body|content|prompt|input|text|message|string|query|sequence|document)s?\b.{0,40}"
    r"\btoo (long|large|big)"
    r"|\b(prompt|input|text|message|string|sequence|document)s?\b.{0,40}\bexceed"
    r"|max(imum)? (allowed )?(input |prompt |sequence )?length|reduce the (length|size)"
)
FILTER = re.compile(
    r"content ?(filter|policy|management|moderat|violation|safety|exists risk)|responsible ?ai|moderati|flagged"
    r"|safety(?! (setting|identifier))|guardrail|data inspection|inappropriate|harmful|prohibited (content|use)"
    r"|sensitive (word|content|information)|(usage|acceptable use|content) polic|violat\w*\b.{0,40}\bpolic|polic\w* violation"
    r"|\b(prompt|input|content|text|response)\b.{0,40}\b(blocked|filtered)|\b(blocked|filtered)\b.{0,40}\b(prompt|input|content|text)"
)
FORM = re.compile(
    r"response ?(format|schema)|json ?(schema|object)|structured ?outputs?|\blog ?probs?\b|grammar|guided|additional ?properties"
    r"|max (completion |output |new )?tokens|\btemperature\b|\btop p\b|\bseed\b|reasoning ?effort|requested parameter"
)
"""Parts of the request that it can do without, or say in another way."""

UNKNOWN_FIELD = re.compile(
    r"(unsupported|unknown|unrecognized|unexpected|invalid|extra|additional) (\w+ )?(parameter|argument|field|propert)"
    r"|unknown name|extra inputs|\bschema\b"
)
CONTENT_PARAM = re.compile(r"\W*(messages|prompt|input|contents?)\b")
KEY = re.compile(
    r"\b(api ?)?keys?\b|\btoken\b|permission|\bpermitted\b|\bauth|unauth|credential|\baccount\b|subscription|licen[cs]e"
    r"|access ?denied|not allowed|\bscopes?\b|\brole\b"
)


class Class(NamedTuple):
    """The class of a failure.

    Attributes:
        kind: What is done about it.
        row_status: The row's final status, if it is given up for this.
        about_content: Whether it is about the row's own content.
    """

    kind: FailureKind
    row_status: Status = Status.ERROR
    about_content: bool = False


TOO_LONG = Class(FailureKind.ROW, Status.TOO_LONG, about_content=True)
FILTERED = Class(FailureKind.ROW, Status.FILTERED, about_content=True)


def classify(status: int, said: Said) -> Class:
    """Return the class of the failure with the HTTP *status* whose body says *said*."""
    code, message = _spaced(said.code), _spaced(said.message)
    words = f"{code} | {message}"
    if status in SERVER_ERRORS:
        return Class(_kind_of_server_error(status, code, message))
    if status in SUCCESSES:
        return Class(FailureKind.GARBLED)
    if BY_STATUS.get(status) is FailureKind.QUOTA or MONEY.search(words):
        return Class(FailureKind.QUOTA)
    if said.param == "model" or MODEL.search(words):
        return Class(FailureKind.CONFIG)
    return _class_by_status(status, said.param or "", code, words)


def _class_by_status(status: int, param: str, code: str, words: str) -> Class:
    known = BY_STATUS.get(status)
    if status == TOO_MANY and NEVER_FITS.search(words):
        return TOO_LONG
    if known is FailureKind.THROTTLED or (known is None and THROTTLE.search(words)):
        return Class(FailureKind.THROTTLED)
    if status == FORBIDDEN and KEY.search(words):
        return Class(FailureKind.DENIED)
    names_form = _names_form(status, param, words)
    if known is None:
        if status == TOO_LARGE or CONTEXT.search(words) or (not names_form and LONG.search(words)):
            return TOO_LONG
        if FILTER.search(code if names_form else words):
            return FILTERED
    return Class(FailureKind.UNSUPPORTED if names_form else known or FailureKind.ROW)


def _kind_of_server_error(status: int, code: str, message: str) -> FailureKind:
    # Gateways hide other statuses behind these, and say so in the code; their sentences are believed about throttles only.
    words = f"{code} | {message}"
    if MONEY.search(code):
        return FailureKind.QUOTA
    if MODEL.search(code):
        return FailureKind.CONFIG
    if BY_STATUS.get(status) is FailureKind.THROTTLED or THROTTLE.search(words):
        return FailureKind.THROTTLED
    return (
        FailureKind.UNSUPPORTED if status in FORM_STATUSES and FORM.search(words) else FailureKind.TRANSIENT
    )


def _names_form(status: int, param: str, words: str) -> bool:
    """Return whether the error blames an optional part of the request, and not the text that is asked about."""
    if status not in FORM_STATUSES or CONTENT_PARAM.match(param):
        return False
    return bool(param or FORM.search(words) or (status not in BY_STATUS and UNKNOWN_FIELD.search(words)))


def _spaced(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()
