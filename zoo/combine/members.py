"""The runs that are to be combined: opened, checked against each other, and joined by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import ZooError
from zoo.records import DataRecord, RunRecord
from zoo.run_names import check_name
from zoo.runs import Run, open_run

if TYPE_CHECKING:
    from ensembles import PredictionTable

_SPLIT_SETTINGS = ("split_seed", "val_fraction", "test_fraction", "near_duplicates")


@dataclass(frozen=True)
class Members:
    """Runs of the same data and split, with their predictions in one order.

    Attributes:
        runs: at least one.
        split: what there is to learn from: ``oof`` where all runs have it, else ``val``.
        tables: of that split, one per run.
    """

    runs: list[Run]
    split: str
    tables: list[PredictionTable]

    @property
    def names(self) -> list[str]:
        """Names of the runs."""
        return [run.name for run in self.runs]

    @property
    def probabilities(self) -> np.ndarray:
        """Of shape (m, n, k)."""
        return np.stack([table.probabilities for table in self.tables])

    @property
    def labels(self) -> np.ndarray:
        """int64 of shape (n,)."""
        return self.tables[0].labels

    def test(self) -> list[PredictionTable]:
        """The tables of the test split: to be read once, when everything is decided.

        Raises:
            EnsembleError: missing, damaged, or not of the same images.
        """
        from ensembles import align

        return align([run.predictions("test") for run in self.runs], self.names)

    def only(self, chosen: Sequence[int]) -> Members:
        """Some of them."""
        return Members([self.runs[i] for i in chosen], self.split, [self.tables[i] for i in chosen])


def open_members(names: Sequence[str | Path | Run], folder: str | Path | None = None) -> Members:
    """Open runs to combine.

    Raises:
        ZooError: fewer than two, one twice, unknown, unfinished, or of other data or another split.
        EnsembleError: predictions are missing or damaged.
    """
    from ensembles import align

    runs = matching_runs(names, folder)
    have = [run.has("predictions/oof.npz") for run in runs]  # each one says if it lost its own
    split = "oof" if all(have) else "val"
    tables = [run.predictions(split) for run in runs]
    return Members(runs, split, align(tables, [run.name for run in runs]))


def matching_runs(names: Sequence[str | Path | Run], folder: str | Path | None = None) -> list[Run]:
    """Runs that can be combined by what their records say; quick, nothing heavy is imported.

    Raises:
        ZooError: fewer than two, one twice, unknown, unfinished, or of other data or another split.
    """
    if len(names) < 2:
        given = f"only {str(getattr(names[0], 'name', names[0]))!r}" if names else "none"
        raise ZooError(f"an ensemble needs at least two members, not {given}: name more runs")
    runs = [name if isinstance(name, Run) else open_run(name, folder) for name in names]
    runs = [run if run.name else Run(run.path.resolve()) for run in runs]  # given as "."
    for run in runs:
        try:
            check_name(run.name)
        except ZooError as error:
            raise ZooError(f"the folder {run.path} cannot be a member: {error}") from None
    places = [run.path.resolve() for run in runs]
    for i, (run, place) in enumerate(zip(runs, places, strict=True)):
        if place in places[:i]:
            raise ZooError(f"member {run.name!r} is named twice: name each run once")
        if run.name in {other.name for other in runs[:i]}:
            raise ZooError(f"two members are called {run.name!r}: rename the folder of one of them")
    for run in runs[1:]:
        _check_same_data(runs[0], run)
    return runs


def _check_same_data(first: Run, other: Run) -> None:
    one, two = first.record["data"], other.record["data"]
    pair = f"{first.name!r} and {other.name!r}"
    if set(first.classes) != set(other.classes):
        extra = sorted(set(first.classes) ^ set(other.classes))[0]
        has = first if extra in first.classes else other
        raise ZooError(
            f"{pair} cannot be combined: their classes differ, only {has.name!r} has {extra!r}"
        )
    if one["fingerprint"] != two["fingerprint"]:
        raise ZooError(
            f"{pair} cannot be combined: they were trained on different data, "
            f"{_where(one)} and {_where(two)}: train both on the same, unchanged images"
        )
    if one["split_fingerprint"] != two["split_fingerprint"]:
        raise ZooError(
            f"{pair} cannot be combined: they split the data differently"
            f"{_differing(first.record, other.record)}: train one of them again as the other"
        )


def _where(data: DataRecord) -> str:
    return f"{data['name']} ({data['images']} images, {data['fingerprint'][:8]})"


def _differing(one: RunRecord, two: RunRecord) -> str:
    """The setting that explains different splits, where it is known."""
    for name in _SPLIT_SETTINGS:
        a, b = one["settings"].get(name), two["settings"].get(name)
        if a != b and None not in (a, b):
            return f" ({name} {a} and {b})"
    return ""
