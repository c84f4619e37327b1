"""Completions that are well formed and still not what was asked for. All but one are on the bill."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from pipeline.servers.simulator.faults import saying
from tests.faultserver.faults.call import Act, Call, Fault
from tests.faultserver.http1 import Response

LOOKALIKES = str.maketrans("aceijopsxyABCEHIKMOPTX", "асеіјорѕхуАВСЕНІКМОРТХ")  # noqa: RUF001 - that is the fault
"""Latin letters to the Cyrillic ones that look the same."""

ZERO_WIDTH_SPACE = "\u200b"
HUGE = 10**18


def _labelled(label: Callable[[Call], str]) -> Act:
    return saying(lambda call: call.saying(label(call)))


def _edited(edit: Callable[[dict[str, Any]], object]) -> Act:
    """Return a fault that sends the right completion after *edit*; the bill stays as it was."""

    def act(call: Call) -> Response:
        reply = call.reply(call.content)
        edit(reply.body)
        return reply.response()

    return act


def _counting(count: Callable[[int], Any]) -> Act:
    """Return a fault whose usage tells *count* of each true number."""

    def edit(body: dict[str, Any]) -> None:
        told = {name: count(number) for name, number in body["usage"].items() if isinstance(number, int)}
        body["usage"] = told

    return _edited(edit)


def _in_parts(body: dict[str, Any]) -> None:
    message = body["choices"][0]["message"]
    text, half = message["content"], len(message["content"]) // 2
    message["content"] = [{"type": "text", "text": text[:half]}, {"type": "text", "text": text[half:]}]


def _unchosen(call: Call) -> Response:
    body = call.reply(call.content).body
    return Response(200, orjson.dumps({**body, "choices": [], "usage": None}))


def _other_case(call: Call) -> str:
    label = call.label
    return label.upper() if label.upper() != label else label.lower()


def _lookalike(call: Call) -> str:
    changed = call.label.translate(LOOKALIKES)
    return changed if changed != call.label else call.label + ZERO_WIDTH_SPACE


def _doubled(call: Call) -> str:
    return f"{call.content[:-1]},{call.saying(call.wrong_label)[1:]}"


REPLIES: Mapping[str, Fault] = {
    "no_choices": Fault("a completion without choices or usage; not billed", _unchosen),
    "list_content": Fault("the right content as a list of two parts: readable", _edited(_in_parts)),
    "code_fence": Fault(
        "the right content in a code fence: readable", saying(lambda call: f"```json\n{call.content}\n```")
    ),
    "wrong_case": Fault("the right label in other case", _labelled(_other_case)),
    "quoted": Fault("the right label in quotes of its own", _labelled(lambda call: f'"{call.label}"')),
    "duplicate_labels": Fault("content with its key twice, the second one wrong", saying(_doubled)),
    "homoglyph": Fault("the right label with letters that only look right", _labelled(_lookalike)),
    "usage_missing": Fault("a right reply without usage", _edited(lambda body: body.pop("usage"))),
    "usage_null": Fault("a right reply with usage null", _edited(lambda body: body.update(usage=None))),
    "usage_negative": Fault("a right reply with negative counts", _counting(lambda count: -count)),
    "usage_huge": Fault("a right reply with counts of 10^18", _counting(lambda _: HUGE)),
    "usage_string": Fault("a right reply with counts as strings", _counting(str)),
}
