"""Those who watch a run: log lines, a bar, both, or nothing."""

import asyncio
import logging
import re
from collections.abc import Iterator
from contextlib import asynccontextmanager

import pytest

from pipeline.telemetry.progress import BAR_SECONDS, Bar, Log, Look, Progress, Silent, Tee

HALF = Progress(
    rows=2000, done=1000, failed=1, reused=300, in_flight=8, tokens=12345, cost_usd=0.5, waiting=True
)
DONE = Progress(rows=2000, done=2000)


@pytest.fixture
def look() -> Look:
    """A look at a run that is half done at first, and done from then on."""
    seen: Iterator[Progress] = iter([HALF])
    return lambda: next(seen, DONE)


def test_facts_name_a_cost_and_an_outage_only_if_there_is_one() -> None:
    assert HALF.facts() == {
        "reused": "300",
        "in flight": "8",
        "tokens": "12,345",
        "cost": "$0.5000",
        "endpoint": "away",
    }
    assert set(DONE.facts()) == {"reused", "in flight", "tokens"}


async def test_the_log_has_a_line_at_the_end(look: Look, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pipeline"):
        async with Log().watching(look):
            assert caplog.messages == []
    told = "0 reused, 0 in flight, 0 tokens"
    assert caplog.messages == [
        f"2,000 of 2,000 rows done (100 %), 0 failed, no pace yet; since this start: {told}"
    ]


async def test_a_bar_ends_with_all_rows(look: Look, capsys: pytest.CaptureFixture[str]) -> None:
    async with Bar().watching(look):
        pass
    assert re.search(r"100 %.* 2000/2000 ", capsys.readouterr().err)


async def test_a_bar_never_runs_backwards(capsys: pytest.CaptureFixture[str]) -> None:
    seen = iter([HALF, HALF])
    last = Progress(rows=2000, done=900)
    async with Bar().watching(lambda: next(seen, last)):
        await asyncio.sleep(3 * BAR_SECONDS)
    drawn = capsys.readouterr().err
    assert "1000/2000" in drawn
    assert "900/2000" not in drawn


class Ended:
    """A watcher that notes the progress at the end."""

    def __init__(self) -> None:
        self.done: list[int] = []

    @asynccontextmanager
    async def watching(self, look: Look):
        yield
        self.done.append(look().done)


async def test_two_can_watch_at_once(look: Look) -> None:
    one, other = Ended(), Ended()
    async with Tee(one, Tee(other, Silent())).watching(look):
        assert (one.done, other.done) == ([], [])
    assert (other.done, one.done) == ([1000], [2000])
