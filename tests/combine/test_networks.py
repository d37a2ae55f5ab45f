"""Ensembles of real networks: they predict what is stored, alone and from the command line."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import backbones
import zoo
from zoo.errors import ZooError
from zoo.evaluate.predictor import milliseconds, predictor

OPTIONS = {"blocks": 2, "filters": 8, "dense_units": 16}
COMMON = {**OPTIONS, "epochs": 2, "flip": "none", "batch_size": 16, "near_duplicates": False}


@pytest.fixture(scope="module")
def trained(digits_folder, tmp_path_factory):
    """Networks of two input sizes, one with folds, and two from the same weights."""
    root = tmp_path_factory.mktemp("networks")
    start = root / "start.weights.h5"
    built = backbones.build("cnn", size=16, weights="none", options=OPTIONS)
    built.model.save_weights(start)
    wanted = {
        "small": {"size": 16},
        "large": {"size": 40, "seed": 1, "resize": "pad"},
        "folded": {"size": 16, "folds": 2},
        "refit": {"size": 16, "folds": 2, "refit": True},
        "one": {"size": 16, "weights": str(start), "unfreeze": "all", "epochs": 4},
        "again": {
            "size": 16,
            "weights": str(start),
            "unfreeze": "all",
            "folds": 2,
            "refit": True,
            "epochs": 1,
        },
        "two": {"size": 16, "weights": str(start), "unfreeze": "all", "epochs": 4, "seed": 5},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(root / "cache"))
        patch.setenv("ZOO_RUNS", str(root / "runs"))
        yield {
            name: zoo.finetune("cnn", digits_folder, name=name, **{**COMMON, **settings})
            for name, settings in wanted.items()
        }


def predicted(run):
    table = run.predictions("test")
    root = run.record["data"]["root"]
    found = zoo.predict(run, [f"{root}/{sample}" for sample in table.ids])
    return found.probabilities, table.probabilities


@pytest.mark.parametrize("method", ["soft", "geometric", "vote", "weighted", "greedy", "stack"])
def test_prediction_equals_the_stored_combination(trained, method):
    run = zoo.ensemble([trained[n] for n in ("small", "large", "folded")], method)
    got, stored = predicted(run)
    np.testing.assert_allclose(got, stored, atol=1e-5)


def test_a_nested_ensemble_predicts_what_is_stored_without_its_members(trained, tmp_path):
    copies = [shutil.copytree(trained[n].path, tmp_path / n) for n in ("small", "large", "refit")]
    inner = zoo.ensemble(copies[:2], "soft", name="inner")
    run = zoo.ensemble([inner, copies[2]], "geometric", name="outer")
    for folder in [*copies, inner.path]:
        shutil.rmtree(folder)
    got, stored = predicted(run)
    np.testing.assert_allclose(got, stored, atol=1e-5)


def test_a_soup_is_one_network_with_mean_weights(trained):
    run = zoo.ensemble([trained["one"], trained["two"]], "soup")
    found = run.record["combination"]
    assert run.members == []
    assert len(run.model.weights) == len(trained["one"].model.weights)
    used = [trained[name] for name in found["members"]]
    means = [np.mean([r.model.weights[i].numpy() for r in used], axis=0) for i in range(4)]
    for variable, mean in zip(run.model.weights, means, strict=False):
        np.testing.assert_allclose(variable.numpy(), mean, atol=1e-6)
    assert found["losses"][" + ".join(found["members"])] == min(found["losses"].values())
    got, stored = predicted(run)
    np.testing.assert_allclose(got, stored, atol=1e-5)


def test_a_soup_leaves_the_networks_of_its_members_as_they_are(trained):
    runs = [trained["one"], trained["two"]]
    before = [[v.numpy() for v in run.model.weights] for run in runs]
    zoo.ensemble(runs, "soup")
    for run, weights in zip(runs, before, strict=True):
        for variable, value in zip(run.model.weights, weights, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)


def test_a_soup_can_be_a_member(trained):
    soup = zoo.ensemble([trained["one"], trained["two"]], "soup", name="soup-one")
    got, stored = predicted(zoo.ensemble([soup, trained["large"]], "soft"))
    np.testing.assert_allclose(got, stored, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("small", "folded"), "'folded' is a combination already"),
        (("small", "large"), "their size is 16 and 40"),
        (("one", "again"), "'again' was refit on them"),
        (("small", "one"), "same pretrained weights"),
    ],
)
def test_what_cannot_be_a_soup_is_refused(trained, names, said):
    with pytest.raises(ZooError, match=said):
        zoo.ensemble([trained[name] for name in names], "soup")


def test_a_soup_needs_the_images_that_were_trained_on(trained, digits_folder, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(digits_folder, moved)
    runs = []
    for name in ("one", "two"):
        path = shutil.copytree(trained[name].path, tmp_path / name)
        record = json.loads((path / "run.json").read_text())
        record["settings"]["data"] = str(moved)
        (path / "run.json").write_text(json.dumps(record))
        runs.append(path)
    next((moved / "one").iterdir()).unlink()
    with pytest.raises(ZooError, match="changed since it was trained"):
        zoo.ensemble(runs, "soup", name="stale")
    assert not (zoo.paths.runs_dir(None) / "stale").exists()


def test_refit_keeps_one_network_and_out_of_fold_predictions(trained):
    run = trained["refit"]
    assert len(run.record["kept"]) == 1
    assert len(run.record["folds"]) == 2
    counts = run.record["data"]["counts"]
    assert len(run.predictions("oof")) == sum(counts["train"]) + sum(counts["val"])
    names = [layer.name for layer in run.model.layers]
    assert "logits_1" in names
    assert "logits_2" not in names
    got, stored = predicted(run)
    np.testing.assert_allclose(got, stored, atol=1e-5)


def test_refit_and_bag_share_their_folds(trained):
    np.testing.assert_array_equal(
        trained["refit"].predictions("oof").probabilities,
        trained["folded"].predictions("oof").probabilities,
    )


def test_refit_trains_for_the_median_of_the_epochs_that_the_folds_kept(trained):
    record = trained["refit"].record
    kept = [fold["best_epoch"] for fold in record["folds"] if fold["best_epoch"]]
    assert record["kept"][0]["best_epoch"] == round(float(np.median(kept)))


def test_speed_is_recorded_and_can_be_measured_anew(trained):
    assert 0 < trained["small"].milliseconds < 1000
    assert 0 < milliseconds(predictor(trained["large"])) < 1000
    run = zoo.ensemble([trained["small"], trained["large"]], "soft", measure=True)
    assert run.milliseconds > 0


def test_command_line_from_members_to_predictions(trained, digits_folder):
    folder = trained["small"].path.parent
    command = [sys.executable, "-m", "zoo"]

    def call(*args):
        return subprocess.run([*command, *args], capture_output=True, text=True, check=True)

    runs = ["--runs-dir", str(folder)]
    made = call("ensemble", "--members", "small, large,refit", "--name", "e", *runs)
    for word in ("accuracy", "log loss", "McNemar", "worth", "both wrong", "cross-validated"):
        assert word in made.stdout
    assert "tensorflow" not in made.stderr.lower()
    shown = call("show", "e", *runs).stdout
    assert "McNemar" in shown
    assert " of " in call("runs", *runs).stdout
    image = str(next((digits_folder / "four").iterdir()))
    found = json.loads(call("predict", "e", image, "--json", *runs).stdout)
    assert sum(found["images"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-5)
