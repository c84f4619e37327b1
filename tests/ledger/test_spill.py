"""A full disk costs no answer: ballast makes room, and what still does not fit goes elsewhere."""

import asyncio
import os
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.errors import DiskError
from pipeline.ledger import Ledger, open_store, spill
from pipeline.ledger.store import Store
from tests.answers import answer, answers, key
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, asked, right_label, run_job, texts


@pytest.fixture(autouse=True)
def _spill_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))


def fill(folder: Path, spare: int = 0) -> None:
    """Leave *spare* bytes on the disk of *folder*."""
    space = os.statvfs(folder)
    with (folder / "filler").open("ab") as file:
        os.posix_fallocate(file.fileno(), file.tell(), space.f_bavail * space.f_frsize - spare)


def test_ballast_is_real_blocks_and_is_renewed_after_it_was_dropped(tmp_path: Path) -> None:
    spill.renew_ballast(tmp_path)
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= spill.BALLAST_BYTES
    assert spill.drop_ballast(tmp_path)
    assert not spill.drop_ballast(tmp_path)
    spill.renew_ballast(tmp_path)
    assert (tmp_path / "ballast").stat().st_size == spill.BALLAST_BYTES


def test_without_room_there_is_no_ballast_and_no_complaint(small_disk: Path) -> None:
    fill(small_disk, spare=1 << 20)
    spill.renew_ballast(small_disk)
    assert not (small_disk / "ballast").exists()


def test_spilled_answers_are_ingested_when_the_ledger_is_opened_next(tmp_path: Path) -> None:
    some = [answer(1, text="zwei\nZeilen ☃", cost_usd=None, logprobs="[]"), *answers(2, 5)]
    sentence = spill.spill(tmp_path, some)
    assert sentence.startswith("4 paid answers were saved to ")
    (file,) = spill.spilled(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    with open_store(tmp_path) as store:
        assert store.look_up([each.key for each in some]) == {each.key: each for each in some}
    assert spill.spilled(tmp_path) == []


def test_a_torn_spill_loses_no_more_than_its_last_line(tmp_path: Path, store: Store) -> None:
    spill.spill(tmp_path, answers(0, 3))
    (file,) = spill.spilled(tmp_path)
    file.write_bytes(file.read_bytes()[:-20] + b"\n5\n[]\n{}\n\xff\n")
    assert spill.ingest_spilled(tmp_path, store) == 2
    assert set(store.look_up([key(n) for n in range(3)])) == {key(0), key(1)}


def test_the_spill_of_another_ledger_is_left_alone(tmp_path: Path, store: Store) -> None:
    spill.spill(tmp_path / "another", answers(0, 3))
    assert spill.ingest_spilled(tmp_path, store) == 0
    assert len(spill.spilled(tmp_path / "another")) == 1


def test_two_runs_that_ingest_one_spill_count_it_once(tmp_path: Path, store: Store) -> None:
    spill.spill(tmp_path, answers(0, 3))
    (file,) = spill.spilled(tmp_path)
    content = file.read_bytes()
    spill.ingest_spilled(tmp_path, store)
    file.write_bytes(content)
    spill.ingest_spilled(tmp_path, store)
    assert store.totals()[0].answers == 3


def test_a_spill_that_is_nowhere_possible_says_how_many_answers_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/proc/nowhere")
    monkeypatch.setattr(spill, "ELSEWHERE", (str(tmp_path / "missing"),))
    sentence = spill.spill(tmp_path, answers(0, 3))
    assert "3 paid answers could not be saved" in sentence
    assert "/proc/nowhere" in sentence
    assert str(tmp_path / "missing") in sentence


async def test_on_a_full_disk_the_ballast_saves_the_answers_in_flight(small_disk: Path) -> None:
    failures: list[BaseException] = []
    durable: list[object] = []
    async with Ledger.open(small_disk, on_durable=durable.extend, on_failure=failures.append) as ledger:
        fill(small_disk)
        for each in answers(0, 300):
            await ledger.append(each)
        await ledger.flush()
        assert [type(failure) for failure in failures] == [DiskError]  # so that nothing new is sent
        assert len(durable) == 300
        assert not (small_disk / "ballast").exists()
        assert len(await ledger.look_up([key(n) for n in range(300)])) == 300


async def test_what_does_not_fit_even_without_the_ballast_is_spilled_and_ingested_later(
    small_disk: Path,
) -> None:
    failures: list[BaseException] = []
    some = answers(0, 300, text="x" * 3000)
    with pytest.raises(DiskError, match="300 paid answers were saved to"):  # noqa: PT012 - leaving is what raises
        async with Ledger.open(small_disk, on_durable=list, on_failure=failures.append) as ledger:
            spill.drop_ballast(small_disk)
            fill(small_disk)
            for each in some:
                await ledger.append(each)
    assert [type(failure) for failure in failures] == [DiskError]
    with pytest.raises(DiskError, match="make room"):
        open_store(small_disk)  # there still is none; what was spilled stays
    (small_disk / "filler").unlink()
    with open_store(small_disk) as store:
        assert store.look_up([each.key for each in some]) == {each.key: each for each in some}


async def test_a_run_on_a_disk_that_fills_up_ends_with_74_and_pays_for_nothing_twice(
    tmp_path: Path, small_disk: Path
) -> None:
    rows = texts(1500)
    with FaultServer(FaultServerSettings(latency=Fixed(0.01)), label_for=right_label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(rows)
        job.set(state={"dir": str(small_disk / "state")}, limits={"max_concurrency": 16})
        running = asyncio.create_task(run_job(job.config()))
        while len(asked(server)) < 200:  # noqa: ASYNC110 - the server is in another thread
            await asyncio.sleep(0.01)
        fill(small_disk)
        with pytest.raises(DiskError) as caught:
            await running
        assert caught.value.exit_status == 74
        assert str(small_disk) in str(caught.value)
        assert len(asked(server)) < 1500
        (small_disk / "filler").unlink()
        result = await run_job(job.config())
        assert result.ok == 1500
        assert job.labelled()["label"].to_list() == [right_label(text) for text in rows]
        assert server.repeats() == {}
