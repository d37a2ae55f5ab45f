"""The parent's side of a child process that does one job: start it, hear its answers, end it.

Portable: a thread reads the pipe, since Windows selects on sockets only.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zoo.processes.resources import with_threads

_IDLE = 15.0  # seconds between two calls of ``idle``
_POLL = 1.0  # seconds to wait for an answer before looking at the clock
_GRACE = 2.0  # seconds to end by itself before it is killed
_SHOWN = 300  # characters of its last words in a message


class Child:
    """A process that does one job.

    Args:
        job: as the module takes it.
        log: file for what it prints.
        module: what the process runs; it answers by :func:`zoo.processes.serving.serve`.
        threads: that its arithmetic may use; 0 for all cores.
    """

    def __init__(self, job: Mapping[str, Any], log: Path, module: str, threads: int) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(threads),
                **_apart_from_ctrl_c(),
            )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.send(json.dumps(job))

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stdout is not None
        with suppress(ValueError, OSError):  # closed by ``end``
            for line in self._process.stdout:
                if line.endswith(b"\n"):  # half a line is what a kill left
                    self._lines.put(line)
        self._lines.put(None)

    def send(self, line: str) -> None:
        """Send an order; a process that has ended does not hear it."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def answers(self, idle: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """Its answers until it ends; ``idle`` is called about every 15 seconds."""
        called = time.monotonic()
        while True:
            if time.monotonic() - called > _IDLE:
                idle()
                called = time.monotonic()
            try:
                line = self._lines.get(timeout=_POLL)
            except queue.Empty:
                continue
            if line is None:
                return
            yield json.loads(line)

    def kill(self) -> None:
        """End it at once; :meth:`answers` ends too. From another thread as well."""
        with suppress(OSError):
            self._process.kill()

    def end(self) -> int:
        """Wait for its end, and kill it if it does not come; its exit status."""
        process = self._process
        if process.poll() is None:
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        status = process.wait()
        self._reader.join(_GRACE)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
        return status

    def why(self, status: int) -> str:
        """Why it ended without a last answer."""
        if status == -getattr(signal, "SIGKILL", 9):
            return "killed by the system, most likely out of memory: lower batch_size or size"
        lines = self._log.read_text("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"the process ended with {ended}: {last[:_SHOWN]}"


@contextmanager
def child(job: Mapping[str, Any], log: Path, module: str, threads: int = 0) -> Iterator[Child]:
    """A child process that has ended when the block ends, however it ends; see :class:`Child`."""
    started = Child(job, log, module, threads)
    try:
        yield started
    finally:
        started.end()


def _apart_from_ctrl_c() -> dict[str, Any]:
    """Options that keep Ctrl-C, which goes to all of a terminal, for the parent alone."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _environment(threads: int) -> dict[str, str]:
    """The parent's environment; a child finds zoo where the parent has it from."""
    found = with_threads(os.environ, threads)
    here = str(Path(__file__).parents[2])
    found["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [found.get("PYTHONPATH")])])
    return found
