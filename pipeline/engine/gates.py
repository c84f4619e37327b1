"""The gates of a run: looked at when its output is written, and before it appears."""

from collections.abc import Mapping

from pipeline.errors import HeldError
from pipeline.job.job import Job
from pipeline.job.kept.history import load_history
from pipeline.outputs.tally import Tally
from pipeline.quality.gates import Figures, Share, Shift, closed_gates, label_shift
from pipeline.records import Status

LOOK_BACK = 7
"""With how many of the last runs the labels are compared: a week of nights."""


def ensure_gates_open(job: Job, tally: Tally, flips: Share | None) -> None:
    """Ensure that the output of *job*, whose rows *tally* has counted, may be published.

    Raises:
        HeldError: With a sentence for each gate that is closed.
    """
    if job.options.anyway or not job.options.is_whole:
        return
    rows, statuses = tally.rows, tally.statuses
    figures = Figures(
        failed=Share(tally.failed, rows),
        invalid=Share(statuses[Status.INVALID.value], rows),
        unsure=Share(tally.unsure, rows),
        shift=_shift(job, tally.labels),
        gold=Share(tally.gold.right, tally.gold.rows) if tally.gold else None,
        canary=flips,
    )
    if closed := closed_gates(job.config.gates, figures):
        raise HeldError(
            *closed,
            f"{job.output}: is held back, and what was there stays; look at {job.workspace.report}, then publish it, "
            f"which sends nothing: {job.config.command('publish', '--anyway')}",
        )


def _shift(job: Job, labels: Mapping[str, int]) -> Shift | None:
    task = job.task.fingerprint.hex()
    earlier = [run for run in load_history(job.workspace, task) if run.selection is None and run.task == task]
    return label_shift(labels, [run.label_counts for run in earlier[-LOOK_BACK:]])
