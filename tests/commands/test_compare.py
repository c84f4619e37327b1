"""What `compare` says about two configs on the same rows."""

import csv
import re
from pathlib import Path

import polars as pl
import pytest

from pipeline.commands.compare import compare, save
from pipeline.config import Config, load_config
from pipeline.errors import ConfigError, NoInputError
from pipeline.quality.changes import changes
from pipeline.records import Status
from tests.jobs import command
from tests.judged import NO_REPLY, Reply, answer_rows, jobs_without_server, tickets


def two(
    folder: Path, frame: pl.DataFrame, a: list[Reply | None], b: list[Reply | None]
) -> tuple[Config, Config]:
    """Two configs on one table, whose models said *a* and *b*."""
    job = jobs_without_server(folder, gold="gold")
    job.table(frame)
    configs = []
    for name, replies in (("a", a), ("b", b)):
        job.set(
            output={"path": f"out/{name}.parquet"},
            state={"dir": f"state-{name}"},
            task={"instructions": name},
        )
        answer_rows(job, replies)
        configs.append(load_config(job.config_file(f"{name}.yaml")))
    return configs[0], configs[1]


def test_two_labellings_are_compared_as_counted_by_hand(tmp_path: Path) -> None:
    frame, first = tickets(400)
    second = [Reply(gold if n % 10 else "mail", 0.9, cost=0.002) for n, gold in enumerate(frame["gold"])]
    found = compare(*two(tmp_path, frame, [*first], [*second]))
    gold = frame["gold"].to_list()
    pairs = [(one.labels == g, other.labels == g) for one, other, g in zip(first, second, gold, strict=True)]
    same = sum(one.labels == other.labels for one, other in zip(first, second, strict=True))
    assert (found.rows, found.agreement, len(found.differences)) == (400, same / 400, 400 - same)
    assert found.a.accuracy == sum(one for one, _ in pairs) / 400
    assert found.b.accuracy == sum(other for _, other in pairs) / 400
    assert found.paired is not None
    assert found.paired.only_a == sum(one and not other for one, other in pairs)
    assert found.paired.only_b == sum(other and not one for one, other in pairs)
    assert found.words.startswith("b.yaml is better than a.yaml")
    assert (found.a.cost_usd, found.b.cost_usd) == pytest.approx((0.4, 0.8))
    first_difference = found.differences[0]
    row = first_difference.row
    assert (first_difference.text, first_difference.a) == (frame["text"][row], [first[row].labels])
    assert len(found.as_dict()["differences"]) == 20
    save(found, tmp_path / "all.csv")
    written = csv.DictReader((tmp_path / "all.csv").read_text("utf-8-sig").splitlines())
    assert len(list(written)) == 400 - same


def test_rows_that_one_has_not_answered_are_not_compared(tmp_path: Path) -> None:
    frame, replies = tickets(30)
    found = compare(*two(tmp_path, frame, [*replies[:20], *[NO_REPLY] * 10], [*[NO_REPLY] * 5, *replies[5:]]))
    assert (found.rows, found.unanswered, found.agreement) == (15, 15, 1)
    assert found.words.startswith("no difference can be shown")


def test_without_right_labels_only_agreement_is_told(tmp_path: Path) -> None:
    frame, replies = tickets(30)
    a, b = two(tmp_path, frame, [*replies], [*replies])
    without = [
        each.model_copy(update={"task": each.task.model_copy(update={"gold": None})}) for each in (a, b)
    ]
    found = compare(*without)
    assert (found.paired, found.a.accuracy, found.agreement) == (None, None, 1)
    assert "set task.gold" in found.words


def test_a_sample_is_that_of_run(tmp_path: Path) -> None:
    frame, replies = tickets(200)
    a, b = two(tmp_path, frame, [*replies], [*replies])
    assert compare(a, b, sample=50, seed=3).rows == 50


def test_other_rows_are_not_compared(tmp_path: Path) -> None:
    frame, replies = tickets(30)
    a, b = two(tmp_path, frame, [*replies], [*replies])
    frame[:20].write_parquet(tmp_path / "other.parquet")
    other = a.model_copy(
        update={"input": a.input.model_copy(update={"path": str(tmp_path / "other.parquet")})}
    )
    with pytest.raises(ConfigError, match=r"a.yaml reads 20 rows .* b.yaml reads 30 rows"):
        compare(other, b)


def test_before_both_have_answers_there_is_nothing_to_compare(tmp_path: Path) -> None:
    frame, replies = tickets(10)
    with pytest.raises(NoInputError, match="no row has an answer of both"):
        compare(*two(tmp_path, frame, [*replies], [NO_REPLY] * 10))


def test_rows_that_change_are_counted_by_kind_and_the_most_surprising_come_first(tmp_path: Path) -> None:
    gold = ["games", "games", "games", "sound", "sound", None]
    frame = pl.DataFrame({"id": list("abcdef"), "text": list("123456"), "gold": gold})
    first = [Reply("games", 0.6), Reply("games", 0.9), Reply("games"), Reply("sound", 0.9), Reply("sound", 0.9), Reply("games", 0.5)]  # fmt: skip
    second = [Reply("sound", 0.9), Reply("sound", 0.8), Reply("sound", 0.9), Reply(status=Status.ERROR), Reply("sound", 0.9), Reply("sound", 0.4)]  # fmt: skip
    pair = two(tmp_path, frame, [*first], [*second])
    found = compare(*pair)
    assert [each.id for each in found.differences] == ["b", "a", "c", "d", "f"]
    assert [
        (each.a, each.b, each.rows, each.right_a, each.right_b) for each in changes(found.differences)
    ] == [
        (["games"], ["sound"], 4, 3, 0),
        (["sound"], [], 1, 1, 0),
    ]
    assert found.as_dict()["changes"][0]["rows"] == 4
    shown = command("compare", *(str(each.path) for each in pair), "--no-ask").stderr
    assert "What changes in 5 rows" in shown
    assert re.search(r"games +sound +4 +3 +0\n", shown)
    assert re.search(r"\n  b +games +games +90 % +sound +80 % +2\n", shown)
