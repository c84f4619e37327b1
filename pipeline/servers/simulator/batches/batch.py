"""A batch on the simulator: what it was made of, and where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from pipeline.config.simulate.faults import BatchFault

MOST_LINES = 50_000
MOST_BYTES = 200_000_000
"""OpenAI's limits of one batch."""

WINDOW_SECONDS = 86_400

RUNNING = ("validating", "in_progress", "finalizing", "cancelling")
"""The states of a batch that has not ended."""


class Line(NamedTuple):
    """A request in a batch: the name that its client gave it, and the body."""

    custom_id: str
    body: bytes


@dataclass(slots=True, kw_only=True)
class Batch:
    """One batch.

    Attributes:
        name: Its id.
        input_file: The id of the file that it was made of.
        endpoint: What its lines ask.
        metadata: What the client wrote on it.
        created: Unix time.
        lines: Its requests; empty if the file is not valid.
        fault: What goes wrong with it.
        errors: Why it failed.
        status: Where it stands.
        output_file: The id of the file with the replies; None or empty if there is none.
        error_file: Likewise of the refused lines.
        completed: Lines that were answered.
        failed: Lines that were refused.
        moments: When it got into which state: `completed_at`, `failed_at`, ...
    """

    name: str
    input_file: str
    endpoint: str
    metadata: Mapping[str, str] | None
    created: int
    lines: list[Line]
    fault: BatchFault | None
    errors: list[dict[str, Any]]
    status: str = "validating"
    output_file: str | None = None
    error_file: str | None = None
    completed: int = 0
    failed: int = 0
    moments: dict[str, int] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.status not in RUNNING

    def move(self, status: str, now: float) -> None:
        """Take the state *status* at Unix time *now*."""
        self.status = status
        self.moments[f"{status}_at"] = int(now)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        names = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        return {
            "id": self.name,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": self.errors} if self.status == "failed" else None,
            "input_file_id": self.input_file,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": self.created,
            "expires_at": self.created + WINDOW_SECONDS,
            **{f"{name}_at": self.moments.get(f"{name}_at") for name in names},
            "request_counts": {"total": len(self.lines), "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
        }


def read_lines(content: bytes, endpoint: str) -> tuple[list[Line], list[dict[str, Any]]]:
    """Return the requests in a file, and what is wrong with it; if anything is, no request counts."""
    found: dict[str, Line] = {}
    errors: list[dict[str, Any]] = []
    models: set[object] = set()
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            line = orjson.loads(text)
            name, body = line["custom_id"], line["body"]
            models.add(body["model"])
            wrong = _wrong(line, name, found, endpoint)
        except (ValueError, KeyError, TypeError):
            errors.append(_error("invalid_json_line", "This line is not parseable as a request.", number))
            continue
        if wrong:
            errors.append(_error(*wrong, number))
            continue
        found[name] = Line(name, orjson.dumps(body))
    if not content.strip():
        errors.append(_error("empty_file", "The input file is empty.", None))
    if len(found) > MOST_LINES:
        errors.append(_error("too_many_requests", f"More than {MOST_LINES} requests.", None))
    if len(models) > 1:
        errors.append(_error("mismatched_model", "All requests must be of one model.", None))
    return ([] if errors else list(found.values())), errors


def _wrong(
    line: Mapping[str, Any], name: object, found: Mapping[str, Line], endpoint: str
) -> tuple[str, str] | None:
    """Return the code and the message of what is wrong with one line; None if nothing is."""
    if not isinstance(name, str) or not name:
        return "missing_required_parameter", "custom_id must be a text."
    if name in found:
        return "duplicate_custom_id", f"The custom_id {name!r} occurs twice."
    if line.get("method") != "POST":
        return "invalid_method", "The method must be POST."
    if line.get("url") != endpoint:
        return "invalid_url", f"The url must be {endpoint}."
    return None


def queue_full() -> dict[str, Any]:
    """Return the error of a batch that finds no room among those that wait."""
    message = (
        "Enqueued token limit reached. Please try again once some in_progress batches have been completed."
    )
    return _error("token_limit_exceeded", message, None)


def _error(code: str, message: str, line: int | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}
