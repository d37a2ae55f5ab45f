"""A library of its own: what it imports, what it offers, and use without anything of zoo."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ensembles
from ensembles import (
    Ensemble,
    EnsembleError,
    PredictionTable,
    WeightedVoting,
    align,
    choose,
    compare,
    frugal,
)
from tests.helpers.members import loss, noisy, softmax

ROOT = Path(ensembles.__file__).parents[1]


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


def test_combining_arrays_needs_no_network_library():
    code = """
import sys
import numpy as np
import ensembles
from ensembles import METHODS, Diversity, Ensemble, PredictionTable, choose, compare, frugal

rng = np.random.default_rng(0)
p, y = rng.dirichlet(np.ones(3), (3, 40)), rng.integers(0, 3, 40)
for kind in METHODS.values():
    fitted = Ensemble.of_record(Ensemble(kind()).fit(p, y).as_record())
    assert fitted.predict_proba(p).shape == (40, 3)
choose(p, y), frugal(p, y), Diversity.of(p, y)
compare(PredictionTable.of(p[0], y), PredictionTable.of(p[1], y))
for name in ensembles.__all__:
    getattr(ensembles, name)
heavy = {"tensorflow", "keras", "keras_cv", "torch", "jax", "zoo", "backbones"}
print(sorted(heavy & set(sys.modules)))
"""
    assert printed(code) == "[]\n"


def test_reading_a_table_needs_numpy_alone(tmp_path):
    p, y = noisy(0, m=1, n=5)
    PredictionTable.of(p[0], y).save(tmp_path / "t.npz")
    code = f"""
import sys
import ensembles
table = ensembles.PredictionTable.load({str(tmp_path / "t.npz")!r})
assert len(ensembles.align([table, table])) == 2
print(len(table), sorted({{"sklearn", "scipy", "pandas"}} & set(sys.modules)))
"""
    assert printed(code) == "5 []\n"


@pytest.mark.parametrize("name", ensembles.__all__)
def test_every_name_it_offers_is_there_and_explained(name):
    offered = getattr(ensembles, name)
    assert name == "METHODS" or offered.__doc__


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Boosting'"):
        _ = ensembles.Boosting


def test_predictions_from_anywhere_can_be_combined(tmp_path):
    """As with PyTorch: ``np.savez(path, labels=y.numpy(), probabilities=p.softmax(1).numpy())``."""
    for split, seed in (("val", 0), ("test", 1)):
        logits, y = np.log(noisy(seed, m=3, n=300, k=4)[0]), noisy(seed, m=3, n=300, k=4)[1]
        for number, member in enumerate(logits):
            np.savez(
                tmp_path / f"model{number}_{split}.npz",
                labels=y,
                probabilities=softmax(member * (number + 1)).astype(np.float32),
            )

    def read(split: str) -> list[PredictionTable]:
        found = []
        for path in sorted(tmp_path.glob(f"*_{split}.npz")):
            with np.load(path) as stored:
                found.append(
                    PredictionTable.of(stored["probabilities"], stored["labels"], split=split)
                )
        return found

    val, test = read("val"), read("test")
    ensemble = Ensemble(choose(val).combiner).fit(val)
    together = PredictionTable.of(ensemble.predict_proba(test), test[0].labels, split="test")
    alone = min(loss(member.probabilities, member.labels) for member in test)
    assert loss(together.probabilities, together.labels) < alone - 0.05
    assert compare(together, test[2]).by_log_loss == "better"
    with pytest.raises(EnsembleError, match=r"'val'.*'test'"):
        align([val[0], test[0]])
    # and with arrays, nothing but NumPy in between
    labels = val[0].labels
    arrays = [member.probabilities for member in val]
    by_arrays = Ensemble(WeightedVoting()).fit(arrays, labels)
    by_tables = Ensemble(WeightedVoting()).fit(val)
    np.testing.assert_array_equal(by_arrays.predict_proba(arrays), by_tables.predict_proba(val))
    assert 1 <= len(frugal(np.stack(arrays), labels, within=0.01).members) <= 3


def test_a_table_of_arrays_gives_numbers_as_names():
    made = PredictionTable.of([[0.5, 0.5], [0, 1]], [1, 0])
    assert made.ids.tolist() == ["0", "1"]
    assert made.classes.tolist() == ["0", "1"]
    assert (made.split, made.fingerprint) == ("val", "")
    assert (made.probabilities.dtype, len(made)) == (np.float32, 2)
    named = PredictionTable.of(
        np.eye(2, dtype=int), np.array([0, 1]), ids=[10, 2], classes=["cat", "dog"], split="test"
    )
    assert (named.ids.tolist(), named.classes.tolist()) == (["10", "2"], ["cat", "dog"])


BAD_ARRAYS = {
    "one row": (([0.5, 0.5], [0]), {}, r"\(2,\) with 1 labels"),
    "logits": (([[2.0, -1.0]], [0]), {}, "not negative"),
    "text": (([["a", "b"]], [0]), {}, "floating-point"),
    "labels of text": (([[0.5, 0.5]], ["cat"]), {}, "whole numbers"),
    "too few ids": (([[0.5, 0.5]] * 2, [0, 1]), {"ids": ["a"]}, "need 2 ids"),
    "an id twice": (([[0.5, 0.5]] * 2, [0, 1]), {"ids": ["a", "a"]}, "more than once"),
    "too many classes": (([[0.5, 0.5]], [0]), {"classes": "abc"}, None),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_arrays_that_are_no_predictions_are_refused(case):
    arrays, named, content = BAD_ARRAYS[case]
    with pytest.raises(EnsembleError, match=content):
        PredictionTable.of(*arrays, **named)
