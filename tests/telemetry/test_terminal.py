"""The display at a terminal: what it shows at which width."""

import dataclasses

import pytest
from rich.cells import cell_len

from pipeline.telemetry.pace import Progress, Standing
from pipeline.telemetry.terminal import MARGIN, Layout

RUN = Progress(
    rows=3591,
    done=1482,
    failed=12,
    reused=300,
    in_flight=26,
    requests=1500,
    retries=18,
    tokens=81123,
    cost_usd=0.0143,
)
STANDING = Standing(RUN, 1482, 48.8, 43.0)

NEEDED = ("41 %", "1,482/3,591 rows", "48.8 rows/s", "0:43 left", "$0.0143", "12 failed", "26 in flight")


def drawn(width: int, standing: Standing = STANDING, **settings: bool) -> list[str]:
    return [line.plain for line in Layout(**settings).lines(standing, width)]


def but(**changes: object) -> Standing:
    return STANDING._replace(progress=dataclasses.replace(RUN, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "most"), [(200, 1), (120, 2), (100, 2), (80, 2), (60, 2), (40, 3), (30, 5)]
)
def test_all_that_matters_is_whole_at_any_width_in_few_lines(width: int, most: int) -> None:
    lines = drawn(width)
    assert len(lines) <= most
    assert max(map(cell_len, lines)) <= width - MARGIN
    for figure in NEEDED:
        assert any(figure in line for line in lines), figure


def test_what_matters_less_is_shown_where_there_is_room() -> None:
    assert "300 reused  18 repeated  81,123 tokens" in drawn(200)[0]
    assert "tokens" not in "".join(drawn(40))


def test_a_terminal_narrower_than_any_figure_is_no_reason_to_fail() -> None:
    assert len(drawn(3)) > 3


def test_the_bar_is_as_long_as_what_is_done() -> None:
    empty, full = (drawn(200, STANDING._replace(done=done))[0] for done in (0, 3591))
    assert full.startswith("100 % " + "━" * 60)
    assert drawn(200, STANDING._replace(done=0), colours=False)[0].startswith("  0 % " + " " * 60)
    assert empty.startswith("  0 % ")
    assert drawn(200, STANDING._replace(done=1796), ascii_only=True)[0].startswith(
        " 50 % " + "#" * 30 + "-" * 30
    )


def test_a_hundred_per_cent_are_said_only_when_all_rows_are_done() -> None:
    assert drawn(200, STANDING._replace(done=3590))[0].startswith(" 99 %")


def test_an_endpoint_that_is_away_and_a_stop_are_said_first() -> None:
    assert drawn(80, but(waiting=True))[0] == "endpoint away, waiting for it"
    assert drawn(80, but(waiting=True, stopping=True))[0] == "stopping; Ctrl-C again stops now"


def test_figures_stay_in_their_columns_when_a_number_gets_shorter() -> None:
    layout = Layout()
    before, after = (layout.lines(but(in_flight=count), 80)[1].plain for count in (100, 9))
    assert (before.index("in flight"), "  9 in flight" in after) == (after.index("in flight"), True)


def test_a_cost_that_is_not_known_is_not_said_to_be_nothing() -> None:
    assert "no price" in "".join(drawn(80, but(cost_usd=None)))
    assert "$0" in "".join(drawn(80, but(cost_usd=None, requests=0)))
