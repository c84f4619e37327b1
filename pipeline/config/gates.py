"""The section `gates`: what must hold before an output is published."""

from pydantic import Field

from pipeline.config.base import Settings
from pipeline.config.values import Allowance, Share


class GateSettings(Settings):
    """The gates of a job; each that is set must hold, or nothing is published and the run ends with exit status 76."""

    failed: Allowance | None = Field(
        default=None, description="Share (2%) or number of rows that may fail before the output is held back."
    )
    invalid: Allowance | None = Field(
        default=None, description="The same for rows whose reply was none of the labels."
    )
    unsure: Allowance | None = Field(default=None, description="The same for rows below task.unsure_below.")
    label_shift: Share | None = Field(
        default=None,
        description="Share of the rows, 0 to 1, that may have moved to other labels since the last runs.",
    )
    gold_accuracy: Share | None = Field(
        default=None, description="Share of the rows with a label in task.gold that must be right, 0 to 1."
    )
    canary_flips: Allowance | None = Field(
        default=None,
        description="Share or number of the 100 rows that each run asks anew, and pays for, that may get another label.",
    )

    @property
    def any_set(self) -> bool:
        """Whether there is a gate."""
        return self != GateSettings()
