"""Does `zoo diagnose` name faults that were planted, and only those?

    python benchmarks/faults.py                          # ELPV, 1 seed: 14 minutes on two cores
    python benchmarks/faults.py --data photos/ --seeds 3 --only flip,border

Each fault is planted into real images, a classifier (EfficientNet-Lite0 at 96 px) is trained on
them as `zoo finetune` does, and the check that ought to name the fault is run, on the images as
they were, too. `clean` counts how often that check names anything there: faults that the data has
of its own, or false alarms.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _table import print_table
from PIL import Image

PROBE = {"size": 96, "unfreeze": "none"}
TUNED = {"size": 96, "unfreeze": "3", "epochs": 3}


@dataclass
class Data:
    """Images to plant a fault into: one row each of file, label and split."""

    folder: Path
    files: list[Path]
    labels: np.ndarray
    splits: np.ndarray
    rng: np.random.Generator
    planted: set[str] = field(default_factory=set)

    def rows(self, *splits: str) -> np.ndarray:
        """Rows of these splits."""
        return np.flatnonzero(np.isin(self.splits, splits))

    def change(self, row: int, image: Image.Image, suffix: str = ".png") -> Path:
        """Write an image in place of a row's file."""
        file = self.folder / f"changed-{row:06d}{suffix}"
        image.save(file, quality=60) if suffix == ".jpg" else image.save(file)
        self.files[row] = file
        return file

    def write(self) -> Path:
        """The manifest of what is there now."""
        manifest = self.folder / "manifest.csv"
        with manifest.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out)
            writer.writerow(["path", "label", "split"])
            for file, label, split in zip(self.files, self.labels, self.splits, strict=True):
                writer.writerow([file.relative_to(self.folder), label, split])
        return manifest


def copy_of(source: str, folder: Path, seed: int) -> Data:
    """The images of a source, with the split that zoo gives them."""
    from zoo.data.dataset import load
    from zoo.progress import Silent
    from zoo.settings import Settings

    dataset = load(Settings.of({"backbone": "efficientnet", "data": source}), Silent())
    catalog, files, splits = dataset.catalog, [], np.full(len(dataset.catalog), "", "<U5")
    for name in ("train", "val", "test"):
        splits[dataset.split.rows(name)] = name
    for row in range(len(catalog)):
        file = folder / f"{row:06d}{catalog.path(row).suffix}"
        shutil.copyfile(catalog.path(row), file)
        files.append(file)
    labels = np.array(catalog.classes, dtype=object)[catalog.labels]
    data = Data(folder, files, labels, splits, np.random.default_rng(seed))
    keep(data, data.rows("train", "val", "test"))
    return data


def keep(data: Data, rows: np.ndarray) -> None:
    """Drop all other rows."""
    rows = np.sort(rows)
    data.files = [data.files[i] for i in rows]
    data.labels, data.splits = data.labels[rows], data.splits[rows]


def flip(data: Data, share: float) -> None:
    """Give a share of the training and validation images another label."""
    rows, classes = data.rows("train", "val"), sorted(set(data.labels))
    for row in data.rng.choice(rows, int(share * len(rows)), replace=False):
        data.labels[row] = data.rng.choice([c for c in classes if c != data.labels[row]])
        data.planted.add(data.files[row].name)


def imbalance(data: Data, ratio: float) -> None:
    """Leave one in ``ratio`` training images of every second class."""
    rare = sorted(set(data.labels))[::2]
    most = max(int((data.labels[data.rows("train")] == c).sum()) for c in set(data.labels))
    drop = []
    for name in rare:
        own = data.rows("train")[data.labels[data.rows("train")] == name]
        drop.append(data.rng.permutation(own)[max(6, int(most / ratio)) :])
    keep(data, np.setdiff1d(np.arange(len(data.files)), np.concatenate(drop)))


def cut(data: Data, share: float) -> None:
    """Leave a share of the training images, at least six a class."""
    kept = [data.rows("val", "test")]
    for name in set(data.labels):
        own = data.rows("train")[data.labels[data.rows("train")] == name]
        kept.append(data.rng.permutation(own)[: max(6, int(share * len(own)))])
    keep(data, np.concatenate(kept))


def leak(data: Data, share: float) -> None:
    """Put a share of the test images into training, resized and recompressed."""
    test = data.rows("test")
    for row in data.rng.choice(test, int(share * len(test)), replace=False):
        image = Image.open(data.files[row]).convert("RGB")
        small = image.resize((image.width * 9 // 10, image.height * 9 // 10))
        file = data.folder / f"leak-{row:06d}.jpg"
        small.save(file, quality=70)
        data.files.append(file)
        data.labels = np.append(data.labels, data.labels[row])
        data.splits = np.append(data.splits, "train")


def border(data: Data, share: float) -> None:
    """Give a share of the images of every second class a white border."""
    for name in sorted(set(data.labels))[::2]:
        own = np.flatnonzero(data.labels == name)
        for row in data.rng.choice(own, int(share * len(own)), replace=False):
            image = Image.open(data.files[row]).convert("RGB")
            width = max(1, image.width // 8), max(1, image.height // 8)
            framed = Image.new("RGB", image.size, "white")
            framed.paste(
                image.resize((image.width - 2 * width[0], image.height - 2 * width[1])), width
            )
            data.change(row, framed)


def halve(data: Data, share: float) -> None:
    """Rename a share of the images of the largest class, drawn by chance."""
    names, counts = np.unique(data.labels.astype(str), return_counts=True)
    own = np.flatnonzero(data.labels == names[counts.argmax()])
    data.labels[data.rng.choice(own, int(share * len(own)), replace=False)] = "other half"


def blank(data: Data, share: float) -> None:
    """Replace a share of the training images by one colour each."""
    rows = data.rows("train")
    for row in data.rng.choice(rows, int(share * len(rows)), replace=False):
        colour = tuple(int(c) for c in data.rng.integers(20, 256, 3))
        data.change(row, Image.new("RGB", (128, 128), colour))


def unscaled(data: Data, share: float) -> None:
    """Store a share of the images with values from 0 to 1 where 0 to 255 are expected."""
    rows = data.rng.choice(len(data.files), int(share * len(data.files)), replace=False)
    for row in rows:
        pixels = np.asarray(Image.open(data.files[row]).convert("RGB"))
        data.change(row, Image.fromarray(pixels // 255))


def nothing(data: Data, _strength: float) -> None:
    """Leave the data as it is: the fault is in the settings."""


@dataclass(frozen=True)
class Fault:
    """What is planted, how strongly, and which check ought to name it."""

    plant: Callable[[Data, float], None]
    strengths: tuple[float, ...]
    check: str
    settings: Callable[[float], dict[str, Any]] = lambda _: PROBE


FAULTS = {
    "flip": Fault(flip, (0.02, 0.05, 0.1, 0.2), "labels"),
    "imbalance": Fault(imbalance, (5, 20), "balance"),
    "cut": Fault(cut, (0.05,), "images"),
    "leak": Fault(leak, (0.05,), "leaks"),
    "border": Fault(border, (0.5, 1.0), "shortcuts"),
    "halve": Fault(halve, (0.5,), "pairs"),
    "blank": Fault(blank, (0.01, 0.05), "files"),
    "unscaled": Fault(unscaled, (0.1, 1.0), "files"),
    "rate": Fault(nothing, (100, 0.01), "settings", lambda s: {**TUNED, "learning_rate": 1e-3 * s}),
    "epochs": Fault(nothing, (1,), "settings", lambda _: {**TUNED, "epochs": 1}),
}


def diagnosed(data: Data, settings: dict[str, Any], runs: Path, only: str | None) -> Any:
    """Train on the data and ask one check, or all."""
    import zoo
    from zoo.diagnosis.evidence import Evidence
    from zoo.diagnosis.job import CHECKS

    run = zoo.finetune("efficientnet", data.write(), runs=runs, **settings)
    evidence = Evidence(run)
    outcomes = {}
    for check in CHECKS:
        if only is None or check.__name__ == CHECK_OF[only]:
            found = check(evidence)
            outcomes[found.check] = found
    return outcomes


CHECK_OF = {
    "labels": "check_labels",
    "balance": "check_balance",
    "images": "check_capacity",
    "leaks": "check_leaks",
    "shortcuts": "check_shortcuts",
    "pairs": "check_pairs",
    "files": "check_files",
    "settings": "check_settings",
}


def precision_and_recall(data: Data, outcome: Any) -> str:
    """Of the listed labels, how many were planted; of the planted, how many are listed."""
    listed = {Path(shown.id).name for finding in outcome.findings for shown in finding.files}
    if not data.planted or not listed:
        return ""
    both = len(listed & data.planted)
    return f"precision {both / len(listed):.2f}, recall {both / len(data.planted):.2f}"


def main() -> None:
    """Plant, train, diagnose, count."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="elpv")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default=",".join(FAULTS))
    given = parser.parse_args()
    chosen = [name for name in given.only.split(",") if name]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("ZOO_CACHE", str(Path(folder, "cache")))
        clean = {}
        for name, settings in (("probe", PROBE), ("tuned", TUNED)):
            data = copy_of(given.data, Path(tempfile.mkdtemp(dir=folder)), 0)
            clean[name] = diagnosed(data, settings, Path(folder, "runs"), None)
            said = [o.check for o in clean[name].values() if o.state == "found"]
            print(f"clean, {name}: {', '.join(said) or 'nothing'} named", flush=True)
        for name in chosen:
            fault = FAULTS[name]
            for strength in fault.strengths:
                hits, notes = 0, []
                for seed in range(given.seeds):
                    data = copy_of(given.data, Path(tempfile.mkdtemp(dir=folder)), seed)
                    fault.plant(data, strength)
                    settings = {**fault.settings(strength), "seed": seed}
                    found = diagnosed(data, settings, Path(folder, "runs"), fault.check)
                    outcome = found[fault.check]
                    hits += outcome.state == "found"
                    notes.append(precision_and_recall(data, outcome) or outcome.says)
                    shutil.rmtree(data.folder)
                usual = clean["tuned" if fault.settings(strength) is not PROBE else "probe"]
                alarm = "named" if usual[fault.check].state == "found" else "not named"
                rows.append([name, f"{strength:g}", f"{hits}/{given.seeds}", alarm, notes[0]])
                print(" ".join(rows[-1]), flush=True)
    headers = ["fault", "strength", "named", "on clean data", "first seed"]
    print_table(f"Planted faults, {given.data}", headers, rows)


if __name__ == "__main__":
    main()
