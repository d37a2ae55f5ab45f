"""Progress of long steps: a bar in a terminal, silence elsewhere.

Code that works calls ``step`` and never asks where its messages go.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator

from zoo.escape import printable

Advance = Callable[..., None]


class Progress:
    """Shows nothing; the default of the Python calls."""

    @contextlib.contextmanager
    def step(self, name: str, total: int) -> Iterator[Advance]:
        """Context of one long step of ``total`` units; call what it gives as units are done."""
        yield lambda count=1, note="": None

    def say(self, text: str) -> None:
        """A line worth reading once."""


class LogProgress(Progress):
    """Sentences on standard error, no bars: for logs and pipes."""

    def say(self, text: str) -> None:
        """Print the line to standard error."""
        print(printable(text), file=sys.stderr, flush=True)


class BarProgress(LogProgress):
    """A bar with rate and remaining time for each step, on standard error."""

    @contextlib.contextmanager
    def step(self, name: str, total: int) -> Iterator[Advance]:
        """See :class:`Progress`."""
        from rich import progress as parts
        from rich.console import Console

        columns = (
            parts.TextColumn("{task.description:<10}", markup=False),
            parts.BarColumn(24),
            parts.MofNCompleteColumn(),
            parts.TimeElapsedColumn(),
            parts.TextColumn("eta"),
            parts.TimeRemainingColumn(),
            parts.TextColumn("{task.fields[note]}", markup=False),
        )
        with parts.Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(name, total=total, note="")

            def advance(count: int = 1, note: str = "") -> None:
                bars.advance(task, count)
                if note:
                    bars.update(task, note=note)

            yield advance


def for_terminal() -> Progress:
    """Bars where a person watches standard error, lines elsewhere."""
    return BarProgress() if sys.stderr.isatty() else LogProgress()


_RENAMED = {"Silent": Progress, "Lines": LogProgress, "Bars": BarProgress}  # for one version


def __getattr__(name: str) -> type[Progress]:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = _RENAMED[name]
    message = f"zoo.progress.{name} is called {found.__name__} now; the old name will go"
    warnings.warn(message, FutureWarning, stacklevel=2)
    return found
