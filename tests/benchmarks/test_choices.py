"""A quick part of benchmarks/choices.py: what few images decide does little harm."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("zoo_choices", FOLDER / "choices.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "zoo_choices", module)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("zoo_coverage", None)


@pytest.mark.parametrize("k", [2, 10])
@pytest.mark.parametrize("accuracy", [0.6, 0.9, 0.98])
def test_an_overconfident_classifier_becomes_calibrated(script, k, accuracy):
    found = script.temperature(k, accuracy, 2.0, 1000, 10)
    assert found["after"] <= 0.02
    assert found["change"] < 0
    few = script.temperature(k, accuracy, 2.0, 37, 10)
    assert few["after"] < few["before"]
    assert few["worse"] <= 0.1


@pytest.mark.parametrize("n", [37, 340])
def test_a_calibrated_classifier_stays_nearly_as_it_is(script, n):
    found = script.temperature(4, 0.9, 1.0, n, 20)
    assert found["change"] < 0.01
    assert found["worse"] <= 0.45


def test_a_bag_is_better_and_better_calibrated_at_its_temperature(script):
    found = script.bag(0)
    assert found["best temperature"] <= found["calibrated"] < found["mean"] < found["one fold"]
    mean, calibrated = (
        abs(found["accuracy"] - found[f"{name}: confidence"]) for name in ("mean", "calibrated")
    )
    assert calibrated < mean


def test_groups_of_copies_are_known_to_the_choice(script):
    methods, shown, _ = script.choice(5, 3, grouped=True)
    assert "stack" not in methods
    assert abs(shown) < 0.1
    assert script.choice(5, 3, grouped=False)[1] > 0.2


def test_right_labels_seldom_alarm_and_wrong_ones_do(script):
    grid = [(k, ratio) for k in (2, 10) for ratio in (1.0, 20.0)]
    clean = [x for k, r in grid for a in (0.6, 0.7, 0.9) for x in script.alarms(k, r, a, 0.0, 5)]
    assert sum(clean) <= 0.05 * len(clean)
    wrong = [alarm for k in (2, 10) for alarm in script.alarms(k, 1.0, 0.98, 0.1, 8)]
    assert sum(wrong) >= 0.85 * len(wrong)
