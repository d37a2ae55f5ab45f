"""The main job, run for real on a small folder."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import zoo
from backbones import BackboneError
from zoo.evaluate.metrics import value
from zoo.train import member
from zoo.train.fit import Validation

CNN = {"size": 16, "blocks": 2, "filters": 8, "dense_units": 16, "near_duplicates": False}
QUICK = {**CNN, "epochs": 3, "flip": "none", "batch_size": 16}


def train(data, **settings):
    return zoo.finetune(settings.pop("backbone", "cnn"), data, **{**QUICK, **settings})


@pytest.fixture(scope="module")
def run(digits_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        yield train(digits_folder, runs_dir=folder / "runs", name="base", epochs=25, patience=0)


def test_run_directory_holds_everything_and_no_leftovers(run):
    names = {p.name for p in run.path.iterdir()}
    expected = {"run.json", "model.keras", "predictions", "metrics.json", "history.csv"}
    assert names == {*expected, "tensorboard", "digests.json"}
    assert {p.name for p in (run.path / "predictions").iterdir()} == {"val.npz", "test.npz"}
    assert [p.name for p in run.path.parent.iterdir()] == ["base"]
    assert run.record["status"] == "complete"
    assert len(run.record["data"]["fingerprint"]) == 64
    assert run.record["seconds"]["total"] >= run.record["seconds"]["finetune"] > 0


def test_it_learns(run):
    assert run.metrics["test"]["accuracy"]["value"] > 0.85


def test_metrics_are_those_of_the_stored_predictions(run):
    for split in ("val", "test"):
        table = run.predictions(split)
        assert table.split == split
        assert run.metrics[split]["accuracy"]["n"] == len(table)
        for name, entry in run.metrics[split].items():
            assert entry["value"] == pytest.approx(value(name, table.labels, table.probabilities))
            if entry["low"] is None:
                assert entry["reason"]
            else:
                assert entry["low"] <= entry["value"] <= entry["high"]


def test_split_of_the_predictions_is_the_recorded_one(run):
    counts = run.record["data"]["counts"]
    for split in ("val", "test"):
        table = run.predictions(split)
        assert np.bincount(table.labels, minlength=3).tolist() == counts[split]


def test_history_has_a_row_an_epoch(run):
    rows = list(csv.DictReader((run.path / "history.csv").open()))
    assert [int(r["epoch"]) for r in rows] == list(range(1, len(rows) + 1))
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_tensorboard_files_hold_the_history_and_hparams(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()["tensors"]
    rows = list(csv.DictReader((run.path / "history.csv").open()))
    assert len(events.Tensors("val_loss")) == len(rows)
    assert "test/accuracy" in tags
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_model_gives_the_stored_predictions_in_a_fresh_process(run, digits_folder, tmp_path):
    table = run.predictions("test")
    script = """
import sys, numpy as np, keras
from PIL import Image
model = keras.models.load_model(sys.argv[1], compile=False, safe_mode=True)
table = np.load(sys.argv[2])
images = [np.asarray(Image.open(f"{sys.argv[3]}/{i}").convert("RGB")) for i in table["ids"]]
out = model.predict(np.stack(images).astype("float32"), verbose=0)
print(abs(out - table["probabilities"]).max())
"""
    args = [run.path / "model.keras", run.path / "predictions/test.npz", digits_folder]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, args)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 1e-5
    assert len(table) > 30


def test_predict_gives_the_stored_predictions(run, digits_folder):
    table = run.predictions("test")
    found = zoo.predict(run, [digits_folder / i for i in table.ids])
    np.testing.assert_allclose(found.probabilities, table.probabilities, atol=1e-5)
    assert found.classes == ("four", "one", "seven")


def test_predict_names_bad_files_and_goes_on(run, digits_folder, tmp_path):
    bad = tmp_path / "broken.png"
    bad.write_bytes(b"no image")
    good = next((digits_folder / "one").iterdir())
    found = zoo.predict(run, [bad, good])
    assert found.files == (good,)
    assert "not an image" in found.bad[bad]
    with pytest.raises(zoo.ZooError, match=r"broken\.png is no usable image: not an image"):
        zoo.predict(run, bad)


def test_same_seed_same_metrics_and_another_seed_others(digits_folder, tmp_path):
    hard = {"mix": "both", "dropout": 0.3, "augment": "strong"}
    first = train(digits_folder, runs_dir=tmp_path / "a", **hard)
    again = train(digits_folder, runs_dir=tmp_path / "b", **hard)
    other = train(digits_folder, runs_dir=tmp_path / "c", seed=1, **hard)
    assert first.metrics == again.metrics
    assert first.metrics != other.metrics
    assert (first.predictions("test").ids == other.predictions("test").ids).all()


def test_run_json_repeats_the_run(run, tmp_path):
    again = zoo.finetune(config=run.path / "run.json", runs_dir=tmp_path)
    assert again.metrics == run.metrics
    assert again.settings == run.settings


def test_killed_training_resumes_to_the_same_metrics(digits_folder, tmp_path):
    hard = {"mix": "cutmix", "dropout": 0.2, "epochs": 6}
    whole = train(digits_folder, runs_dir=tmp_path / "whole", **hard)
    runs = tmp_path / "runs"
    call = (
        f"import zoo; zoo.finetune('cnn', {str(digits_folder)!r}, name='k', "
        f"runs_dir={str(runs)!r}, **{ {**QUICK, **hard}!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", call])
    checkpoint = runs / ".k.partial" / "checkpoints" / "last.npz"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with pytest.raises(zoo.ZooError, match="is not finished"):
        zoo.open_run("k", runs)
    with pytest.raises(zoo.ZooError, match="unfinished run 'k': continue with --resume"):
        train(digits_folder, name="k", runs_dir=runs, **hard)
    with pytest.raises(zoo.ZooError, match="begun with epochs 6, not 7"):
        zoo.finetune(resume=True, name="k", runs_dir=runs, epochs=7)
    unfinished = runs / ".k.partial" / "run.json"
    begun = json.loads(unfinished.read_text())
    begun["versions"]["zoo"] = "0.0.1+old"
    unfinished.write_text(json.dumps(begun))
    resumed = zoo.finetune(resume=True, name="k", runs_dir=runs)
    assert resumed.metrics == whole.metrics
    now = whole.record["versions"]
    assert resumed.record["versions"] == {**now, "zoo": f"0.0.1+old, then {now['zoo']}"}
    assert [p.name for p in runs.iterdir()] == ["k"]


def test_l1_and_l2_shrink_what_is_trained(digits_folder, tmp_path):
    def norm(name, **penalty):
        found = train(
            digits_folder,
            name=name,
            runs_dir=tmp_path,
            epochs=8,
            patience=0,
            learning_rate=0.01,
            **penalty,
        )
        # the dense layers: behind batch normalization a kernel's norm means nothing
        weights = [w for w in found.model.trainable_variables if "dense/kernel" in w.path]
        return sum(float(np.square(w.numpy()).sum()) for w in weights)

    free = norm("free", l2=0.0)
    assert norm("l2", l2=1.0) < 0.9 * free
    assert norm("l1", l1=0.05, l2=0.0) < 0.9 * free


def test_probe_alone_is_convex_and_quick_and_regularized(digits_folder, tmp_path):
    def probe(name, **more):
        return zoo.finetune(
            "efficientnet",
            digits_folder,
            size=32,
            unfreeze="none",
            near_duplicates=False,
            name=name,
            runs_dir=tmp_path,
            **more,
        )

    weak, strong = probe("weak", l2=1e-4), probe("strong", l2=1.0)
    sparse = probe("sparse", l1=0.01)

    def kernel(run):
        return run.model.get_layer("logits_1").get_layer("head").kernel.numpy()

    assert np.linalg.norm(kernel(strong)) < 0.5 * np.linalg.norm(kernel(weak))
    assert (kernel(sparse) == 0).mean() > 0.5
    assert weak.record["kept"][0]["stage"] == "probe"
    assert weak.metrics["test"]["accuracy"]["value"] > 0.8


def test_probe_is_kept_where_finetuning_does_not_beat_it(digits_folder, tmp_path):
    run = zoo.finetune(
        "efficientnet",
        digits_folder,
        size=32,
        epochs=1,
        optimizer="sgd",
        learning_rate=8.0,
        unfreeze="top",
        near_duplicates=False,
        runs_dir=tmp_path,
    )
    kept = run.record["kept"][0]
    assert kept["stage"] == "probe"
    assert kept["finetune"]["val_loss"] > kept["probe"]["val_loss"]
    table = run.predictions("val")
    assert value("accuracy", table.labels, table.probabilities) == kept["probe"]["val_accuracy"]


@pytest.mark.parametrize(("depths", "stage"), [("last", "probe"), ("all", "finetune")])
def test_the_better_of_probe_and_finetuned_weights_is_saved_where_their_average_is_worse(
    digits_folder, tmp_path, monkeypatch, depths, stage
):
    averaged, judge = member._averaged, Validation.judge

    def worse(*given):
        return {**averaged(*given), "val_loss": float("inf")}

    losses = iter([0.5])

    def judged(images, logits):  # first the probe, then epochs and what fine-tuning gives
        loss, accuracy = judge(images, logits)
        first = next(losses, None)
        if stage == "finetune":
            return (50.0, accuracy) if first else (loss, accuracy)
        return loss, accuracy

    monkeypatch.setattr(member, "_averaged", worse)
    monkeypatch.setattr(member, "is_distinguishable", lambda *_: False)
    if stage == "finetune":
        monkeypatch.setattr(Validation, "judge", judged)
    run = zoo.finetune(
        "efficientnet",
        digits_folder,
        size=32,
        epochs=2,
        unfreeze="top",
        near_duplicates=False,
        depths=depths,
        views="2",
        runs_dir=tmp_path,
    )
    kept = run.record["kept"][0]
    if stage == "finetune":
        assert kept["stage"] == stage
    assert (kept["depths"], kept["views"]) == (depths, 2)
    table = run.predictions("test")
    files = [digits_folder / sample for sample in table.ids]
    found = zoo.predict(run, files).probabilities
    np.testing.assert_allclose(found, table.probabilities, atol=1e-5)


def test_folds_store_out_of_fold_predictions_and_keep_the_bag(digits_folder, tmp_path):
    run = train(digits_folder, folds=3, runs_dir=tmp_path, epochs=4)
    oof, val, test = (run.predictions(s) for s in ("oof", "val", "test"))
    counts = run.record["data"]["counts"]
    assert len(oof) == sum(counts["train"]) + sum(counts["val"])
    assert set(val.ids) < set(oof.ids)
    assert not set(oof.ids) & set(test.ids)
    assert len(run.record["kept"]) == 3
    found = zoo.predict(run, [digits_folder / i for i in test.ids])
    np.testing.assert_allclose(found.probabilities, test.probabilities, atol=1e-5)
    rows = list(csv.DictReader((run.path / "history.csv").open()))
    assert {row["fold"] for row in rows} == {"1", "2", "3"}
    assert run.record["bag_temperature"] > 0
    assert run.model.get_layer("mean")


def test_no_member_of_a_bag_is_trained_on_what_the_bag_is_calibrated_on(digits_folder):
    from zoo.data.dataset import load
    from zoo.progress import Progress
    from zoo.settings import Settings
    from zoo.train.bag import fold_rows, validation_rows

    settings = Settings.of({"backbone": "cnn", "data": str(digits_folder), "folds": 3})
    data = load(settings, Progress())
    shared = validation_rows(data, settings)
    counts = np.bincount(data.catalog.labels[shared])
    assert counts.min() >= 1
    assert len(shared) == pytest.approx(settings.val_fraction * len(data.split.not_test), rel=0.3)
    held = np.concatenate([held for _, held in fold_rows(data, settings)])
    np.testing.assert_array_equal(np.sort(held), data.split.not_test)
    for rest, left_out in fold_rows(data, settings):
        assert not set(np.setdiff1d(rest, shared)) & set(shared) | (set(rest) & set(left_out))
        assert not set(data.groups[np.setdiff1d(rest, shared)]) & set(data.groups[shared])


def test_class_weights_lift_the_rare_class(tmp_path):
    from zoo.train.member import sample_weights

    labels = np.array([0] * 90 + [1] * 10)
    weights = sample_weights(labels, 2, "auto")
    assert weights.mean() == pytest.approx(1)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    assert (sample_weights(labels, 2, "none") == 1).all()


def test_bad_files_are_recorded_and_the_run_goes_on(digits_folder, tmp_path):
    import shutil

    data = shutil.copytree(digits_folder, tmp_path / "data")
    (data / "one" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (data / "one" / "notes.txt").write_text("hello")
    said = []

    class Notes(zoo.progress.Progress):
        def say(self, text):
            said.append(text)

    run = train(data, runs_dir=tmp_path / "runs", epochs=1, progress=Notes())
    assert set(run.record["data"]["bad"]) == {"one/broken.jpg", "one/notes.txt"}
    assert any("files left out: 2" in line for line in said)
    assert (data / "one" / "notes.txt").exists()


def test_second_run_reads_the_cache(digits_folder, tmp_path):
    steps = []

    class Steps(zoo.progress.Progress):
        def step(self, name, total):
            steps.append(name)
            return super().step(name, total)

    def probe():
        zoo.finetune(
            "efficientnet",
            digits_folder,
            size=32,
            unfreeze="none",
            near_duplicates=False,
            runs_dir=tmp_path / "r",
            progress=Steps(),
        )

    probe()
    assert {"scan", "prepare", "features"} <= set(steps)
    steps.clear()
    probe()
    assert not {"scan", "prepare", "features"} & set(steps)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"backbone": "efficientnot"}, "did you mean 'efficientnet'"),
        ({"backbone": "efficientnet", "blocks": None, "weights": "/no/such.h5"}, "no weights file"),
        ({"learning_rate": 50.0}, "learning_rate must be"),
        ({"epohcs": 3}, "did you mean 'epochs'"),
        ({"weights": "imagenet"}, "has no ImageNet weights"),
        ({"unfreeze": "none"}, "random weights untrained"),
        ({"size": 4}, "size must be 8 to 1024, not 4"),
        ({"blocks": 6}, "needs at least 64 px, not 16"),
        ({"name": "../x"}, "cannot name a run"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(
    digits_folder, tmp_path, settings, words
):
    runs = tmp_path / "runs"
    if settings.get("backbone", "").startswith("eff"):
        call = {k: v for k, v in settings.items() if k != "blocks"}
        name = call.pop("backbone")
        with pytest.raises((zoo.ZooError, BackboneError), match=words) as error:
            zoo.finetune(name, digits_folder, runs_dir=runs, near_duplicates=False, **call)
    else:
        with pytest.raises((zoo.ZooError, BackboneError), match=words) as error:
            train(digits_folder, runs_dir=runs, **settings)
    assert "\n" not in str(error.value)
    assert not runs.exists() or not list(runs.iterdir())


def train_with_little_disk(limit, call, runs):
    """Output of a training whose files may have ``limit`` bytes; it must end with a sentence."""
    script = f"""
import resource, signal, sys
import zoo, tensorflow
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    zoo.finetune({call}, runs_dir={str(runs)!r})
except zoo.ZooError as error:
    print(error)
    sys.exit(2)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stdout
    return done.stdout


def test_full_disk_is_one_sentence_and_leaves_nothing(digits_folder, tmp_path):
    """The pixels still fit, the checkpoint does not."""
    runs = tmp_path / "runs"
    settings = {**QUICK, "filters": 64, "dense_units": 512}
    train_with_little_disk(200_000, f"'cnn', {str(digits_folder)!r}, **{settings!r}", runs)
    assert not list(runs.iterdir())


def test_resume_refuses_changed_data(digits_folder, tmp_path):
    import shutil

    from zoo.runs import RunWriter

    data, runs = shutil.copytree(digits_folder, tmp_path / "data"), tmp_path / "runs"
    whole = train(data, runs_dir=runs, name="whole", epochs=1)
    with RunWriter("half", runs) as writer:
        writer.write_record({**whole.record, "status": "running"})
    next((data / "one").iterdir()).unlink()
    with pytest.raises(zoo.ZooError, match=r"images or labels of .* changed since run 'half'"):
        zoo.finetune(resume=True, name="half", runs_dir=runs)
    assert (runs / ".half.partial" / "run.json").exists()


def test_damaged_weights_are_one_sentence_and_leave_nothing(digits_folder, tmp_path):
    import backbones

    options = {k: CNN[k] for k in ("blocks", "filters", "dense_units")}
    model = backbones.build("cnn", size=16, weights="none", options=options).model
    model.get_layer("block1a_conv").kernel.assign(model.get_layer("block1a_conv").kernel * np.nan)
    model.save_weights(tmp_path / "nan.weights.h5")
    runs = tmp_path / "runs"
    with pytest.raises(BackboneError, match="not finite"):
        train(digits_folder, runs_dir=runs, weights=str(tmp_path / "nan.weights.h5"))
    assert not list(runs.iterdir())


def test_metrics_json_has_the_promised_layout(run):
    metrics = json.loads(Path(run.path / "metrics.json").read_text())
    assert set(metrics) == {"val", "test"}
    names = {"accuracy", "f1", "auc", "log_loss", "calibration_error"}
    for split in metrics.values():
        assert set(split) == names
        for name, entry in split.items():
            more = {"raw", "raw_if_perfect"} if name == "calibration_error" else set()
            assert set(entry) - {"reason"} == {"value", "low", "high", "n"} | more
            assert (entry["low"] is None) == ("reason" in entry)


def test_kill_while_scanning_resumes_too(digits_folder, tmp_path):
    """The record is there before the first image is read."""
    runs = tmp_path / "runs"

    class Killed(BaseException):
        """Stands for what no handler sees."""

    class KilledInScan(zoo.progress.Progress):
        def step(self, name, total):
            assert name == "scan"
            raise Killed

    with pytest.raises(Killed):
        train(digits_folder, runs_dir=runs, name="early", epochs=1, progress=KilledInScan())
    resumed = zoo.finetune(resume=True, runs_dir=runs)
    assert resumed.name == "early"
    assert resumed.settings["epochs"] == 1


def test_a_file_name_that_is_no_text_is_recorded(digits_folder, tmp_path):
    import shutil

    data = shutil.copytree(digits_folder, tmp_path / "data")
    Path(os.fsdecode(os.fsencode(data) + b"/one/Notiz\xfc.txt")).write_text("no image")
    run = train(data, runs_dir=tmp_path / "runs", epochs=1)
    assert os.fsdecode(b"one/Notiz\xfc.txt") in run.record["data"]["bad"]


def test_a_class_may_be_called_train(digits_folder, tmp_path):
    import shutil

    data = shutil.copytree(digits_folder, tmp_path / "vehicles")
    (data / "seven").rename(data / "train")
    run = train(data, runs_dir=tmp_path / "runs", epochs=1)
    assert run.classes == ["four", "one", "train"]


def test_full_disk_while_features_are_stored_is_one_sentence(digits_folder, tmp_path):
    runs = tmp_path / "runs"
    settings = {"size": 32, "near_duplicates": False, "unfreeze": "none"}
    call = f"'efficientnet', {str(digits_folder)!r}, **{settings!r}"
    assert "features" in train_with_little_disk(600_000, call, runs)
    assert not list(runs.iterdir())


def test_too_many_folds_are_refused_before_anything_is_computed(digits_folder, tmp_path):
    class Nothing(zoo.progress.Progress):
        def step(self, name, total):
            assert name == "scan"
            return super().step(name, total)

    runs = tmp_path / "runs"
    with pytest.raises(zoo.ZooError, match="--folds 20 needs at least 20 "):
        train_few(digits_folder, tmp_path, runs, Nothing())
    assert not list(runs.iterdir())


def train_few(source, tmp_path, runs, progress):
    """Twelve images a class: too few for twenty folds."""
    for folder in source.iterdir():
        target = tmp_path / "few" / folder.name
        target.mkdir(parents=True)
        for file in sorted(folder.iterdir())[:12]:
            (target / file.name).write_bytes(file.read_bytes())
    return train(tmp_path / "few", runs_dir=runs, folds=20, progress=progress)
