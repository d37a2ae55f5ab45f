"""A benchmark of which nothing, or little, is left to be trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

import zoo
from tests.helpers.ready_cells import SMALL, TINY, fill
from zoo.benchmarking.cell_store import CellStore
from zoo.benchmarking.plan import Cell
from zoo.benchmarking.result import Table

BACKBONES = ["efficientnet", "cnn"]
EACH = {"cnn": SMALL, "efficientnet": {"size": 32}}


@pytest.fixture
def filled(digits_folder: Path, tmp_path: Path) -> Callable[..., tuple[CellStore, list[Cell]]]:
    """Maker of finished cells in the test's runs: ``filled(["cnn"], seeds=2) -> store, cells``."""
    return partial(fill, tmp_path / "runs", digits_folder)


@pytest.fixture(scope="module")
def table(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """Two backbones, two seeds; nothing was left to be trained."""
    folder = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        fill(folder / "runs", digits_folder, BACKBONES, 2, each=EACH)
        return zoo.benchmark(
            BACKBONES,
            digits_folder,
            seeds=2,
            each=EACH,
            methods=["soft", "geometric", "vote", "auto"],
            runs_dir=folder / "runs",
            **TINY,
        )
