"""Overfitting, underfitting, and settings that the curves of a training show to be wrong."""

from __future__ import annotations

import math

import numpy as np

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding, Outcome, outcome, unknown
from zoo.evaluate.metrics import wilson

_FEWEST = 50
_GAP = 0.05  # a smaller gap is usual, and hardly worth regularizing against
_WEAK = 0.9


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """Difference of two independent shares with its 95% interval (Newcombe 1998, method 10).

    Args:
        first, second: bool arrays of shapes (n,) and (m,), neither empty.
    """
    (a, b), (n, m) = (float(first.mean()), float(second.mean())), (len(first), len(second))
    (la, ua), (lb, ub) = wilson(float(first.sum()), n), wilson(float(second.sum()), m)
    return a - b, a - b - math.hypot(a - la, ub - b), a - b + math.hypot(ua - a, b - lb)


def check_fit(evidence: Evidence) -> Outcome:
    """Tell overfitting from underfitting by the accuracy on training and on other images."""
    table = evidence.judged
    if len(table.labels) < _FEWEST:
        return unknown(
            "fit",
            f"{len(table.labels)} validation images are too few to tell over- from underfitting; "
            f"train with --folds 5 or a larger --val-fraction",
        )
    labels, probabilities = evidence.on_training
    known = probabilities.argmax(axis=1) == labels
    new = table.probabilities.argmax(axis=1) == table.labels
    gap, low, high = difference(known, new)
    says = (
        f"accuracy {known.mean():.3f} on training images, {new.mean():.3f} on others: a gap of "
        f"{gap:+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    findings = []
    if low > _GAP:
        findings.append(_overfit(evidence, gap, says))
    elif wilson(float(known.sum()), len(known))[1] < _WEAK and high < _GAP:
        findings.append(_underfit(evidence, float(known.mean()), says))
    return outcome("fit", says, findings)


def _overfit(evidence: Evidence, gap: float, says: str) -> Finding:
    return Finding(
        title="The network knows its training images far better than new ones: it overfits.",
        cost=gap,
        evidence=(says[0].upper() + says[1:] + ".",),
        advice="Train with stronger augmentation, mixing, or fewer unfrozen blocks; most of all, "
        "with more images.",
        command=_again(evidence, "--augment strong --mix both --dropout 0.3"),
    )


def _underfit(evidence: Evidence, accuracy: float, says: str) -> Finding:
    return Finding(
        title="The network does not even learn its training images: it underfits.",
        cost=1 - accuracy,
        evidence=(says[0].upper() + says[1:] + ".",),
        advice="Train longer, unfreeze more, lower the penalties, or take a larger backbone.",
        command=_again(evidence, f"--epochs {2 * (evidence.settings.epochs or 6)} --unfreeze all"),
    )


def check_settings(evidence: Evidence) -> Outcome:
    """Name a learning rate or a number of epochs that the curves speak against."""
    rows = [row for row in evidence.history if "val_loss" in row]
    if not rows:
        return unknown("settings", "only the probe was trained: there is no curve to judge")
    epochs = evidence.settings.epochs or len(rows)
    losses = np.array([row["val_loss"] for row in rows])
    best = int(np.nanargmin(losses)) + 1 if np.isfinite(losses).any() else 0
    says = f"best of {len(rows)} epochs: {best}, of {epochs} planned"
    found = _too_high(evidence, rows) or _too_low(evidence, rows) or _too_short(evidence, losses)
    return outcome("settings", says, [found] if found else [])


def _too_high(evidence: Evidence, rows: list[dict[str, float]]) -> Finding | None:
    """Fine-tuning made the probe much worse, or the loss left the range of guessing."""
    guessing = math.log(max(2, len(evidence.run.classes)))
    first, reached = rows[0], min(row["val_loss"] for row in rows)
    start = evidence.kept.get("probe", {}).get("val_loss")
    exploded = not all(math.isfinite(row["train_loss"]) for row in rows)
    exploded |= first["train_loss"] > 2 * guessing
    spoiled = start is not None and reached > 1.25 * start and reached > start + 0.05
    if not (exploded or spoiled):
        return None
    against = f", where the probe had {start:.3f}" if start is not None else ""
    rate = evidence.settings.learning_rate or 0.0
    return Finding(
        title=f"The learning rate {rate:g} is too high.",
        cost=0.5,
        evidence=(
            f"Training loss {first['train_loss']:.3f} in the first epoch (guessing has "
            f"{guessing:.3f}); the best validation loss is {reached:.3f}{against}.",
        ),
        advice="Train with a tenth of it.",
        command=_again(evidence, f"--learning-rate {rate / 10:g}"),
    )


def _too_low(evidence: Evidence, rows: list[dict[str, float]]) -> Finding | None:
    """The training loss hardly moves in all epochs though there is much left to learn."""
    first, last = rows[0]["train_loss"], rows[-1]["train_loss"]
    stuck = len(rows) >= 2 and abs(first - last) < 0.03 * first
    if not stuck or rows[-1].get("train_accuracy", 1.0) > _WEAK:
        return None
    rate = evidence.settings.learning_rate or 0.0
    return Finding(
        title=f"The learning rate {rate:g} is too low, or nothing can be learned.",
        cost=1 - rows[-1]["train_accuracy"],
        evidence=(
            f"Training loss {first:.3f} in the first epoch and {last:.3f} in the last of "
            f"{len(rows)}; training accuracy {rows[-1]['train_accuracy']:.3f}.",
        ),
        advice="Train with ten times as much.",
        command=_again(evidence, f"--learning-rate {min(10.0, rate * 10):g}"),
    )


def _too_short(evidence: Evidence, losses: np.ndarray) -> Finding | None:
    """The validation loss still falls steeply when the last planned epoch ends."""
    planned = evidence.settings.epochs or 0
    if len(losses) < planned or losses[-1] > losses.min():
        return None
    before = losses[-2] if len(losses) > 1 else evidence.kept.get("probe", {}).get("val_loss")
    if before is None:
        before = math.log(max(2, len(evidence.run.classes)))
    gain = 1 - losses[-1] / before
    if gain < 0.05:
        return None
    return Finding(
        title=f"Training ended too early: {planned} epochs are too few.",
        cost=min(0.3, gain),
        evidence=(
            f"The last epoch still lowered the validation loss from {before:.3f} to "
            f"{losses[-1]:.3f}, by {gain:.0%}.",
        ),
        advice="Train for more epochs; early stopping ends it in time.",
        command=_again(evidence, f"--epochs {3 * planned}"),
    )


def _again(evidence: Evidence, options: str) -> str:
    return f"zoo finetune --config {evidence.run.path / 'run.json'} {options}"
