"""Distillation, run for real on a small folder: what is taught, by whom, and what is refused."""

import json
import shutil
import sys

import numpy as np
import pytest

import zoo
from zoo import cli
from zoo.data.dataset import load
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.train.teacher import Teacher, open_teacher, settings_of_student, taught_by

QUICK = {
    **{"size": 16, "blocks": 2, "filters": 8, "dense_units": 16, "near_duplicates": False},
    **{"epochs": 3, "flip": "none", "batch_size": 16},
}


@pytest.fixture(scope="module")
def taught(digits_folder, tmp_path_factory):
    """Two cross-validated members, their ensemble and its pupil, in one folder of runs."""
    folder = tmp_path_factory.mktemp("taught")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        shared = {**QUICK, "runs_dir": folder / "runs"}
        for seed in (0, 1):
            zoo.finetune("cnn", digits_folder, name=f"m{seed}", folds=2, seed=seed, **shared)
        zoo.finetune("cnn", digits_folder, name="plain", **shared)
        zoo.ensemble("m0", "m1", name="both", method="soft", runs_dir=folder / "runs")
        kept = {name: value for name, value in QUICK.items() if name != "near_duplicates"}
        zoo.distill("both", name="pupil", runs_dir=folder / "runs", **kept)
        yield folder / "runs"


@pytest.fixture
def zoo_in(capsys, monkeypatch):
    """Call ``zoo ARGS`` in a folder of runs: exit code, standard output, standard error."""

    def call(runs, *args):
        monkeypatch.setenv("ZOO_RUNS", str(runs))
        monkeypatch.setattr(sys, "argv", ["zoo", *args])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out = capsys.readouterr()
        return stopped.value.code or 0, out.out, out.err

    return call


def _dataset(runs, name="m0"):
    return load(Settings.of_record(zoo.load(name, runs).settings), Progress())


def test_targets_mix_labels_and_teacher():
    said = np.array([[0.6, 0.4], [np.nan, np.nan], [0.1, 0.9]], np.float32)
    labels = np.eye(2, dtype=np.float32)
    mixed = Teacher("t", "0" * 64, said).targets(labels, np.array([0, 2]), 0.25)
    assert mixed.dtype == np.float32
    np.testing.assert_allclose(mixed, [[0.9, 0.1], [0.025, 0.975]], rtol=1e-6)


def test_the_teacher_says_what_folds_said_of_each_image_that_they_had_not_seen(taught):
    dataset = _dataset(taught)
    said = taught_by(zoo.load("both", taught), dataset).probabilities
    assert np.isnan(said[dataset.split.test]).all()
    table = zoo.load("both", taught).predictions("oof")
    for name, row in zip(table.ids, table.probabilities, strict=True):
        np.testing.assert_array_equal(said[dataset.catalog.ids.index(str(name))], row)


def test_the_pupil_has_the_data_and_the_split_of_its_teacher(taught):
    pupil, member = zoo.load("pupil", taught), zoo.load("m0", taught)
    assert pupil.record["data"]["fingerprint"] == member.record["data"]["fingerprint"]
    for split in ("val", "test"):
        ids = [run.predictions(split).ids.tolist() for run in (pupil, zoo.load("plain", taught))]
        assert ids[0] == ids[1]
    assert pupil.record["teacher"]["run"] == "both"
    assert pupil.settings["teacher"] == str(zoo.load("both", taught).path.resolve())
    assert pupil.settings["backbone"] == "cnn"


def test_what_is_learned_depends_on_the_teacher(taught, digits_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_CACHE", str(taught.parent / "cache"))
    plain = zoo.load("plain", taught).predictions("test").probabilities
    pupil = zoo.load("pupil", taught).predictions("test").probabilities
    assert np.abs(pupil - plain).max() > 0.01
    teacher = {"teacher": str(taught / "both"), "teacher_weight": 0.0}
    same = zoo.finetune("cnn", digits_folder, name="same", **QUICK, **teacher)
    np.testing.assert_allclose(same.predictions("test").probabilities, plain, atol=1e-6)


def test_the_networks_of_an_ensemble_are_those_of_its_members(taught):
    assert [leaf.kind for leaf in zoo.load("both", taught).networks] == ["finetune", "finetune"]
    assert [leaf.name for leaf in zoo.load("m0", taught).networks] == ["m0"]


def test_what_belongs_to_the_teacher_is_refused(taught):
    with pytest.raises(ZooError, match="split_seed must be as for the teacher 'both'"):
        settings_of_student(open_teacher("both", taught), {"split_seed": 3})


def test_without_out_of_fold_predictions_nobody_teaches(taught):
    with pytest.raises(ZooError, match=r"'plain' cannot teach.* it needs to be trained with"):
        zoo.distill("plain", runs_dir=taught)
    assert "cnn-from-plain-1" not in {p.name for p in taught.iterdir()}


def test_other_images_and_another_split_are_refused(taught, digits_folder, tmp_path):
    other = shutil.copytree(digits_folder, tmp_path / "other")
    next(other.glob("four/*.png")).unlink()
    with pytest.raises(ZooError, match="it is of other images, labels or classes"):
        zoo.distill("both", data=other, runs_dir=taught)
    with pytest.raises(ZooError, match="it has other test images"):
        zoo.finetune("cnn", digits_folder, teacher="both", runs_dir=taught, split_seed=7, **QUICK)
    assert sorted(p.name for p in taught.iterdir()) == ["both", "m0", "m1", "plain", "pupil"]


def test_images_that_moved_are_given_by_name(taught, digits_folder, tmp_path):
    moved = shutil.copytree(digits_folder, tmp_path / "moved")
    kept = {name: value for name, value in QUICK.items() if name != "near_duplicates"}
    run = zoo.distill("m0", data=moved, runs_dir=taught, name="moved", **kept)
    assert run.record["data"]["root"] == str(moved)
    shutil.rmtree(run.path)


def test_the_command_compares_with_teacher_and_best_member(taught, zoo_in):
    args = "distill both cnn --size 16 --blocks 2 --filters 8 --dense-units 16 --epochs 2 --json"
    code, out, err = zoo_in(taught, *args.split())
    assert code == 0, err
    found = json.loads(out)
    assert found["run"] == "cnn-from-both-1"
    best = zoo.load("both", taught).record["combination"]["best_member"]
    assert set(found["against"]) == {"both", best}
    code, out, _ = zoo_in(taught, "show", found["run"])
    assert "learned from  both" in out
    shutil.rmtree(taught / found["run"])


def test_the_command_prints_a_row_each(taught, zoo_in):
    args = "distill both cnn --size 16 --blocks 2 --filters 8 --dense-units 16 --epochs 1 --name p"
    code, out, err = zoo_in(taught, *args.split())
    assert code == 0, err
    assert "both (teacher)" in out
    assert "(its best member)" in out
    assert "against both" in out
    shutil.rmtree(taught / "p")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("distill", "missing argument"),
        ("distill nobody", "there is no run 'nobody'"),
        ("distill bothh", "did you mean 'both'"),
        ("distill plain", "needs to be trained with --folds 5"),
        ("distill both cnm", "did you mean 'cnn'"),
        ("distill both --teacher-weight 2", "teacher_weight must be 0 to 1"),
        ("distill both --split-seed 1", "there is no option --split-seed"),
        ("distill both --name ../x", "cannot name a run"),
        ("finetune cnn --data digits --teacher nobody", "there is no run 'nobody'"),
    ],
)
def test_bad_input_is_one_sentence(taught, zoo_in, args, words):
    before = sorted(p.name for p in taught.iterdir())
    code, out, err = zoo_in(taught, *args.split())
    assert code == 2
    assert out == ""
    assert words in err.lower()
    assert "Traceback" not in err
    assert sorted(p.name for p in taught.iterdir()) == before
