"""A command in a process of its own that is forked: TensorFlow is imported once for all of them.

The process that forks must never use TensorFlow itself: threads do not survive a fork.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MEMORY = 1 << 30  # bytes that a command may allocate beyond what importing everything takes
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS = 30.0  # that a command may take


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes:
        status: exit status; -n if signal n ended it; None if it ran out of time.
        out: standard output.
        err: standard error.
        megabytes: of memory that were resident at most.
        seconds: it took.
    """

    status: int | None
    out: str
    err: str
    megabytes: float
    seconds: float


def import_everything() -> None:
    """Import what commands import, so that each fork has it; TensorFlow stays unused."""
    import joblib  # noqa: F401
    import optuna  # noqa: F401
    import sqlalchemy  # noqa: F401

    import backbones  # noqa: F401
    from zoo.keras_setup import import_keras

    import_keras()
    gc.collect()
    gc.freeze()


def run(
    args: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stop: tuple[int, float] | None = None,
) -> Outcome:
    """Run ``zoo ARGS`` in a fork of this process.

    Args:
        args: the words of the command line.
        folder: to be in, for its output as well.
        environment: more variables.
        stop: a signal, and the seconds after which it is sent.
    """

    def command() -> int:
        from zoo import cli

        sys.argv = ["zoo", *args]
        os.environ.update(environment or {})
        try:
            cli.main()
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else int(error.code is not None)
        return 0

    return fork(command, folder, stop=stop)


def fork(
    function: Callable[[], int], folder: Path, *, stop: tuple[int, float] | None = None
) -> Outcome:
    """Call a function in a fork of this process; see :func:`run`."""
    out, err = folder / ".out", folder / ".err"
    begun = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    # a signal waits until the child is what it pretends to be
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    child = os.fork()
    if child == 0:
        _be_child(function, folder, out, err)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # done on both sides, since either may be first
    status, peak = _wait(child, begun, stop)
    with contextlib.suppress(OSError):  # what it has started and left
        os.killpg(child, signal.SIGKILL)
    text = [p.read_text("utf-8", "replace") if p.is_file() else "" for p in (out, err)]
    return Outcome(status, text[0], text[1], peak, time.monotonic() - begun)


def _be_child(function: Callable[[], int], folder: Path, out: Path, err: Path) -> None:
    status = 1
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        for path, descriptor in ((Path(os.devnull), 0), (out, 1), (err, 2)):
            flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            opened = os.open(path, flags, 0o666)
            os.dup2(opened, descriptor)
            os.close(opened)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        limit = _data_now() + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status = function()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        with contextlib.suppress(Exception):
            os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
        status = 1
    finally:
        os._exit(status)


def _data_now() -> int:
    """Bytes of this process that count for ``RLIMIT_DATA``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _wait(child: int, begun: float, stop: tuple[int, float] | None) -> tuple[int | None, float]:
    """Exit status, and the most memory that was resident, in MB."""
    pause = 0.002
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024
        passed = time.monotonic() - begun
        if stop is not None and passed >= stop[1]:
            with contextlib.suppress(OSError):
                os.kill(child, stop[0])
            stop = None
        if passed > SECONDS:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return None, usage.ru_maxrss / 1024
        time.sleep(pause)
        pause = min(pause * 1.3, 0.05)
