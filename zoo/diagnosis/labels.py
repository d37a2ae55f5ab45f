"""Labels that contradict the images: confident learning, and copies with different labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from ensembles import PredictionTable
from ensembles.calibration import enough
from ensembles.intervals import independent_samples, proportion
from ensembles.probabilities import FLOOR, log_probabilities, softmax
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import FEW_IMAGES, Finding, Outcome, Shown, outcome, unknown
from zoo.words import counted

_FEWEST = 100  # labels that anything can be said about
_SUREST = 0.3  # share of the labels where the model is surest, which hard images reach least
_SHARE = 0.01  # of wrong labels that is worth naming
_OF_ERRORS = 0.17  # what clean but hard images reach was measured to be below this
# Of a likelihood ratio of one more parameter at the edge of its range, at the 10% level: Self and
# Liang (1987)
_LIKELIER = 1.642
_QUALITY = 0.1  # by simulation: benchmarks/choices.py
_LOG_TEMPERATURES = np.linspace(-1.6, 2.4, 25)
_RATES = (0.01, 0.02, 0.04, 0.06, 0.09, 0.13, 0.18, 0.25, 0.33)
WEAK_JUDGE = "too weak a model"


def suspects(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Positions of labels that are probably wrong, the least likely label first.

    Confident learning (Northcutt et al. 2021, arXiv 1911.00068) as cleanlab has it, with both of
    its filters agreeing.

    Args:
        labels: int64 of shape (n,).
        probabilities: of shape (n, k), of models that were not trained on these samples.
    """
    from cleanlab.filter import find_label_issues

    found: np.ndarray = find_label_issues(
        labels,
        probabilities,
        filter_by="both",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return found


@dataclass(frozen=True)
class LabelNoise:
    """What a model's contradictions say about the labels of images it was not trained on.

    A hard image is called something else with little confidence, an image with a wrong label with
    as much as any other. So if a model is good, in the most confident three tenths of its
    predictions nearly all contradictions are wrong labels, and their share there estimates that of
    all. A weak model contradicts correct labels there, too: see :attr:`likelihood_ratio`.

    Attributes:
        count: estimated number of wrong labels.
        low: lower end of the 95% interval of their share.
        errors: share of all labels that the model contradicts.
        quality: by how much the model errs less than always naming the most frequent class, at
            most 1; 0 if it is no better.
        likelihood_ratio: twice the log of how much likelier the labels are if a share of them is
            wrong than if the images are hard, both with the model at its most likely temperature.
    """

    count: int
    low: float
    errors: float
    quality: float
    likelihood_ratio: float

    @classmethod
    def of(
        cls, labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray | None = None
    ) -> LabelNoise:
        """Estimate it.

        Args:
            labels: int64 of shape (n,).
            probabilities: of shape (n, k), of models that were not trained on these samples.
            groups: of shape (n,), equal for samples that depend on each other.
        """
        n = len(labels)
        wrong = probabilities.argmax(axis=1) != labels
        order = np.argsort(-probabilities.max(axis=1), kind="stable")
        surest = order[: max(1, int(_SUREST * n))]
        low, _ = proportion(wrong[surest], None if groups is None else groups[surest])
        rest = 1 - np.bincount(labels).max() / n
        ratio = _likelihood_ratio(labels, probabilities) * independent_samples(n, groups) / n
        return cls(
            count=round(float(wrong[surest].mean()) * n),
            low=low,
            errors=float(wrong.mean()),
            quality=1 - float(wrong.mean()) / rest if rest else 0.0,
            likelihood_ratio=ratio,
        )

    @property
    def seems_high(self) -> bool:
        """Whether the confident contradictions are more than those of a good model would be."""
        return self.low >= max(_SHARE, _OF_ERRORS * self.errors)

    @property
    def can_tell(self) -> bool:
        """Whether the model is good enough to tell wrong labels from hard images."""
        noisy = self.seems_high and self.likelihood_ratio <= _LIKELIER
        return self.quality >= _QUALITY and not noisy


def _likelihood_ratio(labels: np.ndarray, probabilities: np.ndarray) -> float:
    rows = enough(len(labels))
    logs, y = log_probabilities(probabilities[rows]).astype(np.float64), labels[rows]
    others = probabilities.shape[1] - 1

    def likelihood(log_temperature: float, rates: Sequence[float]) -> float:
        p = softmax(logs / np.exp(log_temperature))[np.arange(len(y)), y]
        mixed = ((1 - rate) * p + rate * (1 - p) / others for rate in rates)
        return max(float(np.log(np.maximum(q, FLOOR)).sum()) for q in mixed)

    noisy = max(likelihood(t, _RATES) for t in _LOG_TEMPERATURES)
    # exact, unlike the other: what is between the steps must not count against clean labels
    ends = (float(_LOG_TEMPERATURES[0]), float(_LOG_TEMPERATURES[-1]))
    clean = minimize_scalar(lambda t: -likelihood(t, (0.0,)), bounds=ends, method="bounded")
    return 2 * (noisy + float(clean.fun))


def check_labels(evidence: Evidence) -> Outcome:
    """Name labels that models trained on the other images contradict with confidence."""
    table, findings = evidence.out_of_fold, _copies(evidence)
    n = len(table.labels)
    if n < _FEWEST and not findings:
        return unknown(
            "labels",
            f"{n} images with predictions are too few to tell wrong labels from hard images; "
            f"train with --folds 5",
            FEW_IMAGES,
        )
    if n < _FEWEST:
        return outcome("labels", "too few predictions to tell more than copies", findings)
    noise = LabelNoise.of(table.labels, table.probabilities, table.groups)
    if not noise.can_tell:
        why = (
            f"cannot tell with this model: it contradicts {noise.errors:.0%} of {n} labels, and "
            f"hard images explain them as well as wrong labels do; train a better one"
        )
        return outcome("labels", why, findings) if findings else unknown("labels", why, WEAK_JUDGE)
    if not noise.seems_high:
        return outcome("labels", f"hard images explain the contradictions of {n} labels", findings)
    findings.append(_doubtful(table, noise.count, noise.low))
    return outcome("labels", f"about {noise.count} of {n} labels look wrong", findings)


def _doubtful(table: PredictionTable, count: int, low: float) -> Finding:
    p, best = table.probabilities, table.probabilities.argmax(axis=1)
    found, share = suspects(table.labels, p)[:count], count / len(table.labels)
    shown = tuple(
        Shown(
            str(table.ids[i]),
            f"labelled {table.classes[table.labels[i]]} ({p[i, table.labels[i]]:.2f}), looks like "
            f"{table.classes[best[i]]} ({p[i, best[i]]:.2f})",
        )
        for i in found
    )
    return Finding(
        title=f"About {count} of {len(table.labels)} labels look wrong.",
        cost=share,
        evidence=(
            f"Models that were not trained on these images contradict {share:.1%} (at least "
            f"{low:.1%}) of the labels of the {_SUREST:.0%} where they are surest; hard images are "
            f"rare. Listed by confident learning, the likeliest first.",
        ),
        advice="Look at the listed files, correct or remove those that are wrong, train again.",
        files=shown,
    )


def _copies(evidence: Evidence) -> list[Finding]:
    """Copies of one image under different labels."""
    groups, labels = evidence.dataset.copies, evidence.catalog.labels
    order = np.argsort(groups, kind="stable")
    edges = np.flatnonzero(np.diff(groups[order])) + 1
    mixed = [g for g in np.split(order, edges) if len(np.unique(labels[g])) > 1]
    if not mixed:
        return []
    rows = np.concatenate(mixed)
    return [
        Finding(
            title=f"{counted(len(mixed), 'image is', 'images are')} there more than once, with "
            f"different labels.",
            cost=len(rows) / len(labels),
            evidence=(f"{len(rows)} files, equal or nearly equal to one another.",),
            advice="Decide on one label for each group and remove the other copies.",
            files=tuple(
                Shown(evidence.catalog.ids[i], f"labelled {evidence.catalog.classes[labels[i]]}")
                for i in rows
            ),
        )
    ]
