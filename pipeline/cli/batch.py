"""`batch list`, `batch cancel`: their options; print what is under way at the provider."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import is_json_lines, print_lines, print_result
from pipeline.cli.options import Commands, ConfigFile, Date, Overrides, RunProvider, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.commands.batch.command import Shown

batch_app = Commands(help="Look after the batches that are under way (model.lane: batch).")


@batch_app.command("list")
def batch_list(
    config: ConfigFile, overrides: Overrides = None, provider: RunProvider = None, date: Date = None
) -> int:
    """Say which batches are under way, and how far each is. `run` fetches those that have ended."""
    from pipeline.commands.batch.command import batches  # noqa: PLC0415 - --help must not wait for it

    _show_warnings()
    return _print(batches(load(config, overrides, provider, date)))


@batch_app.command("cancel")
def batch_cancel(
    config: ConfigFile,
    forget: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--forget",
            help="Forget those that the endpoint does not know any more; their rows are asked, and paid for, again.",
        ),
    ] = False,
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """End the batches that are under way. What they have answered by then is paid; the next `run` fetches it."""
    from pipeline.commands.batch.command import cancel  # noqa: PLC0415 - --help must not wait for it

    _show_warnings()
    return _print(cancel(load(config, overrides, provider, date), forget=forget))


def _show_warnings() -> None:
    from pipeline.telemetry.logs import configure  # noqa: PLC0415 - --help must not wait for it

    configure(json_lines=is_json_lines(), level=logging.WARNING)


def _print(found: "Sequence[Shown]") -> int:
    for each in found:
        done = "" if each.done is None else f", {each.done:,} done"
        print_lines(
            [f"{each.batch or each.intent}: {each.status}, {each.rows:,} rows{done}; since {each.since}"]
        )
    if not found:
        print_lines(["no batch is under way"])
    print_result({"batches": [each.as_dict() for each in found]})
    return 0
