"""A job: a checked config with its surveyed input, its options and its output; and its identity."""

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, replace
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from pipeline.config import Config
from pipeline.inputs.source import Source
from pipeline.job.options import RunOptions
from pipeline.job.workspace import RunRecord, Workspace
from pipeline.outputs.columns import output_names
from pipeline.outputs.writers.formats import DELTA, PARQUET
from pipeline.system.places import Place
from pipeline.tasks.calibration import Calibration
from pipeline.tasks.prompt import Task

FORMAT = 1
"""Version of the output's columns; part of the identity, so that a new version makes a new output."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that is known before the first row is read.

    Attributes:
        config: The config, naming the model that will answer.
        options: What this run does differently.
        source: The surveyed input.
        task: The task.
        output: Path of the output.
        workspace: The output's folder in the state directory.
        remarks: What of the input the output cannot keep: sentences.
        calibration: What reported confidences are worth; None if that was not learned.
        members: The records of the runs of its slices, of which its output is assembled.
        billed: The ids of those whose efforts and costs an earlier output has told.
        second: The task as a second model is asked it; None if there is none.
        student: Hash of what was decided about the student; "" if it has none, or nothing is decided yet.
        second_calibration: What the second model's confidences are worth; None if that was not learned.
        carried: Hash of what was decided about labels of an earlier config; "" if nothing was.
    """

    config: Config
    options: RunOptions
    source: Source
    task: Task
    output: Place
    workspace: Workspace = field(repr=False)
    remarks: tuple[str, ...] = ()
    calibration: Calibration | None = None
    members: tuple[RunRecord, ...] = ()
    billed: frozenset[str] = frozenset()
    student: str = ""
    second: Task | None = None
    second_calibration: Calibration | None = None
    carried: str = ""

    @property
    def identity(self) -> str:
        """Hash of everything that determines the output except the ledger: 32 hexadecimal digits."""
        columns = self.config.output.columns
        parts = [
            FORMAT,
            self.task.fingerprint.hex(),
            self.source.fingerprint,
            [self.config.task.text, self.config.task.max_text_tokens],
            [columns.prefix, columns.only],
            [file.name for file in self.source.files],
            sorted(self.options.retry),
            *(["keep"] if self.keeps_unmatched else []),
            *([self.form] if self.form != PARQUET else []),
            *([["unsure_below", self.config.task.unsure_below]] if self.config.task.unsure_below else []),
            *([astuple(self.calibration)] if self.calibration else []),
            *([["student", self.student]] if self.student else []),
            *([["escalate", *self._escalation]] if self.second else []),
            *([["carried", self.carried]] if self.carried else []),
            *([["members", *(member.run_id for member in self.members)]] if self.members else []),
        ]
        return blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    @property
    def _escalation(self) -> list[Any]:
        settings = self.config.escalate
        fingerprint = self.second.fingerprint.hex() if self.second else ""
        own = [astuple(self.second_calibration)] if self.second_calibration else []
        return [fingerprint, settings.below, sorted(settings.on), *own] if settings else []

    @property
    def is_calibrated(self) -> bool:
        """Whether confidences are calibrated, those of each model that answers."""
        return self.calibration is not None and (self.second is None or self.second_calibration is not None)

    @property
    def mixed_confidence(self) -> Sequence[str]:
        """That confidences of both models do not mean the same, if one of them alone is calibrated: sentences."""
        settings = self.config.escalate
        if settings is None or (self.calibration is None) == (self.second_calibration is None):
            return ()
        models = [(self.config.model.name, "calibrate"), (settings.model.name, "calibrate --second")]
        (true, _), (reported, learns) = models if self.calibration else reversed(models)
        sentence = (
            f"label_confidence is calibrated in rows of {true}, and in those of {reported} it is as the model reports it; "
            f"task.unsure_below is for both: `{learns}` learns the other one"
        )
        return (sentence,)

    @property
    def undecided(self) -> str:
        """The identity of its run until that is published: what is decided on the way belongs to the run."""
        return replace(self, student="", carried="").identity

    @property
    def new_members(self) -> list[RunRecord]:
        """The runs of its slices whose efforts and costs this output is the first to tell."""
        return [member for member in self.members if member.run_id not in self.billed]

    @property
    def about(self) -> dict[str, Any]:
        """What the record of a run keeps of its job: for people, and to find its rows and answers again."""
        version = self.source.version
        return {
            "output": str(self.output),
            "publish": self.config.command("publish", "--anyway"),
            "rows": self.source.rows,
            **({"input": self.config.input.path, "version": version} if version is not None else {}),
            "provider": self.config.model.provider,
            "model": self.config.model.name,
            "task": self.task.fingerprint.hex(),
            "text": self.config.task.text,
            "max_text_tokens": self.config.task.max_text_tokens,
            "members": [member.run_id for member in self.members],
            "billed": sorted(self.billed),
        }

    @property
    def form(self) -> str:
        """The format of the output's files; a table is not appended to by a run of some rows."""
        form = self.config.output.file_format
        return PARQUET if form == DELTA and not self.options.is_whole else form

    @property
    def keeps_unmatched(self) -> bool:
        """Whether the output has rows, too, that do not match `input.where`; a selection of rows has none."""
        return self.config.output.unmatched == "keep" and self.source.where is not None

    def kept_columns(self) -> list[str]:
        """Return the names of the input columns that the output keeps; those in the files' paths are in the output's."""
        new = set(output_names(self.config.task.kind, self.config.output.columns.prefix))
        only = self.config.output.columns.only
        stored = self.source.schema.names if self.form == DELTA else self.source.stored
        kept = stored if only is None else [name for name in only if name in stored]
        return [name for name in kept if name not in new]

    def kept_schema(self) -> pa.Schema:
        """Return the schema of the input columns that the output keeps, with the input's metadata."""
        fields = [self.source.schema.field(name) for name in self.kept_columns()]
        return pa.schema(fields, self.source.schema.metadata)
