"""A backbone of another package, installed by pip and fine-tuned by the command."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import zoo

ROOT = Path(zoo.__file__).parents[1]
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "tiny-backbone"
version = "1.0"
[project.entry-points."zoo.backbones"]
tiny = "tiny_backbone"
[tool.setuptools]
py-modules = ["tiny_backbone"]
"""


def example() -> str:
    """The plug-in that CONTRIBUTING.md shows."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.split("```python\n")[1].split("```")[0]


def test_the_documented_plug_in_is_installed_found_and_fine_tuned(digits_folder, tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "pyproject.toml").write_text(textwrap.dedent(PROJECT))
    (source / "tiny_backbone.py").write_text(example())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    pip += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(site)]
    subprocess.run([*pip, str(source)], check=True, timeout=120)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    def command(*args: object) -> str:
        call = [sys.executable, "-m", "zoo", *map(str, args)]
        done = subprocess.run(call, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = {row["name"]: row for row in json.loads(command("list", "--json"))}
    assert listed["tiny"]["parameters"] == 896
    args = ("tiny", "--data", digits_folder, "--epochs", 2, "--size", 16, "--json")
    run = json.loads(command("finetune", *args))
    assert run["metrics"]["test"]["accuracy"]["n"] == 36
    record = json.loads((Path(run["path"]) / "run.json").read_text())
    assert record["network"]["backbone_parameters"] == 896
