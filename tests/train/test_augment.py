"""Augmented epochs: shapes, ranges, a function of the seed, and what flips must leave alone."""

import os
import time

import numpy as np
import pytest

from zoo.train.augment import (
    Policy,
    TrainingImages,
    _colour,
    batch_count,
    derived_seed,
    training_dataset,
)

SIZE, K = 16, 3
AUGMENTS = ("none", "light", "standard", "strong")
MIXES = ("none", "cutmix", "mixup", "both")
Epoch = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def some_images(n: int = 10) -> TrainingImages:
    """Noise; rows in another order than the pixels, soft targets and weights of their own."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n + 5, SIZE, SIZE, 3), np.uint8)
    targets = rng.dirichlet(np.ones(K), n).astype(np.float32)
    weights = rng.uniform(0.5, 1.5, n).astype(np.float32)
    return TrainingImages(pixels, rng.permutation(n + 5)[:n], targets, weights)


def epochs(
    images: TrainingImages,
    policy: Policy,
    count: int,
    *,
    seed: int = 0,
    skip: int = 0,
    batch: int = 4,
) -> list[Epoch]:
    """The batches of this many epochs, after those that are skipped."""
    steps = batch_count(len(images.rows), batch)
    data = training_dataset(images, policy, batch, seed, skip).take(count * steps)
    batches = [tuple(np.asarray(part) for part in parts) for parts in data]
    return [batches[i * steps : (i + 1) * steps] for i in range(count)]


def epoch(images: TrainingImages, policy: Policy, *, batch: int = 4) -> Epoch:
    """The batches of the first epoch."""
    (only,) = epochs(images, policy, 1, batch=batch)
    return only


def same(one: Epoch, other: Epoch) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b)
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("augment", AUGMENTS)
def test_every_policy_gives_full_batches_in_the_range_of_pixels(augment, mix):
    made = epoch(some_images(), Policy(augment, mix, "both"))
    assert [part.shape for part in made[0]] == [(4, SIZE, SIZE, 3), (4, K), (4,)]
    assert len(made) == 2, "full batches only: 10 images are two of 4"
    for pixels, targets, weights in made:
        assert pixels.dtype == targets.dtype == weights.dtype == np.float32
        assert np.isfinite(pixels).all()
        assert 0 <= pixels.min() < pixels.max() <= 255.001  # mixing rounds
        assert pixels.max() > 10, "in 0..255, not 0..1"
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-5)


# more cores are more parallel streams, whose threads must not decide
@pytest.mark.parametrize(
    ("policy", "cores"),
    [
        (Policy("none", "none", "none"), 16),
        (Policy("light", "cutmix", "horizontal"), 4),
        (Policy("standard", "mixup", "horizontal"), 16),
        (Policy("strong", "both", "both"), 2),
    ],
    ids=["plain", "light", "standard", "all"],
)
def test_an_epoch_is_a_function_of_its_seed_and_number(policy, cores, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    images = some_images(10)
    first, second, third = epochs(images, policy, 3, seed=5, batch=2)
    np.random.seed(1)  # noqa: NPY002 - what happened before must not matter
    # a resumed training sees what an uninterrupted one sees
    assert same(third, *epochs(images, policy, 1, seed=5, skip=2, batch=2))
    assert not same(first, second)
    assert not same(first, *epochs(images, policy, 1, seed=6, batch=2))


def test_a_slow_training_step_sees_the_same_batches_as_a_fast_one(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    policy, slow = Policy("none", "mixup", "none"), []
    for parts in training_dataset(some_images(16), policy, 2, 0).take(8):
        time.sleep(0.05)
        slow.append(tuple(np.asarray(part) for part in parts))
    assert same(slow, epoch(some_images(16), policy, batch=2))


def numbered(n: int) -> TrainingImages:
    """Image, target and weight of sample i all tell i."""
    pixels = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, SIZE, SIZE, 3))
    return TrainingImages(
        pixels, np.arange(n), np.eye(n, dtype=np.float32), np.arange(n, dtype=np.float32)
    )


@pytest.mark.parametrize("cores", [2, 16])
@pytest.mark.parametrize(("n", "batch"), [(23, 4), (24, 4), (3, 4), (1, 1), (40, 3)])
def test_each_sample_comes_at_most_once_and_keeps_its_label_and_weight(
    n, batch, cores, monkeypatch
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    made = epoch(numbered(n), Policy("none", "none", "horizontal"), batch=batch)
    assert len(made) == batch_count(n, batch)
    seen = np.concatenate([pixels[:, 0, 0, 0] for pixels, _, _ in made]).astype(int)
    assert len(seen) == len(set(seen)) == min(n, batch * batch_count(n, batch))
    np.testing.assert_array_equal(np.concatenate([t for _, t, _ in made]).argmax(axis=1), seen)
    np.testing.assert_array_equal(np.concatenate([w for _, _, w in made]), seen)


def test_the_samples_left_over_change_from_epoch_to_epoch():
    made = epochs(numbered(11), Policy("none", "none", "none"), 40)
    left = [set(range(11)) - {int(w) for _, _, part in one for w in part} for one in made]
    assert all(len(x) == 3 for x in left)
    assert set.union(*left) == set(range(11))


def test_without_augmentation_the_pixels_are_those_of_the_rows():
    images = some_images()
    for pixels, targets, _ in epoch(images, Policy("none", "none", "both")):
        for image, target in zip(pixels, targets, strict=True):
            i = int(np.flatnonzero((images.targets == target).all(axis=1))[0])
            np.testing.assert_array_equal(image, images.pixels[images.rows[i]])


def half_bright(n: int, axis: int) -> TrainingImages:
    """Dark on one side and bright on the other; to see the flips along an axis."""
    ramp = np.linspace(20, 230, SIZE).astype(np.uint8)
    image = np.broadcast_to(ramp[:, None, None] if axis == 0 else ramp[:, None], (SIZE, SIZE, 3))
    pixels = np.broadcast_to(image, (n, SIZE, SIZE, 3))
    return TrainingImages(pixels, np.arange(n), np.ones((n, 1), np.float32), np.ones(n, np.float32))


def flipped(policy: Policy, axis: int, n: int = 32) -> float:
    """Share of the images whose bright side is now the other one."""
    ((pixels, _, _),) = epoch(half_bright(n, axis), policy, batch=n)
    if axis == 1:
        pixels = pixels.transpose(0, 2, 1, 3)
    first, second = pixels[:, : SIZE // 2], pixels[:, SIZE // 2 :]
    return float((first.mean(axis=(1, 2, 3)) > second.mean(axis=(1, 2, 3))).mean())


@pytest.mark.parametrize(
    ("augment", "flip", "along_x", "along_y"),
    [
        ("light", "none", False, False),
        ("standard", "none", False, False),
        ("light", "horizontal", True, False),
        ("light", "both", True, True),
    ],
)
def test_flips_turn_about_half_of_the_images_and_only_as_allowed(augment, flip, along_x, along_y):
    for axis, allowed in ((1, along_x), (0, along_y)):
        share = flipped(Policy(augment, "none", flip), axis)
        assert 0.2 < share < 0.8 if allowed else share == 0


def test_area_shape_and_place_of_the_crops_are_drawn_apart():
    # x in the red channel and y in the green one, so that a crop shows where it was cut
    ramp = np.linspace(0, 255, SIZE)
    image = np.stack([*np.meshgrid(ramp, ramp), np.zeros((SIZE, SIZE))], axis=-1).astype(np.uint8)
    pixels = np.broadcast_to(image, (400, SIZE, SIZE, 3))
    one = np.ones(400, np.float32)
    images = TrainingImages(pixels, np.arange(400), one[:, None], one)
    ((seen, _, _),) = epoch(images, Policy("light", "none", "none"), batch=400)
    left, top = seen[:, 0, 0, 0] / 255, seen[:, 0, 0, 1] / 255
    width = seen[:, 0, -1, 0] / 255 - left
    height = seen[:, -1, 0, 1] / 255 - top
    area, ratio = width * height, width / height
    assert area.min() == pytest.approx(0.8, abs=0.02)
    assert area.max() > 0.95
    assert ratio.min() == pytest.approx(0.9, abs=0.02)
    assert ratio.max() == pytest.approx(1.1, abs=0.02)
    place = left / (1 - width + 1e-9)
    for one, other in ((area, ratio), (place, area), (place, ratio), (left, top)):
        # left and top both have more room in smaller crops
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


def test_brightness_and_contrast_reach_their_limits_and_are_drawn_apart():
    # one colour above and another below: their mean is moved by brightness, the gap by contrast
    halves = np.where(np.arange(SIZE)[:, None, None] < SIZE // 2, 100.0, 140.0).astype(np.float32)
    pixels = np.broadcast_to(halves, (400, SIZE, SIZE, 3))
    change = _colour(0.1, 0.2)
    seen = np.asarray(change(pixels))
    top, bottom = seen[:, 0, 0, 0], seen[:, -1, 0, 0]
    shift, factor = (top + bottom) / 2 - 120, (bottom - top) / 40
    assert [shift.min(), shift.max()] == pytest.approx([-25.5, 25.5], abs=1)
    assert [factor.min(), factor.max()] == pytest.approx([0.8, 1.2], abs=0.02)
    assert abs(np.corrcoef(shift, factor)[0, 1]) < 0.15
    np.testing.assert_allclose(seen, seen[:, :, :1, :1].repeat(SIZE, 2).repeat(3, 3), atol=1e-4)


def plain(n: int) -> TrainingImages:
    """One colour a class: what of a mixed image is of which class can be counted."""
    labels = np.arange(n) % 2
    pixels = np.where(labels, 200, 50).astype(np.uint8)[:, None, None, None]
    pixels = np.broadcast_to(pixels, (n, SIZE, SIZE, 3))
    return TrainingImages(pixels, np.arange(n), np.eye(2, dtype=np.float32)[labels], np.ones(n))


def test_cutmix_pastes_a_box_of_another_image():
    ((pixels, targets, _),) = epoch(plain(32), Policy("none", "cutmix", "none"), batch=32)
    assert set(np.unique(pixels)) == {50.0, 200.0}
    share = (pixels == 200).mean(axis=(1, 2, 3))
    assert ((share > 0) & (share < 1)).sum() > 5
    assert (((targets[:, 1] > 0) & (targets[:, 1] < 1)) == ((share > 0) & (share < 1))).all()


def test_cutmix_gives_the_label_by_the_area_of_each_image():
    ((pixels, targets, _),) = epoch(plain(32), Policy("none", "cutmix", "none"), batch=32)
    share = (pixels == 200).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(targets[:, 1], share, atol=0.02)


def test_mixup_gives_the_label_by_the_weight_of_each_image():
    ((pixels, targets, _),) = epoch(plain(32), Policy("none", "mixup", "none"), batch=32)
    weight = (pixels[:, 0, 0, 0] - 50) / 150
    np.testing.assert_allclose(targets[:, 1], weight, atol=1e-3)
    assert abs(pixels - pixels[:, :1, :1, :1]).max() < 1e-3, "the whole image alike"
    assert ((weight > 0.01) & (weight < 0.99)).any()


def test_both_mixes_alternate_batch_by_batch():
    images = plain(64)
    made = epoch(images, Policy("none", "both", "none"), batch=4)
    cut = [set(np.unique(pixels)) <= {50.0, 200.0} for pixels, _, _ in made]
    assert 2 < sum(cut) < 14


def test_a_stronger_policy_changes_more_of_the_image():
    # without flips a ramp says how far its pixels were moved
    images = half_bright(16, 1)
    change = []
    for augment in AUGMENTS:
        ((pixels, _, _),) = epoch(images, Policy(augment, "none", "none"), batch=16)
        change.append(float(abs(pixels - images.pixels[0]).mean()))
    assert change[0] == 0
    assert change == sorted(change)
    assert change[-1] > 3 * change[1] > 0


def test_derived_seeds_are_all_different_and_fit_any_generator():
    seeds = {derived_seed(seed, number) for seed in range(30) for number in range(30)}
    assert len(seeds) == 900
    assert all(0 <= seed < 2**31 for seed in seeds)


@pytest.mark.parametrize(
    ("n", "batch", "steps"), [(1, 32, 1), (31, 32, 1), (32, 32, 1), (95, 32, 2)]
)
def test_an_epoch_has_full_batches_or_one_short_one(n, batch, steps):
    assert batch_count(n, batch) == steps
