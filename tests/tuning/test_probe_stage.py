"""The cheap stage on made-up features: it finds good penalties and sees no test image."""

import types

import numpy as np
import pytest

from zoo.settings import Settings
from zoo.train.plan import resolve
from zoo.tuning.bench import Bench
from zoo.tuning.book import Book
from zoo.tuning.probe_stage import Features, head_names, probe_stage, promising
from zoo.tuning.result import rows_of
from zoo.tuning.space import HEAD, default_space
from zoo.tuning.storage import open_storage


@pytest.fixture
def features():
    """Few samples in many dimensions, three of which tell the class: penalties matter."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 150)
    x = rng.normal(size=(150, 60)).astype(np.float32)
    x[:, :3] += 1.5 * np.eye(3, dtype=np.float32)[labels]
    return Features(x[:90], x[90:], labels[:90], labels[90:], 3)


@pytest.fixture
def bench(tmp_path):
    given = Settings.of({"backbone": "efficientnet", "data": "digits"})
    split = types.SimpleNamespace(val=np.arange(60))
    dataset = types.SimpleNamespace(split=split)
    return Bench(given, resolve(given), dataset, "log_loss", tmp_path)


def test_heads_are_tried_default_first_and_the_best_differ(features, bench, tmp_path):
    book = Book(open_storage(None, tmp_path), "b", "minimize")
    space = {n: d for n, d in default_space(bench.resolved).items() if n in HEAD}
    probe_stage(book, space, features, bench, 12)
    rows = rows_of(book, "probe")
    assert len(rows) == 12
    assert [r["default"] for r in rows] == [True] + [False] * 11
    usual = book.note("default_head")
    assert rows[0]["params"]["head_l2"] == pytest.approx(usual["head_l2"])
    losses = [r["metrics"]["log_loss"] for r in rows]
    assert max(losses) > 1.1 * min(losses)
    heads = promising(book, space, "log_loss", usual)
    assert tuple(heads) == head_names()
    assert heads["default"] == usual
    best = rows[int(np.argmin(losses))]["params"]
    assert {n: heads["probe 1"][n] for n in best} == best
    assert heads["probe 2"] != heads["probe 1"]
    probe_stage(book, space, features, bench, 12)  # enough is tried
    assert len(book.trials) == 12


def test_it_ends_when_the_time_is_up(features, bench, tmp_path):
    book = Book(open_storage(None, tmp_path), "b", "minimize")
    space = {n: d for n, d in default_space(bench.resolved).items() if n in HEAD}
    bench.deadline = 0.0
    probe_stage(book, space, features, bench, 12)
    assert book.counted() == 0
    assert bench.why_stop() == "the time was up"
