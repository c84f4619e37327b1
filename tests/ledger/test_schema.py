"""An answer as cells: they come back as they were, and cells that are damaged hold no answer."""

import sqlite3
from pathlib import Path

import pytest

from pipeline.ledger import FILE, open_store
from pipeline.ledger.schema import checksum
from pipeline.ledger.store import Store
from tests.answers import answer, answers, key


def test_text_that_is_not_unicode_is_kept_as_far_as_it_can_be(store: Store) -> None:
    store.append([answer(1, request_id="caf\udce9"), answer(2)])
    assert store.look_up([key(1)])[key(1)].request_id == "caf\\udce9"
    assert key(2) in store.look_up([key(2)])


@pytest.mark.parametrize(
    "change",
    [
        "body = replace(body, 'games', 'sound')",
        "body = replace(body, '100,10', '101,10')",
        "body = replace(body, 'null]', '[]]')",
        "body = replace(body, char(10), ' ')",
        "body = '' ",
        "key = x'00'",
        "checksum = checksum + 1",
    ],
)
def test_a_changed_cell_counts_as_no_answer(store: Store, tmp_path: Path, change: str) -> None:
    store.append(answers(0, 3))
    store.index()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute(f"UPDATE answers SET {change} WHERE id = 2")
    other.close()
    assert set(store.look_up([key(0), key(1), key(2)])) == {key(0), key(2)}
    assert store.damaged == 1


LOOSE = "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = 'answers'"


STRICT = "UPDATE sqlite_schema SET sql = sql || 'STRICT' WHERE name = 'answers'"


@pytest.mark.parametrize("cell", [b"\x00", b"\xff" * 16, b"\x80\x80"])
@pytest.mark.parametrize(
    "change",
    [
        "body = CAST(? AS TEXT)",
        "body = ?",
        "checksum = ?",
        "checksum = CAST(? AS TEXT)",
        "key = CAST(? AS TEXT)",
    ],
)
def test_a_cell_of_the_wrong_type_or_in_no_encoding_costs_that_answer_alone(
    tmp_path: Path, change: str, cell: bytes
) -> None:
    with open_store(tmp_path) as store:
        store.append(answers(0, 50))
        store.index()
    for statement, *values in ((LOOSE,), (f"UPDATE answers SET {change} WHERE id = 3", cell), (STRICT,)):
        with sqlite3.connect(tmp_path / FILE) as other:
            other.execute("PRAGMA writable_schema = 1")
            other.execute(statement, values)
        other.close()
    with open_store(tmp_path) as store:
        wanted = {key(n): answer(n) for n in range(50) if n != 2}
        assert store.look_up([key(n) for n in range(50)]) == wanted
        assert {each.key: each for each in store.answers()} == wanted
        store.totals()


def test_answers_that_fit_their_checksums_and_are_none_count_as_absent(tmp_path: Path) -> None:
    bodies = [
        b"",
        b"{}",
        b"[]",
        b"[1,\n2]",
        b'["run",\nnull]\nx',
        b'"text",\nnull]',
        b"[1e999,\nnull]",
        b"[" + b"null," * 14,
    ]
    with open_store(tmp_path) as store:
        store.append(answers(0, 20))
        for number, body in enumerate(bodies, 3):
            store.file.connection.execute(
                "UPDATE answers SET body = CAST(? AS TEXT), checksum = ? WHERE key = ?",
                (body, checksum(key(number), body), key(number)),
            )
        wanted = {key(n): answer(n) for n in (0, 1, 2, *range(3 + len(bodies), 20))}
        assert store.look_up([key(n) for n in range(20)]) == wanted
        assert {each.key: each for each in store.answers()} == wanted
