"""The control share: what the evidence concludes, and how often it is wrong."""

from math import comb
from random import Random

import pytest

from pipeline.engine.packing.control import TRIED_AGAIN, Widths
from pipeline.engine.packing.evidence import LOOK, LOOKS, Evidence
from pipeline.llm.packs.width import Width
from pipeline.quality.intervals import at_most, highest, lowest, mcnemar

A, B = ("a",), ("b",)


def widths(*, auto: bool = True, rows: int = 1, **memory: list[int]) -> Widths:
    return Widths(Width(rows), auto=auto, memory=memory)


def found(decided: Widths, share: float, own: float, chance: Random, rows: int = LOOK) -> None:
    """Let *rows* more rows show a *share* of other labels beside the model's *own* disagreement with itself."""
    before = decided.evidence.rows
    for _ in range(rows):
        again = B if chance.random() < own else A
        packed = B if chance.random() < own + share else A
        decided.evidence.add(A, again, packed, None)
    decided.look(before)


def settled(harm: dict[int, float], own: float = 0.002, seed: int = 0) -> int:
    """Return how many rows a request `auto` comes to, where each width has so much harm."""
    decided, chance = widths(), Random(seed)
    for _ in range(100):
        if not decided.trial:
            break
        found(decided, harm[decided.trial], own, chance)
    return decided.width.rows


def test_auto_widens_where_packs_do_no_harm() -> None:
    assert settled(dict.fromkeys((2, 5, 10, 20), 0.0)) == 20


def test_auto_stops_where_the_error_grows_with_the_pack() -> None:
    assert settled({2: 0.0, 5: 0.0, 10: 0.05, 20: 0.2}) == 5
    assert settled(dict.fromkeys((2, 5, 10, 20), 0.2)) == 1


def test_auto_goes_back_when_a_width_that_was_good_does_harm() -> None:
    decided, chance = widths(width=[20, 0]), Random(0)
    assert decided.judged == 20
    found(decided, 0.0, 0.0, chance)
    assert decided.judged == 20
    found(decided, 0.3, 0.0, chance)
    assert decided.judged == decided.width.rows == 10


def test_auto_tries_the_next_wider_request_again_after_many_rows_and_widens_if_it_does_no_harm_by_now() -> (
    None
):
    few, many = ({"width": [5, 0, asked], "10": [400, 90, 0, 90]} for asked in (TRIED_AGAIN - 1, TRIED_AGAIN))
    assert widths(**few).trial == 0
    again, chance = widths(**many), Random(0)
    assert (again.trial, again.width.rows, again.evidence.rows) == (10, 5, 0)
    while again.trial:
        found(again, 0.0, 0.0, chance)
    assert (again.width.rows, again.asked) == (10, 0)
    assert widths(width=[20, 0, TRIED_AGAIN]).trial == 0


def test_auto_stays_where_it_was_if_the_next_wider_request_still_does_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    again = widths(width=[5, 0, TRIED_AGAIN])
    with caplog.at_level("INFO"):
        found(again, 0.3, 0.0, Random(0))
    assert (again.width.rows, again.trial, again.asked) == (5, 0, 0)
    assert "requests carry 5 from now on" in caplog.text


def test_a_trial_that_is_put_off_is_left_to_a_later_run() -> None:
    some = widths(width=[5, 10, 7])
    some.put_off()
    assert some.trial == 0
    assert widths(**some.memory).trial == 10


def test_a_number_in_the_config_stays_and_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    decided = widths(auto=False, rows=10)
    found(decided, 0.3, 0.0, Random(0))
    assert decided.width.rows == 10
    assert "rows_per_request: 10 costs labels" in caplog.text


@pytest.mark.slow
def test_a_width_that_costs_two_points_is_taken_for_good_in_one_of_twenty_runs_at_most() -> None:
    chance = Random(1)
    wrong = sum(_taken(0.02, 0.01, chance) for _ in range(40))
    assert wrong <= 2 + 3 * (40 * 0.05 * 0.95) ** 0.5


def _taken(share: float, own: float, chance: Random) -> bool:
    decided = widths()
    for _ in range(LOOKS):
        if decided.judged == 20 and decided.trial:
            found(decided, share, own, chance)
    return decided.width.rows == 20


def test_what_was_learned_is_what_the_next_run_begins_with() -> None:
    first, chance = widths(), Random(0)
    found(first, 0.2, 0.0, chance)
    again = Widths(Width(1), auto=True, memory=first.memory)
    assert (first.judged, again.judged) == (10, 10)
    assert again.memory == first.memory


def test_a_number_that_somebody_chose_is_not_what_auto_begins_with() -> None:
    chosen = widths(auto=False, rows=10)
    found(chosen, 0.0, 0.0, Random(0))
    assert Widths(Width(1), auto=True, memory=chosen.memory).judged == 20
    learned = widths(auto=False, rows=10, width=[5, 0])
    assert Widths(Width(1), auto=True, memory=learned.memory).width.rows == 5


def test_rows_are_told_apart_by_who_disagrees_and_where_they_stood() -> None:
    seen = Evidence()
    for alone, again, packed, third in [
        (A, A, A, "first"),
        (A, A, B, "last"),
        (A, B, A, "last"),
        (A, B, B, "middle"),
    ]:
        seen.add(alone, again, packed, third)
    assert (seen.rows, seen.worse, seen.better, seen.differ) == (4, 1, 1, 2)
    assert "50.0 % got the same label, and 50.0 % the same alone" in seen.words
    assert "first 100 %, middle 0 %, last 50.0 %" in seen.words


def test_the_bounds_are_those_of_clopper_and_pearson() -> None:
    assert highest(3, 300, 0.005) == pytest.approx(0.0361083, abs=1e-6)  # scipy.stats.beta.ppf(.995, 4, 297)
    assert lowest(20, 300, 0.005) == pytest.approx(0.0350220, abs=1e-6)
    assert (lowest(0, 50, 0.01), highest(50, 50, 0.01)) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    exact = sum(comb(40, k) * 0.3**k * 0.7 ** (40 - k) for k in range(9))
    assert at_most(8, 40, 0.3) == pytest.approx(exact)


def test_mcnemars_test_is_exact() -> None:
    assert mcnemar(3, 9) == pytest.approx(0.1459961)  # scipy.stats.binomtest(3, 12).pvalue
    assert (mcnemar(0, 0), mcnemar(5, 5), mcnemar(90, 90)) == (1.0, 1.0, 1.0)
