"""``python -m tests.torture``: draw cases, run them side by side, print a table."""

from __future__ import annotations

import argparse
import collections
import itertools
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies as st

from tests.torture import forked, prepared
from tests.torture.foreign import archive_cases, image_cases, manifest_cases
from tests.torture.kills import kill_cases
from tests.torture.lines import line_cases
from tests.torture.place import Place
from tests.torture.state import state_cases

SEED = 28
# kind to its share of the cases
KINDS: dict[str, tuple[int, Callable[[], st.SearchStrategy[Any]]]] = {
    "damaged state": (50, state_cases),
    "command line": (20, line_cases),
    "hostile image": (10, image_cases),
    "hostile manifest or config": (8, manifest_cases),
    "hostile weights or archive": (7, archive_cases),
    "kill": (5, kill_cases),
}


def draw(strategy: st.SearchStrategy[Any], count: int, seed: int) -> list[Any]:
    """Cases that are the same each time, and drawn independently of one another."""
    return [_draw(strategy, 1_000_000 * seed + number) for number in range(count)]


def _draw(strategy: st.SearchStrategy[Any], seed: int) -> Any:
    found: list[Any] = []

    # the first example is the simplest, and from the third on they are variations
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=2,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(case: Any) -> None:
        found.append(case)

    collect()
    return found[-1]


def _shares(kinds: Mapping[str, tuple[int, Any]], cases: int) -> list[int]:
    """Cases of each kind, which sum up to all."""
    ends = list(itertools.accumulate(share for share, _ in kinds.values()))
    bounds = [round(cases * end / ends[-1]) for end in [0, *ends]]
    return [high - low for low, high in itertools.pairwise(bounds)]


def run_all(cases: Sequence[Any], jobs: int, folder: Path) -> list[tuple[Any, str, float]]:
    """Each case with what is wrong, and the seconds it took."""
    workers = [
        _start(cases[i::jobs], folder / f"place{i}", folder / "prepared") for i in range(jobs)
    ]
    found = []
    for child, pipe in workers:
        with os.fdopen(pipe, "rb") as file:
            found += pickle.loads(file.read())  # noqa: S301 - written by the child
        os.waitpid(child, 0)
    return found


def _start(cases: Sequence[Any], path: Path, made: Path) -> tuple[int, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    try:
        os.close(reader)
        place, found = Place(path, made), []
        for case in cases:
            begun = time.monotonic()
            try:
                wrong = case.run(place)
            except Exception as error:
                wrong = f"the case itself failed: {type(error).__name__}: {error}"
            found.append((case, wrong, time.monotonic() - begun))
            if wrong:
                print(f"WRONG {case}\n      {wrong}", file=sys.stderr, flush=True)
        with os.fdopen(writer, "wb") as file:
            file.write(pickle.dumps(found))
    finally:
        os._exit(0)


def main() -> int:
    """Exit status: 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--kind", choices=KINDS, help="only this kind")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", default="", help="only cases whose text holds this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    begun = time.monotonic()
    kinds = {k: v for k, v in KINDS.items() if given.kind in {None, k}}
    cases = []
    for count, strategy in zip(_shares(kinds, given.cases), kinds.values(), strict=True):
        cases += draw(strategy[1](), count, given.seed)
    cases = [case for case in cases if given.only in str(case)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["ZOO_CACHE"] = str(folder / "cache")
        os.environ["ZOO_WEIGHTS"] = str(folder / "weights")
        os.environ.pop("ZOO_RUNS", None)
        forked.import_everything()
        (folder / "prepared").mkdir()
        prepared.prepare(folder / "prepared")
        found = run_all(cases, given.jobs, folder)
    return report(found, time.monotonic() - begun)


def report(found: Sequence[tuple[Any, str, float]], seconds: float) -> int:
    """Print the table."""
    rows = collections.defaultdict(list)
    for case, wrong, spent in found:
        rows[case.kind].append((wrong, spent))
    print("| kind | cases | right | wrong | seconds |\n| --- | --: | --: | --: | --: |")
    for kind, results in rows.items():
        wrong = sum(bool(w) for w, _ in results)
        spent = sum(s for _, s in results)
        print(f"| {kind} | {len(results)} | {len(results) - wrong} | {wrong} | {spent:.0f} |")
    wrong = sum(bool(w) for _, w, _ in found)
    print(f"| all | {len(found)} | {len(found) - wrong} | {wrong} | {seconds:.0f} elapsed |")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
