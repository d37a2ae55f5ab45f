"""The Python that pages show, run as it stands but for smaller images and a smaller network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers.markdown import ROOT, blocks

# what a page says, and what is run in its place, so that it takes seconds
SMALL = {
    '"efficientnet"': '"cnn"',
    'data="photos/"': 'data="photos/", size=16, filters=4',
    "epochs=8": "epochs=1",
    "test_fraction=0.05": "test_fraction=0.1, size=16, filters=4",
}
PAGES = (
    "README.md",
    "docs/guides/training.md",
    "docs/guides/python.md",
    "docs/guides/ensembling.md",
    "docs/guides/export.md",
)
CLASSES = {"cat": 0, "dog": 1, "fox": 4}


@pytest.fixture
def photos_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``photos/cat/1.jpg``, ..., whose photos are digits, as the working folder."""
    digits = load_digits()
    for name, digit in CLASSES.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, pixels in enumerate(digits.images[digits.target == digit][:30], start=1):
            image = Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((16, 16))
            image.save(tmp_path / "photos" / name / f"{number}.jpg")
    (tmp_path / "new-photos").mkdir()
    image.save(tmp_path / "new-photos/1.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page: str, photos_folder: Path) -> None:
    names = {"__name__": "__main__"}  # a block goes on where the one above it ended
    ran = 0
    for block in blocks(ROOT / page):
        if block.language != "python":
            continue
        code = block.code
        for shown, small in SMALL.items():
            code = code.replace(shown, small)
        exec(compile(code, block.page, "exec"), names)
        ran += 1
    assert ran
