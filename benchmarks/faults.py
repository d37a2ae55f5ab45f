"""Does `zoo diagnose` name faults that were planted, and only those?

    python benchmarks/faults.py --seeds 3                # ELPV, digits, crops of photographs
    python benchmarks/faults.py --data photos/ --seeds 3 --only clean,channels
    python benchmarks/faults.py --quick                  # the strongest of each, one seed

A seed draws up to 1,000 images of a data set. Each fault is planted into them, a classifier is
trained as `zoo finetune` does, and the check that ought to name the fault is run. On the images as
they were, and on faults that one check must not take for another, every naming is a false alarm.
Of ELPV only the cells that the experts were sure of are used.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _planting as planting
import numpy as np
from _planting import Data
from _table import print_table

SIZES = {"elpv": 96, "digits": 64, "crops": 64}
QUICK = {
    "labels flipped": "digits",
    "two classes' labels exchanged": "digits",
    "classes thinned out to 1 in": "digits",
    "a class split in two by chance": "digits",
    "head penalized too much": "digits",
    "resized test images in training": "elpv",
    "white border in every second class": "elpv",
    "blank images": "elpv",
    "values divided by 255": "elpv",
    "cnn: epochs": "digits",
}
RATE = 2e-4  # for so few images the usual rate is too high, which would be no clean training
SMALL_CNN: dict[str, Any] = {
    "backbone": "cnn",
    "filters": 16,
    "size": 16,
    "flip": "none",
    "augment": "light",
}
# what is named though nothing was planted, and is true
FACTS = {
    ("digits", "images"): "with 1,222 training images instead of 544 a linear head's log loss on "
    "the test falls from 0.24 to 0.17, over three draws",
}
Settings = Callable[[float], dict[str, Any]]


def _probe(**more: Any) -> Settings:
    return lambda _: {"unfreeze": "none", **more}


PROBE = _probe()


def _tuned(**more: Any) -> Settings:
    return lambda _: {"unfreeze": "3", "size": 64, "epochs": 4, "learning_rate": RATE, **more}


def _cnn(**more: Any) -> Settings:
    return lambda _: {**SMALL_CNN, "epochs": 12, **more}


@dataclass(frozen=True)
class Fault:
    """What is planted, how strongly, into which data, and which check ought to name it."""

    plant: Callable[[Data, float], None]
    strengths: tuple[float, ...]
    checks: tuple[str, ...]
    sets: tuple[str, ...] = ("elpv", "digits", "folder")
    settings: Settings = PROBE
    spared: bool = False  # these checks must not name it


IMAGES = ("elpv", "folder")
FAULTS = {
    "labels flipped": Fault(planting.flip, (0.02, 0.05, 0.1, 0.2), ("labels",)),
    "two classes' labels exchanged": Fault(
        planting.pair, (0.1, 0.4), ("labels", "pairs"), ("digits", "folder")
    ),
    "classes thinned out to 1 in": Fault(planting.imbalance, (5, 20), ("balance",)),
    "a rare class that is part of another": Fault(
        planting.halve, (0.2,), ("balance",), spared=True
    ),
    "training images cut to": Fault(planting.cut, (0.05,), ("images",)),
    "resized test images in training": Fault(planting.leak, (0.05,), ("leaks",), IMAGES),
    "white border in every second class": Fault(
        planting.border, (0.5, 1.0), ("shortcuts",), IMAGES
    ),
    "a class split in two by chance": Fault(planting.halve, (0.5,), ("pairs",)),
    "blank images": Fault(planting.blank, (0.01, 0.05), ("files",), IMAGES),
    "blurred images": Fault(planting.blur, (0.05, 0.2), ("sharpness",), IMAGES),
    "values divided by 255": Fault(planting.unscaled, (0.1, 1.0), ("files", "input"), IMAGES),
    "red and blue exchanged": Fault(planting.channels, (1.0,), ("input",), ("crops", "folder")),
    "head penalized too much": Fault(
        planting.nothing,
        (1.0, 10.0),
        ("fit",),
        settings=lambda strength: {"unfreeze": "none", "head_l2": strength},
    ),
    "cnn with a filter and a unit": Fault(
        planting.nothing, (1,), ("fit",), ("digits",), _cnn(blocks=2, filters=1, dense_units=1)
    ),
    "rate times": Fault(
        planting.nothing,
        (0.01, 100),
        ("settings",),
        ("elpv",),
        lambda strength: {**_tuned()(0), "learning_rate": RATE * strength},
    ),
    "cnn: rate times": Fault(
        planting.nothing,
        (0.01, 100),
        ("settings",),
        ("digits",),
        lambda strength: {**_cnn()(0), "learning_rate": 2e-3 * strength},
    ),
    "epochs": Fault(planting.nothing, (1,), ("settings",), ("elpv",), _tuned(epochs=1)),
    "cnn: epochs": Fault(planting.nothing, (1,), ("settings",), ("digits",), _cnn(epochs=1)),
}
CLEAN = {
    "probe": (("elpv", "digits", "crops", "folder"), _probe()),
    "fine-tuned": (("elpv",), _tuned()),
    "cnn": (("digits",), _cnn()),
}


@dataclass
class Tally:
    """How often something was named."""

    named: int = 0
    of: int = 0
    found: list[tuple[float, float]] = field(default_factory=list)

    def add(self, named: bool) -> None:
        """Count one."""
        self.named += named
        self.of += 1

    def __str__(self) -> str:
        return f"{self.named} of {self.of}"


@dataclass
class Experiment:
    """Where it works, and what it knows of the data."""

    folder: Path
    count: int
    bases: dict[tuple[str, int], Data] = field(default_factory=dict)

    def data(self, source: str, seed: int, case: str) -> Data:
        """The images of a seed, to plant something into."""
        key = source, seed
        if key not in self.bases:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            self.bases[key] = planting.copy_of(source, folder, seed, self.count)
        found = deepcopy(self.bases[key])
        found.case, found.rng = case, np.random.default_rng(seed)
        return found

    def diagnosed(self, data: Data, source: str, settings: dict[str, Any], seed: int) -> Any:
        """Train, and give what the checks say: check to outcome, run when asked for."""
        import zoo
        from zoo.diagnosis.evidence import Evidence

        near = source not in {"digits", "crops"}
        usual = {"size": SIZES.get(source, 96), "near_duplicates": near, "seed": seed}
        run = zoo.finetune(
            data=data.write(),
            runs_dir=self.folder / "runs",
            **{"backbone": "efficientnet", **usual, **settings},
        )
        return Evidence(run)


def outcomes(evidence: Any, only: tuple[str, ...]) -> dict[str, Any]:
    """Check to what it says, of these checks or of all."""
    from zoo.diagnosis.job import CHECKS

    names = {"images": "capacity"}
    wanted = {f"check_{names.get(check, check)}" for check in only}
    found = [check(evidence) for check in CHECKS if not wanted or check.__name__ in wanted]
    return {outcome.check: outcome for outcome in found}


def kind_of(source: str) -> str:
    """elpv, digits, crops or folder."""
    return source if source in SIZES else "folder"


def precision_and_recall(data: Data, found: dict[str, Any]) -> tuple[float, float] | None:
    """Of the listed labels, how many were planted; of the planted, how many are listed."""
    every = [finding for outcome in found.values() for finding in outcome.findings]
    listed = {Path(shown.id).name for finding in every for shown in finding.files}
    if not data.planted or not listed:
        return None
    both = len(listed & data.planted)
    return both / len(listed), both / len(data.planted)


@contextlib.contextmanager
def timed(words: str) -> Iterator[list[str]]:
    """Print what a case came to, with its seconds."""
    started, notes = time.perf_counter(), [""]
    yield notes
    print(f"{words}: {notes[0]} ({time.perf_counter() - started:.0f} s)", flush=True)


def plant(
    experiment: Experiment, sources: list[str], seeds: int, name: str, strength: float
) -> Tally:
    """Plant a fault into all data that it suits, and count how often it is named."""
    fault, tally = FAULTS[name], Tally()
    for source in (s for s in sources if kind_of(s) in fault.sets):
        for seed in range(seeds):
            with timed(f"{name} {strength:g}, {source} {seed}") as notes:
                case = f"{list(FAULTS).index(name)}-{strength:g}"
                data = experiment.data(source, seed, case)
                fault.plant(data, strength)
                evidence = experiment.diagnosed(data, source, fault.settings(strength), seed)
                found = outcomes(evidence, fault.checks)
                named = any(outcome.state == "found" for outcome in found.values())
                tally.add(named)
                if rates := precision_and_recall(data, found):
                    tally.found.append(rates)
                notes[0] = "; ".join(f"{o.state}, {o.says}" for o in found.values())
    return tally


def clean(
    experiment: Experiment, sources: list[str], seeds: int, training_kinds: tuple[str, ...]
) -> dict[str, dict[str, Tally]]:
    """Data and training to check to how often it names something on the data as they are."""
    table: dict[str, dict[str, Tally]] = {}
    for kind in training_kinds:
        kinds, settings = CLEAN[kind]
        for source in (s for s in sources if kind_of(s) in kinds):
            tallies = table.setdefault(f"{kind_of(source)}, {kind}", {})
            for seed in range(seeds):
                with timed(f"clean, {source}, {kind} {seed}") as notes:
                    evidence = experiment.diagnosed(
                        experiment.data(source, seed, "clean"), source, settings(0), seed
                    )
                    found = outcomes(evidence, ())
                    for check, outcome in found.items():
                        if outcome.state != "unknown":
                            tallies.setdefault(check, Tally()).add(outcome.state == "found")
                    named = [o for o in found.values() if o.state == "found"]
                    notes[0] = "; ".join(f"{o.check}: {o.says}" for o in named) or "nothing named"
    return table


def print_planted(planted: dict[tuple[str, float], Tally]) -> None:
    """The table of faults, and the goal's figure."""
    rows, stronger = [], Tally()
    for (name, strength), tally in planted.items():
        fault = FAULTS[name]
        if not tally.of or fault.spared:
            continue
        lists = [f"{np.mean(rates):.2f}" for rates in zip(*tally.found, strict=True)]
        rows.append([name, f"{strength:g}", str(tally), ", ".join(lists)])
        # the weaker half of the strengths is there to show where naming ends
        if strength in fault.strengths[len(fault.strengths) // 2 :] or name.endswith("rate times"):
            stronger.named, stronger.of = stronger.named + tally.named, stronger.of + tally.of
    headers = ["planted", "strength", "named", "list of wrong labels: precision, recall"]
    print_table("Planted faults", headers, rows)
    print(f"\nAt the stronger half of the strengths {stronger} are named.")


def print_alarms(
    table: dict[str, dict[str, Tally]], planted: dict[tuple[str, float], Tally]
) -> None:
    """The table of false alarms, and the goal's figure."""
    rows, every = [], Tally()
    for data, tallies in table.items():
        facts = [c for c in tallies if (data.split(",")[0], c) in FACTS and tallies[c].named]
        for check in facts:
            print(f"{data}: {check} {tallies.pop(check)}, which is true: ", end="")
            print(FACTS[data.split(",")[0], check])
        alarms = [f"{check} {t}" for check, t in tallies.items() if t.named]
        total = Tally(sum(t.named for t in tallies.values()), sum(t.of for t in tallies.values()))
        rows.append([data, str(total), ", ".join(alarms)])
        every.named, every.of = every.named + total.named, every.of + total.of
    for (name, strength), tally in planted.items():
        if FAULTS[name].spared and tally.of:
            rows.append([f"{name}, {strength:g}", str(tally), "of " + FAULTS[name].checks[0]])
            every.named, every.of = every.named + tally.named, every.of + tally.of
    print_table("False alarms: named where nothing was planted", ["data", "checks", "which"], rows)
    print(f"\nIn all {every}, one per check and seed that could tell.")


def main() -> None:
    """Plant, train, diagnose, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="elpv,digits,crops")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--images", type=int, default=1000, help="of a data set")
    parser.add_argument("--only", default=",".join(["clean", *FAULTS]))
    parser.add_argument("--quick", action="store_true", help="for CI: the strongest, few images")
    given = parser.parse_args()
    chosen = [name for name in given.only.split(",") if name]
    sources = ("elpv,digits" if given.quick else given.data).split(",")
    started = time.perf_counter()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    os.environ["ZOO_CACHE"] = str(folder / "cache")
    try:
        experiment = Experiment(folder, 500 if given.quick else given.images)
        kinds = ("probe",) if given.quick else tuple(CLEAN)
        table = clean(experiment, sources, given.seeds, kinds) if "clean" in chosen else {}
        planted = {}
        for name in (n for n in FAULTS if n in (QUICK if given.quick else chosen)):
            where = [QUICK[name]] if given.quick else sources
            for strength in FAULTS[name].strengths[-1:] if given.quick else FAULTS[name].strengths:
                planted[name, strength] = plant(experiment, where, given.seeds, name, strength)
        print_planted(planted)
        print_alarms(table, planted)
        print(f"{(time.perf_counter() - started) / 60:.1f} minutes.")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
