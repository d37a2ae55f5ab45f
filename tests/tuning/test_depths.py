"""Which depths the heads of a study see: chosen as a training by itself would choose them."""

import json

import pytest

import zoo
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.tuning.depths import one_set_of_features
from zoo.tuning.space import Dimension


@pytest.fixture
def given(digits_folder):
    return Settings.of({"backbone": "efficientnet", "data": str(digits_folder), "size": 48})


@pytest.mark.parametrize(
    ("settings", "searched", "found"),
    [
        ({"depths": "all"}, {}, ("all", "1")),
        ({"depths": "all", "views": "2"}, {}, ("all", "2")),
        ({"head_l1": 1e-4}, {}, ("last", "1")),
        ({}, {"head_l1": Dimension("head_l1", 1e-8, 1e-2, True)}, ("last", "1")),
        ({"backbone": "cnn"}, {}, ("auto", "auto")),
    ],
)
def test_what_is_given_or_sparse_needs_no_choice(given, settings, searched, found):
    chosen = one_set_of_features(given.changed(**settings), None, searched, Progress())
    assert (chosen.depths, chosen.views) == found


def test_a_study_searches_heads_on_the_chosen_depths(tmp_path):
    lines = []
    progress = Progress()
    progress.say = lines.append
    study = zoo.tune(
        "efficientnet",
        data="digits",
        size=48,
        near_duplicates=False,
        unfreeze="none",
        head_trials=4,
        refit=False,
        name="heads",
        runs_dir=tmp_path,
        progress=progress,
    )
    assert any("choosing by cross-validation" in line for line in lines)
    # strokes are not what ImageNet's last layer keeps
    assert "the heads see the features of all depths" in lines
    features = json.loads((study.path / "features.json").read_text())
    assert (len(features["files"]), features["columns"]) == (1, None)
    assert {row["settings"]["depths"] for row in study.trials} == {"all"}
    assert {row["settings"]["views"] for row in study.trials} == {"1"}
    assert all("head_l1" not in row["params"] for row in study.trials)
    best = json.loads((study.path / "best.json").read_text())
    assert best["settings"]["depths"] == "all"
