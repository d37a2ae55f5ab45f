"""Settings that the training curves show to be wrong: learning rate, epochs, patience."""

from __future__ import annotations

import math
from collections.abc import Callable

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import NOT_APPLICABLE, Finding, Outcome, outcome, unknown
from zoo.train.rates import DEFAULT_RATES
from zoo.words import counted

# rules of thumb, tuned on planted faults and clean runs (benchmarks/faults.py)
_STUCK = 0.06  # relative change of the training loss that counts as none
_UNMOVED = 0.02  # gain over the probe, relative to its validation loss, that counts as none
_KNOWN = 0.9  # training accuracy above which there is little left to learn
_STILL = 0.05  # relative gain of the last epoch that asks for more
_STEP = 0.02  # the same, if it is a large part of the whole gain
_PART = 0.5  # of the whole gain
_FEW = 3  # epochs in which the loss cannot recover from the peak rate
_STEPS = 300  # optimizer steps that fine-tuning needs at least
_NOTHING = 0.95  # of the loss of guessing: nothing was learned
_FAR = 5.0  # times the default rate
_WORSE, _WORSE_NATS = 1.25, 0.05  # times the probe's loss, and nats above it: spoiled
_SHARE = 3  # the last third of the epochs
_MORE = 3  # times as many epochs as advised

Epochs = list[dict[str, float]]
Rule = Callable[[Evidence, Epochs], Finding | None]


def check_settings(evidence: Evidence) -> Outcome:
    """Name a learning rate, a number of epochs or a patience that the curves show to be wrong."""
    rows = [row for row in evidence.history if "val_loss" in row]
    if not rows:
        return unknown(
            "settings", "only the probe was trained, which has no epochs", NOT_APPLICABLE
        )
    start = _start(evidence)
    if start is not None and not math.isfinite(start):
        return unknown("settings", "the validation loss of the probe is NaN", NOT_APPLICABLE)
    epochs = evidence.settings.epochs or len(rows)
    losses = [row["val_loss"] if math.isfinite(row["val_loss"]) else math.inf for row in rows]
    best = losses.index(min(losses)) + 1 if math.isfinite(min(losses)) else "none"
    says = f"best epoch {best} of {len(rows)}, {epochs} planned"
    rules: tuple[Rule, ...] = (_too_high,)
    broken = sum(not math.isfinite(row["train_loss"] + row["val_loss"]) for row in rows)
    if broken:  # only divergence can be told from these
        says += f"; the loss is NaN or infinite in {counted(broken, 'epoch')}"
        rows = [{**row, "val_loss": loss} for row, loss in zip(rows, losses, strict=True)]
    else:
        rules += (_too_low, _stopped_at_once, _too_short, _never_stopped)
    found = next((finding for rule in rules if (finding := rule(evidence, rows))), None)
    return outcome("settings", says, [found] if found else [])


def _start(evidence: Evidence) -> float | None:
    """Validation loss of the probe that fine-tuning started from; None from random weights."""
    found = evidence.kept_probe["val_loss"] if evidence.kept_probe else None
    return None if found is None else float(found)


def _usual(evidence: Evidence) -> float:
    """The default peak rate."""
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
    spoiled = long and start is not None and reached > max(_WORSE * start, start + _WORSE_NATS)
    rate = evidence.settings.learning_rate or 0.0
    nothing = long and start is None and reached > _NOTHING * guessing
    high = nothing and rate > _FAR * _usual(evidence)
    if not (exploded or spoiled or high):
        return None
    against = f"; the probe had {start:.3f}" if start is not None else ""
    return _wrong_rate(
        evidence,
        "too high",
        f"Training loss {first['train_loss']:.3f} in the first epoch (guessing: {guessing:.3f}); "
        + (f"best validation loss {reached:.3f}" if known else "no validation loss is finite")
        + f"{against}.",
        cost=0.5,
        factor=0.1,
        advice="Train with a tenth of this rate.",
    )


def _too_low(evidence: Evidence, rows: Epochs) -> Finding | None:
    """The loss hardly changed in all epochs though there is much left to learn."""
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
            f" The probe had a validation loss of {start:.3f}; the best epoch has {reached:.3f}."
        )
    if not unmoved:
        return None
    return _wrong_rate(
        evidence,
        "too low, or there is nothing to learn",
        f"Training loss {first:.3f} in the first epoch and {last:.3f} in the last of {len(rows)}; "
        f"training accuracy {rows[-1]['train_accuracy']:.3f}.{gained}",
        cost=max(0.02, 1 - rows[-1].get("train_accuracy", 1.0)) if start is None else 0.03,
        factor=10.0,
        advice="Train with ten times this rate; `zoo diagnose --range-test` finds the useful ones.",
    )


def _wrong_rate(
    evidence: Evidence, how: str, seen: str, *, cost: float, factor: float, advice: str
) -> Finding:
    rate = evidence.settings.learning_rate or 0.0
    return Finding(
        title=f"The learning rate {rate:g} is {how}.",
        cost=cost,
        evidence=(f"{seen} The default rate is {_usual(evidence):g}.",),
        advice=advice,
        command=evidence.rerun_command(f"--learning-rate {min(10.0, rate * factor):g}"),
    )


def _stopped_at_once(evidence: Evidence, rows: Epochs) -> Finding | None:
    """Early stopping ended the training after its first epochs, with most epochs left."""
    planned, patience = evidence.settings.epochs or 0, evidence.settings.patience
    best = len(rows) - patience
    if not patience or best > 1 or planned < 3 or len(rows) > max(2, planned / 3):
        return None
    return Finding(
        title=f"Early stopping fired at once, after {len(rows)} of {planned} epochs.",
        cost=0.05,
        evidence=(
            f"The validation loss was lowest {'in' if best else 'before'} the first epoch, and "
            f"training ended after {counted(patience, 'epoch')} without improvement.",
        ),
        advice="Raise the patience; if the loss rises from the start, lower the learning rate.",
        command=evidence.rerun_command(f"--patience {max(4, 3 * patience)}"),
    )


def _too_short(evidence: Evidence, rows: Epochs) -> Finding | None:
    """The validation loss still falls, or has not recovered, when the last planned epoch ends."""
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
            f"Warm-up and decay of the rate take up all {planned * steps} steps: the validation "
            f"loss is {losses[-1]:.3f}; the probe that training started from had {start:.3f}."
        )
    elif falls:
        told = (
            f"The last epoch still lowered the validation loss from {before:.3f} to "
            f"{losses[-1]:.3f}, by {gain / before:.0%}."
        )
    elif late := _late_gain(evidence, rows):
        told = late
    else:
        return None
    return Finding(
        title=f"Training ended too early: {counted(planned, 'epoch is', 'epochs are')} too few.",
        cost=min(0.3, max(0.02, gain / before)),
        evidence=(told,),
        advice="Train for more epochs; early stopping ends training in time.",
        command=evidence.rerun_command(f"--epochs {max(6, _MORE * planned)}"),
    )


def _late_gain(evidence: Evidence, rows: Epochs) -> str:
    """A sentence if training from scratch still gained in its last third; empty if not.

    The rate decays to nearly zero, so the last epoch alone gains little even if training is far
    from its end; the last third tells, as long as training images are not yet learned.
    """
    losses, third = [row["val_loss"] for row in rows], len(rows) // _SHARE
    accuracy = rows[-1].get("train_accuracy", 1.0)
    if not third or _start(evidence) is not None or accuracy > _KNOWN:
        return ""
    before, last = min(losses[:-third]), losses[-1]
    if before - last < _STILL * before:
        return ""
    return (
        f"The best epoch is the last one; the last {counted(third, 'epoch')} lowered the "
        f"validation loss from {before:.3f} to {last:.3f}, by {1 - last / before:.0%}, and the "
        f"training accuracy is only {accuracy:.3f}."
    )


def _never_stopped(evidence: Evidence, rows: Epochs) -> Finding | None:
    """The validation loss rose for half of the training, and early stopping did not end it."""
    losses = [row["val_loss"] for row in rows]
    best = losses.index(min(losses)) + 1
    planned, patience = evidence.settings.epochs or 0, evidence.settings.patience
    wasted, start = len(rows) - best, _start(evidence)
    if start is not None and min(losses) > start:
        return None  # the probe was kept: no epoch was worth anything
    if len(rows) < max(6, planned) or wasted < len(rows) / 2 or losses[-1] < 1.1 * min(losses):
        return None
    return Finding(
        title=f"Early stopping never fired: {wasted} of {len(rows)} epochs were wasted.",
        cost=0.02,
        evidence=(
            f"The validation loss was {min(losses):.3f} in epoch {best} and {losses[-1]:.3f} in "
            f"the last one; patience is {patience or 'off'}. The weights of epoch {best} are used.",
        ),
        advice="Let early stopping end training; stronger augmentation delays the rise.",
        confidence="high",
        command=evidence.rerun_command(f"--patience {max(2, best)} --augment strong"),
    )
