"""How long does each command take to start? Against an interpreter that does nothing.

    python benchmarks/startup.py

About 10 seconds; the goal is 0.3 s for every `--help` on two cores.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from _table import print_table

ROUNDS = 5  # after one that fills the caches of the system
COMMANDS = [
    "--help",
    "finetune --help",
    "ensemble --help",
    "predict --help",
    "tune --help",
    "diagnose --help",
    "benchmark --help",
    "list",
    "runs",
    "weights list",
]


def seconds(command: list[str]) -> float:
    """Wall seconds of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Time all commands in turn, so that a slow moment hits each alike."""
    calls = {"python -c pass": [sys.executable, "-c", "pass"]}
    calls |= {f"zoo {c}": [sys.executable, "-m", "zoo", *c.split()] for c in COMMANDS}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS + 1):
        for name, call in calls.items():
            times[name].append(seconds(call))
    medians = {name: statistics.median(t[1:]) for name, t in times.items()}
    base = medians["python -c pass"]
    rows = [[f"`{n}`", f"{m:.3f}", f"{m / base:.1f}"] for n, m in medians.items()]
    title = f"Start-up, median of {ROUNDS}"
    print_table(title, ["command", "seconds", "times an empty interpreter"], rows)


if __name__ == "__main__":
    main()
