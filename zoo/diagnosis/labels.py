"""Labels that contradict the images: confident learning, and copies with different labels."""

from __future__ import annotations

import numpy as np

from ensembles import PredictionTable
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import FEW_IMAGES, Finding, Outcome, Shown, outcome, unknown
from zoo.evaluate.metrics import wilson
from zoo.words import counted

_FEWEST = 100
_SUREST = 0.3
_SHARE = 0.01
_OF_ERRORS = 0.17  # what clean but hard images reach was measured to be below this


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


def wrong_labels(labels: np.ndarray, probabilities: np.ndarray) -> tuple[int, float]:
    """How many labels are wrong, and the lower end of the 95% interval of their share.

    A hard image is called something else with little confidence, an image with a wrong label with
    as much as any other. So where models are surest, in the most confident three tenths,
    nearly all contradictions are wrong labels, and their share there estimates that of all.

    Args:
        labels: int64 of shape (n,).
        probabilities: of shape (n, k), of models that were not trained on these samples.
    """
    wrong = probabilities.argmax(axis=1) != labels
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    surest = wrong[order[: max(1, int(_SUREST * len(order)))]]
    share = float(surest.mean())
    return round(share * len(labels)), wilson(float(surest.sum()), len(surest))[0]


def check_labels(evidence: Evidence) -> Outcome:
    """Name labels that models trained on the other images contradict with confidence."""
    table, findings = evidence.out_of_fold, _copies(evidence)
    if len(table.labels) < _FEWEST and not findings:
        return unknown(
            "labels",
            f"{len(table.labels)} images with predictions are too few to tell wrong labels from "
            f"hard images; train with --folds 5",
            FEW_IMAGES,
        )
    if len(table.labels) < _FEWEST:
        return outcome("labels", "too few predictions to tell more than copies", findings)
    count, low = wrong_labels(table.labels, table.probabilities)
    says = f"about {count} of {len(table.labels)} labels look wrong"
    errors = float((table.probabilities.argmax(axis=1) != table.labels).mean())
    if low >= max(_SHARE, _OF_ERRORS * errors):
        findings.append(_doubtful(table, count, low))
    return outcome("labels", says, findings)


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
