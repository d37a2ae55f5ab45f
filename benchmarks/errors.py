"""How long does it take to answer a wrong line? Fifty of them, against an empty interpreter.

    python benchmarks/errors.py

About three minutes on two cores, of which a small training takes 15 seconds; the goal is 0.5 s for
every error on an idle machine.
"""

from __future__ import annotations

import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _table import print_table
from PIL import Image

GOAL = 0.5  # seconds
ROUNDS = 3  # after one that fills the caches of the system
TRAINING = "finetune cnn --data digits --epochs 1 --blocks 1 --filters 4 --name run --json"
LINES = [
    "finetun",
    "train",
    "evaluate run",
    "onnx run",
    "rm run",
    "--verson",
    "finetune",
    "finetune cnn --lr 99",
    "finetune cnn --epochs ten",
    "finetune cnn --epochs 0",
    "finetune cnn --batch 0",
    "finetune cnn --imgsz 4",
    "finetune cnn --augmnt light",
    "finetune cnn --device cuda:0",
    "finetune cnn --verbose",
    "finetune cnn --optim adamm",
    "finetune resnet18",
    "finetune vgg16",
    "finetune mobilnet",
    "finetune hub:nosuch",
    "finetune hub:photos --data digits",
    "finetune mobilenet --weights gone.h5 --data digits",
    "finetune cnn --data photoz",
    "finetune cnn --data https://a.example/b.zip",
    "finetune cnn --data photos/cat",
    "finetune cnn --data empty",
    "finetune cnn photos",
    "finetune cnn --data photos --name run",
    "finetune --config gone.yaml",
    "finetune --config wrong.yaml",
    "finetune --resume",
    "tune cnn --lr 99",
    "tune cnn --data digits --metric accc",
    "tune cnn --set lr",
    "sweep gone.yaml",
    "benchmark --epochs 0",
    "benchmark --backbone nothing --data digits",
    "ensemble",
    "ensemble run",
    "ensemble run gone",
    "ensemble run,run",
    "predict run",
    "predict gone bad.png",
    "predict run gone.png",
    "predict run bad.png",
    "predict run empty",
    "diagnose gone",
    "report gone",
    "show gone",
    "list --family vgg",
]


def prepare(folder: Path) -> None:
    """A run, photos, and files that are none."""
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "photos" / name / "0.png")
    (folder / "empty").mkdir()
    (folder / "bad.png").write_bytes(b"no image")
    (folder / "wrong.yaml").write_text("epohcs: 3\n")
    zoo(TRAINING, folder, 0)


Times = tuple[float, float]  # wall and CPU seconds


def zoo(line: str, folder: Path, expected: int = 2) -> Times:
    """Times of ``zoo LINE``, which must end with this exit status."""
    return seconds([sys.executable, "-m", "zoo", *shlex.split(line)], folder, expected)


def seconds(command: list[str], folder: Path, expected: int = 0) -> Times:
    """Times of a process.

    Raises:
        SystemExit: it ended with another exit status.
    """
    places = {"ZOO_RUNS": str(folder / "runs"), "ZOO_CACHE": str(folder / "cache")}
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **places, "PYTHONPATH": paths}
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    spent, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != expected:
        raise SystemExit(
            f"{shlex.join(command)} ended with {done.returncode}: {done.stderr[-300:]}"
        )
    return spent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time all lines in turn, so that a slow moment hits each alike."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        empty = "python -c pass"
        times: dict[str, list[Times]] = {empty: [], **{line: [] for line in LINES}}
        for _ in range(ROUNDS + 1):
            times[empty].append(seconds([sys.executable, "-c", "pass"], folder))
            for line in LINES:
                times[line].append(zoo(line, folder))
    medians = {
        name: tuple(map(statistics.median, zip(*t[1:], strict=True))) for name, t in times.items()
    }
    base_cpu = medians[empty][1]
    slowest = sorted(medians.items(), key=lambda item: -item[1][1])
    rows = [
        [f"`{n if n == empty else f'zoo {n}'}`", f"{m:.3f}", f"{c:.3f}", f"{c / base_cpu:.1f}"]
        for n, (m, c) in slowest
    ]
    title = f"Time to the answer to {len(LINES)} wrong lines, median of {ROUNDS}"
    print_table(title, ["command", "seconds", "CPU seconds", "times an empty interpreter"], rows)
    for what, column in (("", 0), (" of CPU time, which a busy machine stretches less", 1)):
        over = sum(found[column] > GOAL for found in medians.values())
        print(f"\n{over} of {len(LINES)} take more than {GOAL} s{what}")


if __name__ == "__main__":
    main()
