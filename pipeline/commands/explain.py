"""`explain`: the prompt, the request and the stored answer of one row."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.commands.answered import stand_ins
from pipeline.commands.runs import Run, runs_below
from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.job.job import Job
from pipeline.job.prepare import brought_in, prepare
from pipeline.ledger import opened
from pipeline.llm.form_memory import FormMemory
from pipeline.llm.protocol.body import BodyTemplate
from pipeline.llm.protocol.form import first_form
from pipeline.llm.request import bill_key, billed
from pipeline.records import Answer, Answers, Outcome, Prompt, Span, Status
from pipeline.system.clock import Clock
from pipeline.tasks.packs import place_in
from pipeline.tasks.parse import Parser
from pipeline.tasks.prompt import Task

NOT_ASKED = "not asked yet"
"""Status of a row whose prompt the ledger has no answer to."""

NOT_ANSWERED = "no answer yet"
"""Status of such a row for which the latest run has paid already."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that is known about one row.

    Attributes:
        row: Its index.
        prompt: Its prompt; None if the row has no text.
        system: The system message.
        body: The request's body, as JSON; "" if the row has no text.
        answer: The stored answer; None if there is none.
        owed: What the latest run has paid for it without an answer; None if nothing.
        outcome: What the answer means for the row; None if there is none.
        under: The run with other settings that got the answer; None if the settings are these, or there is no answer.
        models: What each of two models said; nothing if the row is not put to the second one.
    """

    row: int
    prompt: Prompt | None
    system: str
    body: str
    answer: Answer | None
    owed: Answer | None
    outcome: Outcome | None
    under: Run | None = None
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The row's status; as long as there is no answer, NOT_ASKED or NOT_ANSWERED."""
        if self.prompt is None:
            return Status.EMPTY.value
        if self.outcome is None:
            return NOT_ANSWERED if self.owed else NOT_ASKED
        return self.outcome.status.value

    def as_dict(self) -> dict[str, Any]:
        """Return the facts that fit in JSON."""
        answer, outcome = self.answer, self.outcome
        paid = billed(answer).plus(billed(self.owed))
        place = place_in(answer.request_id) if answer else None
        return {
            "row": self.row,
            "key": self.prompt.key.hex() if self.prompt else None,
            "text": self.prompt.text if self.prompt else None,
            "truncated": self.prompt.truncated if self.prompt else False,
            "status": self.status,
            "labels": list(outcome.labels) if outcome else None,
            "confidence": outcome.confidence if outcome else None,
            "error": outcome.error if outcome else None,
            "reply": answer.text if answer else None,
            "finish": answer.finish if answer else None,
            "attempts": answer.attempts if answer else 0,
            "asks": answer.asks if answer else 0,
            "prompt_tokens": paid.prompt_tokens,
            "completion_tokens": paid.completion_tokens,
            "cost_usd": paid.cost_usd,
            "model": answer.model if answer else None,
            "request_id": answer.request_id if answer else None,
            "place": f"{place.row} of {place.rows} in its request; above is how it is asked alone"
            if place
            else None,
            "run": answer.run if answer else None,
            **({"models": self.models} if self.models else {}),
            "answered_under": self._under(),
        }

    def _under(self) -> dict[str, Any] | None:
        """Return which other settings the answer is to; None if it is to these."""
        if self.under is None:
            return None
        job = self.under.record.job
        return {
            "run": self.under.record.run_id,
            **{name: job.get(name) for name in ("provider", "model", "output")},
        }


def explain(config: Config, row: str) -> Explanation:
    """Return everything about *row*: a value of the column `input.id`, or a row index.

    Raises:
        UsageError: If there is no such row.
        PipelineError: If the config or the input is wrong.
    """
    with TemporaryDirectory(prefix="pipeline-explain-") as folder:
        job = brought_in(prepare(config, copies=Path(folder)), Path(folder))
        index = _row_index(job, row)
        prompt, under = _prompt(job, job.task, index), None
        answer, owed = _stored(job, prompt) if prompt else (None, None)
        own = stand_ins(job, [prompt.key]) if prompt and answer is None and owed is None else {}
        if prompt and answer is None and owed is None and not own:
            answer, under = _stored_under_others(job, index)
    parser = Parser(job.config.task, job.calibration)
    outcome = parser.outcome(answer) if answer else None
    if prompt and prompt.key in own:
        answer, outcome = own[prompt.key]
    models: dict[str, Mapping[str, Any]] = {}
    if prompt and answer and outcome and under is None and job.second is not None:
        answer, outcome, models = _with_second(job, prompt, answer, outcome)
    form = FormMemory(job.config, job.task, Clock()).recall() or first_form(job.config.model)
    template = BodyTemplate(job.task, job.config.model, form)
    return Explanation(
        row=index,
        prompt=prompt,
        system=job.task.system,
        body=template.body(prompt.text).decode() if prompt else "",
        answer=answer,
        owed=owed,
        outcome=outcome,
        under=under,
        models=models,
    )


def _with_second(
    job: Job, prompt: Prompt, answer: Answer, outcome: Outcome
) -> tuple[Answer, Outcome | None, dict[str, Mapping[str, Any]]]:
    """Return what the row has of both models' answers, and what each of them said."""
    with opened(job.config.state.dir) as store:
        each = import_module("pipeline.engine.escalation.known").escalated(
            job, store, [prompt], {prompt.key: (answer, outcome)}
        )
    if not each:
        return answer, outcome, {}
    row = each[prompt.key]
    told = {"first": _told(*row.first), "second": _told(*row.second) if row.second else {"status": NOT_ASKED}}
    return (*row.row, told) if row.row else (answer, None, told)


def _told(answer: Answer, outcome: Outcome) -> Mapping[str, Any]:
    """Return what one of two models said."""
    return {
        "model": answer.model,
        "reply": answer.text,
        "status": outcome.status.value,
        "labels": list(outcome.labels),
        "confidence": outcome.confidence,
        "error": outcome.error,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost_usd": answer.cost_usd,
        "run": answer.run,
    }


def _row_index(job: Job, row: str) -> int:
    column = job.config.input.id
    if column is not None:  # ids first: they may look like row indexes
        for chunk in read_chunks(job.source, [column], all_spans(job.source)):
            cells = list(chunk.columns[column])
            if row in cells:
                return chunk.span.start + cells.index(row)
    if not row.isdecimal():
        hint = f"no row has {column} = {row!r}" if column else "set input.id to find rows by a column's value"
        raise UsageError(f"{row!r} is not a row index; {hint}")
    if int(row) >= job.source.rows:
        raise UsageError(f"row {row} does not exist; the input has rows 0 to {job.source.rows - 1}")
    return int(row)


def _prompt(job: Job, task: Task, index: int) -> Prompt | None:
    chunk = next(iter(read_chunks(job.source, task.settings.columns, [Span(index, index + 1)])))
    return task.prompts(chunk.columns)[0]


def _stored(job: Job, prompt: Prompt) -> tuple[Answer | None, Answer | None]:
    """Return the answer to *prompt*, and what the latest run has paid for it without one."""
    record = job.workspace.load()
    bill = bill_key(prompt.key, record.run_id if record else "")
    with opened(job.config.state.dir) as store:
        aliases = job.task.aliases([(prompt.key, prompt.text)])
        found = store.look_up([prompt.key, bill, *aliases]).under(aliases) if store else Answers.of(())
    return found.get(prompt.key), found.get(bill)


def _stored_under_others(job: Job, index: int) -> tuple[Answer | None, Run | None]:
    """Return the answer to the row under the settings of another run in the state directory, the latest, and that run."""
    for run in runs_below(job.config.state.dir):
        task = _task_of(job, run)
        prompt = _prompt(job, task, index) if task else None
        if prompt is None:
            continue
        with opened(run.state) as store:
            found = store.look_up([prompt.key]) if store else Answers.of(())
        if prompt.key in found:
            return found[prompt.key], run
    return None, None


def _task_of(job: Job, run: Run) -> Task | None:
    """Return a task that gives a row the key that it had in *run*; None if the record or the input does not tell."""
    about = run.record.job
    try:
        changes = {"text": about["text"], "max_text_tokens": about["max_text_tokens"]}
        settings = job.task.settings.model_copy(update=changes)
        task = replace(job.task, settings=settings, fingerprint=bytes.fromhex(about["task"]))
    except (KeyError, TypeError, ValueError):  # an older record
        return None
    return task if set(task.settings.columns) <= set(job.source.schema.names) else None
