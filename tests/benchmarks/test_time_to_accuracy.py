"""What the comparison with peers refuses before it trains, and when it takes a kept curve."""

import importlib
import shutil
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

import zoo

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("time_to_accuracy")


@pytest.fixture
def asked(digits_folder):
    """The command's options: two contestants, no fastai."""
    return Namespace(
        data=str(digits_folder),
        size=32,
        seed=0,
        epochs=1,
        guide="efficientnet-lite0",
        weights=None,
        guide_epochs=(1, 1),
        fastai_epochs=(0, 0),
    )


def called(out, *words):
    call = [sys.executable, str(FOLDER / "time_to_accuracy.py"), "--out", str(out), *words]
    return subprocess.run(call, capture_output=True, text=True, timeout=120)


def nothing_was_done(found, out):
    assert found.returncode == 2, found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    return not out.exists() and not found.stdout


def test_a_missing_interpreter_is_found_before_anything_is_trained(tmp_path, digits_folder):
    found = called(tmp_path / "out", "--data", str(digits_folder), "--peers-python", "/no/python")
    assert nothing_was_done(found, tmp_path / "out")
    assert "the interpreter /no/python cannot be run (No such file or directory)" in found.stderr


def test_an_interpreter_without_fastai_is_refused(script, tmp_path):
    without = tmp_path / "python"
    without.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # no site packages
    without.chmod(0o755)
    with pytest.raises(zoo.ZooError, match=r"has no fastai, torch, .*: pip install"):
        script.check_peers(str(without))
    with pytest.raises(zoo.ZooError, match=r"is no Python that works \(status 1\)"):
        script.check_peers(shutil.which("false"))


def test_fastai_is_not_compared_on_other_weights(script, asked, tmp_path):
    (tmp_path / "w.h5").write_bytes(b"weights")
    asked.weights, asked.fastai_epochs = str(tmp_path / "w.h5"), (1, 1)
    with pytest.raises(zoo.ZooError, match="fastai takes the published weights"):
        script.jobs(asked)
    asked.guide = "mobilenet"
    assert [job.weights for job in script.jobs(asked) if job.who == "fastai"] == [None]


def test_a_curve_is_of_its_images_weights_and_code_wherever_they_lie(
    script, asked, tmp_path, monkeypatch
):
    from zoo import origin

    def files():
        return [job.file(tmp_path).name for job in script.jobs(asked)]

    weights, images = tmp_path / "w.h5", tmp_path / "images"
    weights.write_bytes(b"weights")
    shutil.copytree(asked.data, images)
    asked.weights = str(weights)
    first = files()
    asked.data, asked.weights = str(images), str(weights.rename(tmp_path / "moved.h5"))
    assert files() == first
    Path(asked.weights).write_bytes(b"other weights")
    second = files()
    assert not set(second) & set(first)
    next(images.glob("*/*.png")).unlink()
    third = files()
    assert not set(third) & set(second)
    monkeypatch.setattr(origin, "code_version", lambda: "0.1.0+other")
    assert not set(files()) & set(third)
    job = script.jobs(asked)[0]
    assert replace(job, seed=1).file(tmp_path) != job.file(tmp_path)
