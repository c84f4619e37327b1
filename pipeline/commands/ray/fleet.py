"""The workers of a run on a cluster: one for each slice, and another for one that is lost, elsewhere."""

import asyncio
import logging
import math
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipeline.commands.ray.cluster import here, ray
from pipeline.commands.ray.quota import STOP, STOP_NOW, Heard, Quota, Term
from pipeline.commands.ray.right import TAKEN_OVER_SECONDS
from pipeline.commands.ray.takeover import take_over
from pipeline.commands.ray.worker import SliceWorker
from pipeline.config import Config
from pipeline.config.slices import Slice
from pipeline.engine.worker import RESTARTS, End, joined
from pipeline.engine.workers import GRACE_SECONDS
from pipeline.errors import InterruptedRunError
from pipeline.job.job import Job
from pipeline.job.options import RunOptions
from pipeline.system.shutdown import Stop
from pipeline.telemetry.pace import Progress

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25

PATIENCE_SECONDS = 30.0
"""How long a worker may take to start before it is said that the cluster has no room for it."""


class Fleet:
    """The workers of a run."""

    def __init__(self, job: Job, config: Config, slices: int, stop: Stop) -> None:
        """Prepare to have the keys of *job* answered in so many *slices*; *config* is that of the workers."""
        self._job, self._config, self._stop = job, config, stop
        self._parts = [Slice(index, slices) for index in range(slices)]
        self._mark, self._name = job.workspace.folder / "owner", job.workspace.owner()
        self._identity = replace(job, members=()).identity
        self._quota: Any = ray.remote(Quota).options(num_cpus=0, scheduling_strategy=here()).remote(slices)
        self._heard = [Heard(0, math.inf, Progress(), Progress())] * slices
        self._said = set[str]()
        self._ending = False

    async def answer(self) -> None:
        """Have all slices answered; returns once they are.

        Raises:
            PipelineError: The reason of a stop, or the first error of a worker; the others have been stopped.
        """
        looking = asyncio.create_task(self._look())
        tasks = [asyncio.create_task(self._slice(part)) for part in self._parts]
        answering = asyncio.create_task(asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION))
        stopping = asyncio.create_task(self._stop.requested.wait())
        try:
            await asyncio.wait({answering, looking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in (looking, *tasks) if task.done() and task.exception() is not None]
        finally:
            await self._end([task for task in tasks if not task.done()])
            for task in (answering, stopping, looking):
                task.cancel()
            await asyncio.gather(answering, stopping, looking, *tasks, return_exceptions=True)
            with suppress(InterruptedRunError):
                await self._hear()  # their last words
        if self._stop.reason is not None:
            raise self._stop.reason
        for task in failed:  # what the others end with is that they were stopped
            task.result()

    async def _end(self, working: "Collection[asyncio.Task[None]]") -> None:
        """Stop those that still work, and wait for them; at once if the stop becomes urgent."""
        self._ending = True
        urgent = asyncio.create_task(self._stop.urgent.wait())
        steps = ((STOP, self._job.config.limits.drain + GRACE_SECONDS), (STOP_NOW, GRACE_SECONDS))
        for order, patience in steps if working else ():
            try:
                await self._quota.order.remote(order)
            except ray.exceptions.RayError:
                break
            ended = asyncio.create_task(asyncio.wait(working))
            await asyncio.wait({ended, urgent}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                break
            if urgent.done():
                urgent = asyncio.create_task(asyncio.Event().wait())
        urgent.cancel()
        for task in working:
            task.cancel()  # which ends its worker

    async def _look(self) -> None:
        """Hear what the workers have to say, without end.

        Raises:
            InterruptedRunError: If the actor that hears them is gone.
        """
        while True:
            await self._hear()
            await asyncio.sleep(LOOK_SECONDS)

    async def _hear(self) -> None:
        self._heard, lines = await _said_by_quota(self._quota.look.remote())
        for line in lines:
            if line.text not in self._said:  # what one has said the others need not say again
                self._said.add(line.text)
                logging.getLogger(line.name).log(line.level, "%s", line.text)

    async def _slice(self, part: Slice) -> None:
        """Have a slice answered, by as many workers as it takes.

        Raises:
            PipelineError: If one fails; or if they are lost again and again.
        """
        losses, end, how = 0, None, ""
        while end is None:
            if losses > RESTARTS or (losses and self._ending):
                raise InterruptedRunError(
                    f"slice {part.index}: its worker was lost {losses} times: {how}; run again to continue"
                )
            if losses:
                log.warning("slice %d: its worker is lost, and another is started: %s", part.index, how)
            term: Term = await _said_by_quota(self._quota.begin.remote(part.index))
            end, how = await self._term(term, part)
            losses = 1 if self._heard[part.index].now.requests else losses + 1
        if end.kind is not None:
            raise end.kind(*end.problems)

    async def _term(self, term: Term, part: Slice) -> tuple[End | None, str]:
        """Return how the worker of a *term* has ended; or None, and how it was lost."""
        options = RunOptions(retry=self._job.options.retry, slice=part)
        level = logging.getLogger("pipeline").getEffectiveLevel()
        worker = (
            ray.remote(SliceWorker)
            .options(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")
            .remote(self._config, options, term, self._quota, level)
        )
        work = asyncio.ensure_future(_of(worker.work.remote(self._mark, self._name, self._identity)))
        silence = asyncio.create_task(self._silent(term))
        try:
            await asyncio.wait({work, silence}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and work.exception() is None:
                return work.result(), "its run was not heard of for a while"
            how = _first_line(work.exception()) if work.done() else "nothing is heard of it"
            await self._silent(term, also_unheard=True)
        finally:
            silence.cancel()
            work.cancel()
            ray.kill(worker)
        await asyncio.to_thread(take_over, self._config, part)
        return None, how

    async def _silent(self, term: Term, *, also_unheard: bool = False) -> None:
        """Wait until the worker of a *term*, of which something was heard once, can send nothing more."""
        waited = 0.0
        while True:
            heard = self._heard[term.number]
            if heard.epoch == term.epoch and heard.silent > TAKEN_OVER_SECONDS:
                if heard.silent < math.inf or also_unheard:
                    return
                if waited <= PATIENCE_SECONDS < (waited := waited + LOOK_SECONDS):
                    log.warning("slice %d: waits for a node with a free CPU", term.number)
            await asyncio.sleep(LOOK_SECONDS)

    def progress(self) -> Progress:
        """Return where the run stands."""
        own = Progress(rows=self._job.source.rows, stopping=self._stop.requested.is_set())
        return joined(own, [heard.total for heard in self._heard])


async def _said_by_quota(reference: Any) -> Any:
    """Return what the actor of the quota says; whoever asks it first finds out that it is gone.

    Raises:
        InterruptedRunError: If it is.
    """
    try:
        return await reference
    except ray.exceptions.RayError as error:
        raise InterruptedRunError(
            f"the quota of the run is lost: {_first_line(error)}; run again to continue"
        ) from error


async def _of(reference: Any) -> End | None:
    found: End | None = await reference
    return found


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0]
