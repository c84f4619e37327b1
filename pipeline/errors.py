"""The error tree, with the exit status of each class.

PipelineError                70
├── UsageError                2   the command line
├── InputDataError           65   the input's content
├── NoInputError             66   the input or the config is not there
├── ProviderUnavailableError 69   the endpoint was unavailable for too long, or refuses every row
├── CannotCreateError        73   output or state cannot be created
├── DiskError                74   reading or writing failed
├── InterruptedRunError      75   stopped early; the same command continues
│   ├── LockedError               another run has the output
│   ├── WaitingError              for batches at the provider
│   └── LimitReachedError         deadline, or
│       └── BudgetSpentError      budget
├── HeldError                76   a gate is closed; nothing was published
├── KeyRefusedError          77   key or quota refused
└── ConfigError              78   the configuration

The exit statuses are those of BSD's sysexits.h, where it has a fitting one.
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """An error that ends the run.

    It may carry several problems, so that the user sees all of them at once.

    Attributes:
        problems: One sentence for each problem.
        exit_status: The exit status of the command.
    """

    exit_status = 70

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems


class UsageError(PipelineError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_status = 2


class InputDataError(PipelineError):
    """The input exists but cannot be used as it is."""

    exit_status = 65


class NoInputError(PipelineError):
    """A file that the command needs does not exist or cannot be read."""

    exit_status = 66


class ProviderUnavailableError(PipelineError):
    """The endpoint was unavailable for longer than `limits.max_outage`, or refuses every row and does not say why."""

    exit_status = 69


class CannotCreateError(PipelineError):
    """The output or the state directory cannot be created or written."""

    exit_status = 73


class DiskError(PipelineError):
    """The disk is full or failing; every answer received so far was kept."""

    exit_status = 74


class InterruptedRunError(PipelineError):
    """The run stopped early on purpose; the same command continues it."""

    exit_status = 75


class LockedError(InterruptedRunError):
    """Another run is writing the same output."""


class WaitingError(InterruptedRunError):
    """Batches are under way at the provider; the same command fetches them."""


class LimitReachedError(InterruptedRunError):
    """The budget or the deadline of the run is used up."""


class BudgetSpentError(LimitReachedError):
    """The budget is spent; the same command continues once it is raised."""


class HeldError(PipelineError):
    """A gate is closed: all rows are labelled, and the output is held back until a person has looked at it."""

    exit_status = 76


class KeyRefusedError(PipelineError):
    """The endpoint refuses the API key, or the account's quota is used up."""

    exit_status = 77


class ConfigError(PipelineError):
    """The configuration is wrong, or names something that the endpoint does not know."""

    exit_status = 78


def as_pipeline_error(error: BaseException) -> PipelineError:
    """Return *error* if it is a PipelineError, the first one in a group, or a PipelineError that describes it.

    An error that is no Exception, such as KeyboardInterrupt, is an interruption from outside; any other is a bug.
    """
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, BaseExceptionGroup):
        known = error.subgroup(PipelineError)
        return as_pipeline_error((known or error).exceptions[0])
    if not isinstance(error, Exception):
        is_signal = isinstance(error, KeyboardInterrupt)
        by = (str(error) or "a signal") if is_signal else type(error).__name__
        return InterruptedRunError(f"stopped by {by}; run the same command again to continue")
    bug = PipelineError(f"a bug in pipeline: {type(error).__name__}: {error}; please report it")
    bug.__cause__ = error
    return bug
