"""`zoo diagnose` prints findings with files and commands, or JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from zoo.cli import cli
from zoo.diagnosis import job
from zoo.diagnosis.finding import FEW_IMAGES, Finding, Outcome, Shown, unknown

FINDING = Finding(
    title="Something is wrong.",
    cost=0.5,
    evidence=("Seen on <b>two</b> images.",),
    advice="Mend it.",
    files=(Shown("a\x1b[31m.png", "labelled a"), Shown("b.png")),
    command="zoo finetune x",
)


@pytest.fixture
def diagnosed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runs" / "birds").mkdir(parents=True)
    (tmp_path / "runs" / "birds" / "run.json").write_text("{}")
    outcomes = (
        Outcome("labels", "found", "two are", (FINDING,)),
        Outcome("fit", "clear", "no gap"),
        unknown("drift", "too few", FEW_IMAGES),
    )
    diagnosis = job.Diagnosis("birds", outcomes)
    monkeypatch.setattr(job, "diagnose", lambda *_, **__: diagnosis)
    monkeypatch.setattr(zoo, "diagnose", job.diagnose, raising=False)


@pytest.mark.usefixtures("diagnosed")
def test_findings_are_printed_with_files_and_commands() -> None:
    printed = CliRunner().invoke(cli, ["diagnose", "birds", "--files", "1", "--no-report"]).stdout
    assert "1. Something is wrong." in printed
    assert "a\\x1b[31m.png  labelled a" in printed
    assert "and 1 more file (" in printed
    assert "$ zoo finetune x" in printed
    assert "nothing wrong  fit: no gap" in printed
    assert "1 of 3 checks cannot tell: drift (too few images)" in printed
    assert printed.startswith("What limits it most (likely: ")
    assert "1 finding from 3 checks" in printed


@pytest.mark.usefixtures("diagnosed")
def test_json_has_all_files() -> None:
    printed = CliRunner().invoke(cli, ["diagnose", "birds", "--json"]).stdout
    files = json.loads(printed)["checks"][0]["findings"][0]["files"]
    assert [file["id"] for file in files] == ["a\x1b[31m.png", "b.png"]


def test_an_unknown_run_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["diagnose", "nothing", "--runs-dir", str(tmp_path)])
    assert isinstance(result.exception, zoo.ZooError)
    assert "there is no run 'nothing'" in str(result.exception)
