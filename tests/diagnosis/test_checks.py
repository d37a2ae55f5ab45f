"""Single checks on a real probe whose images, record or predictions are changed afterwards."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import ndimage

import zoo
from ensembles import PredictionTable
from zoo.cli import cli, tune_command
from zoo.diagnosis import range_test
from zoo.diagnosis.backbone_comparison import check_backbones
from zoo.diagnosis.classes import balanced_gain
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Outcome
from zoo.diagnosis.images import check_files
from zoo.diagnosis.inputs import check_input
from zoo.diagnosis.overfitting import check_fit
from zoo.diagnosis.sharpness import blur_effect, check_sharpness
from zoo.diagnosis.study import check_study
from zoo.errors import ZooError
from zoo.overrides import parse_overrides
from zoo.progress import Progress
from zoo.runs import Run
from zoo.train.plan import collect_settings, resolve
from zoo.tuning.space import read_space


def painted(evidence: Evidence, pixels: np.ndarray) -> Evidence:
    """As if the images had these pixels."""
    changed = Evidence(evidence.run)
    changed.__dict__ |= {k: v for k, v in evidence.__dict__.items() if k != "features"}
    changed.__dict__["prepared"] = replace(evidence.prepared, pixels=pixels)
    return changed


def test_photographs_are_as_the_weights_expect(photographs: Evidence) -> None:
    outcome = check_input(photographs)
    assert outcome.state == "clear", outcome.says


@pytest.mark.parametrize(
    ("change", "title"),
    [(lambda p: p[..., ::-1], "Red and blue"), (lambda p: p // 255, "pixel values are not")],
    ids=["channels", "range"],
)
def test_foreign_pixels_are_told(photographs: Evidence, change, title: str) -> None:
    outcome = check_input(painted(photographs, change(photographs.prepared.pixels)))
    assert title in outcome.findings[0].title


def test_the_order_of_grey_channels_is_all_one(photographs: Evidence) -> None:
    grey = np.repeat(photographs.prepared.pixels[..., :1], 3, axis=3)
    outcome = check_input(painted(photographs, grey))
    assert outcome.state == "clear"
    assert "grey" in outcome.says


@pytest.mark.parametrize(
    ("side", "advice"),
    [
        (8, "Get larger originals, or train at --size 32."),  # what Lite0 takes at least
        (31, "Get larger originals, or train at --size 32."),
        (500, "Get larger originals, or remove them."),  # 500 px for most, and 20 for the others
    ],
)
def test_small_images_are_not_to_be_trained_at_a_size_that_the_network_cannot_take(
    photographs: Evidence, side: int, advice: str
) -> None:
    small = painted(photographs, photographs.prepared.pixels)
    sizes = np.full_like(photographs.seen.sizes, side)
    sizes[:50] = min(side, 20)
    small.__dict__["seen"] = replace(photographs.seen, sizes=sizes)
    (finding,) = check_files(small).findings
    assert "far smaller than the network's 96 px" in finding.title
    assert finding.advice == advice


def test_blurred_images_are_listed(photographs: Evidence) -> None:
    prepared = photographs.prepared
    assert check_sharpness(photographs).state == "clear"
    pixels = np.array(prepared.pixels)
    wrong = prepared.rows[:10]
    pixels[wrong] = ndimage.gaussian_filter(pixels[wrong], (0, 3, 3, 0))
    outcome = check_sharpness(painted(photographs, pixels))
    listed = [shown.id for shown in outcome.findings[0].files]
    assert set(photographs.catalog.ids[:10]) <= set(listed)
    assert len(listed) <= 12


def test_images_without_detail_are_not_taken_for_blurred(photographs: Evidence) -> None:
    pixels = np.array(photographs.prepared.pixels)
    pixels[photographs.prepared.rows[:10]] = 128
    assert check_sharpness(painted(photographs, pixels)).state == "clear"


def test_blur_is_measured_whatever_an_image_shows() -> None:
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(128, 40, (4, 96, 96)), (0, 0.7, 0.7))
    steps = np.kron(rng.uniform(0, 255, (4, 12, 12)), np.ones((1, 8, 8)))
    for sharp in (noise, steps):
        scores = [
            blur_effect(ndimage.gaussian_filter(sharp, (0, s, s)).astype(np.float32)).mean()
            for s in (0, 1.5, 3)
        ]
        assert scores[0] < 0.4
        assert scores[0] + 0.1 < scores[1] < scores[2]
        assert scores[2] > 0.5


def recorded(run: Run, **changes) -> Run:
    """The run with other settings or other parts of its record."""
    record = json.loads((run.path / "run.json").read_text())
    settings = changes.pop("settings", {})
    record |= changes
    record["settings"] |= settings
    (run.path / "run.json").write_text(json.dumps(record))
    return Run(run.path)


def test_the_edges_of_a_study_are_told(copied: Run) -> None:
    assert check_study(Evidence(copied)).state == "unknown"
    edge = "dropout 0.5 is at the upper end of 0 to 0.5: try low 0, high 0.95"
    study = {"name": "s", "metric": "log_loss", "trials": {}, "best": {}}
    assert check_study(Evidence(recorded(copied, study=study))).state == "unknown"
    assert check_study(Evidence(recorded(copied, study={**study, "edges": []}))).state == "clear"
    outcome = check_study(Evidence(recorded(copied, study={**study, "edges": [edge]})))
    assert outcome.findings[0].evidence == (f"D{edge[1:]}.",)


def test_the_commands_to_search_on_can_be_called_in_their_order(
    copied: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fixed = {"size": 64, "near_duplicates": False, "epochs": 4}
    study = {"name": "s", "edges": ["dropout 0.5 is at the upper end of 0 to 0.5"], "fixed": fixed}
    (finding,) = check_study(Evidence(recorded(copied, study=study))).findings
    first, second = finding.command.splitlines()
    words, sign, file = first.partition(" > ")
    shown = CliRunner().invoke(cli, shlex.split(words)[1:])
    assert sign and shown.exit_code == 0, shown.output
    assert "epochs" not in shown.output  # it is the same in all trials
    wider = shown.output.replace("dropout: {low: 0.0, high: 0.5}", "dropout: {low: 0, high: 0.95}")
    assert wider != shown.output
    Path(file).write_text(wider)
    asked = tune_command.command.make_context("tune", shlex.split(second)[2:]).params
    assert asked["space"] == file
    assert asked["name"] == "s-wider"
    given = collect_settings(
        asked["backbone"], asked["data"], None, parse_overrides(asked["pinned"]), Progress()
    )
    assert (given.size, given.near_duplicates, given.epochs) == (64, False, 4)
    space, more = read_space(Path(asked["space"]), resolve(given))
    assert (space["dropout"].high, more) == (0.95, {})
    del study["fixed"]  # as in the records of older runs
    (finding,) = check_study(Evidence(recorded(copied, study=study))).findings
    assert finding.command.count("--set size=64 --set weights=imagenet") == 2


def test_a_head_that_is_too_weak_is_named(copied: Run) -> None:
    assert check_fit(Evidence(copied)).state == "clear"
    file = copied.path / "predictions" / "val.npz"
    table = PredictionTable.load(file)
    weak = np.roll(table.probabilities, 1, axis=1)
    weak[::2] = table.probabilities[::2]
    replace(table, probabilities=weak).save(file)
    outcome = check_fit(Evidence(recorded(copied, settings={"head_l2": 10.0})))
    assert "underfits" in outcome.findings[0].title
    assert "--head-l2" in outcome.findings[0].command


def table_of(labels: np.ndarray, logits: np.ndarray) -> PredictionTable:
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return PredictionTable(
        ids=np.arange(len(labels)).astype(str),
        labels=labels,
        probabilities=p.astype(np.float32),
        classes=np.array([f"c{k}" for k in range(p.shape[1])]),
        split="oof",
        fingerprint="x",
    )


def test_a_rare_class_is_told_from_a_hard_one() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [900, 60])
    # what is known of an image, and the frequencies as a model learns them
    known = 1.2 * rng.normal(np.where(labels == 1, 1.0, -1.0), 1)
    frequent = np.log([900, 60])
    rare = table_of(labels, np.stack([-known, known], axis=1) + frequent)
    gain, low, _ = balanced_gain(rare, np.bincount(labels))
    assert low > 0.05
    assert gain < 0.5
    nothing = 0.1 * rng.normal(0, 1, len(labels))
    hard = table_of(labels, np.stack([-nothing, nothing], axis=1) + frequent)
    assert balanced_gain(hard, np.bincount(labels))[1] <= 0


def test_the_ends_of_the_useful_rates_are_found() -> None:
    rates, rng = np.geomspace(1e-6, 1, 120), np.random.default_rng(0)
    falls = 3 - 2 / (1 + (rates / 1e-4) ** -1.5)
    explodes = np.where(rates > 1e-2, 2 * np.log10(rates / 1e-2), 0)
    noise = rng.normal(0, 0.1, 120)
    low, high = range_test.ends(rates, falls + explodes + noise)
    assert low is not None
    assert 1e-5 < low < 1e-4
    assert high is not None
    assert 5e-3 < high < 5e-2
    assert range_test.ends(rates, 0.5 + noise) == (None, None)
    low, high = range_test.ends(rates, 0.5 + explodes + noise)
    assert low is None
    assert high is not None
    assert 1e-2 < high < 1e-1


def test_a_range_test_leaves_the_run_as_it_is(copied: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_test, "_STEPS", 60)
    run = recorded(copied, settings={"unfreeze": "1", "learning_rate": 10.0})
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    outcome = range_test.check_range(Evidence(run), Progress())
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    assert "is above those" in outcome.findings[0].title


def test_a_probe_has_no_rate_to_test(clean: Run) -> None:
    assert range_test.check_range(Evidence(clean), Progress()).state == "unknown"


def test_a_backbone_is_no_better_than_itself(clean: Run) -> None:
    outcome: Outcome = check_backbones(Evidence(clean), ["efficientnet"], Progress())
    assert outcome.state == "clear"
    assert "efficientnet-lite0 is not distinguishable" in outcome.says


def test_weights_that_are_not_here_are_not_downloaded(
    clean: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path))
    with pytest.raises(ZooError, match=r"resnet50.* not on this machine: `zoo weights fetch"):
        zoo.diagnose(clean, backbones=["resnet50"])


def test_an_unknown_backbone_is_told(clean: Run) -> None:
    command = ["diagnose", str(clean.path), "--compare-backbones", "efficientnet-lite9"]
    result = CliRunner().invoke(cli, command)
    assert "efficientnet-lite" in str(result.exception)
    assert isinstance(result.exception, ValueError)
