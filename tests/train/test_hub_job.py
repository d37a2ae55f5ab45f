"""The main job with a module of TF Hub as the backbone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import backbones
import zoo
from backbones import BackboneError
from zoo.progress import Progress
from zoo.train.classifier import make_classifier, regularize, set_trainable
from zoo.train.optimizer import layer_rates

ROOT = Path(zoo.__file__).parents[1]
QUICK = {
    "size": 16,
    "input_range": "0..1",
    "unfreeze": "all",
    "epochs": 3,
    "patience": 0,
    "augment": "none",
    "batch_size": 16,
    "learning_rate": 0.02,
    "near_duplicates": False,
}


@pytest.fixture(scope="module")
def module(write_module, tmp_path_factory):
    return write_module(tmp_path_factory.mktemp("hub") / "tiny")


@pytest.fixture(scope="module")
def run(module, digits_folder, tmp_path_factory):
    """A fine-tuned run whose module is gone."""
    folder = tmp_path_factory.mktemp("shared")
    gone = shutil.copytree(module, folder / "gone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        made = zoo.finetune(f"hub:{gone}", digits_folder, runs_dir=folder / "runs", **QUICK)
        shutil.rmtree(gone)
        yield made


def test_it_is_fine_tuned_and_better_than_its_probe(run):
    kept = run.record["kept"][0]
    assert kept["stage"] in {"finetune", "average"}
    assert kept["finetune"]["val_loss"] < kept["probe"]["val_loss"]


def test_what_few_validation_images_cannot_tell_apart_is_averaged(run):
    table = run.predictions("val")
    assert len(table) < 40
    kept = run.record["kept"][0]
    assert kept["stage"] == "average"
    assert kept["average"]["val_loss"] <= kept["probe"]["val_loss"]
    correct = table.probabilities.argmax(axis=1) == table.labels
    assert kept["average"]["val_accuracy"] == pytest.approx(correct.mean())


def test_the_run_is_called_after_the_module_and_records_where_it_was(run):
    assert run.name == "hub-gone-digits-1"
    assert run.record["weights"]["source"] == run.settings["backbone"]
    assert run.settings["backbone"].endswith("/gone")
    assert len(run.record["weights"]["sha256"]) == 64
    assert run.settings["input_range"] == "0..1"


def test_it_predicts_as_before_without_the_module(run, digits_folder):
    table = run.predictions("test")
    found = zoo.predict(run, [digits_folder / i for i in table.ids])
    np.testing.assert_allclose(found.probabilities, table.probabilities, atol=1e-5)


def test_a_fresh_process_predicts_as_before_without_the_module(run, digits_folder):
    table = run.predictions("test")
    images = [str(digits_folder / i) for i in table.ids[:5]]
    command = [sys.executable, "-m", "zoo", "predict", str(run.path), *images, "--format", "csv"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split(",")[2:] for line in done.stdout.splitlines()[1:]]
    np.testing.assert_allclose(np.array(rows, float), table.probabilities[:5], atol=1e-4)


def test_batch_normalization_and_depthwise_kernels_keep_their_values(run, module):
    import tensorflow as tf

    original = {v.name.split(":")[0]: v.numpy() for v in tf.saved_model.load(str(module)).variables}
    layer = run.model.get_layer("logits_1").get_layer("hub").get_layer("module")
    changed = {v.name for v in layer.variables if (v.numpy() != original[_name(v)]).any()}
    assert changed == {"conv.kernel", "project.weights"}


def _name(variable):
    return variable.name.replace(".", "/")


def test_a_stopped_training_resumes_to_the_same_metrics(run, module, digits_folder, tmp_path):
    class Stop(Progress):
        def step(self, name, total):
            return stopping() if name == "finetune" else super().step(name, total)

    import contextlib

    @contextlib.contextmanager
    def stopping():
        def advance(count, text=""):
            if text.startswith("epoch 2/"):
                raise KeyboardInterrupt

        yield advance

    again = shutil.copytree(module, tmp_path / "gone")
    with pytest.raises(KeyboardInterrupt):
        zoo.finetune(
            f"hub:{again}", digits_folder, name="k", runs_dir=tmp_path, progress=Stop(), **QUICK
        )
    resumed = zoo.finetune(f"hub:{again}", resume=True, runs_dir=tmp_path)
    assert resumed.record["resumed"]
    assert resumed.metrics == run.metrics


def test_folds_keep_a_bag_of_modules(module, digits_folder, tmp_path):
    made = zoo.finetune(f"hub:{module}", digits_folder, runs_dir=tmp_path, folds=2, **QUICK)
    table = made.predictions("test")
    found = zoo.predict(made, [digits_folder / i for i in table.ids])
    np.testing.assert_allclose(found.probabilities, table.probabilities, atol=1e-5)
    first, second = (made.model.get_layer(f"logits_{i}").get_layer("hub") for i in (1, 2))
    assert any(
        (a != b).any() for a, b in zip(first.get_weights(), second.get_weights(), strict=True)
    )


def test_features_are_found_again_by_digest_not_by_name(
    module, write_module, digits_folder, tmp_path
):
    steps = []

    class Steps(Progress):
        def step(self, name, total):
            steps.append(name)
            return super().step(name, total)

    place = shutil.copytree(module, tmp_path / "module")

    def probe(**more):
        steps.clear()
        settings = {**QUICK, "unfreeze": "none", **more}
        zoo.finetune(
            f"hub:{place}", digits_folder, runs_dir=tmp_path / "r", progress=Steps(), **settings
        )
        return "features" in steps

    assert probe()
    assert not probe()
    assert probe(input_range="-1..1")
    shutil.rmtree(place)
    write_module(place, seed=5)
    assert probe()


def test_penalties_are_on_the_kernels_that_are_trained(module):
    backbone = backbones.build(f"hub:{module}", size=16, options={"input_range": "0..1"})
    made = make_classifier(backbone, None, 3, 0.0)
    set_trainable(made, list(backbone.blocks), pretrained=True)
    regularize(made, l1=0.0, l2=0.5, head_l1=0.0, head_l2=0.5)
    penalized = {v.name for v in backbone.model.variables if v.regularizer is not None}
    assert penalized == {"conv.kernel", "project.weights"}
    kernels = [v.numpy() for v in backbone.model.trainable_variables]
    kernels.append(made.head.kernel.numpy())
    expected = sum(0.5 * float((k**2).sum()) for k in kernels)
    assert float(sum(made.logits.losses)) == pytest.approx(expected, rel=1e-5)
    rates = layer_rates(made, 0.8)
    found = {v.name: rates[id(v.value)] for v in backbone.model.trainable_variables}
    assert found == pytest.approx({"conv.kernel": 0.8**3, "project.weights": 0.8})


def test_only_the_upper_parts_are_unfrozen(module):
    backbone = backbones.build(f"hub:{module}", size=16, options={"input_range": "0..1"})
    made = make_classifier(backbone, None, 3, 0.0)
    for depth, trained in {
        "all": {"conv.kernel", "project.weights"},
        backbone.spec.unfreeze: {"project.weights"},
        "1": {"project.weights"},
        "none": set(),
        "part1": {"conv.kernel", "project.weights"},
    }.items():
        set_trainable(made, backbone.upper_blocks(depth), pretrained=True)
        assert {v.name for v in backbone.model.trainable_variables} == trained


def test_in_mixed_precision_a_module_still_computes_in_float32(module):
    built = backbones.build(f"hub:{module}", size=16, options={"input_range": "0..1"})
    x = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.float32)
    expected = np.asarray(built.model(x, training=False))
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = backbones.build(f"hub:{module}", size=16, options={"input_range": "0..1"})
        made = make_classifier(mixed, None, 3, 0.0)
        found = mixed.model(x, training=False)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)
    assert made.logits.output.dtype == "float32"
    assert all(v.dtype == "float32" for v in made.logits.weights)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"input_range": None}, "give --input-range"),
        ({"size": None}, "give --size"),
        ({"unfreeze": "block3"}, "has no block 'block3'"),
        ({"weights": "imagenet.h5"}, "brings its own weights"),
        ({"filters": 8}, "has no setting 'filters'"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    module, digits_folder, tmp_path, settings, words
):
    with pytest.raises((zoo.ZooError, BackboneError), match=words) as error:
        zoo.finetune(
            f"hub:{module}", digits_folder, runs_dir=tmp_path / "r", **{**QUICK, **settings}
        )
    assert "\n" not in str(error.value)
    assert not (tmp_path / "r").exists()
