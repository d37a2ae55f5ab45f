"""Whole studies on a small folder: killed, stopped, gone on with, and trained at the end."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import zoo
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.train.plan import resolve
from zoo.tuning.context import StudyContext
from zoo.tuning.grid import points_of
from zoo.tuning.job import enqueue_points
from zoo.tuning.request import Request, seconds_of
from zoo.tuning.session import Place, _store, begin, data_of
from zoo.tuning.space import Dimension
from zoo.tuning.storage import open_storage
from zoo.tuning.trial_store import TrialStore

FIXED = {"size": 16, "blocks": 1, "filters": 4, "dense_units": 16, "near_duplicates": False}
# so many epochs that a signal after the first comes before the last
EPOCHS = 20
QUICK = {**FIXED, "flip": "none", "epochs": EPOCHS, "patience": 0}


def wait_for_epoch(file, process):
    """Until the database has an epoch of a trial that is under way."""
    for _ in range(1200):
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.05)
        try:
            with sqlite3.connect(file) as db:
                if db.execute("select count(*) from trial_intermediate_values").fetchone()[0]:
                    return
        except sqlite3.OperationalError:
            continue
    raise AssertionError("no epoch was reported")


def started(call, cache):
    env = {**os.environ, "ZOO_CACHE": str(cache)}
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys, zoo.cli; sys.argv = ['zoo', *{call!r}]; zoo.cli.main()",
        ],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def study(digits_folder, tmp_path_factory):
    """A study that was killed in its first epoch and then gone on with."""
    root = tmp_path_factory.mktemp("tune")
    pins = [word for n, v in QUICK.items() for word in ("--set", f"{n}={v}")]
    call = ["tune", "cnn", "--data", str(digits_folder), "--trials", "2", "--name", "s", *pins]
    process = started([*call, "--runs-dir", str(root / "runs")], root / "cache")
    wait_for_epoch(root / "runs/studies/s/study.sqlite3", process)
    process.kill()
    process.communicate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(root / "cache"))
        yield zoo.tune("cnn", digits_folder, trials=2, name="s", runs_dir=root / "runs", **QUICK)


def test_the_trial_in_flight_is_retried_once_and_counted_once(study):
    states = [(r["state"], r["retry_of"], r["counts"]) for r in study.trials]
    assert states[0] == ("killed", None, False)
    assert ("complete", 0, True) in states
    assert sum(r["counts"] for r in study.trials) == 2
    assert (
        study.trials[0]["params"] == next(r for r in study.trials if r["retry_of"] == 0)["params"]
    )
    assert study.default["retry_of"] == 0


def test_every_trial_is_logged_with_settings_epochs_and_reason(study):
    lines = (study.path / "trials.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows == study.trials
    for row in rows:
        if row["state"] == "complete":
            assert [e["epoch"] for e in row["epochs"]] == [*range(1, EPOCHS + 1)]
            assert row["settings"]["blocks"] == 1
            assert row["seconds"] > 0
            assert set(row["metrics"]) == {"accuracy", "f1", "auc", "log_loss"}
    assert "killed" in rows[0]["reason"]


def test_tensorboard_has_the_trials_as_hparams(study):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    best = study.best
    folder = study.path / "tensorboard" / f"finetune-{best['trial']}"
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert len(events.Tensors("epoch/val_loss")) == EPOCHS
    stored = events.Tensors("val/accuracy")[0].tensor_proto
    assert float(make_ndarray(stored)) == pytest.approx(best["metrics"]["accuracy"])


def test_the_best_settings_are_a_run_trained_on_train_and_validation(study):
    (run,) = study.runs.values()
    assert run.name == "cnn-digits-tuned-1"
    assert run.record["study"]["name"] == "s"
    assert run.record["study"]["fixed"] == QUICK
    assert run.settings["refit"]
    assert run.settings["learning_rate"] == study.best["settings"]["learning_rate"]
    assert len(run.record["kept"]) == len(run.record["before_refit"]) == 1
    assert run.record["kept"][0]["best_epoch"] == run.record["before_refit"][0]["best_epoch"]
    # validation was predicted by the training that had not seen it, which is the trial's own
    val = run.predictions("val")
    trial = np.load(study.path / "trials" / str(study.best["trial"]) / "val.npy")
    np.testing.assert_allclose(val.probabilities, trial, atol=1e-5)
    stored = run.metrics["val"]["accuracy"]["value"]
    assert stored == pytest.approx(study.best["metrics"]["accuracy"])


def test_the_same_call_again_finds_everything_done(study, digits_folder, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(study.path.parents[2] / "cache"))
    runs = study.path.parents[1]
    began = time.monotonic()
    again = zoo.tune("cnn", digits_folder, trials=2, name="s", runs_dir=runs, **QUICK)
    assert again.trials == study.trials
    assert {n: r.path for n, r in again.runs.items()} == {n: r.path for n, r in study.runs.items()}
    assert time.monotonic() - began < 30
    assert not list(runs.glob(".*.partial"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "log_loss"}, "made with another metric"),
        ({"metric": "f1"}, r"made with another metric \(accuracy, not f1\)"),
        ({"backbone": "resnet20", "blocks": None}, "made with another backbone"),
        ({"split_seed": 3}, "made with other images or another split"),
        ({"seed": 3}, "made with other fixed settings"),
        ({"learning_rate": 1e-3}, "made with another search space"),
    ],
)
def test_a_study_of_something_else_is_refused(study, digits_folder, monkeypatch, changes, words):
    monkeypatch.setenv("ZOO_CACHE", str(study.path.parents[2] / "cache"))
    call = {"backbone": "cnn", "trials": 2, "name": "s", "runs": study.path.parents[1]}
    call |= {**QUICK, **changes}
    if changes.get("backbone"):
        for name in ("filters", "dense_units", "size"):
            call.pop(name)
    before = (study.path / "trials.jsonl").stat().st_mtime_ns
    with pytest.raises(zoo.ZooError, match=words) as error:
        zoo.tune(data=digits_folder, **call)
    assert "\n" not in str(error.value)
    assert (study.path / "trials.jsonl").stat().st_mtime_ns == before


@pytest.fixture
def open_study(digits_folder, tmp_path):
    """Open a study of a network that starts from a file: ``open_study(file) -> StudySession``."""

    def begun(file, searched=None):
        given = Settings.of(
            {"backbone": "cnn", "data": str(digits_folder), "weights": str(file), **QUICK}
        )
        resolved, place = resolve(given), Place("w", tmp_path / "runs")
        return begin(
            given,
            resolved,
            data_of(resolved, place, Progress()),
            Request(1, 0, "accuracy", 1, 60.0, False),
            searched or {"l2": Dimension("l2", choices=(0.0, 1e-4))},
            place,
            Progress(),
        )

    return begun


def test_weights_are_told_apart_by_their_content_wherever_the_file_lies(open_study, tmp_path):
    first, second, moved = (tmp_path / f"{n}.weights.h5" for n in "abc")
    first.write_bytes(b"some weights")
    second.write_bytes(b"other weights")
    session = open_study(first)
    session.store.enqueue([{}], settings=session.context.resolved.settings.as_dict())
    session.store.claim(1, {})
    with pytest.raises(zoo.ZooError, match="'w' was made with weights of other content: choose"):
        open_study(second)
    first.rename(moved)
    (row,) = open_study(moved).trials()
    assert row["settings"]["weights"] == str(moved)  # where it can be found now
    moved.write_bytes(b"other weights")
    with pytest.raises(zoo.ZooError, match="weights of other content"):
        open_study(moved)


def test_weights_that_are_searched_are_known_by_their_content_too(open_study, tmp_path):
    fixed, tried = tmp_path / "a.h5", tmp_path / "b.h5"
    fixed.write_bytes(b"some weights")
    tried.write_bytes(b"other weights")
    points = [{"l2": 0.0}, {"weights": str(tried)}]
    open_study(fixed, points)
    open_study(fixed, points)
    tried.write_bytes(b"weights of a third kind")
    with pytest.raises(zoo.ZooError, match="weights of other content"):
        open_study(fixed, points)


def test_the_weights_of_a_study_begun_before_they_were_noted_are_noted_now(open_study, tmp_path):
    file = tmp_path / "a.h5"
    file.write_bytes(b"some weights")
    store = open_study(file).store
    store.note("identity", {n: v for n, v in store.note("identity").items() if n != "weights"})
    open_study(file)
    file.write_bytes(b"other weights")
    with pytest.raises(zoo.ZooError, match="weights of other content"):
        open_study(file)


def test_ctrl_c_ends_the_trial_and_failures_do_not_end_a_sweep(
    digits_folder, tmp_path, space_file, zoo_command
):
    bad = tmp_path / "bad.weights.h5"
    bad.write_bytes(b"no weights")
    grid = space_file(f"- {{lr: 1.0e-3}}\n- {{weights: {bad}}}\n", "grid.yaml")
    pins = [word for n, v in QUICK.items() for word in ("--set", f"{n}={v}")]
    call = ["sweep", str(grid), "cnn", "--data", str(digits_folder), "--name", "g", *pins]
    process = started(call, tmp_path / "cache")
    wait_for_epoch(tmp_path / "runs/studies/g/study.sqlite3", process)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopped before a trial was completed; the same command continues" in said
    rows = (tmp_path / "runs/studies/g/trials.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["state"] == "interrupted"
    code, out, said = zoo_command(*call)
    assert code == 0, said
    assert "2 trials trained: 1 interrupted, 1 failed, 1 complete" in out
    assert (tmp_path / "runs/studies/g/study.html").exists()
    assert not [p for p in (tmp_path / "runs").iterdir() if p.name != "studies"]  # no refit


def test_of_two_commands_that_begin_one_study_at_once_the_second_joins(digits_folder, tmp_path):
    settings = {**QUICK, "epochs": 2}
    pins = [word for n, v in settings.items() for word in ("--set", f"{n}={v}")]
    call = ["tune", "cnn", "--data", str(digits_folder), "--trials", "3", "--name", "two", *pins]
    both = [
        started([*call, "--runs-dir", str(tmp_path / "runs")], tmp_path / "cache") for _ in "ab"
    ]
    for process in both:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    rows = [
        json.loads(line)
        for line in (tmp_path / "runs/studies/two/trials.jsonl").read_text().splitlines()
    ]
    assert {row["state"] for row in rows} == {"complete"}
    assert 3 <= len(rows) <= 4  # both may take the last one
    assert sum(row["default"] for row in rows) == 1
    runs = [p for p in (tmp_path / "runs").glob("*/run.json") if not p.parent.name.startswith(".")]
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("number", "told"),
    [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")],
)
def test_a_signal_while_images_are_prepared_ends_the_search_at_once(number, told, tmp_path):
    context = StudyContext(None, None, None, "accuracy", tmp_path)
    before = signal.getsignal(number)
    with context.stop_on_interrupt(), context.preparation():
        os.kill(os.getpid(), number)
        raise AssertionError("it went on")
    assert replace(context, jobs=2).why_stop() == f"stopped by {told}"
    with pytest.raises(KeyboardInterrupt), context.stop_on_interrupt():
        os.kill(os.getpid(), number)  # the second one ends all
    assert signal.getsignal(number) == before


def test_a_signal_that_is_ignored_stays_ignored(tmp_path):
    context = StudyContext(None, None, None, "accuracy", tmp_path)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with context.stop_on_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
            assert context.why_stop() == ""
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_sweep_killed_while_it_noted_its_points_has_all_of_them_once(tmp_path):
    store = TrialStore(open_storage(None, tmp_path), "sweep", "maximize")
    points = points_of({"lr": [1e-3, 2e-3], "epochs": [2, 3]}, "the grid")
    store.enqueue(points[:1], point=points[0])  # here it was killed
    for _ in range(2):  # once more by another machine
        enqueue_points(TrialStore(open_storage(None, tmp_path), "sweep", "maximize"), points)
    assert [t.user_attrs["point"] for t in store.trials] == points


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ({"lr": [1e-3, 2e-3], "mix": ["none", "cutmix", "both"]}, 6),
        ({"lr": [1e-3, 1e-3], "epochs": 3}, 1),
        ([{"lr": 1e-3}, {"mix": "both", "epochs": 2}], 2),
        ({"backbone": ["cnn", "resnet20"]}, 2),
    ],
)
def test_grids(content, count):
    points = points_of(content, "the grid")
    assert len(points) == count
    assert all("lr" not in p for p in points)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "must hold settings with lists"),
        ([], "must hold settings with lists"),
        ("lr", "must hold settings with lists"),
        ({"lr": []}, "has no values"),
        ({"lr": [50]}, "must be 1e-08 to 10, not 50"),
        ({"epohcs": [1]}, "did you mean 'epochs'"),
        ([3], "must list settings, not 3"),
        ({"seed": list(range(200)), "epochs": list(range(1, 100))}, "has 19800 combinations"),
    ],
)
def test_what_is_no_grid(content, words):
    with pytest.raises(zoo.ZooError, match=words):
        points_of(content, "the grid")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("30m", 1800), ("90s", 90), ("90", 90), (90, 90), ("1h30m", 5400)],
)
def test_times(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "", "0", "-5", "1d", "1.2.3h"])
def test_what_is_no_time(text):
    with pytest.raises(zoo.ZooError, match="timeout must be a time"):
        seconds_of(text)


def drawn(folder, kinds):
    """The points of twelve trials, after some of which the study is interrupted or opened anew."""
    request = Request(12, 0, "log_loss", 1, 60.0, False, 1)
    resolved = SimpleNamespace(settings=SimpleNamespace(seed=3))
    space = {
        "lr": Dimension("lr", 1e-4, 1e-1, log=True),
        "mix": Dimension("mix", choices=("none", "cutmix", "both")),
    }
    distributions = {name: dimension.distribution() for name, dimension in space.items()}
    storage, found, turn = open_storage(None, folder), [], 0
    store = _store(storage, "s", request, resolved)
    while (trial := store.claim(12, distributions)) is not None:
        kind = kinds[turn % len(kinds)]
        turn += 1
        if kind == "interrupt":
            store.interrupt(trial, "stopped by Ctrl-C")
            store = _store(open_storage(None, folder), "s", request, resolved)
            trial = store.claim(12, distributions)
        store.complete(trial, trial.params["lr"])
        found.append(trial.params)
        if kind == "begin anew":
            store = _store(open_storage(None, folder), "s", request, resolved)
    return found


@pytest.mark.parametrize(
    "kinds",
    [["begin anew"], ["interrupt"], ["", "interrupt"], ["begin anew", "", "interrupt", ""]],
)
def test_an_interrupted_search_draws_what_an_uninterrupted_one_does(kinds, tmp_path):
    plain = drawn(tmp_path / "plain", [""])
    assert len(plain) == 12
    assert len({point["lr"] for point in plain}) == 12
    assert drawn(tmp_path / "stopped", kinds) == plain
