"""The whole ensemble: temperatures, members left out, and a record that gives the same again."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles import (
    METHODS,
    Ensemble,
    EnsembleError,
    GeometricVoting,
    SoftVoting,
    Stacking,
    WeightedVoting,
)
from tests.helpers.members import logits_and_labels, loss, noisy, smoothed_loss, softmax, tables


def test_it_is_the_mean_where_nothing_else_is_said():
    p, y = noisy(0)
    found = Ensemble(calibrate=False).fit(p, y).predict_proba(p)
    np.testing.assert_allclose(found, p.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_without_calibration_it_is_its_combiner(method):
    p, y = noisy(0, n=60)
    ensemble = Ensemble(METHODS[method](), calibrate=False).fit(p, y)
    expected = METHODS[method]().fit(p, y).predict_proba(p)
    np.testing.assert_array_equal(ensemble.predict_proba(p), expected)
    assert (ensemble.temperature_, ensemble.temperatures_.tolist()) == (1.0, [1.0] * 3)


def test_each_member_gets_a_temperature_of_its_own():
    logits, y = logits_and_labels(0, 4000, 3)
    factors = [0.5, 1.0, 4.0]
    p = np.array([softmax(logits * factor) for factor in factors])
    ensemble = Ensemble(WeightedVoting()).fit(p, y)
    np.testing.assert_allclose(ensemble.temperatures_, factors, rtol=0.08)
    # all say the same then, and nothing is left to correct
    assert ensemble.temperature_ == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(ensemble.predict_proba(p), softmax(logits), atol=0.03)


def test_the_mean_of_members_that_disagree_is_sharpened():
    p, y = noisy(0, m=6, n=3000, noise=2.0)
    ensemble = Ensemble().fit(p, y)
    assert (ensemble.temperatures_ > 1).all()
    assert ensemble.temperature_ < 0.95
    unseen, truth = noisy(7, m=6, n=3000, noise=2.0)
    plain = Ensemble(calibrate=False).fit(p, y)
    assert loss(ensemble.predict_proba(unseen), truth) < loss(plain.predict_proba(unseen), truth)


@pytest.mark.parametrize("method", METHODS)
@given(st.integers(0, 10**6))
@settings(max_examples=5)
def test_the_last_temperature_never_makes_the_fitted_data_worse(method, seed):
    p, y = noisy(seed, m=3, n=40)
    ensemble = Ensemble(METHODS[method]()).fit(p, y)
    without = copy.copy(ensemble)
    without.temperature_ = 1.0
    assert (
        smoothed_loss(ensemble.predict_proba(p), y)
        <= smoothed_loss(without.predict_proba(p), y) + 1e-4
    )


def test_stacking_needs_no_last_temperature():
    assert Ensemble(Stacking(C=0.1)).fit(*noisy(0)).temperature_ == 1.0


def test_the_given_combiner_is_left_unfitted():
    combiner = WeightedVoting()
    ensemble = Ensemble(combiner).fit(*noisy(0))
    assert not hasattr(combiner, "weights_")
    assert hasattr(ensemble.combiner_, "weights_")


# --- members without a say ---------------------------------------------------------------------

PARTLY = {
    **{name: kind() for name, kind in METHODS.items()},
    "soft by weights": SoftVoting([1, 0, 2, 0]),
    "geometric by weights": GeometricVoting([0, 0, 2, 1]),
}


@pytest.mark.parametrize("case", PARTLY)
def test_without_the_members_that_have_no_say_the_predictions_are_the_same(case):
    good, y = noisy(0, m=2, n=80, noise=0.5)
    noise = np.random.default_rng(0).dirichlet(np.ones(3), (2, 80))
    p = np.stack([noise[0], good[0], good[1], noise[1]])
    ensemble = Ensemble(PARTLY[case]).fit(p, y)
    used = ensemble.used()
    before = json.dumps(ensemble.as_record())
    part = ensemble.restricted(used)
    np.testing.assert_array_equal(part.predict_proba(p[used]), ensemble.predict_proba(p))
    assert part.used() == list(range(len(used)))
    again = Ensemble.of_record(json.loads(json.dumps(part.as_record())))
    np.testing.assert_array_equal(again.predict_proba(p[used]), ensemble.predict_proba(p))
    assert json.dumps(ensemble.as_record()) == before
    if used != [0, 1, 2, 3]:
        with pytest.raises(EnsembleError, match=f"{len(used)} members"):
            part.predict_proba(p)


@pytest.mark.parametrize(
    ("case", "used"),
    [
        ("soft", [0, 1, 2, 3]),
        ("vote", [0, 1, 2, 3]),
        ("stack", [0, 1, 2, 3]),
        ("soft by weights", [0, 2]),
        ("geometric by weights", [2, 3]),
        ("best", [1]),
    ],
)
def test_who_has_a_say(case, used):
    good, y = noisy(0, m=1, n=80, noise=0.1)
    noise = np.random.default_rng(0).dirichlet(np.ones(3), (3, 80))
    p = np.stack([noise[0], good[0], *noise[1:]])
    assert Ensemble(PARTLY[case]).fit(p, y).used() == used


# --- the record --------------------------------------------------------------------------------


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("method", METHODS)
def test_a_record_gives_the_same_predictions(method, k, calibrate):
    p, y = noisy(0, m=3, n=60, k=k)
    p = p.astype(np.float32)
    ensemble = Ensemble(METHODS[method](), calibrate).fit(tables(p, y))
    text = json.dumps(ensemble.as_record(), allow_nan=False)
    again = Ensemble.of_record(json.loads(text))
    unseen = noisy(1, m=3, n=20, k=k)[0].astype(np.float32)
    np.testing.assert_array_equal(again.predict_proba(unseen), ensemble.predict_proba(unseen))
    np.testing.assert_array_equal(again.predict(unseen), ensemble.predict(unseen))
    assert again.used() == ensemble.used()
    assert json.dumps(again.as_record()) == text


def test_a_record_keeps_classes_that_did_not_occur():
    p, y = noisy(0, m=2, n=60)
    ensemble = Ensemble(Stacking(C=0.1)).fit(p, np.where(y == 1, 0, y))
    again = Ensemble.of_record(json.loads(json.dumps(ensemble.as_record())))
    np.testing.assert_array_equal(again.predict_proba(p), ensemble.predict_proba(p))


def record(method: str) -> dict:
    fitted = Ensemble(METHODS[method]()).fit(*noisy(0, m=3, n=30))
    return json.loads(json.dumps(fitted.as_record()))


RECORDS = {method: record(method) for method in METHODS}
GONE = object()


def changed(method: str, path: tuple, value: object) -> dict:
    whole = copy.deepcopy(RECORDS[method])
    place = whole
    for step in path[:-1]:
        place = place[step]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return whole


NAN, INF = float("nan"), float("inf")
# of which method, where, and what stands there instead
DAMAGE = [
    *[("soft", (key,), GONE) for key in ("method", "temperatures", "temperature", "learned")],
    *[("soft", ("learned", key), GONE) for key in ("weights_",)],
    ("soft", ("classes",), GONE),
    *[("stack", ("learned", key), GONE) for key in ("coef_", "intercept_", "present_")],
    *[("soft", ("method",), value) for value in ("magic", "Soft", "", None, 1, [], "stack")],
    *[("soft", ("learned",), value) for value in (None, [], "much", 1)],
    *[("soft", ("temperature",), value) for value in (NAN, INF, 0, -1, 10**400, "hot", None, [])],
    *[("soft", ("temperatures",), value) for value in (None, 1.0, "hot", [], [1, 1], [1] * 4)],
    *[("soft", ("temperatures", 1), value) for value in (NAN, INF, 0, -1, 10**400, "hot", [1])],
    ("soft", ("temperatures",), [[1], [1], [1]]),
    *[("soft", ("classes",), value) for value in (0, -3, 3.0, 10**13, NAN, INF, "three", [3, 3])],
    *[
        (method, ("learned", "weights_"), value)
        for method in ("soft", "geometric", "weighted", "greedy", "best")
        for value in ([0.5, 0.5], [0.25] * 4, [0, 0, 0], [NAN, 0, 1], [-1, 1, 1], "much", 1.0, [])
    ],
    ("soft", ("learned", "weights_"), [[0.3], [0.3], [0.4]]),
    ("soft", ("learned", "weights_"), [[0.3], [0.3, 0.4]]),
    *[("stack", ("learned", "coef_"), value) for value in (0.5, [1.0] * 9, [[1.0] * 8] * 3, "a")],
    ("stack", ("learned", "coef_", 1, 2), NAN),
    ("stack", ("learned", "coef_", 1, 2), INF),
    ("stack", ("learned", "coef_", 1, 2), "much"),
    ("stack", ("learned", "coef_", 1), [1.0]),
    *[("stack", ("learned", "intercept_"), value) for value in (0.5, [0.5], [0.5, 0.5], [[0] * 3])],
    ("stack", ("learned", "intercept_", 0), NAN),
    *[("stack", ("learned", "present_"), value) for value in (True, [True] * 2, [True] * 4, "yes")],
    ("stack", ("learned", "present_"), [False] * 3),
    ("stack", ("learned", "present_"), [0, 0, 1]),
]


def shown(case: object) -> str:
    if isinstance(case, tuple):
        return ".".join(map(str, case))
    return "gone" if case is GONE else str(case)[:20]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("method", "path", "value"), DAMAGE, ids=shown)
def test_a_damaged_record_is_refused(method, path, value):
    with pytest.raises(EnsembleError, match="record of an ensemble is damaged"):
        Ensemble.of_record(changed(method, path, value))


@pytest.mark.parametrize("value", [None, [], "record", 3, {}])
def test_what_is_no_record_is_refused(value):
    with pytest.raises(EnsembleError, match="record of an ensemble is damaged"):
        Ensemble.of_record(value)


def places(value: object, path: tuple = ()):
    """Paths to all there is in nested lists and dicts."""
    if path:
        yield path
    inner = (
        value if isinstance(value, dict) else dict(enumerate(value if type(value) is list else []))
    )
    for step in inner:
        yield from places(inner[step], (*path, step))


STRANGE = [GONE, None, True, -2, 0, 7, 0.5, NAN, -INF, 10**400, "", "1", [], [[]], {}, [1, 2]]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", METHODS)
def test_any_damage_gives_a_sentence_or_an_ensemble_that_works(method):
    wrong = []
    for path in places(RECORDS[method]):
        for value in STRANGE:
            try:
                ensemble = Ensemble.of_record(changed(method, path, value))
                found = ensemble.predict_proba(
                    noisy(0, ensemble.n_members_, n=5, k=ensemble.n_classes_)[0]
                )
                if not ((found >= 0) & (abs(found.sum(axis=1, keepdims=True) - 1) < 1e-6)).all():
                    wrong.append((shown(path), shown(value), "no probabilities"))
            except EnsembleError:
                continue
            except Exception as error:
                wrong.append((shown(path), shown(value), repr(error)[:80]))
    assert not wrong
