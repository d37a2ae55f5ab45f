"""What is in the sdist and the wheel, and that the wheel works where no checkout is."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import setuptools.build_meta as m, sys; print(getattr(m, sys.argv[1])(sys.argv[2]))"
FIT = """
import importlib.util, json
import numpy as np
import ensembles

rng = np.random.default_rng(0)
labels = rng.integers(0, 3, 600)

def table(skill, rows, split):
    logits = rng.normal(size=(600, 3)) + skill * np.eye(3)[labels]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ids = [str(i) for i in range(600)[rows]]
    return ensembles.PredictionTable.of(
        p[rows], labels[rows], ids=ids, classes=["a", "b", "c"], split=split, fingerprint="x")

def member(skill):
    state = rng.bit_generator.state
    val = table(skill, slice(300), "val")
    rng.bit_generator.state = state
    return val, table(skill, slice(300, None), "test")

members = [member(skill) for skill in (1.0, 1.5, 2.0)]
found = {}
for combiner in (ensembles.SoftVoting(), ensembles.GreedySelection(), ensembles.Stacking()):
    fitted = ensembles.Ensemble(combiner).fit([val for val, _ in members])
    p = fitted.predict_proba([test for _, test in members])
    found[type(combiner).__name__] = float((np.asarray(p).argmax(1) == labels[300:]).mean())
absent = [n for n in ("tensorflow", "keras", "click") if importlib.util.find_spec(n) is None]
print(json.dumps([found, absent, ensembles.__file__]))
"""


def call(*command: object, cwd: Path, **environment: str) -> str:
    """Standard output of a command that must succeed, called outside the checkout."""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist of the files that git tracks, and the wheel that is built from that sdist."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    folder = tmp_path_factory.mktemp("built")
    for name in call("git", "ls-files", "-z", cwd=ROOT).split("\0")[:-1]:
        if (ROOT / name).is_file():  # a file may be removed and not committed yet
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "tree" / name)
    call(sys.executable, "-c", BUILD, "build_sdist", folder, cwd=folder / "tree")
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    call(sys.executable, "-c", BUILD, "build_wheel", folder, cwd=unpacked)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def new_environment(folder: Path, wheel: Path, *more: str) -> Path:
    """The Python of a new virtual environment that holds the wheel without its dependencies."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-qq"]
    call(*pip, "--no-deps", wheel, cwd=folder)
    if more:
        call(*pip, *more, cwd=folder)
    return python


def test_wheel_holds_templates_and_types(built):
    tracked = call("git", "ls-files", "zoo", "backbones", "ensembles", cwd=ROOT).splitlines()
    with zipfile.ZipFile(built[1]) as wheel:
        names = set(wheel.namelist())
    assert {f"{name}/py.typed" for name in ("zoo", "backbones", "ensembles")} <= names
    assert {name for name in tracked if (ROOT / name).is_file()} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {
        *("zoo", "backbones", "ensembles", "photozoo")
    }


def test_metadata(built):
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
        about = email.message_from_bytes(wheel.read(name))
    assert about["Name"] == "photozoo"
    assert about["Author"] == "zoo maintainers"
    assert about["Home-page"] is None
    assert about.get_all("Project-URL") is None
    kinds = {c.split(" :: ")[0] for c in about.get_all("Classifier")}
    assert {"License", "Operating System", "Programming Language", "Topic", "Typing"} <= kinds
    assert about["Keywords"]


def test_sdist_holds_the_tests(built):
    with tarfile.open(built[0]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    for name in ("tests/helpers/members.py", "tests/conftest.py", "LICENSE", "CHANGELOG.md"):
        assert name in names


@pytest.mark.network
def test_ensembles_work_without_tensorflow(built, tmp_path):
    """The wheel without its dependencies, and from the index NumPy, SciPy and scikit-learn."""
    python = new_environment(tmp_path / "venv", built[1], "numpy", "scipy", "scikit-learn")
    accuracies, absent, file = json.loads(call(python, "-c", FIT, cwd=tmp_path))
    assert absent == ["tensorflow", "keras", "click"]
    assert Path(file).is_relative_to(tmp_path)
    assert len(accuracies) == 3
    assert min(accuracies.values()) > 0.8


def test_wheel_trains_outside_the_checkout(built, tmp_path):
    """Zoo's code is the wheel's; its dependencies, gigabytes, are those of this environment."""
    python = new_environment(tmp_path / "venv", built[1])
    (site,) = tmp_path.glob("venv/lib/python*/site-packages")
    heavy = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    # a path in a .pth file is searched, but the .pth files there, such as the one of an editable
    # install of zoo, are not read
    (site / "dependencies.pth").write_text("\n".join([*heavy, *_further_folders()]) + "\n")
    folders = {"ZOO_CACHE": str(tmp_path / "cache"), "ZOO_RUNS": str(tmp_path / "runs")}
    zoo = python.parent / "zoo"
    assert call(zoo, "--version", cwd=tmp_path).startswith("zoo, version ")
    script = (
        "import zoo, backbones, ensembles, zoo.installation as i;"
        "print(zoo.__file__, backbones.__file__, ensembles.__file__);"
        "print(i.install_hint('dask'))"
    )
    files, hint = call(python, "-c", script, cwd=tmp_path).splitlines()
    assert files.count(str(site)) == 3
    assert hint == "pip install 'photozoo[dask]'"
    options = ("--data", "digits", "--epochs", "1", "--name", "first")
    call(zoo, "finetune", "cnn", *options, cwd=tmp_path, **folders)
    assert (tmp_path / "runs" / "first" / "model.keras").is_file()
    call(zoo, "report", "first", cwd=tmp_path, **folders)
    assert (tmp_path / "runs" / "reports" / "first.html").is_file()


def _further_folders() -> list[str]:
    """Other folders of packages on this Python's path, such as those that its own .pth names."""
    return [p for p in sys.path if p.endswith("-packages") and Path(p).is_dir()]
