"""Do earlier layers of the pretrained network hold what its last layer has lost?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import backbones
from ensembles.comparison import is_distinguishable
from ensembles.intervals import difference_interval
from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import (
    FEW_IMAGES,
    NO_FEATURES,
    NOT_APPLICABLE,
    Finding,
    Outcome,
    outcome,
    unknown,
)

if TYPE_CHECKING:
    from zoo.train.choice import Judged

_SAMPLE = 1000  # training images: the heads then take seconds


def check_depths(evidence: Evidence) -> Outcome:
    """Compare linear heads on the last layer with heads that also see earlier ones.

    Out of fold, on training images. If earlier layers help, the images are unlike those of the
    pretraining (Evci et al. 2022, arXiv 2201.03529).
    """
    if evidence.settings.weights == "none":
        why = "a network trained from scratch has no layers of a pretraining"
        return unknown("depths", why, NO_FEATURES)
    if not backbones.last_maps(evidence.backbone.model):
        why = "the layers inside this backbone cannot be reached"
        return unknown("depths", why, NOT_APPLICABLE)
    heads = _heads(evidence)
    if heads is None:
        return unknown("depths", "there are too few training images to tell", FEW_IMAGES)
    judged, groups = heads
    last, every = judged.pop("the last layer"), judged.pop("all depths")
    before, after = float(last.losses.mean()), float(every.losses.mean())
    change = every.losses - last.losses
    low, high = difference_interval(change, groups)
    best = min(judged, key=lambda name: judged[name].losses.mean())
    says = (
        f"the log loss of a linear head is {before:.3f} on the last layer and {after:.3f} on all "
        f"depths: {change.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
    )
    if change.mean() > 0 or not is_distinguishable(change, groups):
        return outcome("depths", f"{says}; the last layer holds what earlier layers do", [])
    where = f"with {best} alone beside the last layer, it is {judged[best].losses.mean():.3f}"
    kept = evidence.kept.get("depths", "last") if evidence.kept else "last"
    if kept != "last":
        says += f", and {where}; this run's head sees all depths"
        return outcome("depths", says, [])
    finding = Finding(
        title="Earlier layers hold what the last layer has lost: these images are unlike those of "
        "the pretraining.",
        cost=_error(evidence) * (1 - after / before),
        evidence=(says[0].upper() + says[1:] + ".", where[0].upper() + where[1:] + "."),
        advice="Let the head see all depths.",
        command=evidence.rerun_command("--depths auto"),
    )
    return outcome("depths", says, [finding])


def _heads(evidence: Evidence) -> tuple[dict[str, Judged], np.ndarray] | None:
    """Cross-validated heads by what they see, and the groups of their images; None of too few."""
    from zoo.train.choice import Rows, cross_validated, sampled_folds
    from zoo.train.features import deep_rows
    from zoo.train.probe import soft_targets

    labels, train = evidence.catalog.labels, evidence.dataset.split.train
    if len(train) > _SAMPLE:
        train = np.sort(np.random.default_rng(SEED).permutation(train)[:_SAMPLE])
    targets = soft_targets(labels[train], len(evidence.catalog.classes), 0.0)
    groups = np.unique(evidence.dataset.groups[train], return_inverse=True)[1]
    weights = np.ones(len(train), np.float32)
    rows = Rows(labels[train], targets, weights, groups)
    chosen, parts = sampled_folds(rows)
    if not parts:
        return None
    backbone, prepared = evidence.backbone, evidence.prepared
    table = deep_rows(backbone, prepared, train[chosen], evidence.progress)
    own, rows = int(backbone.model.output_shape[1]), rows.take(chosen)
    seen = {"the last layer": table[:, :own], "all depths": table}
    for side, columns in backbones.depth_columns(backbone.model).items():
        name = f"the maps of {side} x {side} positions"
        seen[name] = np.concatenate([table[:, :own], table[:, columns]], axis=1)
    with evidence.progress.step("probe", len(seen)) as advance:
        judged = {}
        for name, features in seen.items():
            judged[name] = cross_validated(features, own, rows, parts)
            advance()
    return judged, rows.groups


def _error(evidence: Evidence) -> float:
    """Share of the judged images that the run classifies incorrectly."""
    table = evidence.judged
    if not len(table.labels):
        return 0.0
    return float((table.probabilities.argmax(axis=1) != table.labels).mean())
