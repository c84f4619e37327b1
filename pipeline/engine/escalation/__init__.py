"""A second model for the rows of which the first one is unsure."""

from typing import TYPE_CHECKING

from pipeline.job.job import Job

if TYPE_CHECKING:
    from pipeline.engine.asking import Asked
    from pipeline.engine.escalation.second import Escalation


def escalation_of(job: Job, asked: "Asked", *, continued: bool) -> "Escalation | None":
    """Return who asks the second model of *job*; None if there is none."""
    if job.second is None:
        return None
    from pipeline.engine.escalation.second import Escalation  # noqa: PLC0415 - few jobs have one

    return Escalation(job, asked, continued=continued)
