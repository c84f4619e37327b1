"""What `evaluate` says about answers whose right labels are known."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.commands.evaluate import evaluate
from pipeline.errors import ConfigError, InputDataError, NoInputError
from pipeline.records import Status
from tests.jobs import LABELS, JobFiles, command
from tests.judged import NO_REPLY, Reply, answer_rows, jobs_without_server, tickets


def judged(folder: Path, frame: pl.DataFrame, replies: list[Reply | None], **task: Any) -> JobFiles:
    job = jobs_without_server(folder, **task)
    job.table(frame)
    answer_rows(job, replies)
    return job


def small(folder: Path, gold: list[Any], replies: list[Reply | None], **task: Any) -> JobFiles:
    """A job with a row for each of *gold*."""
    count = range(len(gold))
    frame = pl.DataFrame(
        {"id": [f"T-{n}" for n in count], "text": [f"text {n}" for n in count], "gold": gold}
    )
    return judged(folder, frame, replies, **{"gold": "gold", **task})


def test_a_thousand_tickets_are_judged_as_counted_by_hand(tmp_path: Path) -> None:
    frame, replies = tickets(1000)
    found = evaluate(judged(tmp_path, frame, [*replies], gold="gold").config())
    pairs = Counter(zip(frame["gold"], [reply.labels for reply in replies], strict=True))
    right = sum(count for (gold, given), count in pairs.items() if gold == given)
    assert (found.rows, found.right, found.accuracy, found.coverage) == (1000, right, right / 1000, 1)
    assert found.accuracy_low < found.accuracy < found.accuracy_high
    f1s = []
    for name in LABELS:
        hit = pairs[name, name]
        given = sum(count for (_, label), count in pairs.items() if label == name)
        support = sum(count for (gold, _), count in pairs.items() if gold == name)
        score = found.labels[name]
        assert (score.precision, score.recall) == pytest.approx((hit / given, hit / support))
        assert (score.f1, score.support) == (pytest.approx(2 * hit / (given + support)), support)
        f1s.append(2 * hit / (given + support))
        assert found.shares[name].naive == given / 1000
    assert found.macro_f1 == pytest.approx(sum(f1s) / len(f1s))
    assert found.micro_f1 == pytest.approx(right / 1000)
    assert found.confusion is not None
    assert found.confusion.counts[0][1] == pairs[LABELS[0], LABELS[1]]
    assert sum(map(sum, found.confusion.counts)) == 1000
    by_chance = (
        sum(
            sum(n for (g, _), n in pairs.items() if g == name)
            * sum(n for (_, p), n in pairs.items() if p == name)
            for name in LABELS
        )
        / 1e6
    )
    assert found.kappa == pytest.approx((right / 1000 - by_chance) / (1 - by_chance))
    assert found.cost_per_1000_right_usd == pytest.approx(1000 * (1000 * 0.001) / right)
    sure = [reply.confidence or 0 for reply in replies]
    truth = [gold == reply.labels for gold, reply in zip(frame["gold"], replies, strict=True)]
    assert found.brier == pytest.approx(sum((s - t) ** 2 for s, t in zip(sure, truth, strict=True)) / 1000)


def test_the_surest_mistakes_come_first_with_their_text(tmp_path: Path) -> None:
    frame, replies = tickets(1000)
    found = evaluate(judged(tmp_path, frame, [*replies], gold="gold").config())
    wrong = [
        (-(reply.confidence or 0), row)
        for row, (gold, reply) in enumerate(zip(frame["gold"], replies, strict=True))
        if gold != reply.labels
    ]
    assert [each.row for each in found.mistakes] == [row for _, row in sorted(wrong)[:20]]
    first = found.mistakes[0]
    assert (first.id, first.text) == (frame["id"][first.row], frame["text"][first.row])
    assert (first.gold, first.label) == ([frame["gold"][first.row]], [replies[first.row].labels])


def test_rows_without_gold_an_answer_or_a_text_are_not_judged_and_failed_or_unsure_ones_are_not_right(
    tmp_path: Path,
) -> None:
    frame = pl.DataFrame({
        "id": list("abcdefgh"),
        "text": ["one", "two", "three", "four", None, "six", "seven", "eight"],
        "gold": ["games", "games", "games", None, "games", "games", " ", "sound"],
    })  # fmt: skip
    sure, failed = Reply("games", 0.9), Reply(status=Status.REFUSED)
    replies = [sure, Reply("games", 0.4), failed, sure, NO_REPLY, NO_REPLY, sure, Reply("games", 0.8)]
    found = evaluate(judged(tmp_path, frame, replies, gold="gold", unsure_below=0.5).config())
    assert (found.rows, found.unanswered, found.empty) == (4, 1, 1)
    assert (found.right, found.accuracy, found.coverage, found.accuracy_covered) == (1, 0.25, 0.5, 0.5)
    assert found.statuses == {"ok": 2, "unsure": 1, "refused": 1}
    assert found.labels["games"].recall == pytest.approx(1 / 3)
    # The unsure row's confidence is judged, too; it has a label.
    assert sum(each.rows for each in found.reliability) == 3


def test_gold_that_the_task_does_not_know_is_named_and_wrong(tmp_path: Path) -> None:
    found = evaluate(small(tmp_path, ["web", "games", "web"], [Reply("games")] * 3).config())
    assert found.unknown_gold == {"web": 2}
    assert (found.rows, found.right) == (3, 1)
    assert found.labels["web"].support == 2


def test_the_longest_name_with_a_comma_is_the_label(tmp_path: Path) -> None:
    task = {"kind": "multi", "labels": ["news", "news, local", "local"]}
    found = evaluate(
        small(tmp_path, ["news, local", "news; local"], [Reply(["news, local"])] * 2, **task).config()
    )
    assert (found.rows, found.right) == (2, 1)


def test_of_several_right_labels_those_count_that_the_task_knows(tmp_path: Path) -> None:
    gold = pl.Series([["games", "implemented-in::c"], ["implemented-in::c"], ["sound"]])
    replies = [Reply(["games"]), Reply([]), Reply(["mail"])]
    found = evaluate(small(tmp_path, gold.to_list(), [*replies], **MULTI).config())
    assert (found.rows, found.right, found.unknown_gold) == (3, 2, {"implemented-in::c": 2})
    assert "implemented-in::c" not in found.labels
    assert found.remarks[0] == "of each row's right labels those count that the task knows"


def test_gold_may_be_spelled_with_other_capitals_and_blanks(tmp_path: Path) -> None:
    found = evaluate(small(tmp_path, [" Games", "SOUND "], [Reply("games"), Reply("sound")]).config())
    assert (found.right, found.unknown_gold) == (2, {})


def test_without_confidences_nothing_is_said_about_them(tmp_path: Path) -> None:
    found = evaluate(small(tmp_path, ["games"] * 3, [Reply("games", cost=None)] * 3).config())
    assert (found.ece, found.ece_floor, found.brier, found.reliability) == (None, None, None, [])
    assert found.cost_per_1000_right_usd is None
    assert (found.kappa, found.mcc) == (None, None)


def test_answers_that_rows_share_are_paid_for_once(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "text": ["same", "same"], "gold": ["games", "games"]})
    found = evaluate(judged(tmp_path, frame, [Reply("games", cost=0.5)] * 2, gold="gold").config())
    assert found.cost_per_1000_right_usd == pytest.approx(250)


def test_all_figures_fit_in_json_and_the_promised_ones_are_there(tmp_path: Path) -> None:
    facts = evaluate(small(tmp_path, ["games", "sound"], [Reply("games", 0.5)] * 2).config()).as_dict()
    promised = (
        "rows coverage accuracy accuracy_low accuracy_high macro_f1 micro_f1 kappa mcc ece labels confusion reliability "
        "ece_floor brier shares mistakes cost_per_1000_right_usd unknown_gold unanswered"
    )
    assert set(promised.split()) <= set(facts)
    assert set(facts["labels"]["games"]) == {"precision", "recall", "f1", "support"}
    assert set(facts["confusion"]) == {"labels", "counts"}
    assert {"naive", "share", "low", "high"} <= set(facts["shares"]["games"])
    assert set(facts["mistakes"][0]) == {"row", "id", "text", "gold", "label", "confidence"}


MULTI = {"kind": "multi", "labels": ["games", "sound", "news, local", "mail"]}


@pytest.mark.parametrize(
    "gold",
    [
        pl.Series([["games", "sound"], [], ["news, local"], None], dtype=pl.List(pl.String)),
        pl.Series(['["games", "sound"]', "[]", '["news, local"]', None]),
        pl.Series(["['games', 'sound']", "[]", "['news, local']", ""]),
        pl.Series(["games; sound", "[]", "News, local", " "]),
        pl.Series(["sound|games", "[]", "news, local;", None]),
        pl.Series(["sound, games", "[]", "news, local", None]),
    ],
    ids=["lists", "json", "pandas", "semicolons", "bars", "commas"],
)
def test_several_right_labels_are_read_however_they_are_written(tmp_path: Path, gold: pl.Series) -> None:
    frame = pl.DataFrame({"id": list("abcd"), "text": ["one", "two", "three", "four"], "gold": gold})
    replies = [Reply(["games", "sound"], 0.9), Reply([]), Reply(["mail"], 0.7), Reply(["mail"])]
    found = evaluate(judged(tmp_path, frame, [*replies], gold="gold", **MULTI).config())
    assert (found.rows, found.right, found.unknown_gold) == (3, 2, {})
    assert found.hamming == pytest.approx(2 / 12)
    assert found.jaccard == pytest.approx(2 / 3)
    assert (found.labels["news, local"].support, found.labels["news, local"].recall) == (1, 0)
    assert found.mistakes[0].gold == ["news, local"]
    assert found.confusion is None


def gold_file(folder: Path, text: str, name: str = "gold.csv", encoding: str = "utf-8") -> str:
    path = folder / name
    path.write_text(text, encoding)
    return str(path)


@pytest.fixture
def three(tmp_path: Path) -> JobFiles:
    """A job without a gold column: rows 007, b and c are right, wrong and right."""
    frame = pl.DataFrame({"id": ["007", "b", "c"], "text": ["one", "two", "three"]})
    return judged(tmp_path, frame, [Reply("games"), Reply("games"), Reply("sound")])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("id,label\n007,games\nb,sound\nc,sound\n", "gold.csv"),
        ("id,label\r\n007,games\r\nb,sound\r\nc,sound\r\n", "gold.csv"),
        ("\ufeffid;label\n007;games\nb;sound\nc;sound\n", "gold.csv"),
        ("id\tlabel\n007\tgames\nb\tsound\nc\tsound\n", "gold.tsv"),
        ('id,text,label\n007,"o,\nne",games\nb,two,sound\nc,three,sound\n', "gold.csv"),
        ("ticket,section\n007,games\nb,sound\nc,sound\n", "gold.csv"),
        (
            '{"id":"007","label":"games"}\n{"id":"b","label":"sound"}\n{"id":"c","label":"sound"}\n',
            "gold.jsonl",
        ),
    ],
    ids=["csv", "crlf", "spreadsheet", "tsv", "quoted", "other names", "jsonl"],
)
def test_gold_comes_from_a_file_of_ids_and_labels(three: JobFiles, text: str, name: str) -> None:
    found = evaluate(three.config(), gold_file(three.folder, text, name))
    assert (found.rows, found.right) == (3, 2)


def test_gold_comes_from_a_parquet_file_with_numbers_for_ids(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [5, 6, 7], "text": ["one", "two", "three"]})
    job = judged(tmp_path, frame, [Reply("games")] * 3)
    pl.DataFrame({"id": [7, 5], "label": ["games", "sound"]}).write_parquet(tmp_path / "gold.parquet")
    found = evaluate(job.config(), str(tmp_path / "gold.parquet"))
    assert (found.rows, found.right, found.mistakes[0].row) == (2, 1, 0)


def test_without_input_id_a_file_names_rows_by_their_index(three: JobFiles) -> None:
    three.settings["input"].pop("id")
    found = evaluate(three.config(), gold_file(three.folder, "row,label\n1,sound\n2,sound\n99,games\n"))
    assert (found.rows, found.right) == (2, 1)
    assert "1 of the 3 ids" in found.remarks[0]
    assert "99" in found.remarks[0]


def test_cells_that_are_left_blank_are_no_gold_and_ids_of_no_row_are_said(three: JobFiles) -> None:
    found = evaluate(three.config(), gold_file(three.folder, "id,label\n007,games\nb,\nc,  \nnobody,games\n"))
    assert (found.rows, found.right) == (1, 1)
    assert found.remarks[0].endswith("are in no row of the input: nobody")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("007,games\nb,sound\n", "the first line is a row of data"),
        ("id,label\nb,games\nb,sound\n", "two different right labels for id b"),
        ("number,text,class\n1,x,games\n", "has the columns number, text, class"),
        ("", "is empty"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_meant_is_refused(three: JobFiles, text: str, complaint: str) -> None:
    with pytest.raises(InputDataError, match=complaint):
        evaluate(three.config(), gold_file(three.folder, text))


def test_several_right_labels_of_kind_single_are_refused(tmp_path: Path) -> None:
    gold = pl.Series([["games", "sound"], ["games"]])
    job = small(tmp_path, gold.to_list(), [Reply("games")] * 2)
    with pytest.raises(InputDataError, match="row 0 names 2 right labels"):
        evaluate(job.config())


def test_what_is_missing_is_told_apart(tmp_path: Path) -> None:
    frame, replies = tickets(5)
    job = jobs_without_server(tmp_path)
    job.table(frame)
    with pytest.raises(ConfigError, match="knows no right labels"):
        evaluate(job.config())
    with pytest.raises(
        NoInputError, match=r"none of the 5 rows with a right label \(column gold\) has an answer"
    ):
        evaluate(job.config(), "gold")
    answer_rows(job, [*replies])
    with pytest.raises(NoInputError, match="is no file, and the input has no such column"):
        evaluate(job.config(), "nowhere.csv")
    job.set(task={"gold": "nothing"})
    with pytest.raises(ConfigError, match=r"task.gold: nothing: the input has no such column"):
        evaluate(job.config())


def test_a_few_gold_rows_of_a_large_table_are_found_wherever_they_are(tmp_path: Path) -> None:
    frame, replies = tickets(20_000)
    known = {0, 1, 63, 128, 4095, 4096, 9_999, 19_999}
    gold = [name if row in known else None for row, name in enumerate(frame["gold"])]
    answered = [reply if row in known else NO_REPLY for row, reply in enumerate(replies)]
    found = evaluate(
        judged(tmp_path, frame.with_columns(gold=pl.Series(gold)), answered, gold="gold").config()
    )
    right = sum(frame["gold"][row] == replies[row].labels for row in known)
    assert (found.rows, found.right, found.unanswered) == (8, right, 0)
    assert {each.row for each in found.mistakes} == {
        r for r in known if frame["gold"][r] != replies[r].labels
    }


def test_gold_may_be_a_column_of_csv_and_of_several_files(tmp_path: Path) -> None:
    frame, replies = tickets(40)
    (tmp_path / "in").mkdir()
    frame[:25].write_csv(tmp_path / "in" / "a.csv")
    frame[25:].write_csv(tmp_path / "in" / "b.csv")
    job = jobs_without_server(tmp_path, gold="gold")
    job.set(input={"path": "in"}, output={"path": "out"})
    answer_rows(job, [*replies])
    found = evaluate(job.config())
    right = sum(gold == reply.labels for gold, reply in zip(frame["gold"], replies, strict=True))
    assert (found.rows, found.right) == (40, right)


def test_of_many_labels_the_most_frequent_mistakes_are_shown(tmp_path: Path) -> None:
    names = [f"label {n}" for n in range(20)]
    gold = [*names, *["label 3"] * 3]
    given = [*names[1:], names[0], *["label 7"] * 3]
    labels = [{"name": name} for name in names]
    job = small(tmp_path, gold, [Reply(name) for name in given], labels=labels)
    shown = command("evaluate", str(job.config_file())).stderr
    assert re.search(r"What is taken for what\n  right +given +rows\n  label 3 +label 7 +3\n", shown)
