"""`check`: all problems of a job that can be found without sending anything."""

from collections.abc import Callable
from typing import TypeVar

from pipeline.config import Config
from pipeline.errors import PipelineError
from pipeline.job.job import Job
from pipeline.job.prepare import ensure_output, prepare
from pipeline.job.workspace import ensure_state
from pipeline.llm.catalog import ensure_payable
from pipeline.llm.transport.credentials import read_key
from pipeline.outputs.destination import ensure_creatable

T = TypeVar("T")


def check(config: Config) -> Job:
    """Check config, input, output, state directory, key and budget.

    Returns:
        The job, if there are no problems.

    Raises:
        PipelineError: With a line for each problem; its class is that of the first one.
    """
    errors: list[PipelineError] = []
    job = _collect(errors, lambda: prepare(config))
    if job is not None:
        _collect(errors, lambda: ensure_output(job))
    else:  # the input is unknown, so the output's name must show whether it is meant to be one file
        single = config.output.path.suffix == ".parquet"
        _collect(errors, lambda: ensure_creatable(config.output.path, single=single, overwrite=False))
    _collect(errors, lambda: ensure_state(config.state.dir))
    _collect(errors, lambda: read_key(config.model))
    _collect(errors, lambda: ensure_payable(config.model, capped=config.limits.max_cost_usd is not None))
    if errors or job is None:
        raise type(errors[0])(*(problem for error in errors for problem in error.problems))
    return job


def _collect(errors: list[PipelineError], check: Callable[[], T]) -> T | None:
    """Return the result of *check*; if it fails, append the error to *errors* and return None."""
    try:
        return check()
    except PipelineError as error:
        errors.append(error)
        return None
