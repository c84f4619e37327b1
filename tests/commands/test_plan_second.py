"""How many rows will be put to the second model, as far as that can be known."""

from random import Random

from pipeline.commands.plan.second import share_range


def test_the_range_holds_the_rows_that_come_in_19_of_20_plans() -> None:
    chance, outside, plans = Random(3), 0, 1_000
    for _ in range(plans):
        unsure, answered, missing = (
            chance.uniform(0.02, 0.6),
            chance.choice([20, 50, 200]),
            chance.choice([30, 300]),
        )
        known = sum(chance.random() < unsure for _ in range(answered))
        come = sum(chance.random() < unsure for _ in range(missing))
        low, high = share_range(known / answered, answered, missing)
        outside += not int(low * missing) <= come <= round(high * missing + 0.5)
    assert outside <= 0.05 * plans + 3 * (0.05 * 0.95 * plans) ** 0.5


def test_the_more_answers_and_rows_the_narrower_it_is() -> None:
    few, many = share_range(0.2, 20, 1_000), share_range(0.2, 2_000, 1_000)
    assert few[0] < many[0] < 0.2 < many[1] < few[1]
    assert share_range(0.0, 20, 100)[0] == 0.0
