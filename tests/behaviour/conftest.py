"""What all tests of whole jobs have in common."""

import pytest


@pytest.fixture(autouse=True)
def same_coins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the coins of an audit fall the same way in each run: a bound that holds in 95 of 100 fails in five."""
    monkeypatch.setattr("pipeline.student.coin.urandom", bytes)
