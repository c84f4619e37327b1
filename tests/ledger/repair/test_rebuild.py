"""A damaged ledger goes on with all that is left of it, and never with a wrong answer."""

import logging
import random
import shutil
from pathlib import Path

import pytest

import tests.ledger.repair.damage as ways
from pipeline.errors import DiskError
from pipeline.ledger import open_store
from pipeline.ledger.store import Store
from tests.answers import answer, answers, key
from tests.ledger.repair.damage import DAMAGES, FILE, LOG, PAGE, Damage, Truth, aside, build, overwrite


@pytest.fixture(scope="module")
def truths(tmp_path_factory: pytest.TempPathFactory) -> list[Truth]:
    """Ledgers as a killed process leaves them: a part in the log, nothing in the log, nearly all in the log."""
    folder = tmp_path_factory.mktemp("truths")
    return [
        build(folder / "some", 2400),
        build(folder / "none", 1500, logged=0.0),
        build(folder / "all", 1200, logged=1.0),
    ]


def reopened(truth: Truth, folder: Path) -> dict[bytes, object]:
    """What is found in the ledger by the first and, equally, by the next who opens it."""
    with open_store(folder) as store:
        found = store.look_up(list(truth.history))
    with open_store(folder) as store:
        assert store.look_up(list(truth.history)) == found
        assert store.damaged == 0 or not aside(folder)
    assert len(aside(folder)) <= 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 30))]
)
@pytest.mark.parametrize("damage", DAMAGES)
def test_no_answer_is_wrong_and_none_is_gone_that_nobody_touched(
    truths: list[Truth], tmp_path: Path, damage: Damage, seed: int
) -> None:
    truth = truths[seed % len(truths)]
    damage(truth.put_to(tmp_path), random.Random(f"{damage.__name__} {seed}"))
    changed = truth.changed(tmp_path)
    assert truth.violations(reopened(truth, tmp_path), changed) == []


@pytest.mark.parametrize("seed", range(8))
def test_the_same_holds_where_two_things_happened(truths: list[Truth], tmp_path: Path, seed: int) -> None:
    truth, chance = truths[0], random.Random(seed)
    truth.put_to(tmp_path)
    for damage in chance.sample(DAMAGES, 2):
        damage(tmp_path, chance)
    changed = truth.changed(tmp_path)
    assert truth.violations(reopened(truth, tmp_path), changed) == []


def test_an_undamaged_ledger_is_not_rebuildd(truths: list[Truth], tmp_path: Path) -> None:
    for number, truth in enumerate(truths):
        folder = truth.put_to(tmp_path / str(number))
        assert truth.violations(reopened(truth, folder), set()) == []
        assert not aside(folder)


def test_one_destroyed_page_costs_no_more_than_what_was_on_it(truths: list[Truth], tmp_path: Path) -> None:
    truth = truths[1]
    ways.destroy_a_page(truth.put_to(tmp_path), random.Random(3))
    changed = truth.changed(tmp_path)
    lost = set(truth.history) - set(reopened(truth, tmp_path))
    assert lost <= {each for each, by_file in truth.places.items() if by_file[-1][FILE] & changed}


def test_of_a_file_without_its_head_everything_comes_back(truths: list[Truth], tmp_path: Path) -> None:
    truth = truths[1]
    ways.destroy_the_header(truth.put_to(tmp_path), random.Random(1))
    assert len(reopened(truth, tmp_path)) == len(truth.history)


def test_of_an_emptied_file_all_that_is_in_the_log_comes_back(truths: list[Truth], tmp_path: Path) -> None:
    truth = truths[0]
    ways.empty_the_file(truth.put_to(tmp_path), random.Random(1))
    changed = truth.changed(tmp_path)
    found = reopened(truth, tmp_path)
    assert len(found) > len(truth.history) / 4
    assert truth.violations(found, changed) == []


def test_the_damaged_file_is_kept_and_the_log_says_where(
    truths: list[Truth], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truths[0].put_to(tmp_path)
    ways.destroy_both_headers(tmp_path, random.Random(1))
    was = {name: (tmp_path / name).read_bytes() for name in (FILE, LOG)}
    reopened(truths[0], tmp_path)
    (kept,) = aside(tmp_path)
    assert kept.read_bytes() == was[FILE]
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == was[LOG]
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "2,627 answers were saved, what is missing is asked again" in told
    assert str(kept) in told
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.reb*"))


def test_all_that_was_paid_is_still_in_the_books(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 500, cost_usd=0.5))
        store.append(answers(0, 100, cost_usd=0.25, run="run-2"))
        before = store.totals()
    ways.destroy_the_header(tmp_path, random.Random(1))
    with open_store(tmp_path) as store:
        assert store.totals() == before


def test_pruned_answers_do_not_come_back_from_the_log(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 3000, at=1000.0))
        store.append(answers(3000, 3010, at=3000.0))
        assert store.prune(before=2000.0) == 3000
        store.give_space_back()
        copy = shutil.copytree(tmp_path, tmp_path / "copy")
    ways.destroy_the_header(copy, random.Random(1))
    with open_store(copy) as store:
        assert set(store.look_up([key(n) for n in range(3010)])) == {key(n) for n in range(3000, 3010)}


def test_damage_that_comes_to_light_during_a_run_is_mended_during_the_run(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 20_000))  # too many to be looked at one by one
        store.index()
        store.file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        store.file.connection.execute("PRAGMA shrink_memory")
        pages = (tmp_path / FILE).stat().st_size // PAGE
        for page in range(10, pages, 97):
            overwrite(tmp_path / FILE, page * PAGE, random.Random(page).randbytes(PAGE))
        wanted = {key(n): answer(n) for n in range(20_000)}
        found = store.look_up(list(wanted))
        assert len(found) > 19_500
        assert found.items() <= wanted.items()
        store.append(answers(20_000, 20_010))
        assert len(store.look_up([key(n) for n in range(20_010)])) == len(found) + 10
    assert len(aside(tmp_path)) == 1


@pytest.mark.slow
def test_the_export_of_a_ledger_that_is_mended_meanwhile_has_every_answer_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 20_000))
        stream = store.answers()
        first = [next(stream) for _ in range(1500)]
        store.file.rebuild("a test")
        assert first + list(stream) == answers(0, 20_000)


@pytest.mark.slow
def test_without_room_for_a_second_ledger_the_run_ends_and_the_next_one_mends_it(small_disk: Path) -> None:
    with Store(small_disk / FILE) as store:  # without ballast, which would fill the disk
        store.append(answers(0, 20_000, text="x" * 100))
    ways.destroy_the_header(small_disk, random.Random(1))
    (small_disk / "filler").write_bytes(bytes(10 << 20))
    with pytest.raises(DiskError, match=r"ledger\.sqlite: must be rebuilt .* cannot be: .*make room"):
        Store(small_disk / FILE)
    assert not aside(small_disk)
    (small_disk / "filler").unlink()
    with Store(small_disk / FILE) as store:
        assert len(store.look_up([key(n) for n in range(20_000)])) == 20_000
