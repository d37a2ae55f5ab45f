"""A quick part of benchmarks/coverage.py: intervals that cover, verdicts that hold."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    # by its path: a package of the same name measures the coverage of tests
    spec = importlib.util.spec_from_file_location("zoo_coverage", FOLDER / "coverage.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "zoo_coverage", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("k", "accuracy", "ratio", "sharpness", "n"),
    [
        (2, 0.9, 1, 1, 40),
        (2, 0.9, 20, 2, 200),
        (2, 0.98, 1, 2, 200),
        (10, 0.6, 20, 1, 200),
        (10, 0.9, 1, 2, 200),
    ],
)
def test_intervals_cover_where_they_are_given(script, k, accuracy, ratio, sharpness, n):
    found = script.coverage(script.Population(k, accuracy, ratio, sharpness), n, 120)
    for name, (shown, held) in found.items():
        # 95% of 120 is 114, its standard error 2.4
        assert shown * (1 - held) <= 0.1, (name, shown, held)
        assert held > 0.88 or shown < 0.7, (name, shown, held)
    assert found["accuracy"][0] == 1
    if accuracy == 0.98:
        assert found["calibration_error"][0] < 0.2
