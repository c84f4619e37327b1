"""`python -m pipeline simulate` as its users have it: a process, real HTTP, a job pointed at it, Ctrl-C."""

import json
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.simulate.faults import BatchFault, Fault
from tests.faultserver.log import read_log, repeats
from tests.jobs import JobFiles, command, environment, last_line, spawn, texts


@dataclass
class Simulating:
    """A simulator on its own port, and what it said when it started."""

    process: subprocess.Popen[str]
    greeting: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.greeting[0].split(": ")[0]

    @property
    def printed_command(self) -> list[str]:
        """The line that the user is to copy, as words."""
        (line,) = [line for line in self.greeting if "run CONFIG" in line]
        return shlex.split(line)

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> tuple[int, dict[str, Any], str]:
        """Return the exit status, the last line of stdout and what stderr said at the end."""
        self.process.send_signal(signum)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, json.loads(out.splitlines()[-1]), err

    def get(self, path: str) -> tuple[int, Mapping[str, str]]:
        return self._answered(urllib.request.Request(self.url + path))

    def chat(self) -> tuple[int, Mapping[str, str]]:
        body = {"model": "m", "messages": [{"role": "user", "content": '"a text"'}]}
        return self._answered(
            urllib.request.Request(self.url + "/chat/completions", json.dumps(body).encode(), method="POST")
        )

    @staticmethod
    def _answered(request: urllib.request.Request) -> tuple[int, Mapping[str, str]]:
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers


Start = Callable[..., Simulating]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `simulate` with options, on a free port."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: object) -> Simulating:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "simulate", "--port", "0", *map(str, options)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=tmp_path,
        )  # fmt: skip
        started.append(process)
        simulating = Simulating(process)
        while not simulating.greeting or not simulating.greeting[-1].startswith("Ctrl-C"):
            line = process.stderr.readline()  # type: ignore[union-attr]
            assert line, simulating.greeting
            simulating.greeting.append(line.rstrip("\n"))
        return simulating

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
            process.communicate()


@pytest.fixture
def plain(tmp_path: Path) -> JobFiles:
    """A job of 40 rows whose config names another endpoint, where nobody must be asked."""
    files = JobFiles(tmp_path, "https://nowhere.invalid/v1")
    files.set(model={"api_key_env": "A_KEY_THAT_IS_NOT_SET", "headers": {"X-Team": "t"}})
    files.table(texts(40))
    return files


def rehearse(simulating: Simulating, files: JobFiles, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the very line that was printed, with the config put in."""
    words = simulating.printed_command
    words[words.index("CONFIG")] = str(files.config_file())
    assert Path(words[0]).name in {"pipeline", "python"}, words
    return command(*words[words.index("run") :], *more)


def test_the_printed_line_rehearses_a_job_apart_from_the_real_one(
    start: Start, plain: JobFiles, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    simulating = start("--latency", "0", "--log", log)
    ran = rehearse(simulating, plain)
    assert ran.returncode == 0, ran.stderr
    told = last_line(ran)
    assert (told["ok"], told["requests"]) == (40, 40)
    assert told["output"] == str(plain.folder / "out" / "labelled.simulated.parquet")
    assert not plain.output.exists()
    assert [path.name for path in (plain.folder / "state").iterdir()] == ["simulated"]

    status, sums, err = simulating.stop()
    assert (status, sums["status"], sums["chats"], sums["billed"], sums["repeats"]) == (0, "done", 40, 40, 0)
    assert (sums["prompt_tokens"], sums["completion_tokens"]) == (
        told["prompt_tokens"],
        told["completion_tokens"],
    )
    assert 1 <= sums["max_in_flight"] <= 64
    assert "40 billed" in err
    entries = [entry for entry in read_log(log) if entry.key]
    assert {entry.text for entry in entries} == set(texts(40))
    assert repeats(entries) == {}
    assert len(entries) == sums["chats"]


@pytest.mark.slow
def test_a_job_comes_out_whole_of_a_third_of_failures_and_a_storm_of_429(
    start: Start, plain: JobFiles
) -> None:
    simulating = start("--latency", "0", "--fault", "http_500=0.3", "--requests-per-minute", "1200")
    told = last_line(rehearse(simulating, plain))
    _, sums, err = simulating.stop()
    assert (told["ok"], told["retries"], sums["billed"], sums["repeats"]) == (40, sums["chats"] - 40, 40, 0)
    assert sum(sums["withheld"].values()) == told["retries"]
    assert sums["withheld"]["http_500"] > 0
    assert f"{sums['withheld']['http_500']} http_500" in err


def test_what_is_paid_twice_is_counted(start: Start, plain: JobFiles) -> None:
    simulating = start("--latency", "0")
    for more in ([], ["--retry", "all"]):
        assert rehearse(simulating, plain, *more).returncode == 0
    _, sums, err = simulating.stop()
    assert (sums["billed"], sums["repeats"]) == (80, 40)
    assert "40 texts billed more than once" in err


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_it_ends_well_however_it_is_stopped(start: Start, signum: signal.Signals) -> None:
    simulating = start()
    status, sums, err = simulating.stop(signum)
    assert (status, sums["requests"], sums["withheld"]) == (0, 0, {})
    assert err.splitlines() == ["nobody asked anything"]


def test_it_says_at_its_start_what_it_does(start: Start) -> None:
    simulating = start(
        "--latency", "uniform:0.1,0.2", "--requests-per-minute", "300", "--retry-after", "ms", "--fault", "drop=0.05",
        "--capacity", "8", "--refuse", "429:0.1:2", "--max-in-flight", "9:503", "--hide-limits", "--outage", "60:30:hang", "--model", "m", "--model", "n", "--port", "0",
    )  # fmt: skip
    text = "\n".join(simulating.greeting)
    for part in ("uniform:0.1,0.2", "more than 8 in flight", "300 requests a minute", "retry-after-ms",
                 "drop in 5 %", "429 to 10 % whatever the load", "9 in flight, 503 to more", "and not the limits", "away (hang) for 30 s after 60 s", "m, n", "/v1"):  # fmt: skip
        assert part in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "told"),
    [("seconds", {"retry-after"}), ("ms", {"retry-after-ms"}), ("both", {"retry-after", "retry-after-ms"}), ("none", set())],
)  # fmt: skip
def test_a_429_says_when_to_come_back_as_it_was_told_to(start: Start, form: str, told: set[str]) -> None:
    simulating = start("--latency", "0", "--requests-per-minute", "1", "--retry-after", form)
    assert simulating.chat()[0] == 200
    status, headers = simulating.chat()
    assert status == 429
    assert {name.lower() for name in headers if name.lower().startswith("retry-after")} == told


@pytest.mark.slow
def test_models_prices_and_outages_are_as_chosen(start: Start) -> None:
    simulating = start("--model", "known", "--price", "1,4")
    assert simulating.get("/models/known")[0] == 200
    assert simulating.get("/models/other")[0] == 404
    assert start("--outage", "0:60:503").get("/models/known")[0] == 503


def test_a_price_that_is_told_is_what_the_job_costs(start: Start, plain: JobFiles) -> None:
    told = last_line(rehearse(start("--latency", "0", "--price", "1,4"), plain))
    assert told["cost_source"] == "endpoint"
    assert told["cost_usd"] == pytest.approx((told["prompt_tokens"] + 4 * told["completion_tokens"]) / 1e6)


def test_all_faults_are_listed_with_what_they_do() -> None:
    lines = command("simulate", "--list-faults").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*Fault, *BatchFault]
    assert all(len(line.split()) > 2 for line in lines)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--latency", "soon"], "latency 'soon': not understood; write 0.5, uniform:0.2,0.8"),
        (["--fault", "http_5000=0.1"], "fault http_5000: there is none of that name; use http_500"),
        (
            ["--fault", "xyz=0.1"],
            "fault xyz: there is none of that name; `simulate --list-faults` lists them",
        ),
        (["--fault", "drop"], "fault 'drop': no share; write it as name=share"),
        (["--fault", "drop=2"], "fault drop: its share is 2"),
        (["--fault", "drop=0.6", "--fault", "hang=0.6"], "faults: their shares add up to 1.2"),
        (["--outage", "60"], "outage '60': not understood; write START:SECONDS"),
        (
            ["--outage", "0:9:away"],
            "outage '0:9:away': there is no kind 'away'; write refuse, 429, 503, hang",
        ),
        (["--refuse", "500:0.1"], "refuse '500:0.1': not understood; write STATUS:SHARE"),
        (["--refuse", "429:0.6", "--fault", "hang=0.6"], "faults and refusals: their shares add up to 1.2"),
        (["--max-in-flight", "0"], "max-in-flight '0': not understood; write N, N:429 or N:503"),
        (["--price", "free"], "price 'free': not understood; write IN,OUT"),
    ],
)
def test_an_option_that_does_not_fit_ends_with_2_in_one_line(options: list[str], complaint: str) -> None:
    ran = command("simulate", *options)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith(f"error: {complaint}")
    assert last_line(ran)["status"] == "error"


@pytest.mark.parametrize("options", [["--port", "70000"], ["--capacity", "0"], ["--retry-after", "soon"],
                                     ["--requests-per-minute", "0"], ["--fast"]])  # fmt: skip
def test_an_option_out_of_its_range_ends_with_2(options: list[str]) -> None:
    ran = command("simulate", *options)
    assert ran.returncode == 2
    assert options[0] in ran.stderr


def test_a_port_that_is_taken_ends_with_73_in_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = spawn("simulate", "--port", str(port))
    assert (ran.returncode, ran.stderr.count("\n")) == (73, 1)
    assert ran.stderr.startswith(f"error: --port: {port} is in use by another program; choose another port")


def test_a_log_that_cannot_be_made_ends_with_73_in_one_line(tmp_path: Path) -> None:
    ran = spawn("simulate", "--port", "0", "--log", str(tmp_path / "no" / "log.jsonl"))
    assert (ran.returncode, ran.stderr.count("\n")) == (73, 1)
    assert "No such file or directory; choose another file" in ran.stderr


def test_a_log_on_a_full_disk_ends_it_with_74(start: Start) -> None:
    simulating = start("--latency", "0", "--log", "/dev/full")
    assert simulating.chat()[0] == 200
    out, err = simulating.process.communicate(timeout=20)
    assert simulating.process.returncode == 74
    assert err == "error: --log: /dev/full: No space left on device; make room or log to another disk\n"
    assert json.loads(out)["status"] == "error"


# run --provider simulate


@pytest.mark.slow
def test_a_rehearsal_within_the_run_has_the_latency_and_the_faults_that_are_set(plain: JobFiles) -> None:
    quick = ["--provider", "simulate", "--set", "simulate.latency=0"]
    ran = plain.run(*quick, "--set", "simulate.faults.http_500=0.3")
    told = last_line(ran)
    assert (ran.returncode, told["ok"], told["cost_source"]) == (0, 40, None)
    assert told["retries"] > 0
    assert "a rehearsal: the labels mean nothing" in ran.stderr
    again = plain.run(*quick)
    assert "add --retry all to rehearse these rows once more" in again.stderr
    slow = plain.run("--provider", "simulate", "--set", "simulate.latency=0.3", "--retry", "all")
    assert last_line(again)["requests"] == 0
    assert last_line(slow)["seconds"] > 0.3


def test_a_section_that_another_simulator_does_not_heed_is_warned_of(start: Start, plain: JobFiles) -> None:
    simulating = start("--latency", "0")
    assert "not heeded" not in rehearse(simulating, plain, "--quiet").stderr
    options = ["--retry", "all", "--set", "simulate.latency=900", "--set", "limits.max_runtime=60s"]
    ran = rehearse(simulating, plain, "--quiet", *options)
    assert ran.returncode == 0
    assert "the section simulate is not heeded" in ran.stderr
