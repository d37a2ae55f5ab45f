"""Built-in data sets: real images that come with pip packages."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.data.catalog import Catalog, make_catalog
from zoo.errors import ZooError
from zoo.paths import cache_dir, new_folder


@dataclass(frozen=True)
class BuiltIn:
    """A built-in set.

    Attributes:
        about: what it is, with source and licence.
        load: gives its catalogue.
        settings: defaults that suit it, used where the user says nothing else.
        size: side in pixels of images that are too small for a network's usual input.
    """

    about: str
    load: Callable[[], Catalog]
    settings: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None


def elpv_installed() -> bool:
    """Whether the package with the ELPV photos is there."""
    return importlib.util.find_spec("elpv_dataset") is not None


def _elpv() -> Catalog:
    """Labels as published: the probability of a defect, here defective from 0.5 upwards."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or not found.submodule_search_locations:
        raise ZooError("the data set elpv is not installed: pip install elpv-dataset")
    root = Path(found.submodule_search_locations[0]) / "data"
    lines = (root / "labels.csv").read_text(encoding="utf-8").splitlines()
    cells = [row for row in csv.reader(lines, delimiter=" ", skipinitialspace=True) if row]
    rows = [(cell[0], "defective" if float(cell[1]) >= 0.5 else "functional", "") for cell in cells]
    return make_catalog("elpv", root, rows)


def _digits() -> Catalog:
    """scikit-learn's digits, written once as 8 px PNG files below the cache."""
    folder = cache_dir() / "digits"
    if not folder.is_dir():
        import numpy as np
        from PIL import Image
        from sklearn.datasets import load_digits

        digits = load_digits()
        with new_folder(folder) as temporary:
            for i, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
                file = temporary / str(label) / f"{i:04d}.png"
                file.parent.mkdir(exist_ok=True)
                Image.fromarray(np.uint8(pixels * 255 / 16)).save(file)
    files = sorted(folder.glob("*/*.png"))
    return make_catalog(
        "digits", folder, [(f.relative_to(folder).as_posix(), f.parent.name, "") for f in files]
    )


SETS: dict[str, BuiltIn] = {
    "elpv": BuiltIn(
        "2,624 photos of solar cells, functional or defective (Buerhop-Lutz 2018, "
        "CC-BY-NC-SA-4.0; pip install elpv-dataset)",
        _elpv,
        # a cell looks the same turned over, a defect may be cropped away, and the published results
        # hold out a quarter
        {"flip": "both", "augment": "light", "test_fraction": 0.25},
    ),
    "digits": BuiltIn(
        "1,797 handwritten digits of 8 px (UCI, with scikit-learn)",
        _digits,
        # near duplicates are the nature of 8 px digits, and a mirrored 2 is no 2
        {"flip": "none", "near_duplicates": False, "augment": "light"},
        size=16,
    ),
}


def load(name: str) -> Catalog:
    """Catalogue of a built-in set.

    Raises:
        ZooError: its package is not installed.
    """
    return SETS[name].load()
