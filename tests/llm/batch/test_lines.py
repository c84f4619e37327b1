"""The lines of a batch's files."""

import json

import pytest

from pipeline.llm.batch.lines import LineReader, Result, read_result, request_line

KEY = bytes(range(16))


def test_a_request_line_is_named_by_its_key() -> None:
    line = request_line(KEY, b'{"model":"m"}')
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "custom_id": KEY.hex(),
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m"},
    }


def told(**changes: object) -> bytes:
    return json.dumps(
        {"id": "r", "custom_id": KEY.hex(), "response": None, "error": None, **changes}
    ).encode()


def test_a_result_has_the_response_under_its_key() -> None:
    response = {"status_code": 200, "request_id": "x", "body": {"choices": []}}
    assert read_result(told(response=response)) == Result(KEY, 200, b'{"choices":[]}')


def test_a_response_that_is_no_json_in_one_place_is_passed_on_as_it_is() -> None:
    response = {"status_code": 200, "body": {"choices": [], "logprobs": float("nan")}}
    found = read_result(told(response=response))
    assert found == Result(KEY, 200, b'{"choices": [], "logprobs": NaN}')


@pytest.mark.parametrize("form", [b"\xef\xbb\xbf%b", b"%b  # ok", b"%b,", b"%b}", b"\x20%b\r"])
def test_marks_around_a_result_cost_no_answer_that_was_paid_for(form: bytes) -> None:
    assert read_result(form % told(response={"status_code": 200, "body": {}})) == Result(KEY, 200, b"{}")


@pytest.mark.parametrize("response", [None, {"status_code": 0, "body": None}, {}])
def test_a_line_without_a_response_was_never_asked(response: object) -> None:
    found = read_result(told(response=response, error={"code": "batch_expired", "message": "late"}))
    assert found == Result(KEY, None, b"", "batch_expired", "late")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        told()[:-5],
        told(custom_id="row-1"),
        told(custom_id="00"),
        told(custom_id=7),
        told(response={"status_code": "many", "body": {}}),
    ],
)
def test_what_is_no_result_of_ours_is_none(line: bytes) -> None:
    assert read_result(line) is None


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_a_download_is_cut_into_whole_lines_however_it_comes(size: int) -> None:
    groups: list[list[bytes]] = []

    async def take(lines: list[bytes]) -> None:
        groups.append(lines)

    content = b"".join(b"line %d\n" % n for n in range(1_203)) + b"\n\nthe last"
    reader = LineReader(take)
    for at in range(0, len(content), size):
        await reader.feed(content[at : at + size])
    await reader.end()
    assert [line for group in groups for line in group] == [
        *(b"line %d" % n for n in range(1_203)),
        b"the last",
    ]
    assert max(map(len, groups)) <= LineReader.GROUP


async def test_wide_lines_are_passed_on_a_few_at_a_time() -> None:
    groups: list[list[bytes]] = []

    async def take(lines: list[bytes]) -> None:
        groups.append(lines)

    reader, line = LineReader(take), b"x" * (LineReader.GROUP_BYTES // 4)
    for _ in range(40):
        await reader.feed(line[:1000])
        await reader.feed(line[1000:] + b"\n")
    await reader.end()
    assert [each for group in groups for each in group] == [line] * 40
    assert max(map(len, groups)) <= 4
