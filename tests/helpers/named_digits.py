"""Digits in files and classes whose names are made to harm a page."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

CLASSES = ("<script>alert(1)</script>", 'it\'s a "four" & more', "seven")
FILE = "{} <img src=x onerror=alert(2)> \"'.png"


def write_named_digits(root: Path) -> Path:
    """Ones, fours and sevens as 16 px files, listed in a CSV file with names made to harm."""
    digits = load_digits()
    root.mkdir(parents=True)
    rows = []
    for name, digit in zip(CLASSES, (1, 4, 7), strict=True):
        for i in np.flatnonzero(digits.target == digit)[:70]:
            image = Image.fromarray(np.uint8(digits.images[i] * 255 / 16))
            file = FILE.format(f"{i:04d}")
            image.resize((16, 16), Image.Resampling.BICUBIC).save(root / file)
            rows.append((file, name))
    with (root / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return root / "list.csv"
