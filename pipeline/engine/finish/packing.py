"""What a job would have to send if its requests carried more rows."""

from collections.abc import Callable
from dataclasses import replace

from pipeline.engine.finish.remedies import Load
from pipeline.engine.packing.control import compared_of, widths_of
from pipeline.engine.packing.planned import ITEM_TOKENS
from pipeline.job.job import Job
from pipeline.tasks.tokens import estimate_tokens


def may_pack(job: Job) -> bool:
    """Return whether more rows in a request are worth a suggestion: the config asks one by one, or names a number."""
    model = job.config.model
    return (
        model.provider != "local"
        and model.lane == "live"
        and not model.endpoints
        and job.config.student is None
        and isinstance(model.rows_per_request, int)
    )


def load_at(job: Job, rows: float, tokens_per_row: float) -> Callable[[int], Load]:
    """Return what tells what *rows* of *job* come to by how many a request carries; each has so many tokens as it is asked now."""
    now = int(job.config.model.rows_per_request)
    prefix, most = estimate_tokens(job.task.system), job.config.model.max_tokens

    def load(width: int) -> Load:
        model = job.config.model.model_copy(update={"rows_per_request": width})
        packed = replace(job, config=job.config.model_copy(update={"model": model}))
        share, limit = compared_of(packed, widths_of(packed))
        compared = min(limit, share * rows)
        row = tokens_per_row - prefix * (1 / now - 1 / width) + ITEM_TOKENS
        tokens = rows * max(row, most) + 2 * compared * max(row + prefix, most)
        return Load(rows / width + 2 * compared, tokens)

    return load
