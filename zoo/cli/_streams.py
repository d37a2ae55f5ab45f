"""Standard output and error that may be closed or full, and signals that end a command."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, TextIO

_AGAIN = 0.02  # seconds after which a signal is sent again


class Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP: what is under way is ended as by Ctrl-C.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stop_on_signals() -> None:
    """Let SIGTERM (a preempted job) and SIGHUP (a closed terminal) end the command like Ctrl-C.

    What is ignored, as ``nohup`` does with SIGHUP, stays ignored.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)
    sys.unraisablehook = _stop_again


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number)


def _stop_again(ignored: sys.UnraisableHookArgs) -> None:
    """Send a signal again that came while a destructor ran, where what it raises is ignored."""
    error = ignored.exc_value
    if not isinstance(error, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return
    number = error.number if isinstance(error, Stopped) else signal.SIGINT
    again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


class _Tolerant(io.FileIO):
    """A descriptor whose errors are kept instead of raised, so that the work goes on."""

    lost: OSError | None = None

    def write(self, content: Any, /) -> int:
        """Write, or drop what cannot be written."""
        if self.lost is None:
            try:
                return super().write(content)
            except OSError as error:
                self.lost = error
        return len(content)


class Streams:
    """Standard output and error of this process, from which nothing is raised.

    A command that has worked for hours ends its work, whatever becomes of what it prints.
    """

    def __init__(self) -> None:
        for descriptor in range(3):  # otherwise the next file that is opened is what is printed to
            try:
                os.fstat(descriptor)
            except OSError:
                # closed: open for reading alone, so that what is printed is known to be lost
                os.open(os.devnull, os.O_RDONLY)
        self._output: _Tolerant | None = None
        if sys.stdout is None or sys.stdout is sys.__stdout__:
            sys.stdout, self._output = _tolerant(sys.stdout, 1)
        if sys.stderr is None or sys.stderr is sys.__stderr__:
            sys.stderr, _ = _tolerant(sys.stderr, 2)

    def status(self) -> int:
        """Exit status for what was printed: 0, also if its reader has gone; 1 if it was lost.

        If it was lost, one sentence on standard error says why.
        """
        if self._output is None:
            return 0
        sys.stdout.flush()
        lost = self._output.lost
        if lost is None or isinstance(lost, BrokenPipeError):
            return 0
        print(f"error: standard output could not be written ({lost.strerror})", file=sys.stderr)
        return 1


def _tolerant(stream: TextIO | None, descriptor: int) -> tuple[io.TextIOWrapper, _Tolerant]:
    raw = _Tolerant(descriptor, "wb", closefd=False)
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == 2 or os.isatty(descriptor),
    )
    return text, raw
