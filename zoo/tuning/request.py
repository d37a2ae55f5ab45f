"""How to search, beside what: trials, metric, time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from zoo.errors import ZooError
from zoo.tuning.score import check_metric


@dataclass(frozen=True)
class Request:
    """How to search, beside what."""

    trials: int | None
    head_trials: int
    metric: str
    jobs: int
    seconds: float
    prune: bool
    top: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", check_metric(self.metric))
        if self.trials is not None and self.trials < 1:
            raise ZooError(f"trials must be at least 1, not {self.trials}")
        if self.head_trials < 0:
            raise ZooError(f"head_trials must be at least 0, not {self.head_trials}")
        if self.jobs < 1:
            raise ZooError(f"jobs must be at least 1, not {self.jobs}")
        if self.top < 1:
            raise ZooError(f"top must be at least 1, not {self.top}")


def seconds_of(timeout: str | float | None) -> float:
    """Seconds of ``90``, ``90s``, ``30m``, ``1h30m``; infinity of None.

    Raises:
        ZooError: it is no time, or not above zero.
    """
    if timeout is None:
        return float("inf")
    text = str(timeout).strip().lower()
    found = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text)
    try:
        parts = [float(part or 0) for part in found.groups()] if found and text else [0.0]
    except ValueError:
        parts = [0.0]
    total = sum(x * unit for x, unit in zip(parts, (3600, 60, 1), strict=False))
    if total <= 0:
        raise ZooError(f"timeout must be a time such as 1h, 30m or 90s, not {timeout!r}")
    return total
