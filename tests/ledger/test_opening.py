"""What is at the ledger's path when a run begins: ours, newer, new, or somebody else's."""

import sqlite3
from pathlib import Path

import pytest

from pipeline.errors import CannotCreateError, ConfigError
from pipeline.ledger import open_store, opened
from tests.answers import answer, answers, key

FILE = "ledger.sqlite"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(folder: Path) -> str:
    """How opening is refused; whatever is there stays as it is."""
    before = files(folder)
    with pytest.raises(CannotCreateError) as caught:
        open_store(folder)
    assert caught.value.exit_status == 73
    assert files(folder) == before
    (problem,) = caught.value.problems
    assert problem.startswith(f"{folder / FILE}: cannot be opened as a ledger: ")
    return problem


def test_a_ledger_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 20))
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA user_version = 4")
    other.close()
    before = files(tmp_path)
    with pytest.raises(
        ConfigError, match=r"ledger\.sqlite: written by a newer version.*format 4.*update"
    ) as caught:
        open_store(tmp_path)
    assert caught.value.exit_status == 78
    assert files(tmp_path) == before


@pytest.mark.parametrize("content", [b"", bytes(8192), b"SQLite format 3\0", b"SQLi"], ids=["empty", "zeros", "head", "cut"])  # fmt: skip
def test_a_file_with_nothing_in_it_becomes_a_ledger_and_that_is_told(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with open_store(tmp_path) as store:
        store.append([answer(1)])
    with open_store(tmp_path) as store:
        assert store.look_up([key(1)]) == {key(1): answer(1)}
    assert "was empty" in caplog.text or "was rebuilt" in caplog.text


def test_what_was_killed_before_its_tables_were_made_becomes_a_ledger(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA journal_mode = WAL")
    other.close()
    assert (tmp_path / FILE).stat().st_size == 4096
    with open_store(tmp_path) as store:
        store.append([answer(1)])
        assert store.look_up([key(1)]) == {key(1): answer(1)}
    assert len(list(tmp_path.glob("*damaged*"))) == 0


@pytest.mark.parametrize("content", [b"notes of mine\n" * 1000, b"hello", b"PK\x03\x04" + bytes(5000)])
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert "move it away or change state.dir" in refused(tmp_path)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("version", [0, 1, 7])
def test_the_database_of_another_application_is_refused(tmp_path: Path, version: int, mode: str) -> None:
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        other.execute("CREATE TABLE answers (id INTEGER PRIMARY KEY, text TEXT)")
        other.executemany(
            "INSERT INTO answers (text) VALUES (?)", [(f"not one of ours {n}",) for n in range(500)]
        )
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    assert "it does not say that it is a ledger" in refused(tmp_path)


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "state" / FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotCreateError, match=r"ledger\.sqlite: cannot be opened as a ledger: .*links"):
        open_store(tmp_path / "state")
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"


def test_a_folder_without_a_ledger_has_none_for_those_who_only_look(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store is None
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_is_removed_during_a_run_costs_only_what_was_in_it_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(tmp_path) as store:
        store.append([answer(1)])
        (tmp_path / FILE).unlink()
        store.append([answer(2)])
        assert set(store.look_up([key(1), key(2)])) >= {key(2)}
    assert "was removed while it was in use" in caplog.text
    with open_store(tmp_path) as store:
        assert key(2) in store.look_up([key(2)])
