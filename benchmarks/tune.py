"""What does searching the head on frozen features first save, against plain TPE on full training?

    python benchmarks/tune.py [--data digits] [--backbone efficientnet] [--size 64] [--minutes 10]
                              [--picture curve.svg]

Both searches have the same time, data, fixed settings and seed, and both begin with the default
settings. They run side by side, each on half of the cores, so that what else the machine does
slows both. Cheap first is `zoo tune` as it is; plain is the same with --head-trials 0 and
--no-prune, which searches the head's settings by training like all others. Features and prepared
images are computed by a first, untimed run. What counts is the best validation score so far, at the
end of each trial.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from _table import print_table

from zoo.pages import svg

Curve = list[tuple[float, float, float]]  # seconds, best accuracy, best log loss
_KINDS = {"cheap first": {"head_trials": 100}, "plain TPE": {"head_trials": 0, "prune": False}}


def search(kind: str, folder: Path, args: argparse.Namespace) -> Curve:
    """The best so far by seconds since the first trial began."""
    import zoo

    fixed: dict[str, Any] = {"size": args.size, "epochs": args.epochs, "seed": args.seed}
    study = zoo.tune(
        args.backbone,
        args.data,
        trials=1000,
        timeout=60 * args.minutes,
        refit=False,
        name=kind.replace(" ", "-"),
        runs_dir=folder / "runs",
        **{n: v for n, v in fixed.items() if v is not None},
        **_KINDS[kind],
    )
    done = [r for r in study.trials if r["state"] == "complete"]
    first = min(datetime.fromisoformat(r["begun"]) for r in study.trials)
    ends = [
        ((datetime.fromisoformat(r["begun"]) - first).total_seconds() + r["seconds"], r["metrics"])
        for r in done
    ]
    curve: Curve = []
    accuracy, loss = 0.0, float("inf")
    for seconds, metrics in sorted(ends, key=lambda end: end[0]):
        accuracy, loss = max(accuracy, metrics["accuracy"]), min(loss, metrics["log_loss"])
        curve.append((seconds, accuracy, loss))
    return curve


def side_by_side(folder: Path, args: argparse.Namespace) -> dict[str, Curve]:
    """Both searches at once, each in a process of its own that has half of the cores."""
    cores = sorted(os.sched_getaffinity(0))
    half = max(1, len(cores) // 2)
    started = []
    for i, kind in enumerate(_KINDS):
        mine = set(cores[i * half : (i + 1) * half]) or set(cores)
        call = [sys.executable, __file__, *sys.argv[1:], "--search", kind, "--folder", str(folder)]
        started.append(
            subprocess.Popen(call, preexec_fn=lambda own=mine: os.sched_setaffinity(0, own))
        )
    for kind, process in zip(_KINDS, started, strict=True):
        if process.wait():
            raise SystemExit(f"the search {kind} failed")
    return {kind: json.loads((folder / f"{kind}.json").read_text()) for kind in _KINDS}


def at(curve: Curve, seconds: float) -> list[str]:
    """Best accuracy and log loss by then."""
    known = [point for point in curve if point[0] <= seconds]
    return [f"{known[-1][1]:.4f}", f"{known[-1][2]:.4f}"] if known else ["", ""]


def picture(curves: dict[str, Curve], seconds: float) -> str:
    """Best accuracy by time, as SVG."""
    values = [accuracy for curve in curves.values() for _, accuracy, _ in curve]
    frame = svg.Frame(720, 320, min(values) - 0.005, max(values) + 0.005)
    parts = frame.axes("seconds (up: best validation accuracy so far)")
    for (kind, curve), colour in zip(curves.items(), ("#c2410c", "#1f6fb4"), strict=True):
        points, last = [], frame.y(curve[0][1])
        for moment, accuracy, _ in [*curve, (seconds, curve[-1][1], 0.0)]:
            x = frame.x(min(1.0, moment / seconds))
            points += [(x, last), (x, frame.y(accuracy))]
            last = frame.y(accuracy)
        style = f"stroke: {colour}; fill: none; stroke-width: 2"
        parts.append(svg.line(points, "run", style))
        parts.append(svg.text(frame.x(1), last - 5, kind, "end"))
    marks = [x for x in svg.ticks(0, seconds, 6) if x <= seconds]
    parts += [svg.text(frame.x(x / seconds), frame.height - 19, svg.number(x)) for x in marks]
    text = svg.image(720, 320, parts, "best accuracy by time")
    look = "text { font: 11px sans-serif } .grid { stroke: #ddd; fill: none }"
    head, _, rest = text.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{look}</style>{rest}'


def main() -> None:
    """Both searches, with the same cache."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="digits")
    parser.add_argument("--backbone", default="efficientnet")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--search", choices=list(_KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.search:
        found = search(args.search, args.folder, args)
        (args.folder / f"{args.search}.json").write_text(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.setdefault("ZOO_CACHE", str(folder / "cache"))
        import zoo

        zoo.finetune(
            args.backbone, args.data, size=args.size, unfreeze="none", runs_dir=folder / "warm"
        )
        curves = side_by_side(folder, args)
    seconds = 60 * args.minutes
    rows = [
        [
            f"{share * seconds:.0f}",
            *at(curves["cheap first"], share * seconds),
            *at(curves["plain TPE"], share * seconds),
        ]
        for share in (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.2)
    ]
    print_table(
        f"Best of validation so far, {args.backbone} on {args.data}, {args.size} px",
        ["seconds", "cheap first: accuracy", "log loss", "plain TPE: accuracy", "log loss"],
        rows,
    )
    if args.picture:
        args.picture.write_text(picture(curves, seconds), encoding="utf-8")


if __name__ == "__main__":
    main()
