"""The ensembles of the table: every method on the full recipe's networks of each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import backbones
from backbones import BackboneError
from ensembles import EnsembleError
from zoo.benchmarking.cell_store import CellStore
from zoo.benchmarking.fan_out import Job, JobRunner
from zoo.benchmarking.plan import TUNED, Cell, short_hash
from zoo.combine.job import ensemble
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.run_names import plain_name


@dataclass(frozen=True)
class Combination:
    """Members of one seed and how they are combined.

    Attributes:
        method: how they are combined.
        backbone: of a soup, which has only one; empty otherwise.
        seed: of the members.
        members: names of their runs.
    """

    method: str
    backbone: str
    seed: int
    members: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of its run, which depends on the members."""
        stem = plain_name(backbones.short_name(self.backbone), 60)
        parts = [self.method, stem, f"s{self.seed}", short_hash([self.method, self.members])]
        return "-".join(part for part in parts if part)


def combinations(
    cells: Sequence[Cell], methods: Sequence[str], seeds: int, store: CellStore
) -> tuple[list[Combination], dict[int, str]]:
    """All ensembles that can be made of finished cells.

    A backbone without a finished cell of the full recipe is left out. A soup averages networks that
    started from the same weights: the fine-tuned variants of one backbone and seed.

    Returns:
        The ensembles, and seed to the reason why it has none.
    """
    full = [c for c in cells if c.variant == "full"]
    done = {c.name for c in cells if store.is_done(c.name)}
    taking_part = dict.fromkeys(c.backbone for c in full if c.name in done)
    made, missing = [], {}
    for seed in range(seeds):
        mine = [c for c in full if c.seed == seed and c.backbone in taking_part]
        absent = [c.backbone for c in mine if c.name not in done]
        if absent:
            missing[seed] = f"{absent[0]} was not trained with seed {seed}"
        elif len(mine) > 1:
            members = tuple(c.name for c in mine)
            made += [Combination(m, "", seed, members) for m in methods if m != "soup"]
    return made + (_soups(cells, seeds, done) if "soup" in methods else []), missing


def _soups(cells: Sequence[Cell], seeds: int, done: set[str]) -> list[Combination]:
    pretrained = dict.fromkeys(c.backbone for c in cells if c.variant == "probe")
    found = []
    for backbone in pretrained:
        for seed in range(seeds):
            mine = [c for c in cells if (c.backbone, c.seed) == (backbone, seed)]
            members = tuple(c.name for c in mine if c.variant in TUNED and c.name in done)
            if len(members) == len(TUNED):
                found.append(Combination("soup", backbone, seed, members))
    return found


def combine(
    wanted: Sequence[Combination], store: CellStore, runner: JobRunner, progress: Progress
) -> dict[str, str]:
    """Make the missing ensembles; gives name to reason of those that failed."""
    missing = [c for c in wanted if store.run(c.name) is None]
    if not missing:
        return {}
    failed: dict[str, str] = {}
    with progress.step("combine", len(missing)) as advance:
        for one in [c for c in missing if c.method != "soup"]:
            try:
                members = [store.cells / name for name in one.members]
                ensemble(members, one.method, name=one.name, runs_dir=store.cells)
            except (ZooError, BackboneError, EnsembleError) as error:
                failed[one.name] = str(error)
            advance(1)
        soups = [_soup_job(c, store) for c in missing if c.method == "soup"]
        for job, answer in runner.run(soups):
            failed |= failure(job, answer, store)
            advance(1)
    return failed


def _soup_job(soup: Combination, store: CellStore) -> Job:
    return {
        "kind": "soup",
        "name": soup.name,
        "folder": str(store.cells.resolve()),
        "members": [str(store.cells.resolve() / name) for name in soup.members],
        "log": str(store.log(soup.name).resolve()),
    }


def failure(job: Job, answer: Mapping[str, object], store: CellStore) -> dict[str, str]:
    """The name of a run that was not made, and why; empty if it was made."""
    name = str(job["name"])
    if "error" in answer:
        return {name: str(answer["error"])}
    if store.run(name) is None:
        return {
            name: f"it was made on another machine, whose {job['folder']} is another folder: give "
            f"--runs-dir a folder that all machines share"
        }
    return {}
