"""Real runs on digits whose class and files have names that no page may take for HTML."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import zoo
from tests.helpers.named_digits import write_named_digits
from zoo.runs import Run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two small networks after one epoch, so that there are mistakes, and their ensemble."""
    folder = tmp_path_factory.mktemp("reported")
    data = write_named_digits(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        runs = [
            zoo.finetune(
                "cnn",
                data,
                name=name,
                runs_dir=folder / "runs",
                size=16,
                epochs=1,
                seed=seed,
                blocks=2,
                val_fraction=0.4,
                test_fraction=0.2,
                near_duplicates=False,
                augment="none",
            )
            for seed, name in enumerate(("first", "second"))
        ]
        zoo.ensemble(runs, method="soft", name="both", runs_dir=folder / "runs")
    return runs[0], runs[1]


@pytest.fixture(scope="session")
def page(trained: tuple[Run, Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first run's report."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(trained[0].path.parents[1] / "cache"))
        return zoo.report(trained[0], output=folder / "first.html")


@pytest.fixture(scope="session")
def study_page(trained: tuple[Run, Run]) -> Path:
    """The page of a study of three short trials, and of a run with the best one's settings."""
    folder = trained[0].path.parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        study = zoo.tune(
            "cnn",
            folder / "data" / "list.csv",
            trials=3,
            name="short",
            runs_dir=folder / "runs",
            size=16,
            epochs=1,
            blocks=2,
            val_fraction=0.4,
            test_fraction=0.2,
            near_duplicates=False,
            augment="none",
        )
    return study.path / "study.html"


@pytest.fixture
def copied(trained: tuple[Run, Run], tmp_path: Path) -> Run:
    """The first run, to be spoiled by a test."""
    return Run(shutil.copytree(trained[0].path, tmp_path / "runs" / "copy"))
