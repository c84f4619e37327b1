"""What a person sees at a terminal, and what a program sees in a pipe."""

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from tests.at_terminal import AtTerminal, at_terminal
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, command, right_label, texts

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(FaultServerSettings(latency=Fixed(0.05)), label_for=right_label) as simulator:
        yield simulator


@pytest.fixture
def long_job(job: JobFiles) -> JobFiles:
    """A job of half a minute, with a price."""
    job.table(texts(3000))
    return job.set(limits={"max_concurrency": 4, "drain": "1m"}, model={"price": {"input": 1, "output": 4}})


@pytest.fixture(autouse=True)
def no_nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def hang(server: FaultServer, terminal: AtTerminal) -> int:
    """Have no reply come any more, once there were some; returns how many did."""
    terminal.wait_for("4 in flight")
    server.start_outage("hang")
    time.sleep(0.5)  # what was on its way has arrived
    return server.billed


def test_the_first_ctrl_c_is_answered_before_any_reply_in_flight_and_the_second_stops_at_once(
    long_job: JobFiles, server: FaultServer
) -> None:
    with at_terminal("run", str(long_job.config_file())) as terminal:
        answered = hang(server, terminal)
        terminal.press("\x03")
        terminal.wait_for("stopping: 4 requests in flight, up to 60 s; Ctrl-C again to stop now")
        assert (server.billed, terminal.process.poll()) == (answered, None)
        terminal.press("\x03")
        assert terminal.ended() == 75
    closing = re.search(
        r"(\d+) of 3,000 rows are answered and kept \(\$0\.0\d+\); run the same command to", terminal.text
    )
    assert closing, terminal.text
    assert int(closing[1]) == answered
    assert terminal.text.count("SIGINT") == 1, "told once"
    assert "{" not in terminal.text


def test_answers_that_arrive_after_the_ctrl_c_are_among_those_that_are_kept(
    long_job: JobFiles, server: FaultServer
) -> None:
    with at_terminal("run", str(long_job.config_file())) as terminal:
        terminal.wait_for("4 in flight")
        terminal.press("\x03")
        assert terminal.ended() == 75
    assert f"{server.billed} of 3,000 rows are answered and kept" in terminal.text
    plan = json.loads(command("plan", str(long_job.config_file())).stdout)
    assert plan["answered"] == server.billed


def test_an_endpoint_that_is_away_is_seen_in_the_display_and_log_lines_stand_above_it_whole(
    long_job: JobFiles, server: FaultServer
) -> None:
    with at_terminal("run", str(long_job.config_file()), columns=60) as terminal:
        terminal.wait_for("4 in flight")
        server.start_outage("refuse")
        terminal.wait_for("endpoint away, waiting for it")
        terminal.press("\x03")
        assert terminal.ended() == 75
    # On a line that was cleared, and longer than the terminal without a break of ours.
    assert re.search(r"\x1b\[2K\d\d:\d\d:\d\d \S*warning\S*: the endpoint is away: .{60}", terminal.raw), (
        terminal.raw
    )


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_display_fits_and_is_gone_at_the_end(job: JobFiles, columns: int) -> None:
    job.table(texts(150))
    job.set(limits={"max_concurrency": 4}, model={"price": {"input": 1, "output": 4}})
    with at_terminal("run", str(job.config_file()), columns=columns) as terminal:
        terminal.wait_for(" left")
        assert terminal.ended() == 0
    assert "/150 rows" in terminal.text
    assert "in flight" in terminal.text
    after = terminal.text[terminal.text.rindex("in flight") :]
    assert "150 rows: 150 labelled, 0 failed" in after
    assert "{" not in after


def test_a_pipe_gets_the_json_line_while_the_terminal_shows_the_display(
    job: JobFiles, tmp_path: Path
) -> None:
    job.table(texts(30))
    with (
        (tmp_path / "result.json").open("wb") as out,
        at_terminal("run", str(job.config_file()), out=out.fileno()) as terminal,
    ):
        assert terminal.ended() == 0
    assert json.loads((tmp_path / "result.json").read_text())["ok"] == 30
    assert "30 rows: 30 labelled" in terminal.text


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--json", "--quiet"])
def test_the_json_line_is_printed_at_a_terminal_if_it_is_asked_for(job: JobFiles, option: str) -> None:
    job.table(texts(5))
    with at_terminal("run", str(job.config_file()), option) as terminal:
        assert terminal.ended() == 0
    assert json.loads(terminal.text.splitlines()[-1])["ok"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_nothing_is_coloured_where_that_is_not_wanted(job: JobFiles, variable: dict[str, str]) -> None:
    job.table(texts(60))
    with at_terminal("run", str(job.config_file()), env=variable) as terminal:
        assert terminal.ended() == 0
    with at_terminal("run", "nowhere.yaml", env=variable) as failed:
        assert failed.ended() == 66
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.raw)
    assert failed.raw.startswith("error: ")
    if "TERM" in variable:
        assert "\x1b" not in terminal.raw, "a dumb terminal gets lines"


def test_an_error_is_told_once_and_in_red(tmp_path: Path) -> None:
    with at_terminal("run", str(tmp_path / "nowhere.yaml")) as terminal:
        assert terminal.ended() == 66
    assert terminal.text.count("nowhere.yaml") == 1
    assert terminal.raw.startswith("\x1b[1;31merror:\x1b[0m ")


@pytest.mark.slow
def test_a_terminal_that_is_resized_keeps_one_display(long_job: JobFiles, server: FaultServer) -> None:
    with at_terminal("run", str(long_job.config_file()), columns=200) as terminal:
        hang(server, terminal)
        terminal.resize(60)
        time.sleep(1)  # five redraws
        drawn = terminal.raw[-4000:]
        os.kill(terminal.process.pid, signal.SIGTERM)
        terminal.wait_for("a second signal stops now")
    # One line of 200 columns has become four of 60: three more than were drawn are cleared.
    assert "\x1b[2K\x1b[1A" * 2 in drawn
