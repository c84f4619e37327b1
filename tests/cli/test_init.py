"""At a terminal `init` asks, with what it found as the answers."""

import os
import pty
import select
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.config import load_config
from tests.jobs import environment

pytestmark = pytest.mark.slow

LONGEST_WAIT_SECONDS = 120


def at_a_terminal(folder: Path, answers: Sequence[str], *arguments: str) -> int:
    """Run `init` at a terminal of its own, answer its questions in turn, and return its exit status."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-m", "pipeline", "init", *arguments], environment())
    waiting, said = list(answers), b""
    while select.select([terminal], [], [], LONGEST_WAIT_SECONDS)[0]:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # the terminal's other end has gone
            break
        if said.rstrip().endswith((b"]:", b"8080/v1:")) and waiting:
            os.write(terminal, waiting.pop(0).encode())
            said = b""
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.fixture
def table(tmp_path: Path) -> str:
    rows = [f"p{n},a program of some sort {n},{'games' if n % 2 else 'mail'}" for n in range(40)]
    tmp_path.joinpath("t.csv").write_text("\n".join(["name,summary,section", *rows]))
    return "t.csv"


def test_an_empty_line_takes_what_is_proposed_and_words_change_it(tmp_path: Path, table: str) -> None:
    assert at_a_terminal(tmp_path, ["\n", "tickets\n", "simulate\n"], table) == 0
    config = load_config(tmp_path / "t.yaml")
    assert (config.task.text, config.model.provider, config.task.gold) == ("{summary}", "simulate", None)
    assert "billing" in {label.name for label in config.task.labels}


def test_ctrl_c_at_a_question_writes_nothing(tmp_path: Path, table: str) -> None:
    assert at_a_terminal(tmp_path, ["\x03"], table) == 75
    assert not (tmp_path / "t.yaml").exists()


def test_nothing_is_asked_with_yes(tmp_path: Path, table: str) -> None:
    assert at_a_terminal(tmp_path, [], table, "--yes") == 0
    assert load_config(tmp_path / "t.yaml").task.gold == "section"


def test_a_slip_at_a_question_is_asked_again(tmp_path: Path, table: str) -> None:
    answers = [
        "sumary\n",
        "summary\n",
        "secton\n",
        "section\n",
        "opnai\n",
        "openai-compatible\n",
        "nowhere\n",
    ]
    again = ["openai-compatible\n", "http://127.0.0.1:8080/v1\n"]
    assert at_a_terminal(tmp_path, [*answers, *again], table, "--model", "mine") == 0
    config = load_config(tmp_path / "t.yaml")
    assert (config.task.text, config.task.gold) == ("{summary}", "section")
    assert (config.model.provider, config.model.base_url) == ("openai-compatible", "http://127.0.0.1:8080/v1")
