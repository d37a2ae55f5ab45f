"""Are time and memory what they should be for ten and a hundred times as many images?

    python benchmarks/scale.py             # 1,000 and 4,000 images: a minute
    python benchmarks/scale.py --large     # 1,000, 10,000 and 100,000: ten minutes

Small made-up images of ten classes, EfficientNet-Lite0 at 32 px. Every command runs in a process of
its own. What an image costs is the difference between two sizes, so that imports and building
networks drop out; time is linear where it is the same between the smaller and the larger pair. The
probe goes over the features as often as its fit needs, which depends on the problem, so that a pass
is shown, too. Goals: within 20%, and memory flat.

Memory is the peak of what a process needs of its own: anonymous memory, read every 50 ms on Linux
(RssAnon in /proc). Pages of mapped files, such as prepared images and features, are left out, since
the system drops them whenever memory is needed. Elsewhere it is the peak of all resident memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from _table import print_table
from PIL import Image

CLASSES, SIDE = 10, 32  # of the made-up images; the side in pixels
STAGES = ("scan", "prepare", "features", "probe", "a pass of it", "evaluate", "ensemble")
ON_LINUX = sys.platform == "linux"
MEMORY = "anonymous memory" if ON_LINUX else "resident memory"


def make_images(folder: Path, count: int) -> None:
    """Noise around a pattern of each class, so that classes overlap; no two are alike."""
    patterns = np.random.default_rng(0).integers(60, 196, (CLASSES, 4, 4, 3))

    def write(number: int) -> None:
        rng = np.random.default_rng([1, number])
        mixed = patterns[number % CLASSES] + rng.normal(0, 60, (4, 4, 3))
        coarse = np.clip(mixed, 0, 255).astype(np.uint8)
        image = Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image.save(folder / f"class{number % CLASSES}" / f"{number:06d}.jpg", quality=85)

    for number in range(CLASSES):
        (folder / f"class{number}").mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, range(count)))


def measured(command: list[str], folder: Path) -> float:
    """Peak MiB of one command of zoo: of anonymous memory on Linux, else of resident memory."""
    env = {**os.environ, "ZOO_CACHE": str(folder / "cache"), "ZOO_RUNS": str(folder / "runs")}
    call = [sys.executable, "-m", "zoo", *command]
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(call, stdout=log, stderr=log, env=env)
        peak, ended = 0.0, 0
        while not ended:
            if ON_LINUX:
                peak = max(peak, anonymous(process.pid))
                time.sleep(0.05)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG if ON_LINUX else 0)
        if status:
            log.seek(0)
            raise SystemExit(f"failed: zoo {' '.join(command)}\n{log.read().decode()}")
    # kilobytes everywhere but on a Mac
    resident = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return peak if ON_LINUX else resident


def anonymous(process: int) -> float:
    """MiB of memory that is not of a file; 0 if the process has just ended."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 2**10


def seconds(folder: Path, run: str) -> dict[str, float]:
    """What the run says of its stages, and of its probe the time of a pass over the features."""
    record = json.loads((folder / "runs" / run / "run.json").read_text(encoding="utf-8"))
    found: dict[str, float] = record["seconds"]
    if "probe" in found:
        found["passes"] = record["kept"][0]["probe"]["passes"]
        found["a pass of it"] = found["probe"] / found["passes"]
    return found


def at(count: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of every stage, and peak MiB of every command, for so many images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_images(folder / "data", count)
        probe = ["finetune", "efficientnet", "--data", str(folder / "data")]
        probe += ["--size", str(SIDE), "--unfreeze", "none"]
        memory = {
            "probe, first": measured([*probe, "--name", "a"], folder),
            "probe, again": measured([*probe, "--name", "b", "--head-l2", "0.01"], folder),
            "ensemble": measured(["ensemble", "--members", "a,b", "--name", "e"], folder),
        }
        times = {**seconds(folder, "a"), "ensemble": seconds(folder, "e")["total"]}
    return times, memory


def main() -> None:
    """Time by stage, memory by command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--counts", type=int, nargs="+", help="numbers of images, rising")
    args = parser.parse_args()
    counts = args.counts or ([1_000, 10_000, 100_000] if args.large else [1_000, 4_000])
    times, memory = {}, {}
    for count in counts:
        times[count], memory[count] = at(count)
    pairs = list(itertools.pairwise(counts))
    rows = []
    for stage in STAGES:
        each = [1000 * (times[b][stage] - times[a][stage]) / (b - a) for a, b in pairs]
        growth = f"{each[-1] / each[0]:.2f}" if len(each) > 1 and each[0] > 0 else ""
        rows.append(
            [stage, *(f"{times[n][stage]:.3g}" for n in counts), *(f"{x:.3g}" for x in each)]
            + ([growth] if len(pairs) > 1 else [])
        )
    rows.append(["passes of the probe", *(f"{times[n]['passes']:.0f}" for n in counts)])
    rows[-1] += [""] * (len(rows[0]) - len(rows[-1]))
    headers = ["stage", *(f"s, {n:,} images" for n in counts)]
    headers += [f"ms per image, {a:,} to {b:,}" for a, b in pairs]
    print_table("Time by number of images", headers + ["ratio"] * (len(pairs) > 1), rows)
    rows = [[what, *(f"{memory[n][what]:,.0f}" for n in counts)] for what in memory[counts[0]]]
    headers = ["command", *(f"MiB, {n:,} images" for n in counts)]
    print_table(f"Peak of {MEMORY} by number of images", headers, rows)


if __name__ == "__main__":
    main()
