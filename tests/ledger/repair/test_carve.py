"""Answers are found in raw bytes by their own form: exactly those that SQLite has written, and nothing else."""

import random
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ledger.repair.carve import carve
from pipeline.ledger.repair.rebuild import found_in
from pipeline.ledger.schema import SELECT, cells_of
from pipeline.ledger.store import Store
from pipeline.records import Answer
from tests.answers import ANSWERS, answer, answers, key


def written(folder: Path, batches: Sequence[Sequence[Answer]], page_size: int = 4096) -> Path:
    path = folder / "ledger.sqlite"
    with sqlite3.connect(path) as first:
        first.execute(f"PRAGMA page_size = {page_size}")
        first.execute("VACUUM")
    first.close()
    with Store(path) as store:
        for batch in batches:
            store.append(batch)
    return path


def stored(path: Path) -> set[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        rows = set(connection.execute(f"{SELECT}, a.id FROM answers a"))
    connection.close()
    return rows


def found(path: Path) -> set[tuple[object, ...]]:
    return {(*cells, number) for number, cells in found_in(path)}


@given(
    batches=st.lists(st.lists(ANSWERS, max_size=6), min_size=1, max_size=4),
    size=st.sampled_from([512, 4096, 65536]),
)
@settings(max_examples=25)
def test_what_sqlite_has_written_is_found(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Answer]], size: int
) -> None:
    path = written(tmp_path_factory.mktemp("ledger"), batches, size)
    assert found(path) == stored(path)


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 65536])
def test_long_texts_are_found_in_their_chains_of_pages(tmp_path: Path, page_size: int) -> None:
    lengths = [
        *range(page_size - 400, page_size + 10),
        *range(5 * page_size - 300, 5 * page_size - 100),
        200_000,
    ]
    path = written(
        tmp_path, [[answer(n, text="é" * (length // 2) + "x") for n, length in enumerate(lengths)]], page_size
    )
    assert len(found(path)) == len(lengths)
    assert found(path) == stored(path)


def test_large_ids_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, [answers(0, 3)])
    with sqlite3.connect(path) as connection:
        for number, other in ((1, 127), (2, 128), (3, 2**42 + 5)):
            connection.execute("UPDATE answers SET id = ? WHERE id = ?", (other, number))
    connection.close()
    assert {number for *_, number in found(path)} == {127, 128, 2**42 + 5}


@given(
    data=st.binary(max_size=2000),
    changes=st.lists(st.tuples(st.integers(0, 1999), st.integers(0, 255)), max_size=30),
)
@settings(max_examples=300)
def test_nothing_is_found_in_other_bytes(data: bytes, changes: list[tuple[int, int]]) -> None:
    content = bytearray(data)
    for at, value in changes:
        if at + 2 < len(content):
            content[at : at + 3] = (value, 0, 44)
    assert list(carve(bytes(content), 4096, [lambda _: b"x" * 4096])) == []


def test_of_a_record_with_any_flipped_bit_nothing_wrong_is_found(tmp_path: Path) -> None:
    one = answer(1, text="the label is games, and 42", prompt_tokens=70_000, cost_usd=None)
    path = written(tmp_path, [[one]])
    page = next(
        content for content in (path.read_bytes()[at : at + 4096] for at in range(0, 1 << 20, 4096)) if key(1) in content
    )  # fmt: skip
    first = page.index(key(1)) - 30
    seen = 0
    for bit in range(first * 8, len(page) * 8):
        content = bytearray(page)
        content[bit // 8] ^= 1 << bit % 8
        for _, cells in carve(bytes(content), 4096, []):
            assert cells == cells_of(one)
            seen += 1
    assert 0 < seen < 400  # a flip in front of the record, in its id or size, does no harm to it


def test_an_answer_whose_size_in_front_is_damaged_is_found_without_its_id(tmp_path: Path) -> None:
    path = written(tmp_path, [answers(0, 1)])
    content = path.read_bytes()
    record = content.index(b"\x00\x2c", content.index(key(0)) - 30) - 1
    damaged = content[: record - 2] + bytes([content[record - 2] ^ 1]) + content[record - 1 :]
    assert [number for number, _ in carve(content, 4096, [])] == [1]
    assert list(carve(damaged, 4096, [])) == [(None, cells_of(answer(0)))]


def test_of_answers_without_an_id_only_those_are_taken_that_are_not_there_otherwise(tmp_path: Path) -> None:
    path = written(tmp_path, [answers(0, 3), [answer(1, text="newer", at=2000.0)]])
    content = path.read_bytes()
    for number in (0, 1):
        record = content.rindex(b"\x00\x2c", 0, content.rindex(key(number))) - 1
        content = content[: record - 2] + bytes([content[record - 2] ^ 1]) + content[record - 1 :]
    path.write_bytes(bytes(100) + content[100:])
    with Store(path) as store:
        found = store.look_up([key(n) for n in range(3)])
        assert found == {key(0): answer(0), key(1): answer(1, text="newer", at=2000.0), key(2): answer(2)}
        assert store.totals()[0].answers == 3


def test_a_chain_that_goes_round_in_circles_ends() -> None:
    chance = random.Random(1)
    header = bytes([6, 0, 44, 0x9D, 0x0D, 4])
    data = chance.randbytes(40) + header + chance.randbytes(4096)
    assert list(carve(data, 4096, [lambda number: (number % 5).to_bytes(4) + bytes(4092)])) == []
