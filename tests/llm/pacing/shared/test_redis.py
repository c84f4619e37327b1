"""A quota in Redis is that of all machines which name it; what the file promises, it promises too."""

import asyncio
import math
import sys

import pytest

from pipeline.errors import ConfigError, InterruptedRunError
from pipeline.llm.pacing.shared import redis
from pipeline.llm.pacing.shared.quota import REQUESTS, TOKENS, SharedPause
from pipeline.llm.pacing.shared.redis import RedisState, is_redis
from pipeline.system.clock import Clock
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, texts


async def test_leases_of_several_processes_follow_one_another(redis_url: str) -> None:
    one, other = RedisState(redis_url), RedisState(redis_url)
    first = await one.lease(REQUESTS, 100, 100)
    second = await other.lease(REQUESTS, 50, 100)
    third = await one.lease(TOKENS, 1, 100)
    assert (first.wait, first.units, first.seconds) == (0, 100, 1)
    assert 0.5 < second.wait <= 1
    assert (third.wait, third.units) == (0, 5)  # of another rate, and as much as a lease is
    await one.close()
    await other.close()


async def test_the_lowest_rate_holds_for_all_also_for_who_has_none(redis_url: str) -> None:
    one, other = RedisState(redis_url), RedisState(redis_url)
    assert (await one.lease(REQUESTS, 1, math.inf)).units == math.inf
    assert (await one.lease(REQUESTS, 1, 20)).rate == 20
    assert (await other.lease(REQUESTS, 1, 10)).rate == 10
    assert (await one.lease(REQUESTS, 1, 20)).rate == 10
    assert (await one.lease(REQUESTS, 1, math.inf)).rate == 10
    await one.close()
    await other.close()


async def test_a_rate_that_nobody_uses_any_more_is_forgotten(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = RedisState(redis_url)
    await state.lease(REQUESTS, 1, 10)
    monkeypatch.setattr(redis, "FORGOTTEN_SECONDS", 0.1)
    await asyncio.sleep(0.2)
    assert (await state.lease(REQUESTS, 1, 20)).rate == 20
    await state.close()


async def test_others_hear_of_a_pause_with_their_next_lease(redis_url: str) -> None:
    one, other = RedisState(redis_url), RedisState(redis_url)
    pause = SharedPause(one, Clock())
    pause.extend(60)
    pause.extend(1)
    while other.pause_left() <= 1:  # whichever of the two comes first
        await other.lease(REQUESTS, 1, 1_000)
    assert 58 < other.pause_left() <= 60
    await other.lease(REQUESTS, 1, 1_000)
    assert other.pause_left() > 58  # nor is it shortened afterwards
    await one.close()
    await other.close()


async def test_while_redis_is_away_nothing_is_granted_and_after_long_the_run_ends(
    redis_port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis, "AWAY_SECONDS", 1.5)
    pytest.importorskip("redis")
    state = RedisState(f"redis://user:canary-password@127.0.0.1:{redis_port}/0")
    with pytest.raises(InterruptedRunError, match="is away"):
        await state.lease(REQUESTS, 1, 10)
    assert "nothing is sent" in caplog.text
    assert "canary-password" not in caplog.text
    await state.close()


def test_without_the_package_the_sentence_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"nano-pipeline\[redis\]"):
        RedisState("redis://host/0#acme")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme", False),
        ("/run/quota", False),
        ("redis://h/0#a", True),
        ("rediss://h", True),
        ("unix:///s", True),
    ],
)
def test_what_is_a_redis_is_told_by_its_scheme(name: str, *, expected: bool) -> None:
    assert is_redis(name) is expected


def test_runs_share_a_quota_by_redis(job: JobFiles, server: FaultServer, redis_url: str) -> None:
    job.table(texts(60))
    job.set(limits={"requests_per_minute": 60_000, "shared": redis_url})
    assert job.run().returncode == 0
    assert len(server.entries) >= 60
