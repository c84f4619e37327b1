"""Files and batches without sockets: they are kept in memory, and a batch moves on whenever somebody looks at it."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from pipeline.config.simulate.faults import BatchFault
from pipeline.servers.simulator.batches.batch import MOST_BYTES, Batch, Line, queue_full, read_lines
from pipeline.servers.simulator.response import NoReply, Response, refuse
from pipeline.servers.simulator.service import Service
from pipeline.servers.simulator.settings import SimulatorSettings

CHAT = "/v1/chat/completions"
SUCCESS = 200
MOST_LISTED = 100
LISTED = 20
"""Batches in one page of the list, at most and unless asked otherwise."""

Answered = Response | NoReply


@dataclass(slots=True)
class File:
    """A file: its name, what it is for, its content, and how often its download is still to be cut."""

    name: str
    purpose: str
    content: bytes
    created: int
    cuts: int = 0


class Batches:
    """The files and the batches of one simulator.

    Attributes:
        planned: What goes wrong with the next batches, one by one; after these, what the shares say.
    """

    def __init__(
        self, service: Service, settings: SimulatorSettings, wall: Callable[[], float] = time.time
    ) -> None:
        self._service, self._settings, self._wall = service, settings, wall
        self._dice = Random(settings.seed)  # noqa: S311 - repeatable, not secret
        self._files: dict[str, File] = {}
        self._batches: dict[str, Batch] = {}
        self.planned: deque[BatchFault | None] = deque()

    def upload(self, name: str, purpose: str, content: bytes) -> Answered:
        """Keep a file."""
        if purpose != "batch":
            return refuse(400, f"purpose must be batch, and is {purpose!r}")
        if len(content) > MOST_BYTES:
            return refuse(413, f"The file has more than {MOST_BYTES} bytes.")
        return _json(self._shown(self._add(name, "batch", content)))

    def files(self) -> Answered:
        """List the files, the newest first."""
        data = [self._shown(each) for each in reversed(self._files)]
        return _json({"object": "list", "data": data, "has_more": False})

    def file(self, file: str) -> Answered:
        """Show the facts about a file."""
        return _json(self._shown(file)) if file in self._files else _no("file", file)

    def content(self, file: str) -> tuple[Answered, int]:
        """Return a file's content, and how many of its bytes are sent before the connection breaks; 0 for all."""
        found = self._files.get(file)
        if found is None:
            return _no("file", file), 0
        sent, half = found.content, len(found.content) * 2 // 3
        found.cuts = max(0, found.cuts - 1)
        if found.cuts == 1:  # the next one looks whole, and is not
            sent, half = sent[:half], 0
        return Response(200, sent, (("Content-Type", "application/octet-stream"),), delay=0), (
            half if found.cuts else 0
        )

    def delete(self, file: str) -> Answered:
        """Remove a file."""
        if self._files.pop(file, None) is None:
            return _no("file", file)
        return _json({"id": file, "object": "file", "deleted": True})

    def create(self, body: bytes) -> Answered:
        """Make a batch of a file."""
        try:
            found = orjson.loads(body)
            file, endpoint, metadata = found["input_file_id"], found["endpoint"], found.get("metadata")
        except (ValueError, KeyError, TypeError):
            return refuse(400, "input_file_id, endpoint and completion_window are needed")
        if found.get("completion_window") != "24h" or endpoint != CHAT:
            return refuse(400, f"completion_window must be 24h, and endpoint {CHAT}")
        if file not in self._files:
            return _no("file", str(file))
        lines, errors = read_lines(self._files[file].content, endpoint)
        batch = Batch(
            name=f"batch_{len(self._batches) + 1:08x}", input_file=file, endpoint=endpoint, metadata=metadata,
            created=int(self._wall()), lines=lines, fault=self._drawn(), errors=errors,
        )  # fmt: skip
        if batch.fault is BatchFault.QUEUE_FULL and not errors:
            batch.errors = [queue_full()]
        self._batches[batch.name] = batch
        if batch.fault is BatchFault.LOST_REPLY:
            return NoReply(hangs=False, delay=0)
        return _json(batch.as_dict())

    def batch(self, name: str) -> Answered:
        """Show where a batch stands."""
        batch = self._batches.get(name)
        if batch is None or batch.fault is BatchFault.GONE:
            return _no("batch", name)
        self._advance(batch)
        return _json(batch.as_dict())

    def batches(self, query: Mapping[str, str]) -> Answered:
        """List the batches, the newest first; *query* may say after which one, and how many."""
        there = [each for each in reversed(self._batches.values()) if each.fault is not BatchFault.GONE]
        names = [each.name for each in there]
        first = names.index(query["after"]) + 1 if query.get("after") in names else 0
        most = max(1, min(MOST_LISTED, int(query.get("limit") or LISTED)))
        page = there[first : first + most]
        for each in page:
            self._advance(each)
        return _json(
            {
                "object": "list",
                "data": [each.as_dict() for each in page],
                "first_id": page[0].name if page else None,
                "last_id": page[-1].name if page else None,
                "has_more": first + most < len(there),
            }
        )

    def cancel(self, name: str) -> Answered:
        """Cancel a batch; what it has answered by then stays."""
        batch = self._batches.get(name)
        if batch is None or batch.fault is BatchFault.GONE:
            return _no("batch", name)
        self._advance(batch)
        if batch.has_ended:
            return refuse(409, f"Cannot cancel a batch with status '{batch.status}'.")
        share = min(1.0, (self._wall() - batch.created) / max(self._settings.batch_seconds, 1e-9))
        batch.move("cancelling", self._wall())
        shown = batch.as_dict()
        self._end(batch, "cancelled", int(share * len(batch.lines)))
        return _json(shown)

    def _drawn(self) -> BatchFault | None:
        if self.planned:
            return self.planned.popleft()
        at = self._dice.random()
        for name, share in self._settings.batch_faults.items():
            at -= share
            if at < 0:
                return BatchFault[name.upper()]
        return None

    def _advance(self, batch: Batch) -> None:
        """Move *batch* to where it stands by now."""
        if batch.has_ended:
            return
        now = self._wall()
        if batch.errors:
            batch.move("failed", now)
        elif now - batch.created >= self._settings.batch_seconds:
            if batch.fault is BatchFault.EXPIRED:
                self._end(batch, "expired", len(batch.lines) // 2)
            else:
                self._end(batch, "completed", len(batch.lines))
        elif batch.status == "validating":
            batch.move("in_progress", now)

    def _end(self, batch: Batch, status: str, count: int) -> None:
        """Answer the first *count* lines of *batch*, and end it as *status*."""
        good: list[bytes] = []
        bad: list[bytes] = []
        for number, line in enumerate(batch.lines[:count]):
            sent = self._service.line(line.body, refused=batch.fault is BatchFault.ALL_REFUSED)
            if not (batch.fault is BatchFault.MISSING and number == 0):
                (good if sent.status == SUCCESS else bad).append(_result(batch, number, line, sent))
        for number, line in enumerate(batch.lines[count:], start=count):
            bad.append(_unasked(batch, number, line, f"batch_{status}"))
        batch.completed, batch.failed = len(good), len(bad)
        if batch.fault is BatchFault.SHUFFLED:
            self._dice.shuffle(good)
        elif batch.fault is BatchFault.DUPLICATED:
            good += good[:1]
        none = "" if batch.fault is BatchFault.EMPTY_IDS else None
        batch.output_file = self._results(batch, "output", good) if good else none
        batch.error_file = self._results(batch, "error", bad) if bad else none
        batch.move(status, self._wall())

    def _results(self, batch: Batch, what: str, lines: Sequence[bytes]) -> str:
        name = self._add(f"{batch.name}_{what}.jsonl", "batch_output", b"".join(lines))
        if batch.fault is BatchFault.CUT_DOWNLOAD:
            self._files[name].cuts = 3
        return name

    def _add(self, name: str, purpose: str, content: bytes) -> str:
        file = f"file-{len(self._files) + 1:08x}{self._dice.randrange(1 << 32):08x}"
        self._files[file] = File(name, purpose, content, int(self._wall()))
        return file

    def _shown(self, file: str) -> dict[str, Any]:
        found = self._files[file]
        return {
            "id": file,
            "object": "file",
            "bytes": len(found.content),
            "created_at": found.created,
            "filename": found.name,
            "purpose": found.purpose,
            "status": "processed",
        }


def _result(batch: Batch, number: int, line: Line, sent: Response) -> bytes:
    body = orjson.loads(sent.body) if sent.body.startswith(b"{") else None
    response = {"status_code": sent.status, "request_id": f"req_{batch.name}_{number}", "body": body}
    return _line(batch, number, line, response, None)


def _unasked(batch: Batch, number: int, line: Line, code: str) -> bytes:
    message = "This request could not be executed before the batch ended."
    return _line(batch, number, line, None, {"code": code, "message": message})


def _line(batch: Batch, number: int, line: Line, response: object, error: object) -> bytes:
    name = f"batch_req_{batch.name}_{number}"
    shown = {"id": name, "custom_id": line.custom_id, "response": response, "error": error}
    return orjson.dumps(shown) + b"\n"


def _json(found: object) -> Response:
    return Response(200, orjson.dumps(found), delay=0)


def _no(what: str, name: str) -> Response:
    return refuse(404, f"No such {what}: {name}", code="not_found")
