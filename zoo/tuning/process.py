"""The parent's side of a process for one job: start it, hear it out, end it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PATIENCE = 15.0  # seconds between two calls of ``idle``


class Worker:
    """A process that does one job.

    Args:
        job: see :mod:`zoo.tuning.worker`.
        log: file for what it prints.
        threads: that its arithmetic may use; all cores where 0.
        module: what the process runs; it answers as :func:`zoo.tuning.worker.serve` does.
    """

    def __init__(self, job: Mapping[str, Any], log: Path, threads: int, module: str) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(threads),
                start_new_session=True,  # Ctrl-C is the parent's: it lets the epoch end
            )
        self._buffer = b""
        self.send(json.dumps(job))

    def send(self, line: str) -> None:
        """Send an order; a process that is gone already says so by its silence."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def answers(self, idle: Callable[[], None]) -> Iterator[dict[str, Any]]:
        """What it says, until it is gone; ``idle`` is called now and then."""
        assert self._process.stdout is not None
        output, called = self._process.stdout.fileno(), time.monotonic()
        while True:
            ready, _, _ = select.select([output], [], [], 1.0)
            if time.monotonic() - called > _PATIENCE:
                idle()
                called = time.monotonic()
            if not ready:
                continue
            chunk = os.read(output, 65536)
            if not chunk:
                return
            self._buffer += chunk
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                yield json.loads(line)

    def end(self) -> int:
        """End it, where it has not ended; its exit status."""
        process = self._process
        if process.poll() is None:
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                process.kill()
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return status

    def why(self, status: int) -> str:
        """Why it ended without a last answer."""
        if status == -signal.SIGKILL:
            return "killed by the system, most likely for want of memory: lower batch_size or size"
        lines = self._log.read_text("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        ended = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"the process ended with {ended}: {last[:300]}"


@contextmanager
def worker(
    job: Mapping[str, Any], log: Path, threads: int = 0, module: str = "zoo.tuning.worker"
) -> Iterator[Worker]:
    """A worker that is gone when the block ends, however it ends; see :class:`Worker`."""
    made = Worker(job, log, threads, module)
    try:
        yield made
    finally:
        made.end()


def _environment(threads: int) -> dict[str, str]:
    found = dict(os.environ)
    here = str(Path(__file__).parents[2])
    found["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [found.get("PYTHONPATH")])])
    if threads:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            found.setdefault(name, str(threads))
    return found
