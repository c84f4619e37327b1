"""The state of a quota that processes on several machines share: a hash in Redis, whose clock is the only one that counts."""

import asyncio
import logging
import math
import time
from typing import Any
from urllib.parse import urldefrag, urlsplit

from pipeline.errors import ConfigError, InterruptedRunError
from pipeline.llm.pacing.shared.quota import FORGOTTEN_SECONDS, Lease

log = logging.getLogger(__name__)

SCHEMES = ("redis", "rediss", "unix")

LEASE_SECONDS = 0.05
"""What a process takes at once: a call over the network for each lease, and so much of the rate unused when it dies."""

REPLY_SECONDS = 5.0
AWAY_SECONDS = 60.0
"""How long Redis may be away, while nothing is sent, before the run ends."""

EXPIRE_SECONDS = 3_600
"""After how long without a lease Redis forgets the quota."""

HINT = "limits.shared: redis:// needs a package that is not installed: pip install 'nano-pipeline[redis]'"

LEASE = """
local function number(text) return tonumber(text or '') or 0 end
local clock = redis.call('TIME')
local now = number(clock[1]) + number(clock[2]) / 1000000
local field, amount, rate = ARGV[1], number(ARGV[2]), number(ARGV[3])
local found = redis.call('HMGET', KEYS[1], 'until' .. field, 'rate' .. field, 'said' .. field, 'pause')
local lowest, said = number(found[2]), number(found[3])
local known = lowest > 0 and said >= now - number(ARGV[5])
if not known or (rate > 0 and rate <= lowest) then
    lowest = rate
    if rate > 0 then redis.call('HSET', KEYS[1], 'rate' .. field, ARGV[3], 'said' .. field, string.format('%.6f', now)) end
end
local start, units, seconds = now, -1, number(ARGV[4])
if lowest > 0 then
    units = math.max(amount, math.floor(lowest * seconds))
    seconds = units / lowest
    start = math.max(now, number(found[1]))
    redis.call('HSET', KEYS[1], 'until' .. field, string.format('%.6f', start + seconds))
end
redis.call('EXPIRE', KEYS[1], math.ceil(start - now) + number(ARGV[6]))
local answer = {start - now, seconds, units, lowest, math.max(0, number(found[4]) - now)}
for place, value in ipairs(answer) do answer[place] = string.format('%.9f', value) end
return answer
"""
"""Grants a lease as the file does; a rate of 0 stands for none."""

PAUSE = """
local clock = redis.call('TIME')
local stop = tonumber(clock[1]) + tonumber(clock[2]) / 1000000 + tonumber(ARGV[1])
local now = tonumber(redis.call('HGET', KEYS[1], 'pause') or '0')
redis.call('HSET', KEYS[1], 'pause', string.format('%.6f', math.max(stop, now)))
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[1])) + tonumber(ARGV[2]))
return 0
"""


def is_redis(name: str) -> bool:
    """Return whether the *name* of a shared quota is the URL of a Redis."""
    return name.partition("://")[0] in SCHEMES and "://" in name


class RedisState:
    """The hash that the processes share, at a URL such as `redis://host:6379/0#name`."""

    def __init__(self, url: str) -> None:
        """Prepare to ask the Redis at *url*; nothing is sent before the first lease.

        Raises:
            ConfigError: If the package is not installed, or the URL is wrong.
        """
        try:
            from redis.asyncio import Redis  # noqa: PLC0415 - only who shares by Redis needs it
            from redis.exceptions import RedisError  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(HINT) from error
        address, name = urldefrag(url)
        self._host = urlsplit(address).hostname or "the socket"  # without the password
        try:
            self._redis: Redis = Redis.from_url(
                address,
                socket_timeout=REPLY_SECONDS,
                socket_connect_timeout=REPLY_SECONDS,
                decode_responses=True,
            )
        except ValueError as error:
            raise ConfigError(f"limits.shared: is no URL of a Redis: {error}") from error
        self._failures: tuple[type[Exception], ...] = (RedisError, OSError)
        self._key = f"pipeline:quota:{name or 'default'}"
        self._leases, self._pauses = self._redis.register_script(LEASE), self._redis.register_script(PAUSE)
        self._paused_until = 0.0
        self._telling: set[asyncio.Task[None]] = set()

    async def lease(self, field: int, amount: float, rate: float) -> Lease:
        """Lease *amount* units, or more, of a *rate* a second; where others use a lower one, of that.

        Raises:
            InterruptedRunError: If Redis is away for too long.
        """
        told = 0 if rate == math.inf else rate
        answer = await self._asked(
            self._leases, [field, amount, told, LEASE_SECONDS, FORGOTTEN_SECONDS, EXPIRE_SECONDS]
        )
        wait, seconds, units, lowest, paused = map(float, answer)
        self._paused_until = max(self._paused_until, time.monotonic() + paused)
        return Lease(wait, seconds, units if units >= 0 else math.inf, lowest or math.inf)

    async def _asked(self, script: Any, arguments: list[Any]) -> Any:
        """Return what *script* returns; while Redis is away nothing is sent."""
        deadline, told = time.monotonic() + AWAY_SECONDS, False
        while True:
            try:
                return await script(keys=[self._key], args=arguments)
            except self._failures as error:
                if time.monotonic() > deadline:
                    raise InterruptedRunError(
                        f"limits.shared: the Redis at {self._host} is away: {error}; run again to continue"
                    ) from error
                if not told:
                    log.warning(
                        "limits.shared: the Redis at %s is away, nothing is sent: %s", self._host, error
                    )
                told = True
                await asyncio.sleep(1)

    def pause(self, seconds: float) -> None:
        """Pause all processes for at least *seconds* from now; others hear of it with their next lease."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
        task = asyncio.get_running_loop().create_task(self._tell(seconds))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, seconds: float) -> None:
        try:
            await self._pauses(keys=[self._key], args=[seconds, EXPIRE_SECONDS])
        except self._failures as error:
            log.debug("limits.shared: others do not hear of a pause: %s", error)

    def pause_left(self) -> float:
        """Return for how many seconds all processes are to pause; 0 or less for none."""
        return self._paused_until - time.monotonic()

    async def close(self) -> None:
        """Close the connections."""
        for task in self._telling:
            task.cancel()
        await self._redis.aclose()
