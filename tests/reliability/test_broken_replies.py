"""Replies that are none, not quite, or far too many: garbled or read rightly, never a crash or a guess (24-28, 33)."""

import time
from collections import Counter
from itertools import chain, repeat
from pathlib import Path

import pytest

from tests.faultserver.faults import FAULTS, Call
from tests.faultserver.http1 import Response, Wire, render
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, run_job, texts
from tests.reliability.against import at_first, chats, everybody, job_against, quick
from tests.reliability.checker import violations
from tests.reliability.launcher import Launcher

ROWS = texts(40)
SPOILED = ROWS[::4]

FORMS = 8
"""Forms in which the first row is asked that is refused without a reason, as long as no reply says that it is the row."""

READ = {"bom", "list_content", "code_fence", "wrong_case"}
UNTOLD = {"usage_missing", "usage_null", "usage_negative", "usage_huge", "usage_string"}
INVALID = {
    "prose", "two_labels", "unknown_label", "homoglyph", "length", "quoted", "duplicate_labels",
}  # fmt: skip
FINAL = {
    "content_filter": "filtered", "refusal": "refused", "context_length": "too_long", "bad_request": "error",
}  # fmt: skip
GARBLED = {
    "cut_json", "non_utf8", "nan_json", "deep_json", "duplicate_keys", "html_200", "empty_200", "http_204",
    "error_200", "wrong_json", "no_choices", "null_content",
}  # fmt: skip
TOO_MUCH = {"gzip_bomb", "endless_body", "big_header"}
ELSEWHERE = {
    "test_server_errors": {
        "http_408", "http_409", "http_500", "http_502", "http_503", "html_502", "overloaded",
        "hang", "headers_only", "drip",
        "reset_mid_body", "fin_mid_body", "no_content_length", "stale_keepalive", "drop",
    },
    "test_rate_limits": {
        "rate_limit", "rate_limit_seconds", "rate_limit_ms", "rate_limit_date", "rate_limit_junk",
        "rate_limit_negative", "rate_limit_huge",
    },
    "test_key_and_redirect": {
        "unauthorized", "forbidden", "quota_exhausted", "insufficient_credits", "model_not_found",
        "redirect_307", "redirect_308",
    },
}  # fmt: skip


def test_every_fault_is_tried_on_a_whole_run() -> None:
    here = chain(READ, UNTOLD, INVALID, FINAL, GARBLED, TOO_MUCH)
    assert sorted(chain(here, *ELSEWHERE.values())) == sorted(FAULTS)
    for module, names in ELSEWHERE.items():
        text = Path(__file__).with_name(f"{module}.py").read_text()
        assert [name for name in names if f'"{name}"' not in text] == []


@pytest.mark.parametrize("name", sorted(READ))
async def test_an_unusual_but_clear_reply_is_read(tmp_path: Path, name: str) -> None:
    with job_against(tmp_path, ROWS, faults={name: 1.0}) as (server, job):
        result = await run_job(job.config())
        assert (result.failed, result.requests) == (0, len(ROWS))
        assert violations(job, server) == []


@pytest.mark.parametrize("name", sorted(INVALID))
async def test_a_reply_that_is_no_label_is_asked_once_more_and_kept_as_invalid(
    tmp_path: Path, name: str
) -> None:
    with job_against(tmp_path, ROWS) as (server, job):
        server.when(SPOILED.__contains__, name)
        result = await run_job(job.config())
        assert (result.failed, result.requests) == (len(SPOILED), len(ROWS) + len(SPOILED))
        labelled = job.labelled()
        invalid = labelled.filter(labelled["label_status"] == "invalid")
        assert invalid["text"].to_list() == SPOILED
        assert invalid["label"].null_count() == len(SPOILED)
        assert violations(job, server) == []
        assert labelled["prompt_tokens"].sum() == server.log.prompt_tokens
        assert labelled["completion_tokens"].sum() == server.log.completion_tokens


@pytest.mark.parametrize(("name", "status"), FINAL.items())
async def test_what_will_never_be_answered_is_asked_once_and_its_tokens_count(
    tmp_path: Path, name: str, status: str
) -> None:
    # What does not say that it is about the row's content is sent again: it may have been a gateway's page, and
    # what is said to several rows up to three times, as it may be about the moment.
    times, trials, controls = (2, FORMS + 2 * len(SPOILED), 5) if name == "bad_request" else (1, 0, 0)
    with job_against(tmp_path, ROWS) as (server, job):
        server.when(SPOILED.__contains__, name)
        result = await run_job(job.config())
        assert result.failed == len(SPOILED)
        sent = Counter(
            entry.text for entry in server.entries if entry.text
        )  # and no questions about the model
        assert sent.total() == result.requests
        spoiled = sum(sent[text] for text in SPOILED)
        assert 0 <= spoiled - times * len(SPOILED) <= trials
        # Rows that are known to be answered, sent once more to see whether anything is.
        assert sent.total() - spoiled - (len(ROWS) - len(SPOILED)) <= controls
        labelled = job.labelled()
        assert labelled.filter(labelled["label_status"] == status)["text"].to_list() == SPOILED
        assert violations(job, server) == []
        assert labelled["prompt_tokens"].sum() == server.log.prompt_tokens


@pytest.mark.parametrize("name", sorted(GARBLED))
async def test_a_garbled_reply_is_asked_again_and_never_believed(tmp_path: Path, name: str) -> None:
    with job_against(tmp_path, ROWS) as (server, job):
        at_first(server, SPOILED, name, times=2)
        result = await run_job(job.config(), clock=quick(100))
        assert (result.failed, result.retries) == (0, 2 * len(SPOILED))
        assert violations(job, server) == []


@pytest.mark.parametrize("name", sorted(GARBLED | TOO_MUCH))
async def test_a_row_whose_replies_are_always_garbled_costs_itself_alone(tmp_path: Path, name: str) -> None:
    with job_against(tmp_path, ROWS) as (server, job):
        server.when(lambda text: text == ROWS[7], name)
        result = await run_job(job.config(), clock=quick(1000))
        assert (result.ok, result.failed) == (len(ROWS) - 1, 1)
        assert job.labelled()["label_status"][7] == "error"


async def test_tokens_of_garbled_replies_that_tell_them_are_on_the_bill(tmp_path: Path) -> None:
    with job_against(tmp_path, ROWS) as (server, job):
        at_first(server, SPOILED, "null_content", times=2)
        result = await run_job(job.config(), clock=quick(100))
        assert result.prompt_tokens == server.log.prompt_tokens
        assert job.labelled()["prompt_tokens"].sum() == server.log.prompt_tokens


SAID = {
    "the label": ("{label}", True),
    "an object": ('{{"label": "{label}"}}', True),
    "blanks around it": ('{{"label": "  {label}\\n"}}', True),
    "single quotes": ("'{label}'", True),
    "a list of one": ('{{"label": ["{label}"]}}', True),
    "another key": ('{{"answer": "{label}"}}', False),
    "company": ('{{"label": "{label}", "sure": true}}', True),
    "thoughts before it": ('<think>Perhaps.</think>\n{{"label": "{label}"}}', True),
    "a fence on one line": ('```json {{"label": "{label}"}} ```', True),
    "a token after it": ('{{"label": "{label}"}}<|im_end|>', True),
    "only thoughts": ("<think>It is {label}.</think>", False),
    "thoughts without end": ('<think>It is {{"label": "{label}"}}', False),
    "a full stop": ("{label}.", False),
    "part of it": ('{{"label": "gam"}}', False),
    "a list of two": ('{{"label": ["{label}", "{label}"]}}', False),
    "a number": ('{{"label": 1}}', False),
    "its number": ("1", False),
    "null": ('{{"label": null}}', False),
    "a cut object": ('{{"label": "{label}"', False),
    "text after it": ('{{"label": "{label}"}} I hope this helps', False),
    "text before it": ('Sure! {{"label": "{label}"}}', False),
    "two objects": ('{{"label": "{label}"}}{{"label": "{label}"}}', False),
    "a nested object": ('{{"label": {{"label": "{label}"}}}}', False),
    "nothing in it": ('{{"label": ""}}', False),
    "blank": ("   ", False),
}


@pytest.mark.parametrize("said", SAID)
async def test_only_the_documented_spellings_of_a_label_are_taken(tmp_path: Path, said: str) -> None:
    template, is_read = SAID[said]

    def behave(call: Call) -> Response:
        return call.reply(template.format(label=call.label)).response()

    with job_against(tmp_path, ROWS[:5]) as (server, job):
        server.when(everybody, behave)
        await run_job(job.config())
        labelled = job.labelled()
        assert labelled["label_status"].to_list() == ["ok" if is_read else "invalid"] * 5
        assert violations(job, server) == []


@pytest.mark.parametrize("name", sorted(UNTOLD))
async def test_usage_that_is_nonsense_is_null_and_told_and_not_in_the_sums(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with job_against(tmp_path, ROWS, prices=(1e-7, 4e-7)) as (server, job):
        server.when(SPOILED.__contains__, name)
        result = await run_job(job.config())
        assert result.failed == 0
        labelled = job.labelled()
        untold = labelled.filter(labelled["text"].is_in(SPOILED))
        for column in ("prompt_tokens", "completion_tokens", "cost_usd"):
            assert untold[column].null_count() == len(SPOILED)
            assert labelled[column].null_count() == len(SPOILED)
        told = [entry for entry in chats(server) if entry.fault is None]
        assert result.prompt_tokens == sum(entry.prompt_tokens for entry in told)
        assert result.completion_tokens == sum(entry.completion_tokens for entry in told)
        assert result.cost_usd == pytest.approx(result.prompt_tokens * 1e-7 + result.completion_tokens * 4e-7)
        assert violations(job, server) == []
    warnings = [
        record.getMessage()
        for record in caplog.records
        if "does not report its tokens" in record.getMessage()
    ]
    assert len(warnings) == 1


@pytest.mark.parametrize("cost", ["0.1", -1, 10**18, 1e308, True, [], None])
async def test_a_cost_that_is_nonsense_does_not_use_up_the_budget(tmp_path: Path, cost: object) -> None:
    def behave(call: Call) -> Response:
        reply = call.reply(call.content)
        reply.body["usage"]["cost"] = cost
        return reply.response()

    settings = {"prices": (1e-7, 4e-7), "limits": {"max_cost_usd": 1}}
    with job_against(tmp_path, ROWS, **settings) as (server, job):
        server.when(SPOILED.__contains__, behave)
        result = await run_job(job.config())
        assert (result.failed, result.requests) == (0, len(ROWS))
        assert result.cost_usd == pytest.approx(
            server.log.prompt_tokens * 1e-7 + server.log.completion_tokens * 4e-7
        )


CHUNK = b"10000\r\n" + b" " * 65_536 + b"\r\n"
CHUNKS_WITHOUT_END = Wire(
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    repeat(CHUNK, 5 << 14),
    status=200,
)
HEADERS_WITHOUT_END = Wire(
    b"HTTP/1.1 200 OK\r\n", repeat(b"X-More: of the same\r\n" * 3000, 5 << 14), status=200
)
FLOODS = {
    "gzip_bomb": "gzip_bomb",
    "endless_body": "endless_body",
    "big_header": "big_header",
    "chunks without end": CHUNKS_WITHOUT_END,
    "headers without end": HEADERS_WITHOUT_END,
    "deep_json": "deep_json",
}


def memory_kib(launcher: Launcher, server: FaultServer, job: JobFiles) -> int:
    """Run the job in a process of its own; the most memory that it had before the last row's answer, in KiB."""
    execution = launcher.start("run", str(job.config_file()), "--quiet")
    status, most = Path(f"/proc/{execution.process}/status"), 0
    while not any(entry.text == ROWS[-1] and entry.billed for entry in server.entries):
        assert not execution.over
        most = int(status.read_text().partition("VmHWM:")[2].split()[0])
        time.sleep(0.002)
    ended = execution.wait()
    assert ended.status == 0, ended.err
    return most


def late(call: Call) -> Wire:
    """The right answer after everybody else's: what follows it takes memory of its own."""
    right = call.right()
    return Wire(render(right), status=200, billed=right.billed, delay=1.0)


@pytest.fixture(scope="module")
def plain_kib(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> int:
    """What a run takes that meets no flood."""
    with job_against(tmp_path_factory.mktemp("plain"), ROWS) as (server, job):
        server.when(lambda text: text == ROWS[-1], late)
        return memory_kib(launcher, server, job)


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_costs_at_most_16_mib(tmp_path: Path, launcher: Launcher, plain_kib: int, name: str) -> None:
    with job_against(tmp_path, ROWS) as (server, job):
        server.script([None] * 10 + [FLOODS[name]] * 6)
        server.when(lambda text: text == ROWS[-1], late)
        assert memory_kib(launcher, server, job) - plain_kib <= 16 * 1024
        assert violations(job, server) == []
