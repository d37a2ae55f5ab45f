"""Runs in the making: how far they are, whether a process trains them, how to go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from zoo.cli import cli
from zoo.running import find, in_the_making

TRAINING = """
import sys, zoo
zoo.finetune("cnn", sys.argv[1], size=16, filters=4, blocks=1, epochs=900, patience=0, name="long")
"""


def text(*words: str) -> str:
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def training(digits_folder: Path):
    """A process that trains the run ``long``, after its first epoch."""
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(digits_folder)], cwd=Path(zoo.__file__).parents[1]
    )
    checkpoint = Path(os.environ["ZOO_RUNS"]) / ".long.partial" / "checkpoints" / "last.npz"
    try:
        end = time.monotonic() + 120
        while not checkpoint.exists():
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_in_training_is_listed_and_a_killed_one_can_be_continued(training):
    run = find("long")
    assert run.is_alive
    assert run.epoch >= 1
    assert run.resume == ""
    assert run.sentence().startswith("cnn on digits, epoch ")
    assert "of 900 done, begun " in run.sentence()
    assert "in training: long, cnn on digits, epoch" in text("runs")
    assert "its process lives" in text("show", "long")
    with pytest.raises(zoo.ZooError, match="'long' is in training: `zoo show long` says"):
        zoo.load("long")
    training.send_signal(signal.SIGKILL)
    training.wait()
    run = find("long")
    assert not run.is_alive
    assert "of 900 done, stopped " in run.sentence()
    assert "zoo finetune --resume --name long" in text("runs")
    shown = text("show", "long")
    assert "next  zoo finetune --resume --name long" in shown
    assert "epochs = 900" in shown
    record = json.loads(text("runs", "--json"))
    assert record["unfinished"] == ["long"]
    assert record["in_the_making"][0]["epoch"] == run.epoch
    assert json.loads(text("show", "long", "--json"))["in_training"] is False


def test_a_damaged_one_is_listed(tmp_path):
    place = tmp_path / "runs" / ".hurt.partial"
    (place / "checkpoints").mkdir(parents=True)
    (place / "run.json").write_text("{")
    (place / "checkpoints" / "last.npz").write_bytes(b"PK no archive")
    (run,) = in_the_making()
    assert (run.name, run.is_alive, run.epoch, run.created) == ("hurt", False, None, "")
    assert run.sentence().startswith("run, before its first epoch is done, stopped ")
    assert "unfinished: hurt" in text("runs")


def test_a_checkpoint_that_is_being_written_is_not_looked_at(tmp_path):
    import numpy as np

    place = tmp_path / "runs" / ".a.partial" / "checkpoints"
    place.mkdir(parents=True)
    (place.parent / "run.json").write_text("{}")
    np.savez(place / "last.npz", state=json.dumps({"next_epoch": 3}))
    (place / ".zoo-1-2.last.npz").symlink_to(place / "gone")  # as one that vanishes after listing
    (run,) = in_the_making()
    assert run.epoch == 3


def test_folds_and_other_folders_are_named(tmp_path):
    import numpy as np

    place = tmp_path / "my runs" / ".a.partial"
    (place / "checkpoints").mkdir(parents=True)
    record = {"settings": {"backbone": "cnn", "data": "/x/pets", "epochs": 5}, "created": "?"}
    (place / "run.json").write_text(json.dumps(record))
    np.savez(place / "checkpoints" / "fold2.npz", state=np.str_(json.dumps({"next_epoch": 3})))
    (run,) = in_the_making(tmp_path / "my runs")
    assert (run.fold, run.epoch, run.age()) == (2, 3, None)
    assert "cnn on pets, fold 2, epoch 3 of 5 done, stopped " in run.sentence()
    assert run.resume.endswith(f"--name a --runs-dir '{tmp_path / 'my runs'}'")
