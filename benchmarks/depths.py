"""What do features of all depths, and several views of an image, gain a linear head?

    python benchmarks/depths.py elpv digits                    # about two minutes each
    python benchmarks/depths.py photos/ --backbones efficientnet mobilenet=FILE.h5 --views 1 2 8
    python benchmarks/depths.py elpv --seeds 3

Each row is a linear probe (`--unfreeze none`), judged on the test images of its split; each seed is
another split (of data that has no split of its own). Beside it is its change against the last layer
and one view on the same images, with the 95% interval of the paired test. The row `auto` is what
cross-validation on training images chose.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile

import numpy as np
from _table import print_table

import zoo
from ensembles.comparison import compare
from zoo.runs import Run

HEADS = ["depths", "views", "seconds of fitting", "ms per image", "accuracy", "log loss", "change"]


def trained(data: str, backbone: str, seed: int, name: tuple[str, str], folder: str) -> Run:
    """A linear probe on these depths and views; a backbone may be ``NAME=FILE``."""
    family, _, weights = backbone.partition("=")
    settings = dict(zip(("depths", "views"), name, strict=True))
    if weights:
        settings["weights"] = weights
    return zoo.finetune(
        family, data=data, runs_dir=folder, unfreeze="none", split_seed=seed, **settings
    )


def row_of(runs: list[Run], baseline: list[Run], name: tuple[str, str]) -> list[str]:
    """Means over seeds, and the paired comparison of each."""
    test = [run.metrics["test"] for run in runs]
    changes = []
    for run, other in zip(runs, baseline, strict=True):
        if run is not other:
            found = compare(run.predictions("test"), other.predictions("test"))
            changes.append(f"{found.log_loss:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")
    kept = runs[0].record["kept"][0]
    chosen = f" ({kept['depths']})" if name[0] == "auto" else ""
    count = f" ({kept['views']})" if name[1] == "auto" else ""
    return [
        name[0] + chosen,
        name[1] + count,
        f"{np.mean([run.record['seconds']['probe'] for run in runs]):.1f}",
        f"{np.mean([run.record['network']['ms_per_image'] for run in runs]):.1f}",
        f"{np.mean([metrics['accuracy']['value'] for metrics in test]):.3f}",
        f"{np.mean([metrics['log_loss']['value'] for metrics in test]):.3f}",
        "; ".join(changes) or "-",
    ]


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="folders or built-in sets")
    parser.add_argument(
        "--backbones", nargs="+", default=["efficientnet"], help="NAME, or NAME=FILE of its weights"
    )
    parser.add_argument("--views", nargs="+", default=["1", "2"])
    parser.add_argument("--seeds", type=int, default=1, help="splits")
    asked = parser.parse_args()
    for data, backbone in itertools.product(asked.data, asked.backbones):
        names = [(depths, views) for depths in ("last", "all") for views in asked.views]
        with tempfile.TemporaryDirectory() as folder:
            rows, baseline = [], []
            for name in [*names, ("auto", "auto")]:
                seeds = range(asked.seeds)
                runs = [trained(data, backbone, seed, name, folder) for seed in seeds]
                baseline = baseline or runs
                rows.append(row_of(runs, baseline, name))
            print_table(f"{backbone.partition('=')[0]}, {data}, splits: {asked.seeds}", HEADS, rows)


if __name__ == "__main__":
    main()
