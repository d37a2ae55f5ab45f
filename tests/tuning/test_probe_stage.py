"""The cheap stage on made-up features: it finds good penalties and sees no test image."""

import types

import numpy as np
import pytest

from zoo.settings import Settings
from zoo.train.member import sample_weights
from zoo.train.plan import resolve
from zoo.train.probe import fit_head, soft_targets
from zoo.tuning.context import StudyContext
from zoo.tuning.probe_stage import Features, fitted, head_names, probe_stage, promising
from zoo.tuning.result import trial_records
from zoo.tuning.space import HEAD, default_space
from zoo.tuning.storage import open_storage
from zoo.tuning.trial_store import TrialStore


@pytest.fixture
def features():
    """Few samples in many dimensions, three of which tell the class: penalties matter."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 150)
    x = rng.normal(size=(150, 60)).astype(np.float32)
    x[:, :3] += 1.5 * np.eye(3, dtype=np.float32)[labels]
    return Features(x[:90], x[90:], labels[:90], labels[90:], 3)


@pytest.fixture
def context(tmp_path):
    given = Settings.of({"backbone": "efficientnet", "data": "digits"})
    split = types.SimpleNamespace(val=np.arange(60))
    dataset = types.SimpleNamespace(split=split)
    return StudyContext(given, resolve(given), dataset, "log_loss", tmp_path)


def test_heads_are_tried_default_first_and_the_best_differ(features, context, tmp_path):
    store = TrialStore(open_storage(None, tmp_path), "b", "minimize")
    space = {n: d for n, d in default_space(context.resolved).items() if n in HEAD}
    probe_stage(store, space, features, context, 12)
    rows = trial_records(store, "probe")
    assert len(rows) == 12
    assert [r["default"] for r in rows] == [True] + [False] * 11
    usual = store.note("default_head")
    assert rows[0]["params"]["head_l2"] == pytest.approx(usual["head_l2"])
    losses = [r["metrics"]["log_loss"] for r in rows]
    assert max(losses) > 1.1 * min(losses)
    heads = promising(store, space, "log_loss", usual)
    assert tuple(heads) == head_names()
    assert heads["default"] == usual
    best = rows[int(np.argmin(losses))]["params"]
    assert {n: heads["probe 1"][n] for n in best} == best
    assert heads["probe 2"] != heads["probe 1"]
    probe_stage(store, space, features, context, 12)  # enough is tried
    assert len(store.trials) == 12


def test_it_ends_when_the_time_is_up(features, context, tmp_path):
    store = TrialStore(open_storage(None, tmp_path), "b", "minimize")
    space = {n: d for n, d in default_space(context.resolved).items() if n in HEAD}
    context.deadline = 0.0
    probe_stage(store, space, features, context, 12)
    assert store.counted() == 0
    assert context.why_stop() == "the timeout was reached"


def test_a_head_on_many_features_is_found_the_short_way():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 80)
    x = rng.normal(size=(80, 200)).astype(np.float32) * np.geomspace(0.1, 10, 200)
    x[:, :3] += np.eye(3, dtype=np.float32)[labels]
    made = Features(x[:50].astype(np.float32), x[50:], labels[:50], labels[50:], 3, own=20)
    settings = Settings.of({"backbone": "efficientnet", "data": "digits", "head_l2": 1e-2})
    weights = sample_weights(labels[:50], 3, "none")
    targets = soft_targets(labels[:50], 3, 0.0)
    exact = fit_head(made.train, targets, l1=0.0, l2=1e-2, sample_weight=weights, own=20)
    short = fitted(made, settings)
    assert np.allclose(short.probabilities(x[50:]), exact.probabilities(x[50:]), atol=5e-3)
    scale = exact.standard.scale
    assert len(np.unique(scale[:20])) == 1 < len(np.unique(scale[20:]))
    sparse = fitted(made, settings.changed(head_l1=1e-2))
    assert (sparse.kernel == 0).mean() > 0.5
