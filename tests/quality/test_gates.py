from dataclasses import replace
from typing import Any

import pytest

from pipeline.config import GateSettings
from pipeline.quality.gates import Figures, Share, Shift, closed_gates

FOUND = Figures(
    failed=Share(2, 100),
    invalid=Share(1, 100),
    unsure=Share(20, 100),
    shift=Shift(0.15, 0.05),
    gold=Share(80, 100),
    canary=Share(5, 100),
)
AT_THE_BOUND: dict[str, Any] = {
    "failed": "2%", "invalid": 1, "unsure": "20%", "label_shift": 0.1, "gold_accuracy": 0.8, "canary_flips": "5%",
}  # fmt: skip
ONE_WORSE = replace(
    FOUND,
    failed=Share(3, 100),
    invalid=Share(2, 100),
    unsure=Share(21, 100),
    shift=Shift(0.16, 0.05),
    gold=Share(79, 100),
    canary=Share(6, 100),
)


def test_without_gates_anything_passes() -> None:
    assert closed_gates(GateSettings(), ONE_WORSE) == []


def test_what_is_at_the_bound_passes() -> None:
    assert closed_gates(GateSettings(**AT_THE_BOUND), FOUND) == []


@pytest.mark.parametrize("gate", AT_THE_BOUND)
def test_each_gate_closes_one_beyond_its_bound_and_names_itself_and_the_figure(gate: str) -> None:
    [sentence] = closed_gates(GateSettings(**{gate: AT_THE_BOUND[gate]}), ONE_WORSE)
    assert sentence.startswith(f"gates.{gate}: ")
    assert any(
        figure in sentence
        for figure in ("3 of 100", "2 of 100", "21 of 100", "16.0 %", "79 of 100", "6 of 100")
    )


def test_what_there_is_no_figure_for_closes_no_gate() -> None:
    nothing = replace(ONE_WORSE, shift=None, gold=None, canary=None)
    gates = {name: AT_THE_BOUND[name] for name in ("label_shift", "gold_accuracy", "canary_flips")}
    assert closed_gates(GateSettings(**gates), nothing) == []


def test_gold_without_a_known_row_closes_its_gate() -> None:
    assert (
        "no row has a label"
        in closed_gates(GateSettings(gold_accuracy=0.8), replace(FOUND, gold=Share(0, 0)))[0]
    )
