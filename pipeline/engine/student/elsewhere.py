"""Rows of other tables that teach, too: those with answers in the ledger. Nothing is asked about them, nor published."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.engine.student.lesson import Lesson
from pipeline.inputs.intake.copies import bring_in
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.inputs.survey import survey
from pipeline.job.job import Job
from pipeline.ledger import opened
from pipeline.records import Answers, Prompts
from pipeline.system.prefetch import prefetch
from pipeline.system.threads import Threads


async def learn_elsewhere(
    job: Job, lesson: Lesson, known: Callable[[Prompts], Awaitable[Answers]], threads: Threads
) -> None:
    """Have *lesson* take in the answered rows of `student.train_on`; *known* returns the answers that the ledger has.

    Raises:
        PipelineError: If a table cannot be read, or lacks a column of the job's text.
    """
    for path in job.config.student.train_on if job.config.student else ():
        with TemporaryDirectory(prefix="pipeline-read-") as folder:
            async with aclosing(prefetch(_prompts(job, path, Path(folder)))) as stream:
                async for prompts in stream:
                    await threads.run(lesson.learn, prompts, await known(prompts))


def answered_elsewhere(job: Job) -> int:
    """Return how many different prompts of `student.train_on` have an answer in the ledger; sends nothing."""
    found: set[bytes] = set()
    with opened(job.config.state.dir) as store, TemporaryDirectory(prefix="pipeline-read-") as folder:
        for path in job.config.student.train_on if job.config.student and store else ():
            for prompts in _prompts(job, path, Path(folder)):
                aliases = job.task.aliases(zip(prompts.keys, prompts.texts, strict=True))
                keys = [*filter(None, prompts.keys), *aliases]
                found.update(store.look_up(keys).under(aliases) if store else ())
    return len(found)


def _prompts(job: Job, path: str, folder: Path) -> Iterator[Prompts]:
    """Yield the prompts that *job* would have for the table at *path*, a chunk at a time; copies of it lie in *folder*."""
    columns = job.config.task.columns
    settings = job.config.input.model_copy(update={"path": path, "version": None, "where": None})
    source = bring_in(survey(settings, columns, copies=folder), folder)
    for chunk in read_chunks(source, columns, all_spans(source)):
        yield job.task.prompts(chunk.columns)
