"""`report`: draw the page about the latest run anew, print its path, and show it."""

from typing import Annotated

import typer

from pipeline.cli.options import (
    ConfigFile,
    Date,
    LimitOfRun,
    Overrides,
    RunProvider,
    SampleOfRun,
    SeedOfRun,
    load,
    run_options,
)

OpenIt = Annotated[bool, typer.Option("--open", help="Show the page in the browser.")]


def report(
    config: ConfigFile,
    open_it: OpenIt = False,  # noqa: FBT002 - a command's options are its arguments
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
    limit: LimitOfRun = None,
    sample: SampleOfRun = None,
    seed: SeedOfRun = None,
) -> int:
    """Draw the report of the latest run anew, and print where it is. Sends nothing.

    A run draws it by itself when it ends; later, it may have right labels or rows to show that it had not.
    """
    # What only the running command needs is imported here: --help must not wait for it.
    import webbrowser  # noqa: PLC0415

    from pipeline.cli.console import print_lines, print_result  # noqa: PLC0415
    from pipeline.commands.report.command import report as command  # noqa: PLC0415

    page = command(load(config, overrides, provider, date), run_options(limit, sample, seed, None))
    print_lines([f"report: {page}"])
    print_result({"status": "done", "report": str(page)})
    if open_it and not webbrowser.open(page.as_uri()):
        print_lines(["no browser was found; open the page by its path"])
    return 0
