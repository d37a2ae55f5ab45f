"""What holds for every combiner: order means nothing, nothing overflows, scikit-learn's manners."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import accuracy_score

from ensembles import (
    METHODS,
    Ensemble,
    EnsembleError,
    GeometricVoting,
    SoftVoting,
    Stacking,
    choose,
    compare,
)
from ensembles.diversity import Diversity
from tests.helpers.members import noisy, reordered, tables

ARRAYS = ["soft", "geometric", "vote", "weighted", "best"]  # the others follow the ids of tables
seeds = st.integers(0, 10**6)


def combined(combiner, members, y=None):
    return combiner.fit(members, y).predict_proba(members)


# --- order -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ARRAYS)
@given(seeds, st.integers(1, 7), st.integers(2, 30), st.integers(2, 5))
@settings(max_examples=15)
def test_the_order_of_arrays_changes_nothing(method, seed, m, n, k):
    rng = np.random.default_rng(seed)
    p, y = noisy(seed, m, n, k)
    members, rows, columns = rng.permutation(m), rng.permutation(n), rng.permutation(k)
    turned = p[members][:, rows][:, :, columns]
    for make in (METHODS[method], lambda: Ensemble(METHODS[method]())):
        expected = combined(make(), p, y)[rows][:, columns]
        found = combined(make(), turned, np.argsort(columns)[y[rows]])
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@given(seed=seeds, m=st.integers(1, 4), n=st.integers(8, 40))
@settings(max_examples=5)
def test_the_order_of_tables_changes_nothing(method, seed, m, n):
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(n), rng.permutation(3)
    one = tables(*noisy(seed, m, n))
    expected = combined(Ensemble(METHODS[method]()), one)
    turned = [reordered(one[i], rows, columns) for i in rng.permutation(m)]
    found = combined(Ensemble(METHODS[method]()), turned)
    np.testing.assert_allclose(found, expected[rows][:, columns], atol=1e-4)
    # each of the members in an order of its own
    mixed = [one[0]] + [reordered(t, rng.permutation(n), rng.permutation(3)) for t in one[1:]]
    np.testing.assert_allclose(combined(Ensemble(METHODS[method]()), mixed), expected, atol=1e-12)


@given(seeds)
@settings(max_examples=3)
def test_the_order_of_tables_changes_no_choice(seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(60), rng.permutation(3)
    one = tables(*noisy(seed, 3, 60))
    expected = choose(one)
    found = choose([reordered(one[i], rows, columns) for i in (2, 0, 1)])
    assert found.method == expected.method
    for name, loss in expected.losses.items():
        assert found.losses[name] == pytest.approx(loss, abs=1e-4)


# --- probabilities ---------------------------------------------------------------------------


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("method", METHODS)
@given(seeds, st.integers(1, 5), st.integers(1, 25), st.integers(2, 6))
@settings(max_examples=6)
def test_rows_sum_to_one(method, calibrate, seed, m, n, k):
    p, y = noisy(seed, m, n, k)
    p = np.round(p + 1e-4, 4)  # they may be off by 1e-3, as numbers read from text are
    p[..., 0] += 9e-4 - (p.sum(axis=2) - 1)
    found = combined(Ensemble(METHODS[method](), calibrate), p.clip(0), y)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.dtype == np.float64


@given(seeds, st.integers(1, 6))
@settings(max_examples=15)
@pytest.mark.parametrize("method", ["soft", "geometric", "weighted", "greedy", "best"])
def test_weights_are_shares(method, seed, m):
    weights = METHODS[method]().fit(*noisy(seed, m, n=20)).weights_
    assert weights.shape == (m,)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)


def certain(k: int, kind: type) -> tuple[np.ndarray, np.ndarray]:
    """Members that are often certainly wrong: ones, zeros and the smallest numbers above them."""
    rng = np.random.default_rng(k)
    said = rng.integers(0, k, (3, 30))
    p = np.zeros((3, 30, k), kind)
    np.put_along_axis(p, said[..., None], 1, axis=2)
    np.put_along_axis(p, (said[..., None] + 1) % k, kind(1e-38), axis=2)
    y = np.arange(30) % k
    y[:5] = (said[0, :5] + k - 1) % k
    p[:, :5] = p[:1, :5]  # all agree, and give the truth nothing at all
    return p, y


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_certain_members_give_finite_numbers(method, k, kind):
    p, y = certain(k, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for calibrate in (False, True):
            ensemble = Ensemble(METHODS[method](), calibrate).fit(p, y)
            found = ensemble.predict_proba(p)
            np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
            assert (found >= 0).all()
            assert np.isfinite([*ensemble.temperatures_, ensemble.temperature_]).all()


def test_certain_members_are_judged_in_finite_numbers():
    p, y = certain(3, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = choose(p, y)
        assert np.isfinite(list(found.losses.values())).all()
        for scores in found.validation.raw + found.validation.calibrated:
            assert np.isfinite(list(scores.values())).all()
        for values in vars(Diversity.of(p, y)).values():
            assert np.isfinite(values).all()
        compared = compare(*tables(p[:2], y)).as_record()
        assert all(np.isfinite(v) for v in compared.values() if not isinstance(v, str))


def test_all_right_for_certain_stays_certain():
    p = np.repeat(np.eye(3)[None, [0, 1, 2, 0]], 2, axis=0)
    for method in METHODS:
        found = combined(Ensemble(METHODS[method]()), p, np.array([0, 1, 2, 0]))
        assert found.argmax(axis=1).tolist() == [0, 1, 2, 0]


# --- what goes in ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_members_may_be_tables_a_list_a_tuple_or_one_array(method):
    p, y = noisy(0, m=3, n=30)
    p = p.astype(np.float32)
    fitted = Ensemble(METHODS[method]()).fit(p, y)
    expected = fitted.predict_proba(p)
    for members in (list(p), tuple(p), [q.tolist() for q in p.astype(float)]):
        np.testing.assert_allclose(fitted.predict_proba(members), expected, atol=1e-6)
        again = Ensemble(METHODS[method]()).fit(members, y.tolist())
        np.testing.assert_allclose(again.predict_proba(p), expected, atol=1e-5)
    np.testing.assert_allclose(fitted.predict_proba(tables(p, y)), expected, atol=1e-6)


def test_whole_numbers_are_probabilities_where_they_are_zero_and_one():
    votes = np.eye(3, dtype=np.int64)[[[0, 1], [0, 2]]]
    assert combined(SoftVoting(), votes, [0, 1]).tolist() == [[1, 0, 0], [0, 0.5, 0.5]]


def test_labels_that_are_given_replace_those_of_the_tables():
    p, y = noisy(0, m=2, n=40)
    other = (y + 1) % 3
    found = METHODS["weighted"]().fit(tables(p, y), other).weights_
    np.testing.assert_allclose(found, METHODS["weighted"]().fit(p, other).weights_, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_given_is_not_changed(method):
    p, y = noisy(0, m=3, n=30)
    before = p.copy()
    for value in (p, y):
        value.setflags(write=False)
    combined(Ensemble(METHODS[method]()), p, y)
    np.testing.assert_array_equal(p, before)


@pytest.mark.parametrize("method", METHODS)
def test_no_samples_give_no_rows(method):
    p, y = noisy(0, m=3, n=30)
    fitted = Ensemble(METHODS[method]()).fit(p, y)
    assert fitted.predict_proba(p[:, :0]).shape == (0, 3)
    assert fitted.predict(p[:, :0]).shape == (0,)


P, Y = noisy(0, m=2, n=10)
TABLE = tables(P, Y)[0]
MEMBERS = {
    "no members": ([], "at least one"),
    "no members in an array": (np.empty((0, 10, 3)), "at least one"),
    "other numbers of samples": ([P[0], P[1][:9]], r"\(10, 3\), \(9, 3\)"),
    "other numbers of classes": ([P[0], P[1][:, :2]], r"\(10, 3\), \(10, 2\)"),
    "one matrix": (P[0], "one shape"),
    "four axes": (P[None], "one shape"),
    "rows that differ": ([[[0.5, 0.5], [1.0]]], None),
    "log-probabilities": (
        np.log(P),
        "member 1 .* call PredictionTable.from_logits, or take np.exp",
    ),
    "logits above zero": (np.log(P) - np.log(P).min(), "logits"),
    "negative": ([P[0], P[1] - [0.5, 0, -0.5]], "not negative"),
    "not a number": ([P[0], np.where(P[1] > 0.5, np.nan, P[1])], "finite"),
    "infinite": ([P[0], np.where(P[1] > 0.5, np.inf, P[1])], "finite"),
    "percentages of one": ([P[0], P[1] * 100], "member 2 .* divide percentages by 100"),
    "text": (P.astype(str), "numbers"),
    "complex": (P.astype(complex), "numbers"),
    "truth values": (P > 0.9, "zeros only"),
    "objects": (np.full(P.shape, object()), "numbers"),
    "one table, not in a list": (TABLE, None),
    "a table and an array": ([TABLE, P[1]], None),
    "an array and a table": ([P[0], TABLE], None),
    "tables of other samples": (
        [TABLE, TABLE.rows(np.arange(9))],
        "member 1 has 1 sample that member 2 has not",
    ),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_members_that_cannot_be_combined_are_refused(case):
    members, content = MEMBERS[case]
    with pytest.raises(EnsembleError, match=content):
        SoftVoting().fit(members, Y)
    with pytest.raises(EnsembleError, match=content):
        SoftVoting().fit(P, Y).predict_proba(members)
    with pytest.raises(EnsembleError, match=content):
        choose(members, Y)


LABELS = {
    "none": (None, "give y"),
    "too few": (Y[:9], r"10 whole numbers.*\(9,\)"),
    "in a row": (Y[None], r"\(1, 10\)"),
    "of halves": (Y + 0.5, "row 0 has"),
    "of text": (np.array(["cat"] * 10), "the first is 'cat': give whole numbers"),
    "of truth values": (Y > 0, "two classes, not 3"),
    "too large": (Y + 1, r"0\.\.2, not 1\.\.3"),
    "negative": (Y - 1, r"0\.\.2, not -1\.\.1"),
    "of several classes": (np.tile([1, 1, 0], (10, 1)), r"labels.argmax\(axis=1\)"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_that_do_not_fit_are_refused(case):
    y, content = LABELS[case]
    for fit in (SoftVoting().fit, Ensemble(Stacking()).fit, choose, Diversity.of):
        with pytest.raises(EnsembleError, match=content):
            fit(P, y)


@pytest.mark.parametrize(
    "form", [np.float64, np.uint8, lambda y: y[:, None], np.eye(3).__getitem__]
)
def test_labels_as_floats_bytes_a_column_or_one_hot_fit_the_same(form):
    expected = Ensemble(Stacking()).fit(P, Y).predict_proba(P)
    np.testing.assert_array_equal(Ensemble(Stacking()).fit(P, form(Y)).predict_proba(P), expected)


def test_members_of_arrays_rounded_to_two_digits_sum_to_one_again():
    rounded = [P[0].round(2), P[1]]
    assert abs(rounded[0].sum(axis=1) - 1).max() > 0.005
    combined = SoftVoting().fit(rounded, Y).predict_proba(rounded)
    np.testing.assert_allclose(combined.sum(axis=1), 1, atol=1e-7)
    np.testing.assert_allclose(combined, P.mean(axis=0), atol=0.01)


def test_no_samples_cannot_be_fitted():
    with pytest.raises(EnsembleError, match="needs samples"):
        SoftVoting().fit(P[:, :0], Y[:0])


# --- scikit-learn ----------------------------------------------------------------------------

KINDS = [*METHODS.values(), Ensemble]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_given_at_first_is_stored_and_nothing_else_done(kind):
    marks = {name: object() for name in kind().get_params(deep=False)}
    made = kind(**marks)
    assert vars(made) == marks
    assert made.get_params(deep=False) == marks


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learned_ends_in_an_underscore_and_is_no_parameter(kind):
    p, y = noisy(0, m=3, n=30)
    made = kind()
    before = dict(vars(made))
    assert made.fit(p, y) is made
    after = vars(made)
    assert {name: after[name] for name in before} == before
    learned = set(after) - set(before)
    assert {"n_members_", "n_classes_"} <= learned
    assert all(name.endswith("_") and not name.startswith("_") for name in learned)
    assert (made.n_members_, made.n_classes_) == (3, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_has_the_parameters_and_nothing_learned(kind):
    p, y = noisy(0, m=3, n=30)
    made = kind().fit(p, y)
    copied = clone(made)
    assert str(copied.get_params()) == str(made.get_params())
    assert not [name for name in vars(copied) if name.endswith("_")]
    np.testing.assert_array_equal(copied.fit(p, y).predict_proba(p), made.predict_proba(p))


def test_parameters_are_set_by_name_also_those_within():
    whole = Ensemble(Stacking(C=0.5)).set_params(combiner__C=0.01, calibrate=False)
    assert whole.get_params()["combiner__C"] == 0.01
    assert (whole.combiner.C, whole.calibrate) == (0.01, False)
    assert SoftVoting().set_params(weights=[1, 2]).weights == [1, 2]
    with pytest.raises(ValueError, match="weight"):
        SoftVoting().set_params(weight=[1, 2])


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_before_fitting_is_refused(kind):
    p, _ = noisy(0, m=3, n=5)
    for use in (kind().predict_proba, kind().predict):
        with pytest.raises(EnsembleError, match="not fitted: call fit"):
            use(p)


@pytest.mark.parametrize(
    "made", [SoftVoting([1]), GeometricVoting([1]), Stacking(C=-1), Ensemble(SoftVoting([1]))]
)
def test_prediction_after_fitting_in_vain_is_refused(made):
    p, y = noisy(0, m=3, n=5)
    with pytest.raises(EnsembleError):
        made.fit(p, y)
    with pytest.raises(EnsembleError):
        made.predict_proba(p)


@pytest.mark.parametrize("kind", KINDS)
def test_other_numbers_of_members_or_classes_than_it_was_fitted_on_are_refused(kind):
    made = kind().fit(*noisy(0, m=3, n=30))
    for m, k in ((2, 3), (4, 3), (3, 2), (3, 4)):
        content = f"3 members and 3 classes, not on {m} and {k}"
        with pytest.raises(EnsembleError, match=content):
            made.predict_proba(noisy(0, m, n=5, k=k)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_fitted_again_on_other_members(kind):
    p, y = noisy(0, m=2, n=30, k=2)
    again = kind().fit(*noisy(1, m=4, n=20, k=5)).fit(p, y)
    np.testing.assert_array_equal(again.predict_proba(p), kind().fit(p, y).predict_proba(p))


@pytest.mark.parametrize("kind", KINDS)
def test_first_choices_are_columns_and_their_score_is_accuracy(kind):
    p, y = noisy(0, m=3, n=60)
    made = kind().fit(p, y)
    first = made.predict(p)
    assert (first.dtype, first.shape) == (np.int64, (60,))
    np.testing.assert_array_equal(first, made.predict_proba(p).argmax(axis=1))
    assert made.score(p, y) == accuracy_score(y, first)
