"""What an audit proves: the bound against brute force, the order of the tests, and how often the promise is broken."""

from fractions import Fraction
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.student.certificate import Tier, Verdict, certify, least_audited, most_that_differ, passes

DELTA = 0.05


def chance_of_so_few(differ: int, rows: int, bad: int, audited: int) -> Fraction:
    """The probability that at most *differ* of *audited* rows differ, counted draw by draw."""
    ways = sum(comb(bad, found) * comb(rows - bad, audited - found) for found in range(differ + 1))
    return Fraction(ways, comb(rows, audited))


@st.composite
def audits(draw: st.DrawFn) -> tuple[int, int, int]:
    rows = draw(st.integers(1, 60))
    audited = draw(st.integers(0, rows))
    return rows, audited, draw(st.integers(0, audited))


@settings(max_examples=30)
@given(audits(), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_bound_is_the_largest_number_that_the_audit_does_not_rule_out(
    audit: tuple[int, int, int], delta: float
) -> None:
    rows, audited, differ = audit
    possible = range(differ, rows - audited + differ + 1)
    left = [bad for bad in possible if chance_of_so_few(differ, rows, bad, audited) >= Fraction(str(delta))]
    assert most_that_differ(rows, audited, differ, delta) == max(left)


@settings(max_examples=30)
@given(st.integers(1, 40), st.data())
def test_whatever_the_true_number_is_the_bound_misses_it_seldom_enough(
    rows: int, data: st.DataObject
) -> None:
    audited, bad = data.draw(st.integers(0, rows)), data.draw(st.integers(0, rows))
    missed = Fraction(0)
    for differ in range(max(0, audited - (rows - bad)), min(audited, bad) + 1):
        if most_that_differ(rows, audited, differ, DELTA) < bad:
            missed += Fraction(comb(bad, differ) * comb(rows - bad, audited - differ), comb(rows, audited))
    assert missed <= Fraction(str(DELTA))


def test_an_audit_of_everything_leaves_nothing_to_doubt() -> None:
    assert most_that_differ(500, 500, 7, DELTA) == 7


def test_a_large_table_has_the_bound_of_clopper_and_pearson() -> None:
    assert most_that_differ(1_000_000, 600, 0, DELTA) == pytest.approx(
        1_000_000 * (1 - DELTA ** (1 / 600)), rel=0.01
    )


def certified_among(
    random: np.random.Generator, bads: list[int], sizes: list[int], audits: int
) -> Tier | None:
    """The tier that one audit certifies; *bads* of the rows of each ring, of the given *sizes*, differ."""
    audited = random.binomial(sizes, audits / sum(sizes))
    differ = random.hypergeometric(bads, np.subtract(sizes, bads), audited)
    totals = (np.cumsum(each).tolist() for each in (sizes, audited, differ))
    return certify([Tier(0.9, *each) for each in zip(*totals, strict=True)], 0.95, DELTA).tier


@pytest.mark.slow
@pytest.mark.parametrize("rings", [1, 5])
def test_a_set_that_errs_a_little_more_than_allowed_is_hardly_ever_certified(rings: int) -> None:
    """However many thresholds are tried."""
    random, runs, rows = np.random.default_rng(rings), 2_000, 20_000 // rings
    wrong = round(rows * 0.05 * 1.01)
    certified = sum(
        certified_among(random, [wrong] * rings, [rows] * rings, 600) is not None for _ in range(runs)
    )
    assert certified <= runs * DELTA + 3 * sqrt(runs * DELTA * (1 - DELTA))


@pytest.mark.slow
def test_a_good_set_is_nearly_always_certified_and_the_bad_rest_hardly_ever() -> None:
    random = np.random.default_rng(3)
    found = [certified_among(random, [40, 2_400], [8_000, 8_000], 1_200) for _ in range(300)]
    assert sum(tier is not None for tier in found) >= 290
    assert sum(tier is not None and tier.rows == 16_000 for tier in found) == 0


def test_the_sequence_stops_at_the_first_that_fails_though_a_later_one_would_pass() -> None:
    good, bad = Tier(0.9, 1_000, 100, 0), Tier(0.8, 2_000, 200, 30)
    later = Tier(0.7, 60_000, 6_000, 60)
    assert passes(good, 0.95, DELTA)
    assert not passes(bad, 0.95, DELTA)
    assert passes(later, 0.95, DELTA)
    found = certify([good, bad, later], 0.95, DELTA)
    assert (found.tier, found.failed) == (good, bad)


def test_a_tier_too_small_to_pass_is_left_out_and_stops_nothing() -> None:
    assert 58 < least_audited(0.95, DELTA) < 59
    tiny, large = Tier(0.99, 600, 58, 0), Tier(0.9, 20_000, 600, 5)
    assert certify([tiny, large], 0.95, DELTA).tier == large


def test_nothing_is_certified_without_an_audit() -> None:
    assert certify([], 0.95, DELTA) == Verdict()
    assert certify([Tier(0.9, 10_000, 0, 0)], 0.95, DELTA).tier is None


def test_what_was_mended_by_asking_counts_for_nobody() -> None:
    # All but ten rows were asked: those that differ among the asked are mended, and ten unknown ones may all differ.
    found = certify([Tier(0.9, 610, 600, 0)], 0.95, DELTA)
    assert found.tier is None or found.tier.most_wrong(DELTA) == 0


@given(st.integers(0, 5_000), st.sampled_from([0.9, 0.95, 0.98, 0.99]))
def test_what_is_allowed_is_a_share_of_the_local_rows_and_never_rounded_up(local: int, target: float) -> None:
    allowed = Tier(0.5, local + 700, 700, 0).allowed(target)
    assert Fraction(allowed) <= (1 - Fraction(str(target))) * local < allowed + 1
