"""Settings that the curves of a training show to be wrong: learning rate, epochs, patience."""

from __future__ import annotations

import math
from collections.abc import Callable

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding, Outcome, outcome, unknown
from zoo.train.rates import DEFAULT_RATES

_STUCK = 0.06  # change of the training loss, relative to it, that is none
_UNMOVED = 0.02  # gain over the probe, relative to its validation loss, that is none
_KNOWN = 0.9  # training accuracy above which there is little left to learn
_STILL = 0.05  # gain of the last epoch, relative to the loss before it, that asks for more
_STEP = 0.02  # the same, where it is a large part of all that was gained
_PART = 0.5
_FEW = 3
_STEPS = 300  # that fine-tuning takes at least
_NOTHING = 0.95  # of the loss of guessing: nothing was learned
_FAR = 5.0  # times the usual rate

Epochs = list[dict[str, float]]
Rule = Callable[[Evidence, Epochs], Finding | None]


def check_settings(evidence: Evidence) -> Outcome:
    """Name a learning rate, a number of epochs or a patience that the curves speak against."""
    rows = [row for row in evidence.history if "val_loss" in row]
    if not rows:
        return unknown("settings", "only the probe was trained: there is no curve to judge")
    start = _start(evidence)
    if start is not None and not math.isfinite(start):
        return unknown("settings", "the validation loss of the probe is not a number")
    epochs = evidence.settings.epochs or len(rows)
    losses = [row["val_loss"] if math.isfinite(row["val_loss"]) else math.inf for row in rows]
    best = losses.index(min(losses)) + 1 if math.isfinite(min(losses)) else "none"
    says = f"best of {len(rows)} epochs: {best}, of {epochs} planned"
    rules: tuple[Rule, ...] = (_too_high,)
    broken = sum(not math.isfinite(row["train_loss"] + row["val_loss"]) for row in rows)
    if broken:  # nothing but the training that left all bounds is judged by
        says += f"; in {broken} of them a loss is not a number"
        rows = [{**row, "val_loss": loss} for row, loss in zip(rows, losses, strict=True)]
    else:
        rules += (_too_low, _stopped_at_once, _too_short, _never_stopped)
    found = next((finding for rule in rules if (finding := rule(evidence, rows))), None)
    return outcome("settings", says, [found] if found else [])


def _start(evidence: Evidence) -> float | None:
    """Validation loss of the probe that fine-tuning started from; None from random weights."""
    found = evidence.kept.get("probe", {}).get("val_loss")
    return None if found is None else float(found)


def _usual(evidence: Evidence) -> float:
    """The peak rate that is taken where none is given."""
    return DEFAULT_RATES[evidence.settings.optimizer][evidence.settings.weights == "none"]


def _too_high(evidence: Evidence, rows: Epochs) -> Finding | None:
    """Fine-tuning made the probe much worse, or the loss left the range of guessing."""
    guessing = math.log(max(2, len(evidence.run.classes)))
    first, reached = rows[0], min(row["val_loss"] for row in rows)
    start = _start(evidence)
    exploded = not all(math.isfinite(row["train_loss"]) for row in rows)
    # random weights may begin with a large loss, a probe's head does not
    exploded |= (first if start is not None else rows[-1])["train_loss"] > 2 * guessing
    known = math.isfinite(reached)
    # in fewer epochs there is no time to come back after the peak rate
    long = known and len(rows) >= _FEW
    spoiled = long and start is not None and reached > max(1.25 * start, start + 0.05)
    rate = evidence.settings.learning_rate or 0.0
    nothing = long and start is None and reached > _NOTHING * guessing
    high = nothing and rate > _FAR * _usual(evidence)
    if not (exploded or spoiled or high):
        return None
    against = f", where the probe had {start:.3f}" if start is not None else ""
    return _wrong_rate(
        evidence,
        "too high",
        f"Training loss {first['train_loss']:.3f} in the first epoch (guessing has "
        f"{guessing:.3f}); {'the best' if known else 'no'} validation loss is "
        f"{f'{reached:.3f}' if known else 'a number'}{against}.",
        cost=0.5,
        factor=0.1,
        advice="Train with a tenth of it.",
    )


def _too_low(evidence: Evidence, rows: Epochs) -> Finding | None:
    """Training hardly moved anything in all its epochs though there is much left to learn."""
    first, last, start = rows[0]["train_loss"], rows[-1]["train_loss"], _start(evidence)
    rate = evidence.settings.learning_rate or 0.0
    # from random weights even a tiny rate moves the loss a little
    tiny = start is None and rate < _usual(evidence) / _FAR
    if len(rows) < 2 or (first - last > _STUCK * first and not tiny):
        return None
    reached = min(row["val_loss"] for row in rows)
    if start is None:
        unmoved = rows[-1].get("train_accuracy", 1.0) <= _KNOWN
        gained = ""
    else:
        unmoved = abs(start - reached) < _UNMOVED * start
        gained = (
            f" The probe had a validation loss of {start:.3f}; the best since is {reached:.3f}."
        )
    if not unmoved:
        return None
    return _wrong_rate(
        evidence,
        "too low, or nothing can be learned",
        f"Training loss {first:.3f} in the first epoch and {last:.3f} in the last of {len(rows)}; "
        f"training accuracy {rows[-1]['train_accuracy']:.3f}.{gained}",
        cost=max(0.02, 1 - rows[-1].get("train_accuracy", 1.0)) if start is None else 0.03,
        factor=10.0,
        advice="Train with ten times as much; zoo diagnose --range-test finds how much.",
    )


def _wrong_rate(
    evidence: Evidence, how: str, seen: str, *, cost: float, factor: float, advice: str
) -> Finding:
    rate = evidence.settings.learning_rate or 0.0
    return Finding(
        title=f"The learning rate {rate:g} is {how}.",
        cost=cost,
        evidence=(f"{seen} The usual rate is {_usual(evidence):g}.",),
        advice=advice,
        command=evidence.rerun_command(f"--learning-rate {min(10.0, rate * factor):g}"),
    )


def _stopped_at_once(evidence: Evidence, rows: Epochs) -> Finding | None:
    """No epoch after the first was better, and early stopping ended it with most epochs left."""
    planned, patience = evidence.settings.epochs or 0, evidence.settings.patience
    best = len(rows) - patience
    if not patience or best > 1 or planned < 3 or len(rows) > max(2, planned / 3):
        return None
    return Finding(
        title=f"Early stopping fired at once: {len(rows)} of {planned} epochs were trained.",
        cost=0.05,
        evidence=(
            f"The validation loss was lowest {'in the first epoch' if best else 'before it'}, and "
            f"after {patience} without a better one the training ended.",
        ),
        advice="Wait longer, and train with a lower rate if the loss rises from the first epoch.",
        command=evidence.rerun_command(f"--patience {max(4, 3 * patience)}"),
    )


def _too_short(evidence: Evidence, rows: Epochs) -> Finding | None:
    """The validation loss still falls, or has not come back, when the last planned epoch ends."""
    planned, losses = evidence.settings.epochs or 0, [row["val_loss"] for row in rows]
    if len(losses) < planned or losses[-1] > min(losses):
        return None
    start = _start(evidence)
    if start is None:
        start = math.log(max(2, len(evidence.run.classes)))
    before = losses[-2] if len(losses) > 1 else start
    gain, all_gained = before - losses[-1], start - losses[-1]
    part = gain / all_gained if all_gained > 0 else 0.0
    falls = gain >= _STILL * before or (gain >= _STEP * before and part >= _PART)
    steps = sum(evidence.run.record["data"]["counts"]["train"]) // evidence.settings.batch_size
    if planned < _FEW and planned * steps < _STEPS and _start(evidence) is not None:
        told = (
            f"Warm-up and decay of the rate take up all of {planned * steps} steps: the validation "
            f"loss is {losses[-1]:.3f}, where the probe that it started from had {start:.3f}."
        )
    elif falls:
        told = (
            f"The last epoch still lowered the validation loss from {before:.3f} to "
            f"{losses[-1]:.3f}, by {gain / before:.0%}."
        )
    else:
        return None
    return Finding(
        title=f"Training ended too early: {planned} epoch{'s are' if planned > 1 else ' is'} too "
        "few.",
        cost=min(0.3, max(0.02, gain / before)),
        evidence=(told,),
        advice="Train for more epochs; early stopping ends it in time.",
        command=evidence.rerun_command(f"--epochs {max(6, 3 * planned)}"),
    )


def _never_stopped(evidence: Evidence, rows: Epochs) -> Finding | None:
    """The validation loss rose for half of the training, and nothing ended it."""
    losses = [row["val_loss"] for row in rows]
    best = losses.index(min(losses)) + 1
    planned, patience = evidence.settings.epochs or 0, evidence.settings.patience
    wasted, start = len(rows) - best, _start(evidence)
    if start is not None and min(losses) > start:
        return None  # the probe was kept: no epoch was worth anything
    if len(rows) < max(6, planned) or wasted < len(rows) / 2 or losses[-1] < 1.1 * min(losses):
        return None
    return Finding(
        title=f"Early stopping never fired: {wasted} of {len(rows)} epochs were for nothing.",
        cost=0.02,
        evidence=(
            f"The validation loss was {min(losses):.3f} in epoch {best} and {losses[-1]:.3f} in "
            f"the last; patience is {patience or 'off'}. The weights of epoch {best} were kept.",
        ),
        advice="Let early stopping end it; stronger augmentation puts the rise off.",
        command=evidence.rerun_command(f"--patience {max(2, best)} --augment strong"),
    )
