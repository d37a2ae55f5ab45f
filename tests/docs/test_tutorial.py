"""Every command of the tutorial, in its order, on a small folder laid out like iNaturalist-12K."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from tests.helpers.markdown import ROOT, Block, blocks

TUTORIAL = ROOT / "docs" / "tutorial.md"
# what the tutorial says, and what is run in its place, so that it takes seconds
SMALL = {
    r"--size 128": "--size 32",
    r"size=128": "size=32",
    r"--epochs \d+": "--epochs 1",
    r"epochs=\d+": "epochs=1",
    r"--filters 32": "--filters 8",
    r"--trials 20": "--trials 2",
    r"--seeds 3": "--seeds 1",
    r"--folds 5": "--folds 2",
    r"--backbones efficientnet,cnn": "--backbones cnn",
}
# these train in processes of their own, which takes longest: run by the slow test only
SLOW = ("zoo tune", "zoo sweep", "zoo benchmark", "--folds", "--range-test")
CLASSES = (
    *("Amphibia", "Animalia", "Arachnida", "Aves", "Fungi"),
    *("Insecta", "Mammalia", "Mollusca", "Plantae", "Reptilia"),
)
IMAGES = {"train": 20, "val": 10}  # per class


@pytest.fixture
def tutorial_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``inaturalist_12K``, whose photos are digits, as the working folder."""
    digits = load_digits()
    for label, name in enumerate(CLASSES):
        found = iter(digits.images[digits.target == label])
        for split, count in IMAGES.items():
            folder = tmp_path / "inaturalist_12K" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = (next(found) * 15.9).astype(np.uint8)
                Image.fromarray(pixels).resize((32, 32)).save(folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_RUNS")  # the tutorial's runs lie in ./runs
    return tmp_path


def shell_blocks() -> list[Block]:
    return [block for block in blocks(TUTORIAL) if block.language == "sh"]


def write_files(folder: Path) -> None:
    """The files that the tutorial shows, such as ``grid.yaml``."""
    for block in blocks(TUTORIAL):
        if block.title:
            (folder / block.title).write_text(block.code, "utf-8")


def small(code: str) -> str:
    for pattern, replacement in SMALL.items():
        code = re.sub(pattern, replacement, code)
    return code


def test_every_replacement_is_needed() -> None:
    text = "\n".join(block.code for block in shell_blocks())
    assert [p for p in SMALL if not re.search(p, text)] == []
    assert [s for s in SLOW if s not in text] == []


def test_quick_commands(tutorial_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zoo.cli import cli

    write_files(tutorial_folder)
    variables: dict[str, str] = {}
    code = "".join(block.code for block in shell_blocks())
    for line in code.replace("\\\n", " ").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.isupper():
            variables[name] = value
            continue
        if any(slow in line for slow in SLOW) and "--print-space" not in line:
            continue
        for name, value in variables.items():
            line = line.replace(f"${name}", value)
        words = shlex.split(small(line))
        into = words[words.index(">") + 1] if ">" in words else os.devnull
        words = words[: words.index(">")] if ">" in words else words
        assert words[0] == "zoo", line
        with Path(into).open("w") as file, contextlib.redirect_stdout(file):
            cli(words[1:], standalone_mode=False)
    runs = tutorial_folder / "runs"
    for name in ("scratch", "probe", "augmented", "penalized", "transfer", "together"):
        assert (runs / name / "metrics.json").is_file(), name
    assert (runs / "reports" / "scratch.html").stat().st_size > 50_000
    assert (tutorial_folder / "comparison.html").is_file()
    assert "learning_rate" in (tutorial_folder / "space.yaml").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("data", ["inaturalist_12K", "elpv", "digits"])
def test_all_commands_in_a_shell(data: str, tutorial_folder: Path) -> None:
    write_files(tutorial_folder)
    script = small("".join(block.code for block in shell_blocks()))
    script = script.replace("DATA=inaturalist_12K", f"DATA={data}")
    if data != "inaturalist_12K":  # built-in sets are no folder to predict
        script = re.sub(r"^zoo predict .*\n", "", script, flags=re.MULTILINE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tutorial_folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    runs = tutorial_folder / "runs"
    assert (runs / "studies" / "study" / "study.html").is_file()
    assert len((runs / "studies" / "grid" / "trials.jsonl").read_text().splitlines()) == 4
    assert list((runs / "benchmarks").glob("*/table.md"))
    assert (runs / "final" / "metrics.json").is_file()
