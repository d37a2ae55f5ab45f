"""Faults of single classes: rare ones that lose, and pairs that cannot be told apart."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest

from ensembles import PredictionTable
from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import Finding, Outcome, Shown, outcome, unknown
from zoo.diagnosis.proportions import difference_interval

_RATIO = 3.0
_LEVEL = 0.01
_FEWEST = 100
_MENDED = 0.005
_CONFUSED = 0.07  # of the images of both; fewer are confused in many a good classifier
_ROUNDS = 1000


def check_balance(evidence: Evidence) -> Outcome:
    """Say whether classes are unequal, and whether the rare ones pay for it."""
    table = evidence.out_of_fold
    counts = np.bincount(
        evidence.catalog.labels[evidence.dataset.split.train], minlength=len(table.classes)
    )
    ratio = counts.max() / max(1, counts.min())
    says = f"the classes have {counts.min()} to {counts.max()} training images"
    if ratio < _RATIO:
        return outcome("balance", says, [])
    rare = counts < np.sqrt(counts.max() * max(1, counts.min()))
    correct = table.probabilities.argmax(axis=1) == table.labels
    ours = rare[table.labels]
    if ours.sum() < 10 or (~ours).sum() < 10:
        return unknown("balance", f"{says}, and too few of them are judged to say what it costs")
    gap, low, high = difference_interval(correct[~ours], correct[ours])
    says += f"; recall of the rare ones is {gap:+.3f} [{low:+.3f}, {high:+.3f}] short"
    if low <= 0:
        return outcome("balance", says, [])
    gain = balanced_gain(table, counts)
    says += (
        f"; were all equally frequent, the mean recall of a class would change by {gain[0]:+.3f} "
        f"[{gain[1]:+.3f}, {gain[2]:+.3f}] (90%)"
    )
    if gain[1] <= 0 or gain[0] < _MENDED:
        return outcome("balance", f"{says}: they are hard rather than too rare", [])
    names = ", ".join(str(table.classes[k]) for k in np.flatnonzero(rare)[:8])
    weighed = evidence.settings.class_weights != "none"
    finding = Finding(
        title=f"Rare classes lose: {names}.",
        cost=gap * float(ours.mean()),
        evidence=(
            f"{says[0].upper()}{says[1:]} (judged by {evidence.judge}).",
            *_with_weights(evidence, table, ours),
        ),
        advice="Collect more images of the rare classes"
        + ("." if weighed else ", or weigh the classes in training."),
        command="" if weighed else evidence.rerun_command("--class-weights auto"),
    )
    return outcome("balance", says, [finding])


def balanced_gain(table: PredictionTable, counts: np.ndarray) -> tuple[float, float, float]:
    """What taking out the frequencies does to the mean recall, with its 90% interval.

    Probabilities divided by the frequency of their class are those of equally frequent classes
    (logit adjustment, Menon et al. 2021, arXiv 2007.07314). A class that loses because it is rare
    wins more by it than the others lose; one that cannot be told from another does not. The
    interval is a paired bootstrap within classes.
    """
    plain = table.probabilities.argmax(axis=1) == table.labels
    adjusted = (table.probabilities / np.maximum(counts, 1)).argmax(axis=1) == table.labels
    change = adjusted.astype(np.float64) - plain
    rng, means = np.random.default_rng(SEED), []
    for k in np.unique(table.labels):
        own = change[table.labels == k]
        means.append(own[rng.integers(0, len(own), (_ROUNDS, len(own)))].mean(axis=1))
    drawn = np.mean(means, axis=0)
    gain = np.mean([change[table.labels == k].mean() for k in np.unique(table.labels)])
    return float(gain), float(np.quantile(drawn, 0.05)), float(np.quantile(drawn, 0.95))


def _with_weights(evidence: Evidence, table: PredictionTable, rare: np.ndarray) -> tuple[str, ...]:
    """What class weights do to a linear head on the frozen features."""
    if evidence.features is None or len(table.labels) != len(evidence.pool):
        return ()
    from zoo.train.member import sample_weights

    labels = evidence.catalog.labels[evidence.pool]
    plain = evidence.probed.argmax(axis=1) == labels
    weights = sample_weights(labels, len(table.classes), "auto")
    weighed = evidence.cross_probed(labels, weights).argmax(axis=1) == labels
    return (
        f"Class weights in a linear head change the recall of the rare classes from "
        f"{plain[rare].mean():.3f} to {weighed[rare].mean():.3f} and that of the others from "
        f"{plain[~rare].mean():.3f} to {weighed[~rare].mean():.3f}.",
    )


def check_pairs(evidence: Evidence) -> Outcome:
    """Name pairs of classes that are taken for each other in both directions.

    A pair is named where it is confused more often than if the errors of its two classes were
    spread evenly over all other classes (binomial test, corrected for the number of pairs).
    """
    table = evidence.out_of_fold
    k = len(table.classes)
    if len(table.labels) < _FEWEST:
        return unknown("pairs", f"{len(table.labels)} judged images are too few")
    if k < 3:
        return unknown("pairs", "two classes are the only pair there is")
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
            if least < 3 or both < _CONFUSED * (totals[i] + totals[j]):
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
        title=f"{first} and {second} are taken for each other.",
        cost=len(rows) / len(table.labels),
        evidence=(
            f"{confusion[i, j]} of {n[i]} {first} are called {second}, {confusion[j, i]} of {n[j]} "
            f"{second} are called {first} by {judge}; were errors spread evenly, p = {p:.1g}.",
        ),
        advice="Look at the listed files: if labels are exchanged, correct them; if people "
        "disagree too, sharpen the definition or merge the two; if not, collect more of exactly "
        "these, or train at a larger --size.",
        files=tuple(
            Shown(str(table.ids[r]), f"{names[table.labels[r]]} called {names[predicted[r]]}")
            for r in rows
        ),
    )
