"""Would a larger backbone help? Linear heads on the frozen features of several, compared."""

from __future__ import annotations

from collections.abc import Sequence

import backbones
from ensembles.comparison import Comparison, compare
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import FEW_IMAGES, NO_FEATURES, Finding, Outcome, outcome, unknown
from zoo.errors import ZooError
from zoo.progress import Progress
from zoo.train.arrays import LazyRows
from zoo.words import counted

_FEWEST = 100  # images to compare on


def checked(names: Sequence[str], size: int) -> list[str]:
    """Full names of backbones whose ImageNet weights are on this machine.

    Args:
        names: of variants or families.
        size: side of the input in pixels.

    Raises:
        BackboneError: no such backbone, or it takes no images of this size.
        ZooError: its weights are not on this machine; nothing is downloaded for a comparison.
    """
    found = []
    for name in names:
        spec, size, options = backbones.check(name, size=size, weights="imagenet", options={})
        file = spec.file_for(size, options)
        if file is None or backbones.located(file) is None:
            raise ZooError(
                f"the ImageNet weights of {spec.name} are not on this machine: "
                f"`zoo weights fetch {spec.name}` downloads them; `zoo list` shows which are here"
            )
        found.append(spec.name)
    return found


def check_backbones(evidence: Evidence, names: Sequence[str], progress: Progress) -> Outcome:
    """Compare linear heads on the frozen features of this run's backbone and of others.

    All see the same images at the run's size in the same folds, with the same penalty on features
    of the same scale.

    Raises:
        BackboneError, ZooError: see :func:`checked`.
    """
    others = checked(names, evidence.run.view[0])
    if evidence.features is None:
        why = "a network trained from scratch has no features to compare"
        return unknown("backbones", why, NO_FEATURES)
    if len(evidence.not_test) < _FEWEST:
        why = f"{len(evidence.not_test)} images are too few to compare on"
        return unknown("backbones", why, FEW_IMAGES)
    ours = evidence.table(evidence.not_test, evidence.probed, "oof")
    found = {}
    for name in others:
        theirs = _features(evidence, name, progress)
        predicted = evidence.cross_probed(ours.labels, features=theirs)
        found[name] = compare(evidence.table(evidence.not_test, predicted, "oof"), ours)
    says = f"against {evidence.settings.backbone} by a linear head on frozen features: "
    says += "; ".join(f"{name} {_words(against)}" for name, against in found.items())
    better = [name for name, against in found.items() if against.by_log_loss == "better"]
    if not better:
        return outcome("backbones", says, [])
    best = min(better, key=lambda name: found[name].log_loss)
    finding = Finding(
        title=f"Another backbone would help: {best}.",
        cost=max(0.01, found[best].accuracy),
        evidence=tuple(
            f"{name}, {backbones.get(name).parameters / 1e6:.1f} M parameters: {_words(against)}."
            for name, against in found.items()
        ),
        advice="Fine-tune it; the difference is that of frozen features on "
        f"{counted(found[best].n, 'image')} outside the test split.",
        command=f"zoo finetune {best} --config {evidence.run.path / 'run.json'} --weights imagenet",
    )
    return outcome("backbones", says, [finding])


def _features(evidence: Evidence, name: str, progress: Progress) -> LazyRows:
    from zoo.train.features import frozen_features
    from zoo.train.inputs import starting_backbone
    from zoo.train.plan import resolve

    ours = evidence.settings
    plain = {"weights": "imagenet", "unfreeze": "none", "width": None, "input_range": None}
    settings = ours.changed(backbone=name, **plain)
    return frozen_features(starting_backbone(resolve(settings)), evidence.prepared, progress)


def _words(against: Comparison) -> str:
    return (
        f"is {against.by_log_loss} (log loss {against.log_loss:+.3f} [{against.low:+.3f}, "
        f"{against.high:+.3f}], accuracy {against.accuracy:+.3f})"
    )
