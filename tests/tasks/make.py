"""Tasks and answers, made in one line each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from pipeline.config import Config, TaskSettings
from pipeline.records import Answer
from pipeline.tasks.parse import Parser
from tests.jobs import JobFiles

LABELS = ("games", "sound", "sound::midi", "label")


def settings(kind: str = "single", labels: Sequence[str] = LABELS, **more: Any) -> TaskSettings:
    """A task that chooses from *labels*."""
    return TaskSettings.model_validate(
        {"kind": kind, "instructions": "Choose.", "text": "{text}", "labels": list(labels), **more}
    )


def parser(kind: str = "single", labels: Sequence[str] = LABELS, **more: Any) -> Parser:
    """The parser of a task that chooses from *labels*."""
    return Parser(settings(kind, labels, **more))


def config(folder: Path, **sections: Any) -> Config:
    """A whole config, with some keys of some sections replaced."""
    return JobFiles(folder, "http://127.0.0.1:9/v1").set(**sections).config()


def answer(text: str | None, tokens: Sequence[tuple[str, float]] | None = None, **more: Any) -> Answer:
    """An answer that says *text*; *tokens* are its tokens with the natural logs of their probabilities."""
    told: dict[str, Any] = {
        "key": bytes(16),
        "run": "run",
        "text": text,
        "finish": "stop",
        "status": None,
        "error": None,
        "logprobs": None if tokens is None else orjson.dumps(tokens).decode(),
        "prompt_tokens": 10,
        "cached_tokens": 0,
        "completion_tokens": 2,
        "cost_usd": None,
        "model": "m",
        "request_id": "r",
        "attempts": 1,
        "asks": 1,
        "at": 0.0,
    }
    return Answer(**{**told, **more})
