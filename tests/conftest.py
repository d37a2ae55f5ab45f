"""What all tests share: a cache and runs of their own, fixed seeds, and folders of real photos."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

DIGITS = {"one": 1, "four": 4, "seven": 7}

hypothesis.settings.register_profile("zoo", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("zoo")


@pytest.fixture(autouse=True)
def own_folders_and_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - what libraries draw from


def textured(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    """An RGB image of soft coloured blobs with a little grain, another one for each seed."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    soft = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-8, 9, soft.shape)
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Maker of folders of image files: ``photos({"cat": 3, "test/dog": 2}) -> folder``.

    No two images of a test look alike, so none is taken for a copy of another.
    """
    made = 0

    def make(
        counts: Mapping[str, int],
        name: str = "photos",
        *,
        size: tuple[int, int] = (64, 48),
        suffix: str = ".png",
    ) -> Path:
        nonlocal made
        root = tmp_path / name
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                textured(made, *size).save(root / folder / f"{number:03d}{suffix}")
                made += 1
        return root

    return make


def write_digits(root: Path, per_class: int = 60) -> Path:
    """scikit-learn's ones, fours and sevens as 16 px PNG files, a folder a class."""
    digits = load_digits()
    for name, digit in DIGITS.items():
        folder = root / name
        folder.mkdir(parents=True)
        chosen = np.flatnonzero(digits.target == digit)[:per_class]
        for i in chosen:
            image = Image.fromarray(np.uint8(digits.images[i] * 255 / 16))
            image.resize((16, 16), Image.Resampling.BICUBIC).save(folder / f"{i:04d}.png")
    return root


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real data set that a small network learns in seconds."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits")
