"""``zoo ensemble`` on stored predictions: what it decides, writes, refuses, and shows."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import zoo
from ensembles import EnsembleError, SoftVoting
from zoo.combine.decide import CHOICES
from zoo.errors import ZooError
from zoo.evaluate.metrics import value
from zoo.paths import mark
from zoo.runs import unfinished

STORED = [method for method in CHOICES if method != "soup"]


@pytest.fixture
def three(make_run):
    return [make_run("a", 1, 2.0), make_run("b", 2, 2.0), make_run("c", 3, 1.0)]


@pytest.mark.parametrize("method", STORED)
def test_every_method_gives_a_run_like_any_other(three, method):
    run = zoo.ensemble(three, method, name="e")
    assert run.path.name == "e"
    assert run.kind == "ensemble"
    assert {p.name for p in run.path.iterdir()} == {
        "run.json",
        "digests.json",
        "ensemble.json",
        "metrics.json",
        "predictions",
        "members",
    }
    for split in ("val", "test"):
        table = run.predictions(split)
        np.testing.assert_array_equal(table.ids, three[0].predictions(split).ids)
        np.testing.assert_allclose(table.probabilities.sum(axis=1), 1, atol=1e-5)
        for name, entry in run.metrics[split].items():
            expected = value(name, table.labels, table.probabilities)
            assert entry["value"] == pytest.approx(expected)
    assert zoo.open_run("e").title == f"{run.record['combination']['method']} of {len(run.members)}"


def test_soft_is_the_mean_of_the_test_predictions(three):
    run = zoo.ensemble(three, "soft", calibrate=False)
    each = [r.predictions("test").probabilities for r in three]
    np.testing.assert_allclose(
        run.predictions("test").probabilities, np.mean(each, axis=0), atol=1e-6
    )


def test_weights_are_used(three):
    run = zoo.ensemble(three, "soft", weights=[2, 1, 1], calibrate=False)
    each = [r.predictions("test").probabilities for r in three]
    expected = SoftVoting([2, 1, 1]).fit(each, three[0].predictions("test").labels)
    np.testing.assert_allclose(
        run.predictions("test").probabilities, expected.predict_proba(each), atol=1e-6
    )
    assert run.record["combination"]["weights"] == [0.5, 0.25, 0.25]


def test_classes_in_another_order_are_mapped(make_run):
    a = make_run("a", 1)
    b = make_run("b", 2)
    turned = make_run("turned", 2, classes=["dog", "bee", "ant", "cow"])
    plain = zoo.ensemble([a, b], "soft", name="plain").predictions("test")
    mapped = zoo.ensemble([a, turned], "soft", name="mapped").predictions("test")
    np.testing.assert_allclose(mapped.probabilities, plain.probabilities, atol=1e-6)


def test_auto_is_no_worse_in_cross_validation_than_the_best_member(make_run):
    runs = [make_run(n, i, s) for i, (n, s) in enumerate({"a": 3.0, "b": 0.1, "c": 0.1}.items())]
    found = zoo.ensemble(runs).record["combination"]
    assert found["losses"][found["method"]] <= found["losses"]["best"] + 1e-9
    assert found["best_member"] == "a"


def test_the_test_predictions_have_no_part_in_any_decision(three, tmp_path):
    before = zoo.ensemble(three, name="before").record["combination"]
    for run in three:  # other test predictions, the same everything else
        table = run.predictions("test")
        table.rows(np.arange(len(table))[::-1]).save(run.path / "predictions" / "test.npz")
    after = zoo.ensemble(three, name="after").record["combination"]
    for key in ("method", "weights", "losses", "calibration", "temperatures", "best_member"):
        assert before[key] == after[key]


def test_stored_validation_predictions_come_from_fits_without_the_image(three):
    """The label of a validation image has no part in what is stored for it."""
    before = zoo.ensemble(three, "stack", name="before").predictions("val")
    row = 7
    for run in three:
        table = run.predictions("val")
        labels = table.labels.copy()
        labels[row] = (labels[row] + 1) % 4
        changed = table.of(
            table.probabilities,
            labels,
            ids=table.ids,
            classes=table.classes,
            split="val",
            fingerprint=table.fingerprint,
        )
        changed.save(run.path / "predictions" / "val.npz")
    after = zoo.ensemble(three, "stack", name="after").predictions("val")
    np.testing.assert_allclose(after.probabilities[row], before.probabilities[row], atol=0.02)


def test_members_with_folds_are_combined_on_out_of_fold_predictions(make_run):
    splits = {"oof": 300, "val": 120, "test": 150}
    runs = [make_run(n, i, 2.0, splits=splits) for i, n in enumerate("ab")]
    for run in runs:  # as training does: the out-of-fold rows of the validation images
        table = run.predictions("oof")
        chosen = table.rows(np.arange(120))
        chosen.of(
            chosen.probabilities,
            chosen.labels,
            ids=chosen.ids,
            classes=chosen.classes,
            split="val",
            fingerprint=chosen.fingerprint,
        ).save(run.path / "predictions" / "val.npz")
    run = zoo.ensemble(runs)
    assert run.record["combination"]["fitted_on"] == "oof"
    assert len(run.predictions("oof")) == 300
    assert len(run.predictions("val")) == 120
    assert set(run.metrics) == {"oof", "val", "test"}


def test_one_member_without_folds_means_validation(make_run):
    a = make_run("a", 1, splits={"oof": 300, "val": 120, "test": 150})
    assert zoo.ensemble([a, make_run("b", 2)]).record["combination"]["fitted_on"] == "val"


def test_an_ensemble_can_be_a_member(three, make_run):
    inner = zoo.ensemble(three, "soft", name="inner")
    outer = zoo.ensemble([inner, make_run("d", 4)], "soft", name="outer")
    assert [m.name for m in outer.members] == ["inner", "d"]
    assert [m.name for m in outer.members[0].members] == ["a", "b", "c"]


def test_members_without_a_say_are_not_kept(make_run):
    runs = [make_run("good", 1, 4.0), make_run("noise", 2, 0.0), make_run("other", 3, 4.0)]
    run = zoo.ensemble(runs, "weighted")
    assert run.record["combination"]["dropped"] == ["noise"]
    assert [m.name for m in run.members] == ["good", "other"]


def test_members_may_be_deleted_afterwards(three):
    run = zoo.ensemble(three, "soft")
    for member in three:
        shutil.rmtree(member.path)
    assert all((m.path / "model.keras").is_file() for m in run.members)


def test_members_are_linked_rather_than_copied(three):
    run = zoo.ensemble(three, "soft")
    kept = run.path / "members" / "a" / "model.keras"
    assert kept.samefile(three[0].path / "model.keras")


def test_tolerance_keeps_the_fewest_members(make_run):
    runs = [make_run(n, i, 3.0) for i, n in enumerate("abcd")]
    everything = zoo.ensemble(runs, "soft", tolerance=0.0, name="all")
    fewer = zoo.ensemble(runs, "soft", tolerance=0.05, name="fewer")
    single = zoo.ensemble(runs, "soft", tolerance=9.0, name="single")
    assert len(everything.members) >= len(fewer.members) > len(single.members) == 1
    assert single.record["combination"]["method"] == "best"


def test_budget_is_kept(make_run):
    costs = {"slow": 50.0, "fast": 1.0, "quick": 2.0}
    runs = [make_run(n, i, 2.0, milliseconds=ms) for i, (n, ms) in enumerate(costs.items())]
    run = zoo.ensemble(runs, "soft", budget_ms=10)
    assert {m.name for m in run.members} == {"fast", "quick"}
    assert run.milliseconds == pytest.approx(3.0)


def test_few_validation_images_mean_soft_voting_without_scaling(make_run):
    runs = [make_run(n, i, splits={"val": 8, "test": 50}) for i, n in enumerate("ab")]
    run = zoo.ensemble(runs)
    assert run.record["combination"]["method"] == "soft"
    assert run.record["combination"]["temperatures"] == [1.0, 1.0, 1.0]


def test_an_interrupted_ensemble_leaves_nothing(three, monkeypatch, tmp_path):
    import zoo.combine.job

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(zoo.combine.job, "write_tables", stop)
    with pytest.raises(KeyboardInterrupt):
        zoo.ensemble(three, name="e")
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["a", "b", "c"]


def test_scaling_alone_is_no_gain(make_run):
    """A combination that is one member alone is not distinguishable from it."""
    runs = [make_run("bold", 1, 2.0), make_run("other", 2, 0.5)]
    for split in ("val", "test"):
        table = runs[0].predictions(split)
        sharp = table.probabilities.astype(float) ** 4
        sharp /= sharp.sum(axis=1, keepdims=True)
        dataclasses.replace(table, probabilities=sharp.astype(np.float32)).save(
            runs[0].path / "predictions" / f"{split}.npz"
        )
    against = zoo.ensemble(runs, "soft", weights=[1, 0]).record["combination"]
    assert against["best_member"] == "bold"
    assert against["against_best"]["by_log_loss"] == "not distinguishable"
    assert abs(against["against_best"]["log_loss"]) < 1e-6


def test_the_best_member_is_the_one_that_is_kept_alone(make_run):
    runs = [make_run("calm", 1, 1.0), make_run("good", 2, 4.0), make_run("noise", 3, 0.0)]
    found = zoo.ensemble(runs, "soft", tolerance=9.0).record["combination"]
    assert found["method"] == "best"
    assert found["members"] == [found["best_member"]]


@pytest.mark.parametrize("left", ["members/a/model.keras", "members/zzz/run.json", "run.json"])
def test_what_a_kill_left_behind_is_cleared(three, tmp_path, left):
    path = tmp_path / "runs" / ".e.partial" / left
    path.parent.mkdir(parents=True)
    mark(tmp_path / "runs" / ".e.partial")
    path.write_text('{"kind": "ensemble", "settings": {}}')
    assert unfinished() == []
    run = zoo.ensemble(three, "soft", name="e")
    assert sorted(p.name for p in (run.path / "members").iterdir()) == ["a", "b", "c"]


def test_a_folder_that_cannot_be_a_runs_name_is_no_member(three, tmp_path):
    odd = shutil.copytree(three[0].path, tmp_path / "my run")
    with pytest.raises(ZooError, match="my run cannot be a member"):
        zoo.ensemble([odd, three[1]])


@pytest.mark.parametrize("names", [[1, 2], 5, None, ["../a", "b"], ["a"]])
def test_a_damaged_list_of_members_is_a_sentence(three, names):
    from zoo.evaluate.predictor import predictor

    run = zoo.ensemble(three[:2], "soft")
    content = json.loads((run.path / "ensemble.json").read_text())
    (run.path / "ensemble.json").write_text(json.dumps({**content, "members": names}))
    with pytest.raises(ZooError):
        predictor(zoo.open_run(run.name))


@pytest.mark.parametrize("method", ["weighted", "greedy", "stack"])
def test_few_validation_images_teach_nothing(make_run, method):
    runs = [make_run(n, i, splits={"val": 8, "test": 50}) for i, n in enumerate("ab")]
    with pytest.raises(ZooError, match="8 are too few"):
        zoo.ensemble(runs, method)


@pytest.mark.parametrize("method", ["soft", "geometric", "vote", "auto"])
def test_a_single_validation_image_is_enough_for_what_learns_nothing(make_run, method):
    runs = [make_run(n, i, splits={"val": 1, "test": 50}) for i, n in enumerate("ab")]
    assert len(zoo.ensemble(runs, method).predictions("val")) == 1


def damage(run, split, content):
    (run.path / "predictions" / f"{split}.npz").write_bytes(content)


def pickled(run):
    path = run.path / "predictions" / "val.npz"
    with np.load(path) as stored:
        values = dict(stored)
    values["ids"] = values["ids"].astype(object)
    np.savez(path, **values)


def without_test(run):
    (run.path / "predictions" / "test.npz").unlink()


def without_model(run):
    (run.path / "model.keras").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: damage(run, "val", b""), "damaged"),
        (lambda run: damage(run, "val", b"PK\x03\x04 cut short"), "damaged"),
        (lambda run: damage(run, "test", b"not a zip"), "damaged"),
        (pickled, "damaged"),
        (without_test, "no prediction table"),
        (without_model, "model.keras"),
    ],
)
def test_damaged_members_are_refused_and_nothing_is_left(make_run, tmp_path, spoil, said):
    runs = [make_run("a", 1), make_run("b", 2)]
    spoil(runs[1])
    with pytest.raises((ZooError, EnsembleError), match=said):
        zoo.ensemble(runs)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["a", "b"]


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["a"], {}, "at least two members, not only 'a'"),
        ([], {}, "at least two members, not none"),
        (["a", "a"], {}, "'a' is named twice"),
        (["a", "beta"], {}, "there is no run 'beta'"),
        (["a", "c"], {}, "classes differ, only 'a' has 'dog'"),
        (["a", "other"], {}, "different data"),
        (["a", "apart"], {}, r"split the data differently \(split_seed 0 and 1\)"),
        (["a", "b"], {"method": "sofd"}, "did you mean 'soft'"),
        (["a", "b"], {"method": "soft", "weights": [1, 2, 3]}, "2 members need 2 weights, not 3"),
        (["a", "b"], {"method": "soft", "weights": [1, -1]}, "not negative"),
        (["a", "b"], {"method": "soft", "weights": [0, 0]}, "all zero"),
        (["a", "b"], {"method": "soft", "weights": [1, float("nan")]}, "finite"),
        (["a", "b"], {"method": "stack", "weights": [1, 1]}, "goes with --method soft"),
        (["a", "b"], {"tolerance": -1}, "0 or more"),
        (["a", "b"], {"budget_ms": float("nan")}, "0 or more"),
        (["a", "b"], {"budget_ms": 1}, "no member fits --budget-ms 1: the fastest takes 5 ms"),
        (["a", "b"], {"method": "soft", "weights": ["x", 1]}, "weights must be numbers"),
        (["a", "untimed"], {"budget_ms": 100}, "--measure"),
        (["a", "b"], {"method": "soup"}, "same pretrained weights"),
        (["a", "wide"], {"method": "soup"}, "size is"),
        (["a", "b"], {"name": "../x"}, "cannot name a run"),
        (["a", "b"], {"name": "a"}, "already"),
    ],
)
def test_bad_input_is_one_sentence(make_run, tmp_path, names, options, said):
    for i, name in enumerate("ab"):
        make_run(name, i)
    make_run("c", 2, classes=["ant", "bee", "cow", "eel"])
    make_run("other", 3, fingerprint="elsewhere")
    make_run("apart", 4, split_fingerprint="x", settings={"split_seed": 1})
    make_run("untimed", 5, milliseconds=None)
    make_run("wide", 6, settings={"size": 32})
    before = sorted(p.name for p in (tmp_path / "runs").iterdir())
    with pytest.raises((ZooError, EnsembleError), match=said) as caught:
        zoo.ensemble(names, **options)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == before


def test_an_unfinished_member_is_named_with_what_to_do(make_run, tmp_path):
    make_run("a", 1)
    (tmp_path / "runs" / ".late.partial").mkdir()
    (tmp_path / "runs" / ".late.partial" / "run.json").write_text('{"settings": {}}')
    with pytest.raises(ZooError, match=r"not finished.*--resume"):
        zoo.ensemble(["a", "late"])


def test_a_damaged_combination_is_a_sentence(three):
    run = zoo.ensemble(three, "weighted")
    path = run.path / "ensemble.json"
    content = json.loads(path.read_text())
    content["ensemble"]["learned"]["weights_"] = [1.0]
    path.write_text(json.dumps(content))
    from zoo.evaluate.predictor import predictor

    with pytest.raises((ZooError, EnsembleError), match="damaged"):
        predictor(zoo.open_run(run.name))


def test_an_ensemble_has_no_single_model(three):
    with pytest.raises(ZooError, match="several networks"):
        _ = zoo.ensemble(three, "soft").model
