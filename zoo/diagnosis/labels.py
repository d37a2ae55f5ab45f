"""Labels that contradict the images: confident learning, and copies with different labels."""

from __future__ import annotations

import numpy as np

from ensembles import PredictionTable
from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding, Outcome, Shown, counted, outcome, unknown
from zoo.evaluate.metrics import wilson

_FEWEST = 100
_SHARE = 0.01


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
    as much as any other. Half of the images that are classified rightly have more confidence than
    their median; so twice the contradicted labels above that median estimates all wrong ones. With
    0, 2, 5, 10 and 20% of the labels of 3,409 photos of clothes flipped, 0.2, 2.1, 5.3, 10.3 and
    17.7% were estimated.

    Args:
        labels: int64 of shape (n,).
        probabilities: of shape (n, k), of models that were not trained on these samples.
    """
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    if wrong.all():
        return 0, 0.0
    sure = int((wrong & (confidence >= np.median(confidence[~wrong]))).sum())
    return 2 * sure, 2 * wilson(sure, len(labels))[0]


def check_labels(evidence: Evidence) -> Outcome:
    """Name labels that models trained on the other images contradict with confidence."""
    table = evidence.out_of_fold
    if len(table.labels) < _FEWEST:
        return unknown(
            "labels",
            f"{len(table.labels)} images with predictions are too few to tell wrong labels from "
            f"hard images; train with --folds 5",
        )
    findings = _copies(evidence)
    count, low = wrong_labels(table.labels, table.probabilities)
    says = f"about {count} of {len(table.labels)} labels look wrong"
    if low >= _SHARE:
        findings.append(_doubtful(table, count, low))
    return outcome("labels", says, findings)


def _doubtful(table: PredictionTable, count: int, low: float) -> Finding:
    p, best = table.probabilities, table.probabilities.argmax(axis=1)
    found = suspects(table.labels, p)[:count]
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
        cost=count / len(table.labels),
        evidence=(
            f"Models that were not trained on these images contradict {count // 2} labels with as "
            f"much confidence as their upper half of right answers: twice as many, at least "
            f"{low:.1%} of all, are wrong. Listed by confident learning, the likeliest first.",
        ),
        advice="Look at the listed files, correct or remove those that are wrong, train again.",
        files=shown,
    )


def _copies(evidence: Evidence) -> list[Finding]:
    """Copies of one image under different labels."""
    groups, labels = evidence.dataset.groups, evidence.catalog.labels
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
