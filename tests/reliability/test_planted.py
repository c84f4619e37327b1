"""What a neighbour may plant or read: no link leads us astray, no answer is slipped in, nobody else reads the state."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.cli import app
from pipeline.errors import PipelineError
from pipeline.job.workspace import workspace
from pipeline.ledger import open_store, spill
from pipeline.system.atomic import make_new, replacing, write
from pipeline.telemetry.summary import RunResult
from tests.answers import answer, answers, key
from tests.jobs import JobFiles, environment, run_job, texts

PRECIOUS = b"precious"
PRIVATE = 0o077


# Links that somebody has planted where we write.


def victim_of(folder: Path, *, dangling: bool) -> Path:
    victim = folder / "victim"
    if not dangling:
        victim.write_bytes(PRECIOUS)
        victim.chmod(0o600)
    return victim


def is_unharmed(victim: Path, *, dangling: bool) -> bool:
    return not victim.exists() if dangling else victim.read_bytes() == PRECIOUS


def planted(job: JobFiles, name: str) -> Path:
    """Where a file of the job is, or is about to be."""
    place = workspace(job.folder / "state", job.output)
    temporary = f".{{}}.{os.getpid()}.tmp"
    return {
        "output": job.output.with_name(temporary.format(job.output.name)),
        "output's lock": job.output.with_name(f".{job.output.name}.lock"),
        "ledger": job.folder / "state" / "ledger.sqlite",
        "write-ahead log": job.folder / "state" / "ledger.sqlite-wal",
        "index of the log": job.folder / "state" / "ledger.sqlite-shm",
        "ballast": job.folder / "state" / "ballast",
        "lock": place.folder / "lock",
        "record": place.folder / "run.json",
        "record being written": place.folder / temporary.format("run.json"),
        "report": place.report,
        "keys": place.folder / temporary.format("keys"),
        "part": place.parts / f"r{0:015}-{20:015}.arrow",
        "part being written": place.parts / temporary.format(f"r{0:015}-{20:015}.arrow"),
    }[name]


PLANTED = [
    "output", "output's lock", "ledger", "write-ahead log", "index of the log", "ballast", "lock", "record",
    "record being written", "report", "keys", "part", "part being written",
]  # fmt: skip


@pytest.mark.parametrize("dangling", [False, True], ids=["to a file", "to nowhere"])
@pytest.mark.parametrize("name", PLANTED)
async def test_a_link_that_somebody_planted_leads_nowhere(
    job: JobFiles, name: str, *, dangling: bool
) -> None:
    job.table(texts(20))
    link, victim = planted(job, name), victim_of(job.folder, dangling=dangling)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim)
    (ended,) = await asyncio.gather(run_job(job.config()), return_exceptions=True)
    if isinstance(ended, PipelineError):
        assert ended.exit_status in {73, 74, 75}
        assert str(link).removesuffix("-wal").removesuffix("-shm") in str(ended)
    else:
        assert isinstance(ended, RunResult)
        assert ended.ok == 20
    assert is_unharmed(victim, dangling=dangling)


async def test_a_folder_of_parts_that_leads_elsewhere_is_not_emptied(job: JobFiles) -> None:
    job.table(texts(20))
    (job.folder / "elsewhere").mkdir()
    (job.folder / "elsewhere" / "victim").write_bytes(PRECIOUS)
    parts = workspace(job.folder / "state", job.output).parts
    parts.parent.mkdir(parents=True)
    parts.symlink_to(job.folder / "elsewhere")
    with pytest.raises(PipelineError, match=str(parts)):
        await run_job(job.config())
    assert (job.folder / "elsewhere" / "victim").read_bytes() == PRECIOUS


@pytest.mark.parametrize("kind", ["link to a file", "link to nowhere", "file"])
def test_what_stands_where_a_temporary_file_goes_is_removed_and_not_written_to(
    tmp_path: Path, kind: str
) -> None:
    temporary, victim = tmp_path / f".out.{os.getpid()}.tmp", victim_of(tmp_path, dangling="nowhere" in kind)
    if "link" in kind:
        temporary.symlink_to(victim)
    else:
        os.link(victim, temporary)
    write(tmp_path / "out", b"content")
    assert (tmp_path / "out").read_bytes() == b"content"
    assert not (tmp_path / "out").is_symlink()
    assert is_unharmed(victim, dangling="nowhere" in kind)


def test_a_link_that_is_planted_at_the_last_instant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, victim = tmp_path / "new", victim_of(tmp_path, dangling=False)
    unlink = os.unlink

    def then_planted(name: Any, **more: Any) -> None:
        unlink(name, **more)
        path.symlink_to(victim)

    path.touch()
    monkeypatch.setattr(os, "unlink", then_planted)
    with pytest.raises(FileExistsError):
        make_new(path)
    assert is_unharmed(victim, dangling=False)


def test_a_temporary_file_is_private_from_its_first_instant(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with replacing(tmp_path / "own", 0o600) as temporary:
            assert temporary.stat().st_mode & PRIVATE == 0
        with replacing(tmp_path / "shared") as temporary:
            assert temporary.stat().st_mode & 0o777 == 0o666  # the umask's business
    finally:
        os.umask(before)


# Answers in folders that everybody may write to.


@pytest.fixture
def spills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


def spilled_file(folder: Path) -> Path:
    spill.spill(folder, answers(0, 3))
    (file,) = spill.spilled(folder)
    return file


@pytest.mark.usefixtures("spills")
def test_a_spill_goes_through_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    monkeypatch.setattr(spill, "ELSEWHERE", ())
    name, victim = spilled_file(tmp_path), victim_of(tmp_path, dangling=False)
    name.unlink()
    name.symlink_to(victim)
    assert "could not be saved" in spill.spill(tmp_path, answers(0, 3))
    assert is_unharmed(victim, dangling=False)


def by_somebody_else(file: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(file, 12345, 12345)


def through_a_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


@pytest.mark.usefixtures("spills")
@pytest.mark.parametrize("change", [by_somebody_else, through_a_link])
def test_nobody_can_slip_answers_into_a_ledger(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = spilled_file(tmp_path / "state")
    change(file)
    with open_store(tmp_path / "state") as store:
        assert store.look_up([key(n) for n in range(3)]) == {}
    assert os.path.lexists(file)


def test_a_ledger_that_is_no_link_may_be_in_a_folder_that_is_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "state").symlink_to("real")
    with open_store(tmp_path / "state") as store:
        store.append([answer(1)])
    assert (tmp_path / "real" / "ledger.sqlite").exists()


# Who may read the state, at every instant.

WATCHED = """
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
os.umask(0)
state, seen, over = sys.argv[2], {}, threading.Event()

def look(path):
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if mode & 0o077 and not os.path.islink(path):
        seen[path] = oct(mode & 0o777)

real = os.open
def opened(path, *arguments, **named):
    handle = real(path, *arguments, **named)
    if str(path).startswith(state):
        look(path)
    return handle
os.open = opened

def watch():
    while not over.is_set():
        for folder, folders, files in os.walk(state):
            for name in [".", *folders, *files]:
                look(os.path.join(folder, name))

threading.Thread(target=watch, daemon=True).start()
from pipeline.cli.app import main
status = main(sys.argv[3:])
over.set()
print(sorted(seen.items()))
sys.exit(status)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="all rows"),
        pytest.param(["--sample", "200"], id="a sample", marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_nobody_else_may_read_the_state_at_any_instant(
    job: JobFiles, arguments: list[str], tmp_path: Path
) -> None:
    job.table(pl.DataFrame({"text": texts(500)}), "in.csv")  # what was found in it is remembered in the state
    root = Path(app.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(root), str(tmp_path / "state"), "run", str(job.config_file()), "--quiet", *arguments],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
