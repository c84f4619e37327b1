"""Answers, prompts and parts made up for tests."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import orjson
import pyarrow as pa
from hypothesis import strategies as st

from pipeline.outputs.columns import Answered, part_batch
from pipeline.records import KEY_BYTES, Answer, Outcome, Prompt, Prompts, Status, columns_of


def key(number: int) -> bytes:
    """A key that looks random, as real ones do."""
    return blake2b(str(number).encode(), digest_size=KEY_BYTES).digest()


def answer(number: int = 0, **changes: object) -> Answer:
    """A plain answer; *changes* replace its fields."""
    facts: dict[str, object] = {
        "key": key(number), "run": "run-1", "text": '{"label": "games"}', "finish": "stop", "status": None,
        "error": None, "logprobs": None, "prompt_tokens": 100, "cached_tokens": 10, "completion_tokens": 5,
        "cost_usd": 0.25, "model": "test-model", "request_id": f"req-{number}", "attempts": 1, "asks": 1, "at": 1000.0,
    }  # fmt: skip
    return Answer(**{**facts, **changes})  # type: ignore[arg-type]


def answers(start: int, stop: int, **changes: object) -> list[Answer]:
    return [answer(number, **changes) for number in range(start, stop)]


def prompt(number: int) -> Prompt:
    return Prompt(key(number), f"text {number}", truncated=False)


def prompts(*rows: Prompt | None) -> Prompts:
    """The prompts of a chunk; None is a row without text."""
    return Prompts(*columns_of(3, [row or (None, None, False) for row in rows]))


def made_part(
    kind: str, rows: Sequence[Prompt | None], meant: Iterable[tuple[Answer, Outcome]]
) -> pa.RecordBatch:
    """The part of *rows* whose answers mean what is given with them."""
    answered = Answered()
    for each, outcome in meant:
        answered.add(each, outcome)
    return part_batch(kind, prompts(*rows), answered)


def part(numbers: Sequence[int | None], kind: str = "single") -> pa.RecordBatch:
    """A part whose rows have these keys; None is a row without text."""
    rows = [None if number is None else prompt(number) for number in numbers]
    found = {number: answer(number) for number in numbers if number is not None}
    return made_part(kind, rows, [(each, Outcome(Status.OK, ("games",), 0.5)) for each in found.values()])


_TEXT = st.none() | st.text(max_size=20)
_LOGPROBS = st.lists(st.tuples(st.text(max_size=5), st.floats(-20, 0)), max_size=4)
_COUNT = st.none() | st.integers(0, 2**62)

ANSWERS = st.builds(
    Answer,
    key=st.integers(0, 5).map(key),
    run=st.sampled_from(["run-1", "run-2"]),
    text=_TEXT,
    finish=_TEXT,
    status=st.none() | st.sampled_from(Status),
    error=_TEXT,
    logprobs=st.none() | _LOGPROBS.map(lambda pairs: orjson.dumps(pairs).decode()),
    prompt_tokens=_COUNT,
    cached_tokens=_COUNT,
    completion_tokens=_COUNT,
    cost_usd=st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 9),
    model=_TEXT,
    request_id=_TEXT,
    attempts=st.integers(0, 99),
    asks=st.integers(1, 2),
    at=st.floats(0, 2e9) | st.integers(0, 2_000_000_000),
)
"""A strategy for answers of any content."""
