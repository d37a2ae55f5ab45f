"""Faults of single classes: low recall from class imbalance, and confused pairs."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

from ensembles import PredictionTable
from ensembles.intervals import group_sums
from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import (
    FEW_IMAGES,
    NOT_APPLICABLE,
    Finding,
    Outcome,
    Shown,
    outcome,
    unknown,
)
from zoo.diagnosis.proportions import difference_interval

_RATIO = 3.0  # largest by smallest class, below which classes count as balanced
_LEVEL = 0.01  # of the test of a pair, corrected for the number of pairs
_FEWEST = 100  # predictions for a test of pairs
_FEWEST_RARE = 10  # predictions of rare and of frequent classes for a comparison
_MENDED = 0.005  # gain of mean recall by adjusting for frequencies that is worth weights
_CONFUSED = 0.07  # share of both classes' images; good classifiers confuse fewer than that
_LEAST_EACH = 3  # images confused in either direction
_NAMED = 8  # rare classes in a title
_ROUNDS = 1000  # of the bootstrap


def check_balance(evidence: Evidence) -> Outcome:
    """Tell whether classes are imbalanced, and whether the rare ones have a low recall for it."""
    table = evidence.out_of_fold
    counts = np.bincount(
        evidence.catalog.labels[evidence.dataset.split.train], minlength=len(table.classes)
    )
    ratio = counts.max() / max(1, counts.min())
    says = f"classes have {counts.min()} to {counts.max()} training images"
    if ratio < _RATIO:
        return outcome("balance", says, [])
    rare = counts < np.sqrt(counts.max() * max(1, counts.min()))
    correct = table.probabilities.argmax(axis=1) == table.labels
    ours = rare[table.labels]
    if min(ours.sum(), (~ours).sum()) < _FEWEST_RARE:
        why = f"{says}, and too few have predictions to compare the recall of rare classes"
        return unknown("balance", why, FEW_IMAGES)
    groups = table.groups
    each = (None, None) if groups is None else (groups[~ours], groups[ours])
    gap, low, high = difference_interval(correct[~ours], correct[ours], each)
    says += f"; the recall of rare ones is lower by {gap:.3f} [{low:+.3f}, {high:+.3f}]"
    if low <= 0:
        return outcome("balance", says, [])
    gain = balanced_gain(table, counts)
    says += (
        f"; adjusted for class frequencies, the mean recall would change by {gain[0]:+.3f} "
        f"[{gain[1]:+.3f}, {gain[2]:+.3f}] (90% interval)"
    )
    if gain[1] <= 0 or gain[0] < _MENDED:
        return outcome("balance", f"{says}: they are hard, not too rare", [])
    names = ", ".join(str(table.classes[k]) for k in np.flatnonzero(rare)[:_NAMED])
    weighed = evidence.settings.class_weights != "none"
    finding = Finding(
        title=f"Rare classes have a low recall from class imbalance: {names}.",
        cost=gap * float(ours.mean()),
        evidence=(
            f"{says[0].upper()}{says[1:]} (predictions of {evidence.judge}).",
            *_with_weights(evidence, table, ours),
        ),
        advice="Collect more images of the rare classes"
        + ("." if weighed else ", or train with class weights."),
        command="" if weighed else evidence.rerun_command("--class-weights auto"),
    )
    return outcome("balance", says, [finding])


def balanced_gain(table: PredictionTable, counts: np.ndarray) -> tuple[float, float, float]:
    """Gain of mean recall by adjusting for class frequencies, with its 90% interval.

    Probabilities divided by the frequency of their class are those of equally frequent classes
    (logit adjustment, Menon et al. 2021, arXiv 2007.07314). A class of low recall because it is
    rare gains more by it than the others lose; one that cannot be told from another does not. The
    interval is a paired bootstrap within classes, over groups if the table knows any.
    """
    plain = table.probabilities.argmax(axis=1) == table.labels
    adjusted = (table.probabilities / np.maximum(counts, 1)).argmax(axis=1) == table.labels
    change = adjusted.astype(np.float64) - plain
    rng, means = np.random.default_rng(SEED), []
    for k in np.unique(table.labels):
        of_class = table.labels == k
        groups = None if table.groups is None else table.groups[of_class]
        sizes, sums = group_sums(change[of_class], groups)
        rows = rng.integers(0, len(sums), (_ROUNDS, len(sums)))
        means.append(sums[rows].sum(axis=1) / sizes[rows].sum(axis=1))
    drawn = np.mean(means, axis=0)
    gain = np.mean([change[table.labels == k].mean() for k in np.unique(table.labels)])
    return float(gain), float(np.quantile(drawn, 0.05)), float(np.quantile(drawn, 0.95))


def _with_weights(evidence: Evidence, table: PredictionTable, rare: np.ndarray) -> tuple[str, ...]:
    """The effect of class weights on a linear head on the frozen features."""
    if evidence.features is None or len(table.labels) != len(evidence.not_test):
        return ()
    from zoo.train.member import sample_weights

    labels = evidence.catalog.labels[evidence.not_test]
    plain = evidence.probed.argmax(axis=1) == labels
    weights = sample_weights(labels, len(table.classes), "auto")
    weighed = evidence.cross_probed(labels, weights).argmax(axis=1) == labels
    return (
        f"With class weights, a linear head changes the recall of the rare classes from "
        f"{plain[rare].mean():.3f} to {weighed[rare].mean():.3f} and that of the others from "
        f"{plain[~rare].mean():.3f} to {weighed[~rare].mean():.3f}.",
    )


def check_pairs(evidence: Evidence) -> Outcome:
    """Name pairs of classes that are confused in both directions.

    A pair is named where it is confused more often than if the errors of its two classes were
    spread evenly over all other classes (binomial test, corrected for the number of pairs).
    """
    table = evidence.out_of_fold
    k = len(table.classes)
    if len(table.labels) < _FEWEST:
        return unknown("pairs", f"{len(table.labels)} predictions are too few", FEW_IMAGES)
    if k < 3:
        return unknown("pairs", "with two classes there is only one pair", NOT_APPLICABLE)
    predicted = table.probabilities.argmax(axis=1)
    confusion = np.zeros((k, k), np.int64)
    np.add.at(confusion, (table.labels, predicted), 1)
    totals = confusion.sum(axis=1)
    errors = totals - confusion.diagonal()
    findings, tests = [], k * (k - 1) // 2
    for i in range(k):
        for j in range(i + 1, k):
            both, wrong = int(confusion[i, j] + confusion[j, i]), int(errors[i] + errors[j])
            least = min(confusion[i, j], confusion[j, i])
            if least < _LEAST_EACH or both < _CONFUSED * (totals[i] + totals[j]):
                continue
            p = float(binomtest(both, wrong, 1 / (k - 1), alternative="greater").pvalue)
            if p * tests < _LEVEL:
                findings.append(
                    _pair(table, predicted, (i, j), confusion, p * tests, evidence.judge)
                )
    findings.sort(key=lambda f: -f.cost)
    return outcome("pairs", f"{tests} pairs of classes were compared", findings)


def _pair(
    table: PredictionTable,
    predicted: np.ndarray,
    pair: tuple[int, int],
    confusion: np.ndarray,
    p: float,
    judge: str,
) -> Finding:
    i, j = pair
    names = table.classes.tolist()
    first, second = names[i], names[j]
    swapped = ((table.labels == i) & (predicted == j)) | ((table.labels == j) & (predicted == i))
    rows = np.flatnonzero(swapped)
    rows = rows[np.argsort(-table.probabilities[rows, predicted[rows]], kind="stable")]
    n = confusion.sum(axis=1)
    return Finding(
        title=f"{first} and {second} are confused with each other.",
        cost=len(rows) / len(table.labels),
        evidence=(
            f"{confusion[i, j]} of {n[i]} images of {first} are predicted as {second}, "
            f"{confusion[j, i]} of {n[j]} of {second} as {first} by {judge}; p = {p:.1g} against "
            f"errors spread evenly.",
        ),
        advice="Look at the listed files: if labels are swapped, correct them; if people disagree "
        "too, sharpen the definition or merge the two classes; if not, collect more images of both "
        "or train at a larger --size.",
        files=tuple(
            Shown(str(table.ids[r]), f"{names[table.labels[r]]} predicted as {names[predicted[r]]}")
            for r in rows
        ),
    )
