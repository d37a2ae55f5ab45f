"""How many threads each of several jobs at a time may use."""

from __future__ import annotations

import os
from collections.abc import Mapping

# TensorFlow's own pool, OpenMP and NumPy's OpenBLAS
_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def threads_per_job(jobs: int) -> int:
    """Threads for each of ``jobs`` processes at a time; 0 (no limit) if there is only one."""
    return max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else 0


def with_threads(environment: Mapping[str, str], threads: int) -> dict[str, str]:
    """An environment that limits the threads of a process, where it does not limit them itself.

    Args:
        environment: of the parent.
        threads: that the arithmetic may use; 0 for no limit.
    """
    limits = dict.fromkeys(_VARIABLES, str(threads)) if threads else {}
    return {**limits, **environment}
