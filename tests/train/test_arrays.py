"""Tables larger than memory: the same numbers from a file, and nothing is left of it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo.train import arrays
from zoo.train.arrays import LazyRows, assembled, pieces
from zoo.train.probe import Head, choose_head, fit_head, soft_targets
from zoo.train.standard import Standard

N, D, K = 5000, 300, 4  # several pieces, and more than one block of the variance


@pytest.fixture
def on_disk(monkeypatch) -> None:
    """Whatever is assembled lies in a file."""
    monkeypatch.setattr(arrays, "IN_MEMORY", 0)


def stored() -> np.ndarray:
    return np.random.default_rng(0).gamma(2, 1, (N, D)).astype(np.float32)


def same(one: Head, other: Head) -> bool:
    parts = [
        (h.standard.mean, h.standard.scale, h.kernel, h.bias, h.l2, h.passes) for h in (one, other)
    ]
    return all(np.array_equal(a, b) for a, b in zip(*parts, strict=True))


def fitted(monkeypatch, most: int, l1: float) -> tuple[Head, Head, np.ndarray, list]:
    """Heads that share what is chosen and what is given, and logits, with so much memory."""
    monkeypatch.setattr(arrays, "IN_MEMORY", most)
    x, rng = stored(), np.random.default_rng(1)
    labels = (x[:, 0] + x[:, 1] > 4).astype(int) + 2 * (x[:, 2] > 2)
    order = rng.permutation(N)
    features, weights = LazyRows(x, order), rng.random(4200)
    train, val = np.arange(4200), np.arange(4200, N)
    targets = soft_targets(labels[order[train]], K, 0.0)
    chosen, tried = choose_head(
        (features.take(train), targets),
        (features.take(val), labels[order[val]]),
        l1=l1,
        sample_weight=weights / weights.mean(),
    )
    given = fit_head(features.take(train), targets, l1=l1, l2=0.01)
    return chosen, given, chosen.logits(features.take(val)), tried


@pytest.mark.parametrize("l1", [0.0, 1e-3])
def test_heads_are_the_same_to_the_last_bit_in_memory_and_on_disk(monkeypatch, l1):
    monkeypatch.setattr("zoo.train.probe.L2_GRID", (1.0, 0.1, 0.03))
    chosen, given, logits, tried = fitted(monkeypatch, 2**30, l1)
    others = fitted(monkeypatch, 0, l1)
    assert same(chosen, others[0])
    assert same(given, others[1])
    np.testing.assert_array_equal(logits, others[2])
    assert tried == others[3]
    assert chosen.passes > given.passes > 3


def test_the_standardization_of_pieces_is_that_of_the_whole():
    x = stored()
    standard = Standard.of(LazyRows(x, np.arange(N)))
    mean, scale = standard.mean, standard.scale
    np.testing.assert_array_equal(mean, x.mean(axis=0, dtype=np.float64).astype(np.float32))
    assert scale[0] == pytest.approx(np.sqrt(x.var(axis=0, dtype=np.float64).mean()), rel=1e-6)


def test_rows_are_read_in_their_order():
    x, rows = stored(), np.random.default_rng(2).integers(0, N, 900)
    features = LazyRows(x, rows)
    assert (len(features), features.shape, features.size) == (900, (900, D), 900 * D)
    np.testing.assert_array_equal(features[10:20], x[rows[10:20]])
    chosen = np.array([5, 899, 5])
    np.testing.assert_array_equal(features[chosen], x[rows[chosen]])
    np.testing.assert_array_equal(features.take(chosen)[0:3], x[rows[chosen]])


def test_a_file_has_no_name_and_holds_what_memory_would(on_disk, tmp_path):
    x = stored()
    whole = assembled(pieces(x), x.shape)
    assert isinstance(whole.base, np.memmap)
    np.testing.assert_array_equal(whole, x)
    assert list((tmp_path / "cache").iterdir()) == []


def test_nothing_is_left_where_reading_fails(on_disk, tmp_path):
    def parts():
        yield stored()[:10]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assembled(parts(), (20, D))
    assert list((tmp_path / "cache").iterdir()) == []


FULL_DISK = """
import resource, numpy as np
from zoo.errors import ZooError
from zoo.train.arrays import IN_MEMORY, assembled, pieces

x = np.zeros((IN_MEMORY // 400 + 1, 100), np.float32)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
try:
    assembled(pieces(x), x.shape)
except ZooError as error:
    print(error)
"""


def test_a_full_disk_gives_a_sentence_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the disk is full: ")
    assert "ZOO_CACHE" in done.stdout
    assert list((tmp_path / "cache").iterdir()) == []
