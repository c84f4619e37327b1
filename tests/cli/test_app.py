"""Every command: its exit status, what it says, and its last line."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer

import pipeline
import pipeline.job.prepare
from pipeline.cli import app
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, command, last_line, texts


class Said:
    """What a command said, and how it ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def last(self) -> dict[str, object]:
        facts: dict[str, object] = json.loads(self.out.splitlines()[-1])
        return facts


Command = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def run(*arguments: object) -> Said:
        status = app.main([str(each) for each in arguments])
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture
def config(job: JobFiles) -> Path:
    """A job of 30 rows, one of them without text."""
    job.table([*texts(29), ""])
    return job.config_file()


@pytest.fixture
def done(say: Command, config: Path) -> Path:
    """The same job, done."""
    assert say("run", config, "--quiet").status == 0
    return config


def commands() -> Iterator[tuple[str, Any]]:
    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for child, inner in getattr(command, "commands", {}).items():
            yield from walk(f"{name} {child}".strip(), inner)

    yield from walk("", typer.main.get_command(app.app))


@pytest.mark.parametrize(
    ("name", "command"), [pytest.param(*pair, id=pair[0] or "all") for pair in commands()]
)
def test_every_help_text_is_a_sentence(name: str, command: Any) -> None:
    texts_ = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    for text in texts_:
        assert text, f"{name} has something without a help text"
        assert re.fullmatch(r"[A-Z].*[.]", text, re.DOTALL), f"{name}: {text!r}"


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_explains_itself(say: Command, name: str) -> None:
    said = say(*name.split(), "--help")
    assert said.status == 0
    assert "Usage:" in said.out


def test_the_list_of_commands_is_whole_at_80_columns_and_in_the_order_of_the_work(say: Command) -> None:
    listed = say("--help").out.split("Commands:")[1].split("Exit statuses")[0]
    assert "..." not in listed
    names = [line.split()[0] for line in listed.splitlines() if line.strip()]
    assert names[:5] == ["init", "check", "plan", "probe", "run"]


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_no_option_is_said_to_take_a_type(say: Command, name: str) -> None:
    assert not re.search(r"--[a-z-]+ <(str|int|float|path)", say(*name.split(), "--help").out)


@pytest.mark.parametrize(
    "name", ["status", "explain", "evaluate", "review", "report", "publish", "ledger stats"]
)
def test_what_asks_nobody_does_not_offer_to_ask(say: Command, name: str) -> None:
    said = " ".join(say(*name.split(), "--help").out.split())
    assert "Ask this endpoint" not in said
    assert "Label only" not in said


def test_the_help_lists_every_exit_status(say: Command) -> None:
    out = " ".join(say("--help").out.split())
    for status in (0, 1, 2, 65, 66, 69, 70, 73, 74, 75, 77, 78):
        assert re.search(rf"[ ;]{status} [a-z]", out), status


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["dance"], ["run"], ["run", "job.yaml", "--fast"], ["run", "job.yaml", "--limit", "0"],
        ["run", "job.yaml", "--sample", "many"], ["run", "job.yaml", "--log-format", "xml"], ["ledger"],
        ["ledger", "prune", "job.yaml"], ["explain", "job.yaml"], ["run", "a.yaml", "b.yaml"],
    ],
)  # fmt: skip
def test_a_command_line_that_does_not_fit_ends_with_2(say: Command, arguments: list[str]) -> None:
    said = say(*arguments)
    assert said.status == 2
    assert "Traceback" not in said.err
    assert said.err or not arguments


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--retry", "sometimes"], "--retry: there is no status 'sometimes'; there are ok, invalid"),
        (["--limit", "3", "--sample", "3"], "--limit and --sample: both choose the rows"),
    ],
)
def test_options_that_make_no_sense_end_with_2(
    say: Command, config: Path, arguments: list[str], complaint: str
) -> None:
    said = say("run", config, *arguments)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert said.err.startswith(f"error: {complaint}")


def test_run_ends_with_a_json_line_and_0(say: Command, config: Path) -> None:
    said = say("run", config)
    assert (said.status, said.last["status"], said.last["rows"], said.last["ok"]) == (0, "done", 30, 29)
    assert "30 rows: 29 labelled" in said.err


def test_a_finished_run_says_so_and_sends_nothing(say: Command, done: Path, server: FaultServer) -> None:
    sent = server.requests
    said = say("run", done)
    assert (said.status, said.last["requests"], server.requests) == (0, 0, sent)
    assert "nothing was sent" in said.err


def test_too_many_failed_rows_end_with_1_and_say_where_to_look(
    say: Command, config: Path, server: FaultServer
) -> None:
    server.when(lambda _: True, "content_filter")
    said = say("run", config, "--quiet")
    assert (said.status, said.last["status"], said.last["failed"]) == (1, "failed", 29)
    assert "limits.max_failed" in said.err
    assert "label_error" in said.err


def test_set_overrides_a_setting_and_may_be_repeated(say: Command, config: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.parquet"
    said = say("run", config, "--set", f"output.path={other}", "--set", "limits.max_concurrency=1")
    assert (said.status, said.last["output"]) == (0, str(other))
    assert say("run", config, "--set", "limits.max_concurency=1").status == 2


def test_a_dry_run_sends_nothing_and_makes_no_output(
    say: Command, config: Path, job: JobFiles, server: FaultServer
) -> None:
    said = say("run", config, "--dry-run")
    assert (said.status, said.last["requests"], said.last["empty"]) == (0, 29, 1)
    assert server.requests == 0
    assert not job.output.exists()
    assert said.last == say("plan", config).last


def test_limit_and_sample_have_outputs_of_their_own(say: Command, config: Path, job: JobFiles) -> None:
    limited = say("run", config, "--limit", 4)
    sampled = say("run", config, "--sample", 5, "--seed", 7)
    assert (limited.last["rows"], sampled.last["rows"]) == (4, 5)
    names = {path.name for path in job.output.parent.iterdir()}
    assert names == {"labelled.limit-4.parquet", "labelled.sample-5-7.parquet"}


def test_retry_asks_again_for_the_named_statuses_only(say: Command, done: Path, server: FaultServer) -> None:
    sent = len(asked(server))
    assert say("run", done, "--retry", "error,invalid").last["requests"] == 0
    assert say("run", done, "--retry", "all").last["requests"] == 29
    assert len(asked(server)) == sent + 29


def test_check_finds_all_well_and_sends_nothing(say: Command, config: Path, server: FaultServer) -> None:
    said = say("check", config)
    assert (said.status, said.last, server.requests) == (0, {"status": "ok", "rows": 30}, 0)


def test_probe_tells_what_the_endpoint_supports(say: Command, config: Path) -> None:
    said = say("probe", config)
    assert said.status == 0
    assert said.last["json_schema"] is True
    assert "usage" in said.err


def test_status_tells_where_a_run_stands(say: Command, config: Path) -> None:
    before = say("status", config)
    assert before.status == 66
    assert "no run yet" in before.err
    say("run", config, "--quiet")
    after = say("status", config)
    assert (after.status, after.last["status"], after.last["rows_done"]) == (0, "published", 30)
    assert after.last["current"] is True


def test_explain_shows_prompt_answer_and_cost_of_one_row(say: Command, done: Path) -> None:
    said = say("explain", done, 3)
    assert (said.status, said.last["row"], said.last["text"]) == (0, 3, texts(4)[3])
    assert said.last["reply"]
    assert "Choose the label." in said.err
    empty = say("explain", done, 29)
    assert (empty.status, empty.last["key"]) == (0, None)


def test_the_ledger_tells_exports_and_forgets(say: Command, done: Path, tmp_path: Path) -> None:
    assert say("ledger", "stats", done).last["answers"] == 29
    exported = say("ledger", "export", done, tmp_path / "answers" / "all.parquet")
    assert exported.last["answers"] == 29
    frame = pl.read_parquet(tmp_path / "answers" / "all.parquet")
    assert (frame.height, frame["key"].n_unique(), frame["prompt_tokens"].dtype) == (29, 29, pl.Int64)
    assert say("ledger", "prune", done, "--older-than-days", 1).last["answers"] == 0
    prune = "ledger", "prune", done, "--older-than-days", 0
    assert say(*prune, "--dry-run").last == {
        "deleted": 0,
        "answers": 29,
        "cost_usd": None,
        "unpriced": 29,
    }
    assert say("plan", done).last["requests"] == 0
    assert say(*prune, "--yes").last["deleted"] == 29
    assert say("plan", done).last["requests"] == 29


@pytest.mark.parametrize(("answer", "deleted"), [("y\n", 29), ("Yes\n", 29), ("\n", 0), ("no\n", 0), ("", 0)])
def test_pruning_asks_on_a_terminal(
    say: Command, done: Path, monkeypatch: pytest.MonkeyPatch, answer: str, deleted: int
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    said = say("ledger", "prune", done, "--older-than-days", 0)
    assert (said.status, said.last["deleted"]) == (0, deleted)
    assert "Delete for good 29 answers that are older than 0 days" in said.err


def test_pruning_refuses_where_there_is_nobody_to_ask(say: Command, done: Path) -> None:
    said = say("ledger", "prune", done, "--older-than-days", 0)
    assert said.status == 2
    assert "29 answers" in said.err
    assert "--yes" in said.err
    assert say("ledger", "stats", done).last["answers"] == 29


def test_pruning_refuses_while_a_run_is_on(say: Command, done: Path, job: JobFiles) -> None:
    with pipeline.job.prepare.started(job.config(), pipeline.RunOptions()):
        said = say("ledger", "prune", done, "--older-than-days", 0, "--yes")
    assert (said.status, "in use by process" in said.err) == (75, True)
    assert say("ledger", "stats", done).last["answers"] == 29


@pytest.mark.parametrize("command", [["stats"], ["prune", "--older-than-days", "1"], ["export", "x.parquet"]])
def test_without_a_ledger_its_commands_end_with_66(say: Command, config: Path, command: list[str]) -> None:
    said = say("ledger", command[0], config, *command[1:])
    assert said.status == 66
    assert "there is no ledger yet" in said.err


def test_an_export_that_cannot_be_written_ends_with_73(say: Command, done: Path) -> None:
    said = say("ledger", "export", done, "/proc/nowhere/all.parquet")
    assert (said.status, said.err.count("\n")) == (73, 1)


def test_a_damaged_ledger_ends_in_one_line(say: Command, done: Path, job: JobFiles) -> None:
    file = job.folder / "state" / "ledger.sqlite"
    file.write_bytes(b"x" * file.stat().st_size)
    for arguments in (["stats", done], ["export", done, job.folder / "x.parquet"]):
        said = say("ledger", *arguments)
        assert said.status in {73, 74}
        assert said.err.startswith(f"error: {file}: ")
        assert said.err.count("\n") == 1


def test_the_schema_is_json(say: Command) -> None:
    assert json.loads(say("schema").out)["properties"]["task"]


@pytest.mark.usefixtures("config")
def test_json_logs_are_json(job: JobFiles) -> None:
    ran = job.run("--log-format", "json", "--no-progress")
    assert ran.returncode == 0
    assert last_line(ran)["ok"] == 29


def test_all_that_is_printed_on_a_terminal_that_is_too_narrow_is_still_printed(
    say: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    said = say("--help")
    assert (said.status, "ledger" in said.out) == (0, True)


def test_the_module_is_the_command(config: Path) -> None:
    ran = command("check", str(config))
    assert (ran.returncode, last_line(ran)["status"]) == (0, "ok")


def test_the_version_is_told(say: Command) -> None:
    said = say("--version")
    assert (said.status, said.out) == (0, f"pipeline {pipeline.__version__}\n")


@pytest.mark.parametrize("name", [name for name, command in commands() if not hasattr(command, "commands")])
def test_every_command_takes_json_and_a_short_word_for_help(say: Command, name: str) -> None:
    said = say(*name.split(), "-h")
    assert said.status == 0
    assert "--json" in said.out


def test_a_word_that_is_nearly_right_is_corrected(say: Command) -> None:
    assert "Did you mean 'run'?" in say("rnu").err
    assert "--limit" in say("run", "job.yaml", "--limt", "3").err


def test_wrong_usage_is_told_with_the_usage_and_once(say: Command) -> None:
    said = say("run")
    lines = said.err.splitlines()
    assert lines[0].startswith("Usage: ")
    assert lines[-1].startswith("error: ")
    assert (said.err.count("error"), said.last["status"], said.last["exit_status"]) == (1, "error", 2)


@pytest.mark.parametrize("name", ["check", "plan", "status", "explain", "run", "probe"])
def test_every_command_that_fails_says_so_to_programs(say: Command, tmp_path: Path, name: str) -> None:
    said = say(name, tmp_path / "nowhere.yaml", *(["0"] if name == "explain" else []))
    assert (said.status, said.last["status"], said.last["exit_status"]) == (66, "error", 66)


def test_the_plan_says_what_will_be_cut(say: Command, config: Path) -> None:
    said = say("plan", config, "--set", "task.max_text_tokens=16")
    assert (said.last["truncated"], "would be cut" in said.err) == (0, False)
    said = say("plan", config, "--set", "task.max_text_tokens=4")
    assert said.last["truncated"] == 29
    assert "29 texts would be cut at task.max_text_tokens = 4\n" in said.err


def test_the_embedded_model_is_free_and_as_slow_as_the_processor(say: Command, config: Path) -> None:
    said = say("plan", config, "--provider", "local")
    assert (said.last["cost_usd"], said.last["cost_source"], said.last["bound"]) == (0.0, "free", "processor")
    assert "free\n" in said.err
    assert "on two cores" in said.err
    assert float(str(said.last["seconds"])) > 1


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--set", "limits.max=1"],
        ["--set", "input.path=nowhere.parquet"],
        ["--limt", "3"],
        ["--limit", "0"],
        ["--dry-run"],
    ],
)
def test_with_json_lines_all_of_stderr_is_json(say: Command, config: Path, wrong: list[str]) -> None:
    said = say("run", config, "--log-format", "json", *wrong)
    lines = [json.loads(line) for line in said.err.splitlines()]
    assert lines[-1]["level"] == ("info" if wrong in ([], ["--dry-run"]) else "error")
    assert all({"at", "level", "message"} <= line.keys() for line in lines)
    assert say("run", config, *wrong).err.count('{"') == 0
