"""Progress of long steps: a bar in a terminal, silence elsewhere.

Code that works calls ``step`` and never asks where its messages go.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

Advance = Callable[..., None]


def printable(text: str) -> str:
    """Text from the data, safe to print: control characters and broken bytes are escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


class Silent:
    """Shows nothing; the default of the Python calls."""

    @contextlib.contextmanager
    def step(self, name: str, total: int) -> Iterator[Advance]:
        """Context of one long step of ``total`` units; call what it gives as units are done."""
        yield lambda count=1, note="": None

    def say(self, text: str) -> None:
        """A line worth reading once."""


class Lines(Silent):
    """Sentences on standard error, no bars: for logs and pipes."""

    def say(self, text: str) -> None:
        """Print the line to standard error."""
        print(printable(text), file=sys.stderr, flush=True)


class Bars(Lines):
    """A bar with rate and remaining time a step, on standard error."""

    @contextlib.contextmanager
    def step(self, name: str, total: int) -> Iterator[Advance]:
        """See :class:`Silent`."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("eta"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=total, note="")

            def advance(count: int = 1, note: str = "") -> None:
                bars.advance(task, count)
                if note:
                    bars.update(task, note=note)

            yield advance


def for_terminal() -> Silent:
    """Bars where a person watches standard error, lines elsewhere."""
    return Bars() if sys.stderr.isatty() else Lines()
