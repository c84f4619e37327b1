"""When work ends, and what would have it end in time: only what is true is suggested."""

import pytest

from pipeline.engine.finish.remedies import Load, Outlook, Speed, wider

HOUR = 3_600.0


def at_width(width: int) -> Load:
    return Load(60_000 / width, 60_000 * (100 + 300 / width))


def test_the_limit_that_binds_is_raised_as_far_as_is_needed() -> None:
    speed = Speed(500, None, 64, 0.5)
    load = Load(60_000, 0)
    assert speed.longest(load) == 2 * HOUR
    assert list(speed.raised(load, 1.5 * HOUR)) == ["limits.requests_per_minute: 680"]


@pytest.mark.parametrize(
    ("speed", "load", "left"),
    [
        (Speed(500, 100_000, 64, 0.5), Load(60_000, 18e6), 1.5 * HOUR),
        (Speed(500, None, 2, 0.5), Load(60_000, 0), 1.5 * HOUR),
    ],
)
def test_a_limit_is_not_raised_where_another_one_would_come_too_late_as_well(
    speed: Speed, load: Load, left: float
) -> None:
    assert list(speed.raised(load, left)) == []


def test_what_is_suggested_makes_it_and_one_less_would_not() -> None:
    for left in (600.0, HOUR, 5_000.0, 1.9 * HOUR):
        load = Load(60_000, 24e6)
        for speed in (Speed(500, None, 64, 0.2), Speed(None, 200_000, 64, 0.2), Speed(None, None, 2, 0.5)):
            for told in speed.raised(load, left):
                name, value = told.removeprefix("limits.").split(": ")
                raised = {
                    "requests_per_minute": speed.requests_per_minute,
                    "tokens_per_minute": speed.tokens_per_minute,
                }
                assert (
                    Speed(
                        **{
                            **raised,
                            "max_concurrency": speed.max_concurrency,
                            "latency": speed.latency,
                            name: int(value),
                        }
                    ).longest(load)
                    <= left
                )


def test_as_few_rows_in_a_request_as_make_it_are_suggested_and_none_where_tokens_bind() -> None:
    speed = Speed(500, None, 64, 0.5)
    assert list(wider(1, at_width, speed, 0.9 * HOUR)) == ["model.rows_per_request: 5"]
    assert list(wider(1, at_width, Speed(500, 20_000, 64, 0.5), 0.9 * HOUR)) == []


def test_an_outlook_is_a_sentence_with_its_remedies() -> None:
    def clock(at: float) -> str:
        return f"{at:.0f}"

    late = Outlook(100.0, 6_100.0, "at 480 requests a minute", ("a: 1", "b: 2"))
    assert late.told(clock) == (
        "limits.finish_by: at 480 requests a minute it ends at 6100, 1 h 40 min after 100; a: 1 or b: 2 would make it"
    )
    assert not late.makes_it
    assert "no single setting would make it" in Outlook(100.0, 6_100.0, "", ()).told(clock)
    assert "it ends at 90, before 100" in Outlook(100.0, 90.0, "", ()).told(clock)
