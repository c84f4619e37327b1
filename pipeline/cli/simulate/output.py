"""Print what a running simulator offers, and its totals when it stops."""

import asyncio
import errno
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict

import uvloop

from pipeline.cli.console import print_lines, print_result
from pipeline.cli.exit import NO_ROOM
from pipeline.config.simulate.faults import BatchFault, Fault
from pipeline.errors import CannotCreateError, DiskError, PipelineError
from pipeline.figures import limit
from pipeline.servers.simulator.process import Sums, serve
from pipeline.servers.simulator.settings import RetryAfter, SimulatorSettings

WAITS: Mapping[RetryAfter, str] = {
    "seconds": "Retry-After",
    "ms": "retry-after-ms",
    "both": "Retry-After and retry-after-ms",
    "none": "no time to wait",
}


def list_faults() -> int:
    """Print every fault and what it does, a line each."""
    width = max(map(len, Fault))
    for fault in Fault:
        sys.stdout.write(f"{fault:{width}}  {fault.description}\n")
    for trouble in BatchFault:
        sys.stdout.write(f"{trouble:{width}}  of a batch (--batch-fault): {trouble.description}\n")
    return 0


def serve_until_stopped(settings: SimulatorSettings) -> int:
    """Serve until Ctrl-C or SIGTERM; print how to use it first, and the totals at the end.

    Raises:
        CannotCreateError: If the port cannot be bound, or the log cannot be created.
        DiskError: If the log can no longer be written.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sums = runner.run(serve(settings, lambda url: print_lines(_greeting(settings, url))))
    except OSError as error:
        raise _refusal(settings, error) from error
    print_lines(_closing(settings, sums))
    print_result({"status": "done", **asdict(sums)})
    return 0


def _refusal(settings: SimulatorSettings, error: OSError) -> PipelineError:
    """Return the error for a port that cannot be bound or a log that cannot be written."""
    if error.filename is not None:
        if error.errno in NO_ROOM:
            return DiskError(f"--log: {error.filename}: {error.strerror}; make room or log to another disk")
        return CannotCreateError(f"--log: {error.filename}: {error.strerror}; choose another file")
    reason = (
        "is in use by another program" if error.errno == errno.EADDRINUSE else f"cannot be taken ({error})"
    )
    return CannotCreateError(f"--port: {settings.port} {reason}; choose another port, or 0 for a free one")


def _greeting(settings: SimulatorSettings, url: str) -> Iterator[str]:
    """Yield what the endpoint does, and the command that runs a job against it."""
    yield f"{url}: an OpenAI-compatible endpoint that only pretends; any API key is taken"
    yield "  replies   name a label that the request asks for, always the same one for the same text"
    yield f"  latency   {settings.latency} (seconds)" + (
        f", longer in proportion with more than {settings.capacity} in flight" if settings.capacity else ""
    )
    yield f"  limits    {_limits(settings)}"
    faults = [f"{name} in {limit(share)} of the requests" for name, share in settings.faults.items()]
    faults += [
        f"{refusal.status} to {limit(refusal.share)} whatever the load" for refusal in settings.refusals
    ]
    faults += [
        f"away ({away.kind}) for {away.seconds:g} s after {away.start:g} s" for away in settings.outages
    ]
    yield f"  faults    {', '.join(faults) or 'none'}"
    if settings.models:
        yield f"  models    {', '.join(settings.models)}"
    yield "Rehearse a job from another terminal; its output and ledger keep apart from the real ones:"
    yield f"  {_how_we_were_called()} run CONFIG --provider simulate --set model.base_url={url}"
    yield "Ctrl-C ends it and prints the sums."


def _limits(settings: SimulatorSettings) -> str:
    rates = settings.rates
    per_minute = {"requests": rates.requests_per_minute, "tokens": rates.tokens_per_minute}
    limits = [f"{limit:,g} {unit} a minute" for unit, limit in per_minute.items() if limit is not None]
    told = []
    if limits:
        hidden = " and not the limits" if rates.hidden else ""
        told.append(
            f"{', '.join(limits)}, enforced every {rates.window_seconds:g} s; a 429 tells {WAITS[rates.retry_after]}{hidden}"
        )
    if settings.in_flight is not None:
        told.append(f"{settings.in_flight.most:,} in flight, {settings.in_flight.status} to more")
    return "; ".join(told) or "none"


def _how_we_were_called() -> str:
    """Return the words before `simulate`, so that the printed line can be copied as it stands."""
    words = sys.orig_argv
    before = words[: words.index("simulate")] if "simulate" in words else []
    return shlex.join(before or ["python", "-m", "pipeline"])


def _closing(settings: SimulatorSettings, sums: Sums) -> Iterator[str]:
    """Yield the totals, for people."""
    if not sums.requests:
        yield "nobody asked anything"
        return
    yield f"{sums.requests:,} requests, {sums.chats:,} of them for completions; {sums.max_in_flight:,} at once at most"
    yield f"{sums.billed:,} billed: {sums.prompt_tokens:,} prompt and {sums.completion_tokens:,} completion tokens"
    if sums.withheld:
        yield f"not answered right: {_counts(sums)}"
    if sums.repeats is None:
        yield "too many different texts to count those that were billed more than once; --log keeps them all"
    else:
        yield f"{sums.repeats:,} texts billed more than once" + (
            " (--retry and a second job with the same texts do that too)" if sums.repeats else ""
        )
    if settings.log_path is not None:
        yield f"log: {settings.log_path}"


def _counts(sums: Sums) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sums.withheld.items())
