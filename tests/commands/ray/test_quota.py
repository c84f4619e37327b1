"""The actor of a run on Ray, without Ray: who is granted what, and who is told that its slice is another's."""

import math
from itertools import pairwise
from pathlib import Path

from pipeline.commands.ray.quota import GO_ON, OVER, STOP, Grant, Quota
from pipeline.llm.pacing.shared.quota import REQUESTS
from pipeline.telemetry.pace import Progress


async def test_grants_follow_each_other_and_never_overlap(tmp_path: Path) -> None:
    quota, name = Quota(2), str(tmp_path / "quota")
    terms = [await quota.begin(0), await quota.begin(1)]
    grants: list[Grant] = [
        (await quota.lease(terms[number % 2], name, REQUESTS, 1, 1_000)).answer for number in range(10)
    ]
    for before, after in pairwise(grants):
        assert after.start >= before.end - 1e-4  # two readings of the clock
        assert after.units == round(1_000 * (after.end - after.start))


async def test_whoever_has_had_the_slice_is_granted_nothing_and_told_so(tmp_path: Path) -> None:
    quota, name = Quota(1), str(tmp_path / "quota")
    old = await quota.begin(0)
    new = await quota.begin(0)
    assert (await quota.lease(old, name, REQUESTS, 1, 1_000))[1:] == (OVER, None)
    assert (await quota.beat(old, Progress(requests=99), ())).order == OVER
    ((heard,), _) = await quota.look()
    assert (heard.epoch, heard.silent, heard.total.requests) == (new.epoch, math.inf, 0)
    assert (await quota.beat(new, Progress(requests=1), ())).order == GO_ON
    ((heard,), _) = await quota.look()
    assert heard.silent < math.inf


async def test_what_lost_workers_have_done_counts_and_where_the_slice_stands_is_said_by_the_last() -> None:
    quota = Quota(1)
    await quota.beat(await quota.begin(0), Progress(requests=10, done=8), ())
    await quota.beat(await quota.begin(0), Progress(requests=3, done=9), ())
    ((heard,), _) = await quota.look()
    assert (heard.total.requests, heard.total.done, heard.now.requests) == (13, 9, 3)


async def test_an_order_comes_with_every_reply(tmp_path: Path) -> None:
    quota = Quota(1)
    term = await quota.begin(0)
    await quota.order(STOP)
    assert (await quota.beat(term, Progress(), ())).order == STOP
    assert (await quota.lease(term, str(tmp_path / "quota"), REQUESTS, 1, 10)).order == STOP
