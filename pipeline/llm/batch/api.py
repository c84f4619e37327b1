"""OpenAI's files and batches, one method for each call; patient with an endpoint that is away, but never with `create`."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from pipeline.errors import ConfigError, ProviderUnavailableError
from pipeline.llm.batch.lines import URL
from pipeline.llm.health.endings import ending
from pipeline.llm.replies import RUN_WIDE, Failure, FailureKind
from pipeline.llm.retry import Backoff
from pipeline.llm.transport.bodies import Into, Upload
from pipeline.llm.transport.client import Client
from pipeline.system.clock import Clock

log = logging.getLogger(__name__)

PIECE = 1 << 20
TRANSFER_SECONDS = 60.0
SLOWEST = 100_000.0
"""Bytes a second: a transfer that is slower has stalled."""

DOWNLOAD_SECONDS = 3_600.0
LISTED = 100
NOT_FOUND = 404
HAS_ENDED = (400, NOT_FOUND, 409)
"""What a batch answers that is to be cancelled and cannot."""

PATIENCE = Backoff(1.0, 60.0)
MAY_PASS = frozenset(
    {FailureKind.TRANSIENT, FailureKind.UNREACHABLE, FailureKind.THROTTLED, FailureKind.GARBLED}
)

CLOCKS_DIFFER = 3_600.0
"""Seconds by which the provider's clock may be behind ours."""

CLIENT_ERRORS = range(400, 500)
MAYBE_DONE = frozenset({408, 409})
"""Of those, what an endpoint may answer that has yet done what it was asked for."""


class Batch(NamedTuple):
    """A batch as the provider tells it.

    Attributes:
        name: Its id.
        status: Its state, in small letters.
        intent: The name that it was handed in under; None if it is not ours.
        created_at: Unix time; 0 if that is not told.
        files: The ids of its output and its error file, as far as there are any.
        input: The id of the file that it was made of; None if that is not told.
        completed: Lines that were answered; None if that is not told.
        total: Lines; None if that is not told.
        errors: The code and the words of each error of the whole batch.
    """

    name: str
    status: str
    intent: str | None
    created_at: float
    files: tuple[str, ...]
    input: str | None
    completed: int | None
    total: int | None
    errors: tuple[tuple[str, str], ...]

    @property
    def has_ended(self) -> bool:
        """Whether it is in a state that it never leaves."""
        return self.status in {"completed", "failed", "expired", "cancelled"}


class BatchApi:
    """The batch side of one endpoint."""

    def __init__(self, client: Client, clock: Clock, max_outage: float) -> None:
        self._client, self._clock, self._max_outage = client, clock, max_outage

    async def upload(self, path: Path, size: int, name: str) -> str:
        """Upload the file at *path*, of *size* bytes, and return its id. To do so twice costs nothing."""
        mark = f"----{name}"
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{mark}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="{name}.jsonl"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        tail = f"\r\n--{mark}--\r\n".encode()
        size += len(head) + len(tail)

        def send() -> Awaitable[bytes | Failure]:
            return self._client.call(
                "POST", "files", Upload(size, _pieces(head, path, tail)),
                kind=f"multipart/form-data; boundary={mark}", seconds=TRANSFER_SECONDS + size / SLOWEST,
            )  # fmt: skip

        found = await self._patiently(send)
        if found is None or not isinstance(file := found.get("id"), str):
            raise ConfigError("the endpoint takes no files, so no batches; set model.lane: live")
        return file

    async def create(self, file: str, intent: str, run: str) -> Batch | Failure | None:
        """Make a batch of *file*, in one call that is never repeated; None if nobody knows whether it was made."""
        body = {
            "input_file_id": file,
            "endpoint": URL,
            "completion_window": "24h",
            "metadata": {"intent": intent, "run": run},
        }
        found = await self._client.call("POST", "batches", orjson.dumps(body))
        if isinstance(found, Failure):
            refused = found.status in CLIENT_ERRORS and found.status not in MAYBE_DONE
            return found if refused or found.kind is FailureKind.UNREACHABLE else None
        return _batch(_decoded(found))

    async def get(self, batch: str) -> Batch | None:
        """Return where a batch stands; None if the endpoint knows of none."""
        found = await self._patiently(lambda: self._client.call("GET", f"batches/{quote(batch, safe='')}"))
        return _batch(found or {})

    async def find(self, intent: str, since: float) -> Batch | None:
        """Return the batch that was handed in as *intent*, at Unix time *since* or later; None if there is none."""
        async for batch in self._newest():
            if batch.intent == intent:
                return batch
            if 0 < batch.created_at < since - CLOCKS_DIFFER:
                break
        return None

    async def cancel(self, batch: str) -> Batch | None:
        """Have a batch end as soon as may be; None if the endpoint knows of none, or it has ended."""
        path = f"batches/{quote(batch, safe='')}/cancel"
        return _batch(await self._patiently(lambda: self._client.call("POST", path), HAS_ENDED) or {})

    async def download(self, file: str, into: Into) -> bool | Failure:
        """Pass the content of a file on, in one try; returns False if there is no such file."""
        found = await self._client.call(
            "GET", f"files/{quote(file, safe='')}/content", into=into, seconds=DOWNLOAD_SECONDS
        )
        if isinstance(found, Failure):
            return False if found.status == NOT_FOUND else found
        return True

    async def has(self, file: str) -> bool:
        """Return whether the endpoint has a file."""
        path = f"files/{quote(file, safe='')}"
        return await self._patiently(lambda: self._client.call("GET", path)) is not None

    async def delete(self, file: str) -> None:
        """Remove a file that nobody needs any more, if the endpoint lets us; it costs storage and nothing else."""
        await self._client.call("DELETE", f"files/{quote(file, safe='')}")

    async def _newest(self) -> AsyncIterator[Batch]:
        """Yield all batches, the newest first."""
        after = ""
        while True:
            path = f"batches?limit={LISTED}{after}"
            page = await self._patiently(lambda path=path: self._client.call("GET", path)) or {}  # type: ignore[misc]
            data = page.get("data")
            batches = [each for each in map(_batch, data if isinstance(data, list) else ()) if each]
            for batch in batches:
                yield batch
            if not batches or not page.get("has_more"):
                return
            after = f"&after={quote(batches[-1].name, safe='')}"

    async def _patiently(
        self, send: Callable[[], Awaitable[bytes | Failure]], no: Container[int | None] = (NOT_FOUND,)
    ) -> Mapping[str, Any] | None:
        """Return the object that the endpoint answers, asking again while it is away; None for a status that is a *no*.

        Raises:
            PipelineError: If it refuses, or is away for longer than the config allows.
        """
        began, calls = self._clock.now(), 0
        while True:
            found = await send()
            if not isinstance(found, Failure):
                return _decoded(found)
            if found.status in no:
                return None
            calls += 1
            if found.kind is FailureKind.DENIED and calls == 1:
                self._client.refresh()  # the key may have been replaced
                continue
            self.ensure_may_pass(found, self._clock.now() - began)
            await self._clock.sleep(max(found.retry_after or 0.0, PATIENCE.after(calls, self._clock)))

    def ensure_may_pass(self, failure: Failure, seconds: float) -> None:
        """Check that *failure* may pass, which others like it have not done for *seconds*.

        Raises:
            PipelineError: If it may not.
        """
        if failure.kind in RUN_WIDE:
            raise ending(failure, succeeded=True)
        if failure.kind not in MAY_PASS:
            raise ConfigError(
                f"the endpoint refuses: {failure.message}; check model.base_url, or set model.lane: live"
            )
        if seconds > self._max_outage:
            raise ProviderUnavailableError(
                f"the endpoint was unavailable for more than limits.max_outage: {failure.message}; run again to continue"
            )
        log.warning("the endpoint does not answer: %s; asking again", failure.message)


def _pieces(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    yield tail


def _decoded(content: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _batch(found: Mapping[str, Any]) -> Batch | None:
    """Return the batch in an object of the API; None if it is none."""
    if not isinstance(name := found.get("id"), str) or not isinstance(status := found.get("status"), str):
        return None
    metadata, counts, errors = (found.get(each) or {} for each in ("metadata", "request_counts", "errors"))
    listed = errors.get("data") if isinstance(errors, dict) else errors
    told = [each for each in listed or () if isinstance(each, dict)]
    created = found.get("created_at")
    return Batch(
        name=name,
        status=status.lower(),  # Together writes it in capitals
        intent=metadata.get("intent"),
        created_at=float(created) if isinstance(created, int | float) else 0.0,
        files=tuple(filter(None, (found.get("output_file_id"), found.get("error_file_id")))),
        input=found.get("input_file_id") or None,
        completed=counts.get("completed"),
        total=counts.get("total"),
        errors=tuple((str(each.get("code") or ""), str(each.get("message") or "")) for each in told),
    )
