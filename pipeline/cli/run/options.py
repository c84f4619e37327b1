"""Options of `run` alone: who asks, and whether it waits."""

from pathlib import Path
from typing import Annotated

import typer

SliceName = Annotated[
    str | None,
    typer.Option(
        "--slice",
        metavar="I/N",
        help="Ask only about slice I of N, from 0, and publish nothing: for N processes, also on several machines. `assemble` publishes.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Have N processes ask, on this machine; they share limits and ledger. For models that answer faster than one can ask.",
    ),
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="ray",
        help="Have a Ray cluster ask, with --workers slices of the work at once; see docs/ray.md. By default this machine asks.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="The Ray cluster, or auto for the one of this machine. The default is RAY_ADDRESS, or a Ray of this machine alone.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait",
        help="Wait for batches (model.lane: batch), which take up to 24 h; or end with status 75 once they are handed in, and fetch them with the next run.",
    ),
]
Previous = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="OLD",
        readable=False,
        help="The config as it was before its labels changed: labels that its runs have found are carried over, and only rows are asked that must change, or that an audit draws. `diff OLD CONFIG` says what that costs.",
    ),
]
