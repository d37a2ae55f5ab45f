"""The choice of a method: by samples that it was not fitted on, never worse than a member."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensembles.choice
from ensembles import (
    METHODS,
    BestMember,
    Combiner,
    Ensemble,
    EnsembleError,
    SoftVoting,
    Stacking,
    WeightedVoting,
    choose,
    cross_validate,
)
from tests.helpers.members import (
    experts,
    independent,
    logits_and_labels,
    loss,
    noisy,
    softmax,
    tables,
)

seeds = st.integers(0, 10**6)


def strong_and_noise(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """One member that knows and three that know nothing."""
    logits, y = logits_and_labels(seed, n, 3, width=3)
    noise = np.random.default_rng(seed).dirichlet(np.ones(3) * 0.3, (3, n))
    return np.stack([noise[0], softmax(logits), *noise[1:]]), y


# --- what is chosen ----------------------------------------------------------------------------


@given(seeds, st.integers(1, 4), st.integers(10, 50), st.floats(0.1, 4), st.booleans())
@settings(max_examples=12)
def test_nothing_is_chosen_that_is_worse_than_a_member_alone(seed, m, n, noise, calibrate):
    p, y = noisy(seed, m, n, noise=noise)
    found = choose(p, y, calibrate=calibrate)
    assert found.losses[found.method] <= found.losses["best"]
    if found.method != "best":
        members = [scores["log_loss"] for scores in found.validation.calibrated]
        assert found.losses[found.method] <= min(members)
    assert type(found.combiner) is METHODS[found.method]
    assert not hasattr(found.combiner, "n_members_")
    assert set(found.losses) >= {"best", "soft", "geometric", "weighted", "greedy", "stack"}


def test_of_one_strong_member_and_noise_the_strong_one_has_the_say():
    p, y = strong_and_noise(0, 600)
    found = choose(p, y)
    assert found.method not in ("soft", "geometric")
    unseen, truth = strong_and_noise(1, 4000)
    fitted = Ensemble(found.combiner).fit(p, y)
    assert loss(fitted.predict_proba(unseen), truth) < loss(unseen[1], truth) + 0.02
    assert loss(fitted.predict_proba(unseen), truth) < loss(unseen.mean(axis=0), truth) - 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equally_good_members_are_averaged_and_beat_the_best(seed):
    p, y = independent(seed)
    found = choose(p, y)
    assert found.method == "soft"
    unseen, truth = independent(seed + 100, n=4000)
    together = Ensemble(found.combiner).fit(p, y).predict_proba(unseen)
    best = Ensemble(BestMember()).fit(p, y).predict_proba(unseen)
    assert loss(together, truth) < loss(best, truth) - 0.2
    assert (together.argmax(1) == truth).mean() > (best.argmax(1) == truth).mean() + 0.05


def test_members_that_know_one_class_each_are_stacked():
    found = choose(*experts(0, 400))
    assert found.method == "stack"
    assert isinstance(found.combiner, Stacking)
    assert found.combiner.C is not None


def test_the_simpler_of_two_that_are_as_good_is_taken():
    p, y = noisy(0, m=1, n=200)
    found = choose(np.repeat(p, 4, axis=0), y)
    assert found.method == "soft"


def test_where_no_combination_is_better_it_is_the_best_member_alone():
    methods = set()
    for seed in range(20):
        # members of next to no worth, one of which is better by luck
        rng = np.random.default_rng(seed)
        y = rng.integers(0, 3, 12)
        found = choose(rng.dirichlet(np.ones(3) * 2, (2, 12)), y, folds=3)
        methods.add(found.method)
        if found.method == "best":
            assert isinstance(found.combiner, BestMember)
            assert "no combination is better than the best member alone" in found.reason
            lowest = min(v for name, v in found.losses.items() if name != "best")
            assert f"{lowest:.4f}" in found.reason
    assert "best" in methods
    assert len(methods) > 1


@given(seeds)
@settings(max_examples=6)
def test_the_reason_gives_the_method_and_its_number(seed):
    found = choose(*noisy(seed, m=3, n=40))
    if found.method != "best":
        assert found.reason.startswith(found.method)
        assert f"{found.losses[found.method]:.4f}" in found.reason
    assert "\n" not in found.reason
    assert len(found.reason) > 20


def test_where_stacking_would_take_minutes_it_is_not_tried(monkeypatch):
    p, y = noisy(0, m=3, n=40)
    assert "stack" in choose(p, y).losses
    monkeypatch.setattr(ensembles.choice, "_STACKABLE", 0.0)
    found = choose(p, y)
    assert "stack" not in found.losses
    assert "stacking was not tried" in found.reason


def test_calibration_can_be_left_out():
    p, y = noisy(0, m=3, n=60)
    found = choose(p, y, calibrate=False)
    assert found.validation.calibrated == found.validation.raw
    assert found.losses["soft"] == pytest.approx(loss(p.mean(axis=0), y))


# --- cross-validation --------------------------------------------------------------------------


class Memory(Combiner):
    """Says what it was told of a sample, and nothing of others: it finds all leaks."""

    def _fit(self, probabilities, labels, ids):
        keys = (p.tobytes() for p in probabilities.swapaxes(0, 1))
        self.told_ = dict(zip(keys, labels.tolist(), strict=True))

    def _combine(self, probabilities):
        rows = probabilities.swapaxes(0, 1)
        result = np.full((len(rows), self.n_classes_), 1 / self.n_classes_)
        for i, row in enumerate(rows):
            if row.tobytes() in self.told_:
                result[i] = np.eye(self.n_classes_)[self.told_[row.tobytes()]]
        return result


@given(seeds, st.integers(10, 60), st.integers(2, 6))
@settings(max_examples=10)
def test_nobody_is_judged_by_what_it_was_fitted_on(seed, n, folds):
    p, y = noisy(seed, m=2, n=n)
    assert loss(Memory().fit(p, y).predict_proba(p), y) < 1e-9
    found = cross_validate({"memory": Memory()}, p, y, calibrate=False, folds=folds)
    np.testing.assert_allclose(found.probabilities["memory"], 1 / 3)
    np.testing.assert_allclose(found.losses["memory"], np.log(3))


COMBINERS = {
    "stack": Stacking(),
    "weighted": WeightedVoting(),
    "soft": SoftVoting(),
    "greedy": METHODS["greedy"](),
    "best": BestMember(),
}


@pytest.mark.parametrize("calibrate", [False, True])
def test_a_label_has_no_influence_on_the_predictions_of_its_own_fold(monkeypatch, calibrate):
    p, y = noisy(0, m=3, n=60)
    fold = np.arange(60) % 4
    # labels decide the folds also, which is not what is asked here
    monkeypatch.setattr(ensembles.choice, "fold_numbers", lambda *_: fold)
    before = cross_validate(COMBINERS, p, y, calibrate=calibrate, folds=4)
    for sample in (0, 31):
        flipped = y.copy()
        flipped[sample] = (y[sample] + 1) % 3
        after = cross_validate(COMBINERS, p, flipped, calibrate=calibrate, folds=4)
        same = fold == fold[sample]
        for name in COMBINERS:
            one, other = before.probabilities[name], after.probabilities[name]
            np.testing.assert_array_equal(one[same], other[same], err_msg=name)
        learned = "stack", "weighted"
        for name in learned:  # while the other folds do learn from it
            assert (before.probabilities[name] != after.probabilities[name])[~same].any()


def test_each_sample_is_predicted_by_the_fit_on_the_other_folds(monkeypatch):
    p, y = noisy(1, m=3, n=45)
    fold = np.arange(45) % 3
    monkeypatch.setattr(ensembles.choice, "fold_numbers", lambda *_: fold)
    found = cross_validate({"weighted": WeightedVoting()}, p, y, folds=3)
    for number in range(3):
        held = fold == number
        fitted = Ensemble(WeightedVoting()).fit(p[:, ~held], y[~held])
        np.testing.assert_allclose(
            found.probabilities["weighted"][held], fitted.predict_proba(p[:, held]), atol=1e-9
        )


def test_folds_go_with_the_samples_not_with_their_places():
    one = tables(*noisy(0, m=3, n=50))
    rows = np.random.default_rng(0).permutation(50)
    combiners = {**COMBINERS, "stack": Stacking(C=0.1)}
    found = cross_validate(combiners, one)
    turned = cross_validate(combiners, [t.rows(rows) for t in one])
    for name in combiners:
        np.testing.assert_allclose(turned.losses[name], found.losses[name][rows], atol=1e-4)


def test_losses_are_those_of_the_predictions():
    p, y = noisy(0, m=3, n=50)
    found = choose(p, y)
    assert set(found.losses) == set(found.validation.losses) == set(found.validation.probabilities)
    for name, q in found.validation.probabilities.items():
        np.testing.assert_allclose(q.sum(axis=1), 1)
        np.testing.assert_allclose(found.validation.losses[name], -np.log(q[np.arange(50), y]))
        assert found.losses[name] == pytest.approx(loss(q, y))


def expected_calibration_error(p: np.ndarray, y: np.ndarray) -> float:
    total = 0.0
    for low in np.arange(15) / 15:
        inside = [i for i in range(len(y)) if low <= p[i].max() < low + 1 / 15 - 1e-12]
        if inside:
            right = np.mean([p[i].argmax() == y[i] for i in inside])
            total += len(inside) / len(y) * abs(right - np.mean([p[i].max() for i in inside]))
    return total


def test_members_are_described_before_and_after():
    p, y = noisy(0, m=3, n=200)
    p[1] = softmax(np.log(p[1]) * 5)  # far too sure
    found = cross_validate({"soft": SoftVoting()}, p, y)
    for q, scores in zip(p, found.raw, strict=True):
        assert scores["log_loss"] == pytest.approx(loss(q, y))
        assert scores["brier"] == pytest.approx(((q - np.eye(3)[y]) ** 2).sum(axis=1).mean())
        assert scores["calibration_error"] == pytest.approx(expected_calibration_error(q, y))
    for name in ("log_loss", "brier", "calibration_error"):
        assert found.calibrated[1][name] < found.raw[1][name]


# --- few samples -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_of_a_few_samples_something_is_chosen_or_a_sentence_said(n):
    outcomes = set()
    for seed in range(6):
        p, _ = noisy(seed, m=2, n=n)
        try:
            found = choose(p, np.arange(n) % 3)
            outcomes.add(found.method)
            assert np.isfinite(list(found.losses.values())).all()
        except EnsembleError as error:
            assert "cross-validation needs more" in str(error)
    assert outcomes or n == 2


def test_one_sample_or_one_fold_cannot_be_cross_validated():
    p, y = noisy(0, m=2, n=20)
    with pytest.raises(EnsembleError, match="too few to cross-validate"):
        choose(p[:, :1], y[:1])
    with pytest.raises(EnsembleError, match="at least 2 folds, not 1"):
        choose(p, y, folds=1)


def test_samples_of_one_group_are_judged_by_fits_without_any_of_them():
    rng = np.random.default_rng(0)
    seen = []

    class Remembering(SoftVoting):
        def _fit(self, probabilities, labels, units):
            super()._fit(probabilities, labels, units)
            seen.append(set(units.tolist()))

    groups = np.repeat(np.arange(20), 3)
    labels = rng.integers(0, 2, 20)[groups]
    p = rng.dirichlet(np.ones(2), (2, 60))
    cross_validate({"soft": Remembering()}, p, labels, groups=groups)
    # five fits, each without whole groups, every group left out once
    assert sum(20 - len(units) for units in seen) == 20


@pytest.mark.parametrize("members", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_of_identical_members_the_plain_mean_is_taken(members, seed):
    logits, y = logits_and_labels(seed, 200, 3, 1.0)
    p = np.tile(softmax(logits), (members, 1, 1))
    assert choose(p, y).method == "soft"


def test_copies_of_few_images_do_not_make_stacking_the_choice():
    losses, methods = [], []
    for seed in range(4):
        p, y, groups = experts_with_copies(seed, 60, 5)
        choice = choose(p, y, groups=groups)
        new, truth, _ = experts_with_copies(seed + 100, 4000, 1)
        found = Ensemble(choice.combiner).fit(p, y, groups).predict_proba(new)
        methods.append(choice.method)
        losses.append(loss(found, truth) - choice.losses[choice.method])
    assert "stack" not in methods
    assert np.mean(losses) < 0.15  # 0.44 when copies were in several folds


def experts_with_copies(seed: int, images: int, copies: int) -> tuple[np.ndarray, ...]:
    """Predictions (4, n, 10) of similar members for copies of images, labels and groups."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(images), copies)
    y = rng.integers(0, 10, images)[groups]
    common, own = rng.normal(size=(images, 10)), rng.normal(size=(4, images, 10))
    x = 0.7 * common[groups] + 0.7 * own[:, groups]
    x = x + 0.14 * rng.normal(size=x.shape)
    x[:, np.arange(len(y)), y] += 2.3
    return np.stack([softmax(3 * logits) for logits in x]), y, groups
