"""Progress of long steps: a bar in a terminal, silence elsewhere.

Code that works calls ``step`` and never asks where its messages go.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from zoo.escape import printable

Advance = Callable[..., None]
_WIDE, _NARROW = 100, 60  # characters of a line with all of a bar, and with none
_REFRESH = 0.2  # seconds between two pictures of a bar in a notebook


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
        from rich.table import Column

        console = Console(stderr=True)
        narrow = console.width < _WIDE
        # the note is what is cut where the line is too long, not the remaining time
        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        columns = (
            parts.TextColumn("{task.description:<10}", markup=False, table_column=_whole()),
            parts.BarColumn(8 if narrow else 24, table_column=_whole()),
            parts.MofNCompleteColumn(table_column=_whole()),
            *([] if narrow else [parts.TimeElapsedColumn(table_column=_whole())]),
            parts.TextColumn("eta", table_column=_whole()),
            parts.TimeRemainingColumn(table_column=_whole()),
            parts.TextColumn("{task.fields[note]}", markup=False, table_column=rest),
        )
        with parts.Progress(*columns, console=console, expand=True) as bars:
            task = bars.add_task(name, total=total, note="")

            def advance(count: int = 1, note: str = "") -> None:
                bars.advance(task, count)
                if note:
                    bars.update(task, note=note)

            yield advance


def _whole() -> Any:
    """A column of a bar that is never cut."""
    from rich.table import Column

    return Column(no_wrap=True, overflow="crop")


def for_terminal() -> Progress:
    """Bars where a person watches standard error in a window wide enough, lines elsewhere."""
    if not sys.stderr.isatty() or shutil.get_terminal_size().columns < _NARROW:
        return LogProgress()
    return BarProgress()


class NotebookProgress(Progress):
    """A bar below the cell for each step, for Jupyter, Colab and editors that show notebooks."""

    @contextlib.contextmanager
    def step(self, name: str, total: int) -> Iterator[Advance]:
        """See :class:`Progress`."""
        from IPython.display import HTML, display

        started = shown = time.monotonic()
        done, remark = 0, ""
        handle = display(HTML(_bar(name, 0, total, 0.0, "")), display_id=True)

        def advance(count: int = 1, note: str = "") -> None:
            nonlocal done, remark, shown
            done, remark, now = done + count, note or remark, time.monotonic()
            if now - shown >= _REFRESH or done >= total:
                shown = now
                handle.update(HTML(_bar(name, done, total, now - started, remark)))

        yield advance

    def say(self, text: str) -> None:
        """Print the line below the cell."""
        print(printable(text))


def _bar(name: str, done: int, total: int, seconds: float, note: str) -> str:
    from markupsafe import escape

    left = ""
    if done >= total:
        left = f"{duration(seconds)}"
    elif done:
        left = f"{duration(seconds * (total - done) / done)} left"
    label = f"{escape(name)} {done}/{total}"
    bar = f'<progress value="{done}" max="{max(total, 1)}" aria-label="{label}"></progress>'
    return f"<div>{label} {bar} {left} {escape(note)}</div>"


def duration(seconds: float) -> str:
    """``4 s``, ``2 min 10 s``, ``3 h 5 min``, ``2 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook rather than in a terminal or script."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module else None
    return getattr(shell, "kernel", None) is not None


def for_python() -> Progress:
    """What the Python calls show if nothing is said: bars in a notebook, else nothing."""
    return NotebookProgress() if in_notebook() else Progress()


_RENAMED = {"Silent": Progress, "Lines": LogProgress, "Bars": BarProgress}  # for one version


def __getattr__(name: str) -> type[Progress]:
    if name not in _RENAMED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = _RENAMED[name]
    message = f"zoo.progress.{name} is called {found.__name__} now; the old name will go"
    warnings.warn(message, FutureWarning, stacklevel=2)
    return found
