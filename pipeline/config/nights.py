"""The sections for runs that nobody watches: `gates`, what must hold, `notify`, who is told, and `student`, who asks less."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from pipeline.config.base import Settings
from pipeline.config.values import CONTROL, Allowance, Count, Flag, Share, Text, wrong


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


class NotifySettings(Settings):
    """Who is told that a run began and how it ended."""

    healthcheck_url: str | None = Field(
        default=None,
        repr=False,
        description="Pinged as healthchecks.io wants it: URL/start, then URL or URL/fail with the end of the log. "
        "Whoever knows the URL can ping it, so write it as ${NAME}. Empty pings nobody.",
    )

    @field_validator("healthcheck_url")
    @classmethod
    def _is_a_url(cls, url: str | None) -> str | None:
        if not url:  # ${HEALTHCHECK_URL:-} with the variable unset
            return None
        try:
            parts = urlsplit(url)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            sound = sound and "@" not in parts.netloc and url.isascii()
        except ValueError:
            sound = False
        if not sound or parts.query or parts.fragment or CONTROL.search(url) or " " in url:
            raise wrong(
                "is no address to ping: it has no login, no query, no blank and plain ASCII; "
                "write one such as https://hc-ping.com/<uuid>"
            )
        return url.rstrip("/")


class StudentSettings(Settings):
    """A small model that answers the rows for which it is proven to say what the model would; off if the section is not there."""

    target: Share = Field(
        default=0.95,
        description="Share of the student's rows that have to have the model's label, 0.5 to 0.999.",
    )
    delta: Share = Field(
        default=0.05, description="How often that may be wrong, 0.001 to 0.5: 0.05 is one run of 20."
    )
    audits: Count | None = Field(
        default=None,
        description="How many of them are asked to find out; by default 600 up to a target of 0.95, 1200 up to 0.98, 3000 above.",
    )
    answers: Count = Field(
        default=1_600,
        description="Answers to learn from, at least 500; what the ledger lacks is asked first, for rows at random.",
    )
    labels_always_asked: tuple[Text, ...] = Field(
        default=(),
        description="Labels that the student never gives; where one of them is likely, the model is asked.",
    )
    ask_twice: Count | None = Field(
        default=None,
        description="Audited rows that are asked once more, to see how often the model agrees with itself.",
    )
    recertify: Flag = Field(
        default=False, description="Whether each run forgets what earlier runs have proven, and starts anew."
    )

    @property
    def audited(self) -> int:
        """How many rows are audited."""
        return self.audits or next(count for limit, count in _AUDITS if self.target <= limit)

    @field_validator("target", "delta", "answers")
    @classmethod
    def _is_in_range(cls, value: float, info: ValidationInfo) -> float:
        least, most = _RANGES[info.field_name or ""]
        if not least <= value <= most:
            raise wrong(f"is not between {least:,} and {most:,}; write one such as {least:,}")
        return value


_AUDITS = ((0.95, 600), (0.98, 1_200), (1.0, 3_000))
_RANGES = {"target": (0.5, 0.999), "delta": (0.001, 0.5), "answers": (500, 1_000_000)}
