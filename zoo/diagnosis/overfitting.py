"""Overfitting and underfitting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ensembles import PredictionTable
from ensembles.calibration import fit_temperature
from ensembles.comparison import Comparison, compare
from ensembles.probabilities import true_class
from zoo.diagnosis.evidence import USUAL_L2, Evidence
from zoo.diagnosis.finding import FEW_IMAGES, Finding, Outcome, outcome, unknown
from zoo.diagnosis.proportions import difference_interval
from zoo.train.arrays import Table
from zoo.train.calibrate import softmax

_FEWEST = 50  # images with predictions
_GAP = 0.08  # of accuracy; a smaller one is usual and hardly worth regularizing against
_BETTER = 0.03  # relative gain of log loss by which the linear baseline must be better
_LEAST = 0.01  # the same in nats, for runs that are nearly perfect


def check_fit(evidence: Evidence) -> Outcome:
    """Tell overfitting by the generalization gap, underfitting by a linear baseline.

    How many training images a good network gets wrong depends on the data. If a linear head on the
    frozen features (on grey thumbnails if the network was trained from scratch) does better on the
    same unseen images, the network could have learned more.
    """
    table = evidence.judged
    if len(table.labels) < _FEWEST:
        return unknown(
            "fit",
            f"{len(table.labels)} validation images are too few to tell over- from underfitting; "
            f"train with --folds 5 or a larger --val-fraction",
            FEW_IMAGES,
        )
    labels, probabilities = evidence.on_training
    known = probabilities.argmax(axis=1) == labels
    new = table.probabilities.argmax(axis=1) == table.labels
    gap, low, high = difference_interval(known, new, (None, table.groups))
    says = (
        f"accuracy {known.mean():.3f} on training images, {new.mean():.3f} on unseen ones: a gap "
        f"of {gap:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    baseline, penalty = _baseline(evidence)
    ours = _calibrated(table)
    against = compare(_calibrated(baseline), ours)
    usual = float(-np.log(true_class(ours.probabilities, ours.labels)).mean())
    if against.by_log_loss == "better" and against.high < -max(_BETTER * usual, _LEAST):
        finding = _underfit(evidence, against, penalty, says)
        return outcome("fit", says, [finding])
    return outcome("fit", says, [_overfit(evidence, gap, says)] if low > _GAP else [])


def _baseline(evidence: Evidence) -> tuple[PredictionTable, float]:
    """Predictions of a linear head for the same images, and its penalty."""
    from zoo.train.probe import choose_head, soft_targets

    x: Table | None = evidence.features
    split, labels = evidence.dataset.split, evidence.catalog.labels
    if x is None:
        x = evidence.seen.thumbs.reshape(len(labels), -1).astype(np.float32)
    if evidence.judged.split == "oof":
        found = evidence.cross_probed(labels[evidence.not_test], features=x, l2=USUAL_L2)
        return evidence.table(evidence.not_test, found, "oof"), USUAL_L2
    train = x[split.train], soft_targets(labels[split.train], len(evidence.catalog.classes), 0.0)
    head, _ = choose_head(train, (x[split.val], labels[split.val]), l1=0.0)
    return evidence.table(split.val, head.probabilities(x[split.val]), "val"), head.l2


def _calibrated(table: PredictionTable) -> PredictionTable:
    """At its best temperature, so that calibration plays no part in the comparison."""
    logits = np.log(np.maximum(table.probabilities, 1e-12))
    temperature = fit_temperature(logits, table.labels)
    return replace(table, probabilities=softmax(logits, temperature))


def _overfit(evidence: Evidence, gap: float, says: str) -> Finding:
    return Finding(
        title="The network overfits: it is much better on training images than on others.",
        cost=gap,
        evidence=(says[0].upper() + says[1:] + ".",),
        advice="Train with stronger augmentation, mixing, dropout or fewer unfrozen blocks; more "
        "images help most.",
        command=evidence.rerun_command("--augment strong --mix both --dropout 0.3"),
    )


def _underfit(evidence: Evidence, against: Comparison, penalty: float, says: str) -> Finding:
    pretrained = evidence.features is not None
    what = "the frozen features" if pretrained else "grey 16 px thumbnails"
    if pretrained and evidence.settings.head_penalties[1] is not None:
        advice, options = "Lower the penalty of the head.", f"--head-l2 {penalty:g}"
    else:
        advice = "Train longer, unfreeze more, lower the penalties, or use a larger network."
        options = f"--epochs {3 * (evidence.settings.epochs or 6)} --unfreeze all"
    return Finding(
        title=f"The network underfits: a linear head on {what} does better.",
        cost=max(0.05, against.accuracy),
        evidence=(
            f"On the same {against.n} images the linear head changes accuracy by "
            f"{against.accuracy:+.3f} and log loss by {against.log_loss:+.3f} "
            f"[{against.low:+.3f}, {against.high:+.3f}].",
            says[0].upper() + says[1:] + ".",
        ),
        advice=advice,
        command=evidence.rerun_command(options),
    )
