"""Jobs through joblib, on this machine or a Dask cluster, each in its own process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.installation import install_hint
from zoo.processes.child import child
from zoo.processes.owner import host, is_gone, this_process
from zoo.processes.resources import threads_per_job

_CONNECT = 10  # seconds to connect to a scheduler

Job = dict[str, Any]
Answer = tuple[Job, dict[str, Any]]


@dataclass(frozen=True)
class JobRunner:
    """Runs jobs in parallel.

    Attributes:
        jobs: at a time on this machine.
        backend: of joblib, ``loky`` or ``dask``.
        address: of the Dask scheduler. Its workers must see the runs folder, and images and weights
            under the same paths.
    """

    jobs: int = 1
    backend: str = "loky"
    address: str | None = None

    def run(self, jobs: Sequence[Job]) -> Iterator[Answer]:
        """Run the jobs; yields each with its answer as it finishes.

        The answer is ``{"done": ...}`` or ``{"error": why}``; a job whose Dask worker is lost is
        repeated by another one.

        Raises:
            ZooError: there is no such cluster, or it or a joblib process is lost.
        """
        from joblib import Parallel, delayed

        threads = threads_per_job(self.jobs)
        if not jobs:
            return
        owner = this_process()
        with self._backend() as count:
            # a cell takes a minute: one per task, so that a lost worker costs one
            parallel = Parallel(
                n_jobs=count, return_as="generator_unordered", batch_size=1, pre_dispatch="all"
            )
            calls = (delayed(run_job)(job, owner, threads) for job in jobs)
            try:
                yield from parallel(calls)
            except Exception as error:
                lost = self.backend == "dask" or isinstance(error, BrokenExecutor)
                if isinstance(error, ZooError) or not lost:
                    raise
                where = f"the Dask cluster at {self.address}" if self.address else "a process"
                why = " ".join(f"{type(error).__name__}: {error}".split())
                raise ZooError(
                    f"{where} was lost ({why:.200}): repeat the command to continue"
                ) from error

    @contextmanager
    def _backend(self) -> Iterator[int]:
        """Make joblib use the backend; yields its number of jobs."""
        from joblib import parallel_config

        if self.backend == "loky":
            with parallel_config(backend="loky"):
                yield self.jobs
            return
        try:
            from distributed import Client
        except ImportError:
            raise ZooError(f"--backend dask needs Dask: {install_hint('dask')}") from None
        try:
            _check_tls(self.address or "")
            client = Client(self.address, timeout=_CONNECT, set_as_default=False)
        except ZooError:
            raise
        except (OSError, ValueError, TimeoutError) as error:
            raise ZooError(
                f"there is no Dask scheduler at {self.address} ({error!s:.200}): start one "
                f"(dask scheduler) and workers (dask worker {self.address}), or leave --backend out"
            ) from error
        with client, parallel_config(backend="dask", client=client):
            yield -1


def _check_tls(address: str) -> None:
    """Certificates come from Dask's own configuration; without them its client fails at random.

    Raises:
        ZooError: the address asks for TLS, and none are configured.
        OSError: a configured one cannot be read.
    """
    from distributed.security import Security

    if not address.startswith("tls:"):
        return
    if Security().get_connection_args("client")["ssl_context"] is None:
        raise ZooError(
            f"{address} asks for TLS, and Dask has no certificates configured: set "
            f"distributed.comm.tls in Dask's configuration (https://distributed.dask.org/en/latest/"
            f"tls.html)"
        )


def run_job(job: Job, owner: Mapping[str, Any], threads: int) -> Answer:
    """Run one job in its own process, and return its answer.

    Args:
        job: see :mod:`zoo.benchmarking.worker`; ``log`` is the file for what it prints.
        owner: the process that asks for it, from :func:`zoo.processes.owner.this_process`; when it
            is gone from this machine, the job ends.
        threads: that its arithmetic may use; from the Dask worker if 0.
    """

    def idle() -> None:
        if owner["host"] == host() and is_gone(owner, 0.0):
            raise ZooError("the command that asked for this is gone")

    log = Path(job["log"])
    log.parent.mkdir(parents=True, exist_ok=True)
    with child(job, log, "zoo.benchmarking.worker", threads or _dask_threads()) as process:
        answers = list(process.answers(idle))
        status = process.end()
    return job, answers[-1] if answers else {"error": process.why(status)}


def _dask_threads() -> int:
    """Threads for a job of a Dask worker that runs several at a time; 0 for all."""
    import sys

    if "distributed" not in sys.modules:
        return 0
    from distributed import get_worker

    try:
        at_a_time = get_worker().state.nthreads
    except ValueError:  # not called by a worker
        return 0
    return threads_per_job(at_a_time)
