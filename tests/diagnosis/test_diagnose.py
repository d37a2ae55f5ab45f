"""Planted faults are named with their files, clean data are left in peace, bad input is told."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import (
    FEW_IMAGES,
    NO_FEATURES,
    Confidence,
    Finding,
    Outcome,
    unknown,
)
from zoo.diagnosis.job import Diagnosis
from zoo.diagnosis.labels import check_labels, suspects
from zoo.diagnosis.learning_curve import parts
from zoo.diagnosis.overfitting import check_fit
from zoo.diagnosis.proportions import difference_interval
from zoo.diagnosis.training_curves import check_settings
from zoo.diagnosis.verdict import unknown_checks
from zoo.errors import ZooError
from zoo.runs import Run


@pytest.fixture(scope="module")
def of_spoiled(spoiled: tuple[Run, list[str]]) -> Diagnosis:
    return zoo.diagnose(spoiled[0])


@pytest.fixture(scope="module")
def of_clean(clean: Run) -> Diagnosis:
    return zoo.diagnose(clean)


def outcome_of(diagnosis: Diagnosis, check: str) -> Outcome:
    return next(outcome for outcome in diagnosis.outcomes if outcome.check == check)


@pytest.mark.parametrize("check", ["labels", "files", "leaks", "shortcuts"])
def test_a_planted_fault_is_named_and_not_on_clean_data(
    check: str, of_spoiled: Diagnosis, of_clean: Diagnosis
) -> None:
    assert outcome_of(of_spoiled, check).state == "found"
    assert outcome_of(of_clean, check).state == "clear"


def test_wrong_labels_are_listed(of_spoiled: Diagnosis, spoiled: tuple[Run, list[str]]) -> None:
    doubtful = next(
        f for f in outcome_of(of_spoiled, "labels").findings if "labels look wrong" in f.title
    )
    listed = {shown.id for shown in doubtful.files}
    assert len(listed & set(spoiled[1])) >= 5  # of 16; chance gives one
    assert "labelled digit" in doubtful.files[0].note


def test_copies_with_different_labels_are_listed(of_spoiled: Diagnosis) -> None:
    copies = outcome_of(of_spoiled, "labels").findings[0]
    assert "train/digit 0/twice.png" in {shown.id for shown in copies.files}


def test_files_are_listed_by_their_fault(of_spoiled: Diagnosis) -> None:
    found = {f.title: f for f in outcome_of(of_spoiled, "files").findings}
    assert [f.files[0].id for t, f in found.items() if "not a usable" in t] == [
        "train/digit 1/broken.png"
    ]
    assert [len(f.files) for t, f in found.items() if "blank" in t] == [12]


def test_findings_are_ordered_by_what_they_cost(of_spoiled: Diagnosis) -> None:
    costs = [finding.cost for finding in of_spoiled.findings]
    assert costs == sorted(costs, reverse=True)
    assert len(costs) >= 5


def test_a_record_is_json(of_spoiled: Diagnosis) -> None:
    record = json.loads(json.dumps(of_spoiled.as_record()))
    assert {check["check"] for check in record["checks"]} >= {"labels", "fit", "drift"}


def test_a_diagnosis_leaves_the_run_as_it_is(copied: Run) -> None:
    before = {p: p.read_bytes() for p in copied.path.rglob("*") if p.is_file()}
    for check in (check_fit, check_labels):
        check(Evidence(copied))
    assert {p: p.read_bytes() for p in copied.path.rglob("*") if p.is_file()} == before


def test_flipped_labels_are_found_among_sure_predictions() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 800)
    logits = rng.normal(0, 1, (800, 4))
    logits[np.arange(800), truth] += 6
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = truth.copy()
    labels[:40] = (truth[:40] + 1) % 4
    found = suspects(labels, p)
    assert len(set(found) & set(range(40))) >= 36
    assert len(found) <= 44
    assert len(suspects(truth, p)) <= 8


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # the example of Newcombe 1998: 56 of 70 against 48 of 80
    first, second = np.arange(70) < 56, np.arange(80) < 48
    assert difference_interval(first, second) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


NAN = math.nan
CURVES = {
    "too high": ([9.0, 7.0, 6.0], [2.4, 2.3, 2.2], "too high"),
    "not a number": ([1.0, NAN, NAN], [0.9, 1.0, 1.0], "too high"),
    "too low": ([1.500, 1.498, 1.497], [1.40, 1.40, 1.40], "too low"),
    "too short": ([1.2, 0.9, 0.6], [1.1, 0.9, 0.7], "too early"),
    "one epoch": ([1.2], [1.1], "1 epoch is too few"),
    "never stopped": ([1, 0.6, 0.4, 0.2, 0.1, 0.1], [0.7, 0.5, 0.6, 0.7, 0.8, 0.9], "never fired"),
}


def with_curve(run: Run, train: list[float], val: list[float], rate: float = 1e-3) -> Run:
    """The run as if its training had had this course."""
    with (run.path / "history.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["fold", "epoch", "train_loss", "train_accuracy", "val_loss"])
        for epoch, (a, b) in enumerate(zip(train, val, strict=True), start=1):
            writer.writerow([0, epoch, a, 0.5, b])
    record = json.loads((run.path / "run.json").read_text())
    record["settings"] |= {"epochs": len(train), "learning_rate": rate}
    record["kept"] = [{"stage": "finetune", "best_epoch": len(train), "temperature": 1.0}]
    (run.path / "run.json").write_text(json.dumps(record))
    return Run(run.path)


def test_fine_tuning_that_moved_nothing_is_named(copied: Run) -> None:
    run = with_curve(copied, [0.56, 0.55, 0.55, 0.545], [0.385, 0.386, 0.388, 0.39], 1e-6)
    record = json.loads((run.path / "run.json").read_text())
    record["kept"][0]["probe"] = {"val_loss": 0.386, "val_accuracy": 0.84, "l2": 0.01}
    (run.path / "run.json").write_text(json.dumps(record))
    outcome = check_settings(Evidence(Run(run.path)))
    assert "too low" in outcome.findings[0].title
    assert "probe had a validation loss of 0.386" in outcome.findings[0].evidence[0]


def test_early_stopping_at_once_is_named(copied: Run) -> None:
    run = with_curve(copied, [1.0, 0.6], [0.8, 0.9])
    record = json.loads((run.path / "run.json").read_text())
    record["settings"] |= {"epochs": 20, "patience": 1}
    (run.path / "run.json").write_text(json.dumps(record))
    assert "at once, after 2 of 20" in check_settings(Evidence(Run(run.path))).findings[0].title


@pytest.mark.parametrize(
    ("train", "val", "rate", "says"),
    [
        ([3.4, 2.4, 2.4], [1.38, 1.39, 1.4], 0.2, "0.2 is too high"),
        ([3.2, 2.7, 2.3], [1.37, 1.3, 1.25], 2e-5, "2e-05 is too low"),
    ],
    ids=["nothing learned", "a hundredth"],
)
def test_rates_from_random_weights_are_judged_by_the_usual_one(
    copied: Run, train: list[float], val: list[float], rate: float, says: str
) -> None:
    run = with_curve(copied, train, val, rate)
    record = json.loads((run.path / "run.json").read_text())
    record["settings"]["weights"] = "none"
    (run.path / "run.json").write_text(json.dumps(record))
    assert says in check_settings(Evidence(Run(run.path))).findings[0].title


@pytest.mark.parametrize(("train", "val", "says"), CURVES.values(), ids=list(CURVES))
def test_a_curve_tells_what_was_set_wrongly(
    copied: Run, train: list[float], val: list[float], says: str
) -> None:
    outcome = check_settings(Evidence(with_curve(copied, train, val)))
    assert says in outcome.findings[0].title
    assert f"--config {copied.path / 'run.json'}" in outcome.findings[0].command


@pytest.mark.parametrize(
    ("train", "val", "best"),
    [
        ([1.0, 0.5, 0.3, 0.25], [NAN, 0.5, 0.45, NAN], "best epoch 3 of 4, "),
        ([1.0, 0.6, 0.4, 0.2, 0.1, 0.1], [0.7, 0.5, NAN, NAN, NAN, NAN], "best epoch 2 of 6, "),
        ([1.0, 0.99], [NAN, NAN], "best epoch none of 2, "),
        ([1.0, 0.99, 0.98], [NAN, math.inf, NAN], "best epoch none of 3, "),
    ],
)
def test_losses_that_are_no_numbers_are_the_worst_and_advise_nothing(
    copied: Run, train: list[float], val: list[float], best: str
) -> None:
    run = with_curve(copied, train, val)
    record = json.loads((run.path / "run.json").read_text())
    record["settings"]["patience"] = 1
    record["kept"][0]["probe"] = {"val_loss": 0.6, "val_accuracy": 0.84, "l2": 0.01}
    (run.path / "run.json").write_text(json.dumps(record))
    outcome = check_settings(Evidence(Run(run.path)))
    assert outcome.state == "clear", outcome.findings
    assert best in outcome.says
    assert "NaN or infinite in" in outcome.says


def test_a_training_that_left_all_bounds_is_told_without_a_validation_loss(copied: Run) -> None:
    outcome = check_settings(Evidence(with_curve(copied, [NAN, NAN, NAN], [NAN, NAN, NAN])))
    assert "too high" in outcome.findings[0].title
    assert "no validation loss is finite" in outcome.findings[0].evidence[0]


def test_every_part_of_the_learning_curve_has_every_class() -> None:
    labels = np.repeat([0, 1, 2, 3], [200, 97, 2, 1])
    train = np.flatnonzero(np.arange(300) != 5)  # not all rows are to train on
    quarter, half, whole = parts(train, labels, 4)
    assert [len(quarter), len(half), len(whole)] == [74, 149, 299]
    for part in (quarter, half, whole):
        assert set(labels[part]) == {0, 1, 2, 3}
        assert abs(np.mean(labels[part] == 0) - 2 / 3) < 0.02
    assert set(quarter) < set(half) < set(whole) == set(train)
    few, _, _ = parts(np.arange(4), np.array([0, 1, 2, 3]), 4)
    assert set(few) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("train_accuracy", "val", "found"),
    [
        (0.55, [1.38, 1.33, 1.27, 1.2, 1.15, 1.1, 1.06, 1.035], True),
        (0.97, [1.38, 1.33, 1.27, 1.2, 1.15, 1.1, 1.06, 1.035], False),  # little is left to learn
        (0.55, [1.38, 1.33, 1.27, 1.2, 1.12, 1.035, 1.03, 1.02], False),  # it has flattened
        (0.55, [1.38, 1.33, 1.27, 1.2, 1.15, 1.1, 1.035, 1.06], False),  # the last is not the best
    ],
)
def test_training_from_scratch_that_was_still_learning_needs_more_epochs(
    copied: Run, train_accuracy: float, val: list[float], found: bool
) -> None:
    run = with_curve(copied, [1.3 - 0.03 * i for i in range(8)], val)
    file = run.path / "history.csv"
    file.write_text(file.read_text().replace(",0.5,", f",{train_accuracy},"))
    outcome = check_settings(Evidence(Run(run.path)))
    assert (outcome.state == "found") == found, outcome
    if found:
        assert "8 epochs are too few" in outcome.findings[0].title
        assert "--epochs 24" in outcome.findings[0].command
        assert "the training accuracy is only 0.550" in outcome.findings[0].evidence[0]


def finding(title: str, cost: float, confidence: Confidence) -> Finding:
    return Finding(title, cost, ("Seen.",), "Do this.", confidence=confidence)


@pytest.mark.parametrize(
    ("findings", "words"),
    [
        ((), "birds reaches validation accuracy 0.583. Nothing wrong was found by 1 of 2 checks"),
        (
            (finding("Small.", 0.02, "low"), finding("Large.", 0.3, "high")),
            "What limits it most (certain: counted): Large. Next: Do this.",
        ),
        ((finding("Small.", 0.001, "low"),), "Little limits it; the most (possible: a rule of"),
    ],
)
def test_the_verdict_names_the_worst_how_sure_and_what_next(
    findings: tuple[Finding, ...], words: str
) -> None:
    outcomes = (
        Outcome("a", "found" if findings else "clear", "x", findings),
        unknown("b", "y", FEW_IMAGES),
    )
    diagnosis = Diagnosis("birds", outcomes, accuracy="validation accuracy 0.583")
    assert words in diagnosis.verdict
    assert diagnosis.as_record()["verdict"] == diagnosis.verdict


def test_checks_that_cannot_tell_are_one_sentence_by_cause() -> None:
    outcomes = [
        unknown("pairs", "x", FEW_IMAGES),
        unknown("input", "y", NO_FEATURES),
        unknown("labels", "z", FEW_IMAGES),
        Outcome("files", "clear", "w"),
    ]
    assert unknown_checks(outcomes) == (
        "3 of 4 checks cannot tell: pairs and labels (too few images); input (no pretrained "
        "features)"
    )
    assert unknown_checks(outcomes[3:]) == ""


def test_a_curve_that_has_flattened_is_left_in_peace(copied: Run) -> None:
    run = with_curve(copied, [1.0, 0.5, 0.3, 0.25], [0.8, 0.5, 0.45, 0.44])
    assert check_settings(Evidence(run)).state == "clear"


def test_images_that_moved_are_told(copied: Run, tmp_path: Path) -> None:
    record = json.loads((copied.path / "run.json").read_text())
    record["settings"]["data"] = str(tmp_path / "gone")
    (copied.path / "run.json").write_text(json.dumps(record))
    with pytest.raises(ZooError, match=r"cannot be loaded .*put them back"):
        zoo.diagnose(copied.path)


def test_images_that_changed_are_told(copied: Run, tmp_path: Path) -> None:
    record = json.loads((copied.path / "run.json").read_text())
    folder = Path(shutil.copytree(record["settings"]["data"], tmp_path / "changed"))
    next(iter((folder / "train" / "digit 0").iterdir())).unlink()
    record["settings"]["data"] = str(folder)
    (copied.path / "run.json").write_text(json.dumps(record))
    with pytest.raises(ZooError, match="changed since"):
        zoo.diagnose(copied.path)


def test_predictions_that_are_missing_are_told(copied: Run) -> None:
    (copied.path / "predictions" / "val.npz").unlink()
    with pytest.raises(Exception, match=r"val\.npz"):
        zoo.diagnose(copied.path)


def test_an_ensemble_is_told_to_be_diagnosed_by_member(clean: Run, copied: Run) -> None:
    run = zoo.ensemble([clean, copied], runs_dir=copied.path.parent)
    with pytest.raises(ZooError, match="diagnose its members one by one"):
        zoo.diagnose(run)
