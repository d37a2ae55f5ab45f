"""Runs: whole or not at all, one writer at a time, and found again by name."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import zoo
from ensembles import EnsembleError, PredictionTable
from zoo.errors import DiskError, ZooError
from zoo.run_names import check_name, free_name
from zoo.runs import Run, RunWriter, finished, open_run, unfinished, unfinished_record, write_json

ROOT = Path(zoo.__file__).parents[1]
RECORD = {
    "settings": {"backbone": "cnn", "seed": 0},
    "classes": ["cat", "dög"],
    "data": {"name": "pets", "root": "/pets"},
    "created": "2026-01-01T00:00:00+00:00",
    "status": "running",
    "seconds": {"total": 1.5},
    "kept": [{"stage": "probe", "best_epoch": 0, "temperature": 1.0}],
}


def write(name: str, folder: Path | None = None) -> Run:
    with RunWriter(name, folder) as writer:
        writer.write_record(RECORD)
        return writer.complete()


def interrupt(name: str, error: BaseException, *, record: bool = True, saved: bool = False) -> None:
    """Write a run until something happens."""
    with pytest.raises(type(error)), RunWriter(name) as writer:
        if record:
            writer.write_record(RECORD)
        if saved:
            (writer.path / "checkpoints").mkdir()
            (writer.path / "checkpoints" / "member-1.npz").write_bytes(b"state")
        raise error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_a_run_appears_under_its_name_when_it_is_complete(folder):
    with RunWriter("cnn-1") as writer:
        writer.write_record(RECORD)
        (writer.path / "checkpoints").mkdir()
        (writer.path / "checkpoints" / "x.npz").write_bytes(b"1")
        assert names(folder) == [".cnn-1.partial"]
        assert finished() == []
        run = writer.complete()
    assert names(folder) == ["cnn-1"]
    assert names(folder / "cnn-1") == ["digests.json", "run.json"], "what resuming needs is dropped"
    assert run.path == folder / "cnn-1"
    assert run.name == "cnn-1"
    assert (run.settings, run.classes) == (RECORD["settings"], RECORD["classes"])
    assert repr(run) == f"Run({str(folder / 'cnn-1')!r}, damaged)"  # it has no metrics


# what happens, whether there is a record and a checkpoint then, and whether it can be gone on with
ENDS = {
    "Ctrl-C": (KeyboardInterrupt(), True, False, True),
    "Ctrl-C after a checkpoint": (KeyboardInterrupt(), True, True, True),
    "Ctrl-C before anything": (KeyboardInterrupt(), False, False, False),
    "a failure before a checkpoint": (RuntimeError(), True, False, False),
    "a failure after a checkpoint": (RuntimeError(), True, True, True),
    "a full disk after a checkpoint": (DiskError(), True, True, True),
    "a full disk before anything": (DiskError(), False, False, False),
    "a mistake that going on would meet again": (ZooError(), True, True, False),
}


@pytest.mark.parametrize("case", ENDS)
def test_what_stays_of_a_run_that_does_not_complete_is_what_can_be_resumed(case, folder):
    error, record, saved, stays = ENDS[case]
    interrupt("cnn-1", error, record=record, saved=saved)
    assert names(folder) == ([".cnn-1.partial"] if stays else [])
    assert unfinished() == (["cnn-1"] if stays else [])
    assert finished() == []


def test_an_unfinished_run_is_gone_on_with_only_when_asked(folder):
    interrupt("cnn-1", KeyboardInterrupt(), saved=True)
    assert unfinished_record("cnn-1") == RECORD
    with pytest.raises(ZooError) as raised, RunWriter("cnn-1"):
        pass
    assert "unfinished run 'cnn-1'" in str(raised.value)
    assert "--resume" in str(raised.value)
    assert str(folder / ".cnn-1.partial") in str(raised.value)
    with RunWriter("cnn-1", resume=True) as writer:
        assert names(writer.path) == [".zoo", "checkpoints", "run.json"]
        run = writer.complete()
    assert run.record == RECORD
    assert unfinished() == []


def test_a_failure_while_resuming_keeps_what_was_done_before(folder):
    interrupt("cnn-1", KeyboardInterrupt(), saved=True)
    for error in (RuntimeError(), ZooError()):
        with pytest.raises(type(error)), RunWriter("cnn-1", resume=True):
            raise error
        assert unfinished() == ["cnn-1"]


def test_what_a_kill_left_before_its_record_is_no_obstacle(folder):
    (folder / ".cnn-1.partial").mkdir(parents=True)
    assert unfinished() == []
    assert write("cnn-1").name == "cnn-1"


def test_a_name_is_taken_by_a_run_but_not_by_one_elsewhere(tmp_path):
    write("cnn-1")
    with pytest.raises(ZooError, match=r"run 'cnn-1' in .* already: choose another --name"):
        RunWriter("cnn-1")
    assert write("cnn-1", tmp_path / "other").path == tmp_path / "other" / "cnn-1"


HOLD = """
import sys, time
from zoo.runs import RunWriter
from zoo.errors import ZooError
try:
    with RunWriter("cnn-1", sys.argv[1], resume=len(sys.argv) > 2) as writer:
        writer.write_record({"settings": {}})
        print("writing", flush=True)
        sys.stdin.read()
        writer.complete()
except ZooError as error:
    print(error, flush=True)
"""


def process(folder: Path, *arguments: str) -> subprocess.Popen:
    """Another command that writes run cnn-1 until its input ends."""
    command = [sys.executable, "-c", HOLD, str(folder), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True)


def test_of_several_commands_at_once_on_one_run_one_writes_and_the_others_are_told(folder):
    others = [process(folder) for _ in range(3)]
    said = [other.stdout.readline().strip() for other in others]
    assert said.count("writing") == 1
    told = [sentence for sentence in said if sentence != "writing"]
    assert all("'cnn-1' is being written by another command: wait" in x for x in told), told
    with pytest.raises(ZooError, match="being written"), RunWriter("cnn-1", resume=True):
        pass
    for other in others:
        other.communicate()
    assert names(folder) == ["cnn-1"]


def test_a_killed_command_leaves_its_run_to_be_resumed_at_once(folder):
    other = process(folder)
    assert other.stdout.readline() == "writing\n"
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert unfinished() == ["cnn-1"]
    again = process(folder, "resume")
    assert again.stdout.readline() == "writing\n"
    again.communicate()
    assert [run.name for run in finished()] == ["cnn-1"]


GOOD = ["a", "7", "cnn-1", "A.b_c-9", "x" * 100]
BAD = ["", ".hidden", "-x", "_x", "a/b", "../x", "a b", "ü", "x" * 101, "a\n", "a\0", "~"]


@pytest.mark.parametrize("name", GOOD)
def test_a_plain_file_name_can_name_a_run(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_plain_file_name_cannot_name_a_run(name, folder):
    for ask in (check_name, RunWriter):
        with pytest.raises(ZooError) as raised:
            ask(name)
        assert f"{name!r} cannot name a run: use letters, digits" in str(raised.value)
    assert names(folder) == []


def test_a_free_name_is_the_first_that_neither_a_run_nor_an_unfinished_one_has():
    assert free_name("cnn") == "cnn-1"
    write("cnn-1")
    interrupt("cnn-2", KeyboardInterrupt())
    write("cnn-4")
    assert free_name("cnn") == "cnn-3"
    assert free_name("resnet 50/v2!") == "resnet-50-v2-1"
    assert free_name("..") == "run-1"


@given(st.text(max_size=200) | st.just("_x") | st.just("x" * 150))
def test_a_free_name_can_always_name_a_run(stem):
    check_name(free_name(stem))


def test_finished_runs_are_listed_by_name_and_nothing_else_is(folder):
    assert finished() == []
    write("b")
    write("a")
    interrupt("c", KeyboardInterrupt())
    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "not a run").mkdir()
    (folder / "not a run" / "run.json").write_text("{}")
    assert [run.name for run in finished()] == ["a", "b"]


def test_unfinished_runs_are_listed_with_the_latest_first(folder):
    for i, name in enumerate(["one", "two", "three"]):
        interrupt(name, KeyboardInterrupt())
        os.utime(folder / f".{name}.partial", (i, i))
    assert unfinished() == ["three", "two", "one"]


def test_a_run_is_opened_by_name_or_path(folder, tmp_path, monkeypatch):
    write("cnn-1")
    write("far", tmp_path / "other")
    assert open_run("cnn-1").path == folder / "cnn-1"
    assert open_run(folder / "cnn-1").name == "cnn-1"
    assert open_run("far", tmp_path / "other").name == "far"
    monkeypatch.chdir(tmp_path)
    assert open_run("other/far").record == RECORD


NOT_THERE = {
    "near": ("cnn1", "there is no run 'cnn1' in {folder}: did you mean 'cnn-1'?"),
    "far": ("qqqqqq", "there is cnn-1"),
    "unfinished": ("half", "is not finished: continue with `zoo finetune --resume --name half`"),
    "empty": ("", "there is no run ''"),
}


@pytest.mark.parametrize("case", NOT_THERE)
def test_a_run_that_is_not_there_is_answered_with_the_nearest_or_the_way_on(case, folder):
    write("cnn-1")
    interrupt("half", KeyboardInterrupt())
    name, says = NOT_THERE[case]
    with pytest.raises(ZooError) as raised:
        open_run(name)
    assert says.format(folder=folder) in str(raised.value)


def test_without_any_run_there_is_none_yet(folder):
    with pytest.raises(ZooError, match="there is none yet"):
        open_run("cnn-1")
    with pytest.raises(ZooError, match=r"no unfinished run 'cnn-1' .*no run is unfinished"):
        unfinished_record("cnn-1")


def test_an_unfinished_run_that_is_not_there_is_answered_with_the_nearest():
    interrupt("cnn-1", KeyboardInterrupt())
    with pytest.raises(ZooError, match="no unfinished run 'cnn1' to resume: did you mean 'cnn-1'"):
        unfinished_record("cnn1")


def test_what_a_run_holds_is_read_when_asked_for(folder):
    table = PredictionTable(
        ids=np.array(["a.jpg"]),
        labels=np.array([1]),
        probabilities=np.float32([[0.25, 0.75]]),
        classes=np.array(["cat", "dög"]),
        split="val",
        fingerprint="f",
    )
    with RunWriter("cnn-1") as writer:
        writer.write_record(RECORD)
        accuracy = {"value": 1.0, "low": 0.5, "high": 1.0, "n": 1}
        write_json(writer.path / "metrics.json", {"val": {"accuracy": accuracy}})
        (writer.path / "predictions").mkdir()
        table.save(writer.path / "predictions" / "val.npz")
        run = writer.complete()
    assert run.metrics["val"]["accuracy"]["value"] == 1.0
    assert run.predictions("val").ids.tolist() == ["a.jpg"]
    with pytest.raises(EnsembleError, match=r"no prediction table .*test\.npz"):
        run.predictions("test")
    with pytest.raises(ZooError, match=r"model\.keras is missing"):
        _ = run.model


DAMAGE = {"cut short": '{"settings": {', "empty": "", "no text": b"\xff\xfe".decode("latin-1")}


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("part", ["record", "metrics"])
def test_a_damaged_part_of_a_run_is_named(case, part, folder):
    run = write("cnn-1")
    file = run.path / {"record": "run.json", "metrics": "metrics.json"}[part]
    file.write_text(DAMAGE[case], encoding="latin-1")
    with pytest.raises(ZooError) as raised:
        getattr(Run(run.path), part)
    assert f"{file} cannot be read" in str(raised.value)
    file.unlink()
    with pytest.raises(ZooError) as raised:
        getattr(Run(run.path), part)
    assert f"{file} is missing" in str(raised.value)


def test_a_model_that_is_no_model_is_named(folder):
    run = write("cnn-1")
    (run.path / "model.keras").write_bytes(b"PK nothing")
    with pytest.raises(ZooError, match=r"model\.keras cannot be loaded as a Keras model"):
        _ = run.model


def test_a_file_is_written_whole_or_the_old_one_stays(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"größe": 1})
    with pytest.raises(TypeError):
        write_json(path, {"größe": object()})
    assert json.loads(path.read_text("utf-8")) == {"größe": 1}
    assert "größe" in path.read_text("utf-8")
    assert names(tmp_path) == ["x.json"]


def test_reading_runs_imports_neither_keras_nor_the_ensembles(folder):
    write("cnn-1")
    code = "import sys, zoo; print(zoo.open_run('cnn-1').settings['backbone'], "
    code += "[m for m in ('keras', 'tensorflow', 'ensembles', 'numpy') if m in sys.modules])"
    command = [sys.executable, "-c", code]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout == "cnn []\n", done.stderr


@pytest.mark.parametrize("kind", ["link", "link to a run", "photos", "their run.json", "file"])
def test_what_zoo_did_not_make_is_never_emptied(kind, folder, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "photo.jpg").write_bytes(b"precious")
    place = folder / ".foo.partial"
    folder.mkdir()
    if kind.startswith("link"):
        if "run" in kind:
            (victim / "run.json").write_text(json.dumps(RECORD))
        place.symlink_to(victim)
    elif kind == "file":
        place.write_text("precious")
    else:
        victim.rename(place)
        victim = place
        if "run" in kind:
            (place / "run.json").write_text('{"kind": "ensemble", "runs": "of my marathon"}')
    before = place.lstat()
    with (
        pytest.raises(ZooError, match=r"\.foo\.partial (is a|was not made)"),
        RunWriter("foo") as writer,
    ):
        writer.write_record(RECORD)
    assert unfinished() == []
    assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert kind == "file" or (victim / "photo.jpg").read_bytes() == b"precious"


def test_an_interrupted_run_of_an_earlier_version_goes_on(folder):
    place = folder / ".old.partial"
    (place / "checkpoints").mkdir(parents=True)
    (place / "run.json").write_text(json.dumps(RECORD))
    assert unfinished() == ["old"]
    with RunWriter("old", resume=True) as writer:
        assert writer.read_record() == RECORD
        assert writer.complete().record == RECORD
    assert names(folder / "old") == ["digests.json", "run.json"]


def test_a_dangling_link_takes_a_runs_name(folder, tmp_path):
    folder.mkdir()
    (folder / "foo").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ZooError, match="there is a run 'foo'"):
        RunWriter("foo")


@pytest.mark.parametrize("look", [finished, unfinished, lambda: open_run("a")])
def test_a_folder_that_cannot_be_read_is_told(look, folder):
    folder.mkdir(mode=0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(ZooError, match=r"runs cannot be read .*denied"):
            look()
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DiskError("the disk is full")])
def test_what_stays_of_a_run_is_told_with_the_command_that_goes_on(error, folder):
    interrupt("cnn-1", error, saved=True)
    assert error.__notes__ == ["continue with `zoo finetune --resume --name cnn-1`"]
