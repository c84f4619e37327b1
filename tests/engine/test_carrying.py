"""What the audit of carried labels counts, and what it says."""

from fractions import Fraction

from pipeline.config import FailureAllowance
from pipeline.engine.carrying.found import Found, carried
from pipeline.student.store import FORCED, MERGED, PLAIN, Proposal
from tests.answers import key

FACTS = {
    "previous": "old.yaml",
    "changes": [],
    "max_missed": "1 %",
    "delta": 0.05,
    "prompts": 1_000,
    "forced": 3,
}


def proposal(number: int, label: str = "a", kind: int = PLAIN) -> Proposal:
    return Proposal(key(number), (label,), None, "run", "model", kind)


def found(rows: int = 1_000) -> Found:
    made = Found(frozenset({"a", "b"}), frozenset({"new"}))
    made.rows = rows
    return made


def test_an_audit_that_fails_counts_as_a_difference_and_as_no_move() -> None:
    made = found()
    made.add(proposal(1), None, is_base=True)
    assert made.look.differ == 1
    assert not made.moved_too_many


def test_only_labels_that_nobody_has_touched_are_exchanged_by_the_wording() -> None:
    made = found()
    for number in range(20):
        made.add(proposal(number), ("new",), is_base=True)
    assert not made.moved_too_many
    for number in range(2):
        made.add(proposal(100 + number), ("b",), is_base=True)
    assert made.moved_too_many


def test_a_merge_that_has_changed_its_own_rows_is_no_wording_that_has_moved_everything() -> None:
    made = found()
    for number in range(150):
        made.add(proposal(number, kind=MERGED), ("b",), is_base=number < 20)
    for number in range(150, 500):
        made.add(proposal(number), ("a",), is_base=True)
    assert not made.moved_too_many
    for number in range(500, 525):
        made.add(proposal(number), ("b",), is_base=True)
    outcome = carried(made, FACTS, 0.05, FailureAllowance(Fraction(1), is_percent=True))
    assert "25 of 375 audited prompts have changed between labels that nobody has touched" in outcome["why"]


def test_one_of_a_few_rows_beside_a_merge_is_not_everything() -> None:
    made = found()
    for number in range(150):
        made.add(proposal(number, kind=MERGED), ("a",), is_base=True)
    for number in range(150, 153):
        made.add(proposal(number), ("b",) if number == 150 else ("a",), is_base=True)
    assert not made.moved_too_many


def test_what_must_change_is_found_but_is_no_audit() -> None:
    made = found()
    for number in range(5):
        made.add(proposal(number, kind=FORCED), ("new",), is_base=True)
    assert made.look.audited == 0
    assert made.figures(0.05)["changed"] == 5


def test_what_is_audited_more_than_the_rest_is_no_part_of_the_sample_and_is_mended_all_the_same() -> None:
    made = found()
    made.add(proposal(1, kind=MERGED), ("b",), is_base=False)
    for number in range(100, 400):
        made.add(proposal(number), ("a",), is_base=True)
    look = made.look
    assert (look.audited, look.differ, look.more, look.more_differ, look.left) == (300, 0, 1, 1, 699)


def test_the_sentence_says_what_may_be_missed_and_what_was_found() -> None:
    made = found(9_000)
    for number in range(500):
        made.add(proposal(number), ("a",), is_base=True)
    for number in range(500, 540):
        made.add(proposal(number, kind=FORCED), ("new",), is_base=False)
    outcome = carried(made, FACTS, 0.05, FailureAllowance(Fraction(1), is_percent=True))
    assert outcome["status"] == "certified"
    most, found_at_least = outcome["most_missed"], 40 / (40 + outcome["most_missed"])
    assert (
        f"of the 8,500 prompts left alone (95 %) would have another label, {most} prompts; 40 were found"
        in outcome["sentence"]
    )
    assert outcome["least_found"] == found_at_least
    assert outcome["labels"]["new"]["found"] == 40
    assert outcome["sentence"].endswith("of all")
