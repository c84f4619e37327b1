"""The display of a run at a terminal: a bar with its figures on the last lines, and log lines above them."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from pipeline import figures as write
from pipeline.telemetry.logs import lines_above
from pipeline.telemetry.pace import Pace, Standing

MARGIN = 3
"""Columns at the right that stay free: a terminal shows `^C` at the cursor."""

HEAD, GAP = 6, "  "
LEAST_BAR, GOOD_BAR, MOST_BAR = 8, 20, 60
"""Columns of a bar: what it has on a narrow terminal, what it has on any other, and what is enough."""

NARROW = 60

EARLY = len("59:59 left")
"""Columns of the time left, whose first guesses are long."""


class Figure(NamedTuple):
    """A figure of the display.

    Attributes:
        name: Which one, whatever its value.
        text: What is shown.
        style: How.
        needed: Whether it is always shown, if on a line of its own.
    """

    name: str
    text: str
    style: str = ""
    needed: bool = True


def figures(standing: Standing) -> list[Figure]:
    """Return the figures, in the order in which they matter."""
    run = standing.progress
    done, rows = f"{standing.done:,}", f"{run.rows:,}"
    found = [
        Figure("rows", f"{done:>{len(rows)}}/{rows} rows"),
        Figure("rate", f"{write.rate(standing.rate)} rows/s"),
        Figure("left", f"{write.clock(standing.left)} left", "bold"),
        Figure("cost", write.usd(run.cost_usd if run.requests else run.cost_usd or 0.0, "no price"), "green"),
        Figure("failed", f"{run.failed:,} failed", "red" if run.failed else ""),
        Figure("in flight", f"{run.in_flight:,} in flight"),
    ]
    more = {"reused": run.reused, "repeated": run.retries, "tokens": run.tokens}
    return found + [
        Figure(name, f"{count:,} {name}", "dim", needed=False) for name, count in more.items() if count
    ]


def notice(standing: Standing) -> Text | None:
    """Return what is out of the ordinary, for a line of its own; None if all is well."""
    if standing.progress.stopping:
        return Text("stopping; Ctrl-C again stops now", "bold yellow")
    if standing.progress.waiting:
        return Text("endpoint away, waiting for it", "bold red")
    return None


class Layout:
    """Lays the figures out for a width; they keep their columns while their values grow."""

    def __init__(self, *, colours: bool = True, ascii_only: bool = False) -> None:
        self._colours, self._ascii = colours, ascii_only
        self._widths: dict[str, int] = {}

    def lines(self, standing: Standing, width: int) -> list[Text]:
        """Return the lines for a terminal of *width* columns: none is longer, and nothing needed is left out."""
        width = max(width - MARGIN, 1)
        shown = [self._steady(figure) for figure in figures(standing)]
        least = LEAST_BAR if width < NARROW else GOOD_BAR
        first, rest = _take(shown, width - HEAD - least - len(GAP))
        taken = sum(len(GAP) + len(figure.text) for figure in first)
        bar = self._bar(standing.share, min(MOST_BAR, width - HEAD - taken))
        head = Text(f"{write.reached(standing.share):>5} ", "bold")
        lines = [
            Text.assemble(
                head, bar, *(part for figure in first for part in (GAP, (figure.text, figure.style)))
            )
        ]
        indent = " " * HEAD if width >= NARROW else ""
        while any(figure.needed for figure in rest):
            line, rest = _take(rest, width - len(indent))
            line, rest = (line, rest) if line else (rest[:1], rest[1:])  # too narrow for any
            lines.append(Text(GAP).join(Text(figure.text, figure.style) for figure in line))
            lines[-1] = Text(indent) + lines[-1]
        if (said := notice(standing)) is not None:
            lines.insert(0, said)
        return lines

    def _steady(self, figure: Figure) -> Figure:
        """Return *figure* as wide as it ever was, so that nothing beside it moves when it gets shorter."""
        least = EARLY if figure.name == "left" else self._widths.get(figure.name, 0)
        width = self._widths[figure.name] = max(least, len(figure.text))
        return figure._replace(text=figure.text.rjust(width))

    def _bar(self, share: float, width: int) -> Text:
        halves = int(2 * max(width, 0) * share)
        full, half, empty = ("#", "", "-") if self._ascii else ("━", "╸", "━" if self._colours else " ")
        done = full * (halves // 2) + (half if halves % 2 else "")
        return Text.assemble(
            (done, "green" if share >= 1 else "cyan"), (empty * (width - len(done)), "bright_black")
        )


def _fits(some: Iterable[Figure], width: int) -> bool:
    return len(GAP.join(figure.text for figure in some)) <= width


def _take(some: Sequence[Figure], width: int) -> tuple[list[Figure], list[Figure]]:
    """Return the first of the figures, as many as fit into *width*, and those that are left."""
    count = next((n for n in range(len(some), 0, -1) if _fits(some[:n], width)), 0)
    return list(some[:count]), list(some[count:])


class Display:
    """Draws the lines of a run on stderr, wherever the terminal's edge is by now."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
        colours = not self._console.no_color and self._console.color_system is not None
        self._layout = Layout(colours=colours, ascii_only=not self._console.encoding.startswith("utf"))
        self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)  # fmt: skip
        self._drawn: list[int] = []  # the widths of the lines on the screen
        self._width = 0

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the lines at the bottom while the block runs, and take them away at its end."""
        with suppress(OSError):  # the terminal may be gone, which is no reason to stop; so below
            self._live.start()
        try:
            with lines_above(self._print):
                self.draw()
                yield
        finally:
            with suppress(OSError):
                self._live.stop()

    def draw(self) -> None:
        """Draw where the run stands now."""
        width = columns()
        with suppress(OSError):
            if width != self._width:
                self._forget_wrapped(width)
            lines = self._layout.lines(self._pace.look(), width)
            self._drawn = [cell_len(line.plain) for line in lines]
            self._live.update(Text("\n").join(lines), refresh=True)

    def _forget_wrapped(self, width: int) -> None:
        """Clear what a narrower terminal has wrapped: rich counts the lines that it drew, not those that they became."""
        wrapped = sum(-(-drawn // width) - 1 for drawn in self._drawn if drawn)
        codes: list[tuple[ControlType, int]] = [(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)]
        self._console.control(Control(*codes * max(wrapped, 0)))
        self._console.width = self._width = width

    def _print(self, line: str) -> None:
        """Print a log line above the display; the terminal wraps it, so that it is one line wherever it is copied to."""
        with suppress(OSError):
            self._console.print(Text.from_ansi(line), soft_wrap=True)


def columns() -> int:
    """Return how wide the terminal is now; 80 where it does not know."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
