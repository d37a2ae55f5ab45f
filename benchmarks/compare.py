"""Backbones, recipes and ensembles in one table, as `zoo benchmark` makes it.

    python benchmarks/compare.py                            # the small tables of CI: 3 minutes
    python benchmarks/compare.py --check benchmarks/baseline.json    # and fail if one fell
    python benchmarks/compare.py --update benchmarks/baseline.json   # after a change that is meant
    zoo benchmark --data photos/ --backbones efficientnet,cnn        # a table of your own

Real photos and weights at small size: EfficientNet-Lite0 and a CNN on half of the solar cells of
ELPV, the CNN on digits. A fall in accuracy beyond noise, or a figure that is missing, ends it with
status 1; times of another machine are compared in proportion only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import zoo
from zoo.benchmarking.baseline import check, read_baseline, write_baseline
from zoo.benchmarking.result import Table
from zoo.benchmarking.tables import markdown
from zoo.progress import for_terminal

SEEDS = 2  # the fewest that show a spread
# a large test part, so that a fall shows, and few images to train on, so that it is quick
ELPV = {"size": 64, "test_fraction": 0.4, "val_fraction": 0.3, "epochs": 2}
CNN = {"filters": 8, "dense_units": 32}


def tables(folder: Path, jobs: int) -> list[Table]:
    """The tables of CI."""
    shared = {"runs_dir": folder, "seeds": SEEDS, "jobs": jobs, "progress": for_terminal()}
    elpv = zoo.benchmark(
        ["efficientnet", "cnn"], "elpv", each={"cnn": {"size": 32, **CNN}}, **shared, **ELPV
    )
    digits = zoo.benchmark(["cnn"], "digits", test_fraction=0.5, epochs=8, **CNN, **shared)
    return [elpv, digits]


def main() -> None:
    """Make the tables, and hold them against the baseline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", type=Path, metavar="FILE", help="fail where accuracy fell")
    parser.add_argument("--update", type=Path, metavar="FILE", help="write the baseline")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="keep the cells")
    parser.add_argument("--jobs", type=int, default=2, metavar="J", help="runs at a time")
    args = parser.parse_args()
    baseline = read_baseline(args.check) if args.check else None
    with tempfile.TemporaryDirectory() as folder:
        made = tables(args.runs or Path(folder), args.jobs)
        for table in made:
            print(markdown(table))
        if args.update:
            write_baseline(args.update, made)
        if baseline is None:
            return
        report = check(made, baseline)
        print("\n".join(report.lines))
        print("\n".join(f"- {problem}" for problem in report.problems) or "No fall.")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
