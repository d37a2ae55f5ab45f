"""What to train next: probes of every backbone first, then the best of them fine-tuned, varied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import backbones
from zoo.automatic.request import Candidate
from zoo.words import counted

FOLDS = 5
_SMALL = 20_000  # images outside the test split up to which heads are cross-validated: seconds
_FEW = 3_000  # up to which networks are, too, if the time allows
_CLOSE = 1.3  # times the best probe's log loss beyond which a backbone is not fine-tuned
_SLACK = 0.03  # nats added to it, where losses are small
_LARGER = 1.25  # times the side of the images
_GRAIN = 32  # pixels: sides are multiples of it
_LONGER = 10  # epochs of varied recipes
SYMMETRIES = {"views": "8", "flip": "both"}  # of images that know no up and down


@dataclass(frozen=True)
class Proposal:
    """A training run that may be worth its time.

    Attributes:
        candidate: the backbone.
        settings: of the run, beside those of the candidate.
        why: in words.
    """

    candidate: Candidate
    settings: Mapping[str, Any]
    why: str

    @property
    def key(self) -> str:
        """Tells it from others."""
        parts = [
            f"{k}={v}" for k, v in sorted({**self.candidate.settings, **self.settings}.items())
        ]
        return " ".join(parts)

    @property
    def words(self) -> str:
        """What it is, such as ``efficientnet-lite0, probe, 5 folds``."""
        given = self.settings
        name = backbones.short_name(self.candidate.backbone)
        if self.candidate.from_scratch:
            parts = [name, "from scratch"]
        else:
            parts = [name, "probe" if given.get("unfreeze") == "none" else "fine-tuned"]
        parts += [f"{given['size']} px"] if given.get("size") else []
        parts += [f"{given['views']} views"] if given.get("views") else []
        parts += [f"{given['augment']} augmentation"] if given.get("augment") else []
        parts += [str(given["mix"])] if given.get("mix") else []
        parts += [counted(int(given["epochs"]), "epoch")] if given.get("epochs") else []
        parts += [f"{given['folds']} folds"] if given.get("folds") else []
        return ", ".join(parts)


def probe_of(candidate: Candidate, images: int) -> Proposal:
    """A linear head on frozen features, cross-validated unless there are very many images.

    Args:
        candidate: the backbone.
        images: outside the test split.
    """
    if candidate.from_scratch:
        return Proposal(candidate, {}, "a network from scratch, since the images are small")
    folds = FOLDS if images <= _SMALL else 0
    return Proposal(candidate, {"unfreeze": "none", "folds": folds}, "a probe of every backbone")


def symmetric_probe(candidate: Candidate, images: int) -> Proposal:
    """A probe that sees an image turned by quarter turns and mirrored, as if that changed nothing.

    Args:
        candidate: the backbone.
        images: outside the test split.
    """
    settings = {**probe_of(candidate, images).settings, **SYMMETRIES}
    return Proposal(candidate, settings, "do the classes know up and down?")


def proposals(
    losses: Mapping[Candidate, float],
    images: int,
    sizes: Mapping[Candidate, int],
    side: float,
    shared: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[Proposal]:
    """Fine-tuning runs in the order of what they promise.

    Args:
        losses: log loss of the probe of each backbone, on images it was not fitted on.
        images: outside the test split.
        sizes: input side of each backbone's probe.
        side: median of the shorter sides of the images, in pixels.
        shared: settings of all of them.
    """
    for one in _proposals(losses, images, sizes, side):
        yield replace(one, settings={**shared, **one.settings})


def _proposals(
    losses: Mapping[Candidate, float], images: int, sizes: Mapping[Candidate, int], side: float
) -> Iterator[Proposal]:
    ranked = sorted(losses, key=lambda candidate: losses[candidate])
    worth = [
        c for c in ranked if losses[c] <= _CLOSE * losses[ranked[0]] + _SLACK and not c.from_scratch
    ]
    if not worth:
        worth = ranked[:1]
    best, others = worth[0], worth[1:]
    folds = FOLDS if images <= _FEW else 0
    yield Proposal(best, {"folds": folds}, "the best probe, fine-tuned")
    for other in others[:2]:
        yield Proposal(other, {"folds": folds}, "another backbone errs elsewhere")
    larger = _GRAIN * round(_LARGER * sizes[best] / _GRAIN)
    if larger <= side:
        more = {"folds": folds, "size": larger}
        yield Proposal(best, more, "finer detail: the images are larger than the network's input")
    for seed, candidate in enumerate((best, *others[:2]), start=1):
        varied = {"folds": folds, "augment": "strong", "epochs": _LONGER, "seed": seed}
        yield Proposal(candidate, varied, "stronger augmentation, longer, another seed")
    yield Proposal(
        best, {"folds": folds, "mix": "cutmix", "epochs": _LONGER, "seed": 9}, "mixed images"
    )


def cheaper(proposal: Proposal) -> Sequence[Proposal]:
    """The same with less: without folds, then fewer epochs."""
    found = []
    if proposal.settings.get("folds"):
        found.append(Proposal(proposal.candidate, {**proposal.settings, "folds": 0}, proposal.why))
    short = {**proposal.settings, "folds": 0, "epochs": 3}
    found.append(Proposal(proposal.candidate, short, f"{proposal.why}; few epochs fit the time"))
    return found
