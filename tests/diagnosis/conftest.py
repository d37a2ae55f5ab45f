"""A real probe on photos with planted faults, and one on photos without."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from sklearn.datasets import load_digits

import zoo
from zoo.diagnosis.evidence import Evidence
from zoo.runs import Run


def write_split_digits(root: Path) -> Path:
    """Zeros to threes in train and test folders, 40 px with a random shift of brightness."""
    digits, rng = load_digits(), np.random.default_rng(0)
    for digit in range(4):
        chosen = np.flatnonzero(digits.target == digit)[:90]
        for number, i in enumerate(chosen):
            split = "test" if number % 4 == 0 else "train"
            folder = root / split / f"digit {digit}"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = digits.images[i] * 12 + rng.uniform(20, 60) + rng.normal(0, 4, (8, 8))
            image = Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))
            image.resize((40, 40), Image.Resampling.BICUBIC).save(folder / f"{i:04d}.png")
    return root


def plant(root: Path) -> list[str]:
    """Spoil the data; gives the ids whose labels are wrong now."""
    train = root / "train"
    wrong = []
    firsts = {digit: sorted((train / f"digit {digit}").iterdir())[:4] for digit in range(4)}
    for digit, files in firsts.items():
        other = f"digit {(digit + 1) % 4}"
        for file in files:
            file.rename(train / other / file.name)
            wrong.append(f"train/{other}/{file.name}")
    for file in (train / "digit 3").iterdir():
        image = Image.open(file)
        image.crop((0, 0, 40, 30)).save(file)  # only threes are flat: their shape tells
    for number, file in enumerate(sorted((root / "test" / "digit 2").iterdir())[:4]):
        copy = Image.open(file).resize((36, 36))
        copy.save(train / "digit 2" / f"leak{number}.jpg", quality=90)
    twice = sorted((train / "digit 2").iterdir())[0]
    shutil.copy(twice, train / "digit 0" / "twice.png")
    for number in range(12):
        Image.new("L", (40, 40), 100 + number).save(train / "digit 1" / f"blank{number}.png")
    (train / "digit 1" / "broken.png").write_bytes(b"no image")
    return wrong


def _probe(folder: Path, images: Path) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        return zoo.finetune(
            "efficientnet",
            images,
            name="probe",
            runs_dir=folder / "runs",
            size=64,
            unfreeze="none",
            val_fraction=0.2,
        )


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("clean")
    return _probe(folder, write_split_digits(folder / "data"))


@pytest.fixture(scope="session")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    folder = tmp_path_factory.mktemp("spoiled")
    wrong = plant(write_split_digits(folder / "data"))
    return _probe(folder, folder / "data"), wrong


@pytest.fixture
def copied(clean: Run, tmp_path: Path) -> Run:
    """The clean run, to be spoiled by a test."""
    return Run(shutil.copytree(clean.path, tmp_path / "runs" / "copy"))


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A probe on crops of colour photographs."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name in ("astronaut", "coffee"):
        photo = Image.fromarray(getattr(data, name)())
        (folder / "data" / name).mkdir(parents=True)
        for number in range(60):
            left, top = rng.integers(0, photo.width - 160), rng.integers(0, photo.height - 160)
            crop = photo.crop((int(left), int(top), int(left) + 160, int(top) + 160))
            crop.save(folder / "data" / name / f"{number:02d}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        run = zoo.finetune(
            "efficientnet",
            folder / "data",
            runs_dir=folder / "runs",
            size=96,
            unfreeze="none",
            near_duplicates=False,
        )
        evidence = Evidence(run)
        # read while the cache is there
        assert len(evidence.seen.sizes) == len(evidence.prepared.rows) == 120
    return evidence
