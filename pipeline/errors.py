"""The tree of everything that may go wrong, each with its exit status.

PipelineError                70
├── UsageError                2   the command line
├── InputDataError           65   the input's content
├── NoInputError             66   the input or the config is not there
├── ProviderUnavailableError 69   the endpoint was gone for too long
├── CannotCreateError        73   output or state cannot be created
├── DiskError                74   reading or writing failed
├── InterruptedRunError      75   stopped early; the same command continues
│   ├── LockedError               another run has the output
│   └── LimitReachedError         deadline, or
│       └── BudgetSpentError      budget
├── KeyRefusedError          77   key or quota refused
└── ConfigError              78   the configuration

The exit statuses are those of BSD's sysexits.h where it has one.
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """Something that ends the run.

    One error may carry several problems, because a user wants all of them at once.
    """

    exit_status = 70

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems: Sequence[str] = problems


class UsageError(PipelineError):
    """The command line asks for something that does not exist or does not fit."""

    exit_status = 2


class InputDataError(PipelineError):
    """The input is there and cannot be used as it is."""

    exit_status = 65


class NoInputError(PipelineError):
    """A file that the command names is not there or cannot be read."""

    exit_status = 66


class ProviderUnavailableError(PipelineError):
    """The endpoint stayed away longer than `limits.max_outage`."""

    exit_status = 69


class CannotCreateError(PipelineError):
    """The output or the state directory cannot be created or written."""

    exit_status = 73


class DiskError(PipelineError):
    """The disk is full or failing; every answer in hand was kept."""

    exit_status = 74


class InterruptedRunError(PipelineError):
    """The run stopped early on purpose; the same command continues it."""

    exit_status = 75


class LockedError(InterruptedRunError):
    """Another run is writing the same output."""


class LimitReachedError(InterruptedRunError):
    """The budget or the deadline of the run is used up."""


class BudgetSpentError(LimitReachedError):
    """The budget is spent: the same command continues once it is raised."""


class KeyRefusedError(PipelineError):
    """The endpoint refuses the key or the account's quota is gone."""

    exit_status = 77


class ConfigError(PipelineError):
    """The configuration is wrong, or the endpoint does not know what it names."""

    exit_status = 78


def as_pipeline_error(error: BaseException) -> PipelineError:
    """Return *error* if it is one of ours, the first of ours in a group, or one that wraps it.

    What is no Exception, such as KeyboardInterrupt, comes from outside; any other is a bug.
    """
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, BaseExceptionGroup):
        ours = error.subgroup(PipelineError)
        return as_pipeline_error((ours or error).exceptions[0])
    if not isinstance(error, Exception):
        by = "a signal" if isinstance(error, KeyboardInterrupt) else type(error).__name__
        return InterruptedRunError(f"stopped by {by}; run the same command again to continue")
    bug = PipelineError(f"a bug in pipeline: {type(error).__name__}: {error}; please report it")
    bug.__cause__ = error
    return bug
