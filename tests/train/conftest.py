"""A small real data set that a small network learns in seconds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

CLASSES = ("one", "four", "seven")


def write_digits(root: Path, per_class: int = 60) -> Path:
    """scikit-learn's ones, fours and sevens as 16 px PNG files, a folder a class."""
    digits = load_digits()
    for name, digit in zip(CLASSES, (1, 4, 7), strict=True):
        folder = root / name
        folder.mkdir(parents=True)
        chosen = np.flatnonzero(digits.target == digit)[:per_class]
        for i in chosen:
            image = Image.fromarray(np.uint8(digits.images[i] * 255 / 16))
            image.resize((16, 16), Image.Resampling.BICUBIC).save(folder / f"{i:04d}.png")
    return root


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("data") / "digits")
