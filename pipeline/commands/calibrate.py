"""`calibrate`: learn from right labels what reported confidences are worth, and keep it for the next run. Sends nothing."""

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.commands.answered import readable
from pipeline.commands.evaluate import Judge
from pipeline.commands.gold import read_gold
from pipeline.config import Config
from pipeline.config.providers import for_provider, second_config
from pipeline.errors import CannotCreateError, ConfigError, InputDataError
from pipeline.job.decisions import calibration_file, save_calibration
from pipeline.job.state import look_at_state, opened_state
from pipeline.job.workspace import workspace
from pipeline.quality.extra import library
from pipeline.quality.fitting import LEAST_ROWS, Fit, fit
from pipeline.tasks.calibration import Calibration
from pipeline.tasks.parse import Parser
from pipeline.tasks.prompt import Task


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration that was fitted and stored.

    Attributes:
        fit: The calibration, and what it is worth.
        gold: Where the right labels are from.
        file: Where it is stored.
        without: Rows with a right label and an answer that have no confidence.
    """

    fit: Fit
    gold: str
    file: str
    without: int

    def as_dict(self) -> dict[str, Any]:
        """Return the facts, as JSON has them."""
        before, after = self.fit.before, self.fit.after
        return {
            "status": "calibrated",
            "method": self.fit.method,
            "slope": self.fit.slope,
            "intercept": self.fit.intercept,
            "rows": self.fit.rows,
            "ece_before": before.ece,
            "ece_after": after.ece,
            "ece_floor": asdict(after.floor),
            "brier_before": before.brier,
            "brier_after": after.brier,
            "reliability_before": [asdict(each) for each in before.table],
            "reliability": [asdict(each) for each in after.table],
            "gold": self.gold,
            "file": self.file,
        }


def calibrate(config: Config, gold: str | None = None) -> Calibrated:
    """Fit a calibration on the rows whose right labels are known, and store it; no label changes.

    Args:
        config: The config.
        gold: A column of the input, or a file of id and label; by default `task.gold`.

    Raises:
        InputDataError: If fewer than 50 rows have a right label, an answer and a confidence, or they show nothing.
        ConfigError: If there are no right labels, or the extra `judge` is not installed.
        LockedError: If a run of this output is on.
        PipelineError: If the config or the input is wrong.
    """
    library("sklearn.linear_model")
    library("scipy.stats")
    with opened_state(config), readable(config) as job, job.workspace.locked():
        known = read_gold(job, gold)
        # Reported confidences, not those of an earlier calibration; whether a row is unsure is decided on the new ones.
        raw = Parser(config.task.model_copy(update={"unsure_below": None}))
        judged = Judge(job, known, raw).judged
        confidences, right = judged.sure_and_right()
        if not confidences:
            raise InputDataError(
                f"none of the {len(judged.gold):,} rows with a right label and an answer has a confidence; "
                f"a calibration takes {LEAST_ROWS}, and an endpoint that tells log-probabilities: `probe` says whether it does"
            )
        found = fit(confidences, right)
        value = Calibration(found.method, found.slope, found.intercept, found.rows)
        try:
            file = save_calibration(job.config.state.dir, job.task.fingerprint, value)
        except OSError as error:
            raise CannotCreateError(
                f"{calibration_file(job.config.state.dir, job.task.fingerprint)}: {error}; make room"
            ) from error
    labelled = sum(labels is not None for labels in judged.labels)
    return Calibrated(found, known.origin, str(file), labelled - len(confidences))


def of_second(config: Config) -> Config:
    """Return *config* with its second model as the only one, whose confidences are worth something else.

    Its answers are those to the rows that were put to it.

    Raises:
        ConfigError: If it has none.
    """
    second = second_config(config)
    if second is None:
        raise ConfigError(
            "--second: the config has no section escalate, and so no second model; leave it out"
        )
    return second


def remove(config: Config) -> bool:
    """Remove the calibration of *config*, so that the next run publishes reported confidences; returns whether there was one.

    Raises:
        LockedError: If a run of this output is on.
        CannotCreateError: If it cannot be removed.
    """
    config = for_provider(config)
    look_at_state(config)
    file = calibration_file(config.state.dir, Task.from_config(for_provider(config)).fingerprint)
    if not file.exists():
        return False
    with opened_state(config), workspace(config.state.dir, config.output.path).locked():
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise CannotCreateError(f"{file}: cannot be removed ({error}); check its permissions") from error
    return True
