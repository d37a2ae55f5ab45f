"""Faults of the image files: unusable, blank or tiny ones, leaks, drift, and shortcuts."""

from __future__ import annotations

import numpy as np

import backbones
from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import Finding, Outcome, Shown, outcome, unknown
from zoo.diagnosis.proportions import difference_interval
from zoo.evaluate.metrics import wilson
from zoo.words import counted

_PLAIN = 3.0  # standard deviation of a grey thumbnail, in 0..255
_DARK = 16.0  # its brightest cell; a dark photo of something has brighter ones
_SHARE = 0.02
_DRIFT = 0.6
_MOST = 500
_SHORTCUT = 0.2  # of what guessing the largest class leaves wrong


def check_files(evidence: Evidence) -> Outcome:
    """Name files that are unusable, blank, dark, tiny, or of an odd shape."""
    catalog, seen = evidence.catalog, evidence.seen
    count = len(catalog)
    findings = []
    if catalog.bad:
        findings.append(
            Finding(
                title=counted(
                    len(catalog.bad), "file is no usable image", "files are no usable images"
                )
                + " and left out.",
                cost=len(catalog.bad) / (count + len(catalog.bad)),
                evidence=("They were not trained on.",),
                advice="Repair or remove them.",
                files=tuple(Shown(name, reason) for name, reason in catalog.bad.items()),
            )
        )
    thumbs = seen.thumbs.reshape(count, -1).astype(np.float32)
    side = seen.sizes.min(axis=1)
    aspect = seen.sizes.max(axis=1) / np.maximum(side, 1)
    wanted = evidence.run.view[0]
    kinds = (
        (thumbs.std(axis=1) < _PLAIN, "blank or nearly so", "Remove them.", 0.0),
        (thumbs.max(axis=1) < _DARK, "almost black", "Check how they were scaled.", 0.0),
        (side < wanted / 3, f"far smaller than the network's {wanted} px", "", _SHARE),
        (aspect > 3, "over three times as long as wide", "Crop them, or --fit pad.", _SHARE),
    )
    for wrong, what, advice, least in kinds:
        if wrong.sum() > least * count:
            advice = advice or f"Get larger originals{_or_else(evidence, int(np.median(side)))}."
            findings.append(_files(evidence, wrong, what, advice))
    return outcome("files", f"{count} usable images, {len(catalog.bad)} not", findings)


def _or_else(evidence: Evidence, side: int) -> str:
    """What else to do about small images, where the shorter side of all has this median."""
    name, wanted = evidence.settings.backbone, evidence.run.view[0]
    if side >= wanted:
        return ", or remove them"
    # a module takes images of its own size
    size = wanted if name.startswith("hub:") else max(side, backbones.get(name).min_size)
    return f", or train at --size {size}" if size < wanted else ""


def _files(evidence: Evidence, wrong: np.ndarray, what: str, advice: str) -> Finding:
    rows = np.flatnonzero(wrong)
    share = len(rows) / len(wrong)
    return Finding(
        title=f"{counted(len(rows), 'image is', 'images are')} {what}.",
        cost=0.5 * share,
        evidence=(f"{share:.1%} of {len(wrong)} images.",),
        advice=advice,
        files=tuple(Shown(evidence.catalog.ids[i]) for i in rows),
    )


def check_leaks(evidence: Evidence) -> Outcome:
    """Name training images that are copies of validation or test images."""
    leaking = evidence.dataset.split.leaking
    says = f"{len(leaking)} images given for training are copies of validation or test images"
    if not len(leaking):
        return outcome("leaks", says, [])
    ids = evidence.catalog.ids
    finding = Finding(
        title=f"{counted(len(leaking), 'image', 'images')} given for training can be found in the "
        "validation or test data too.",
        cost=len(leaking) / len(ids),
        evidence=("They were set aside, so that this run's figures are not flattered by them.",),
        advice="Remove the copies, above all before another program trains on this data.",
        files=tuple(Shown(ids[i]) for i in leaking),
    )
    return outcome("leaks", says, [finding])


def check_drift(evidence: Evidence) -> Outcome:
    """Ask whether training and test images can be told apart by their frozen features.

    A classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545): an area under the
    ROC curve of 0.5 means that they cannot.
    """
    from sklearn.metrics import roc_auc_score

    split = evidence.dataset.split
    features = evidence.features
    if features is None or min(len(split.train), len(split.test)) < 100:
        return unknown("drift", "it takes pretrained features and 100 test images to tell")
    rows, origin = _matched(split.train, split.test, evidence.catalog.labels)
    size = len(rows) // 2
    if size < 100:
        return unknown("drift", f"{size} test images with counterparts in training are too few")
    scores = _cross_scores(features[rows], origin)
    area = float(roc_auc_score(origin, scores))
    error = np.sqrt(1 / (6 * size))  # of an area of 0.5 (Mann and Whitney 1947)
    says = f"training and test images are told apart with an area of {area:.3f} (0.5: not at all)"
    if area - 2 * error < _DRIFT:
        return outcome("drift", says, [])
    tables = [evidence.judged, evidence.run.predictions("test")]
    correct = [table.probabilities.argmax(axis=1) == table.labels for table in tables]
    loss, low, high = difference_interval(correct[0], correct[1])
    finding = Finding(
        title="The test images differ from the training images.",
        cost=max(0.01, loss),
        evidence=(
            says[0].upper() + says[1:] + f"; standard error {error:.3f}.",
            f"Accuracy on test images is {loss:+.3f} [{low:+.3f}, {high:+.3f}] short of that on "
            f"other new images.",
        ),
        advice="Find out how they were taken; train on images like those of the test, or split "
        "anew at random.",
    )
    return outcome("drift", says, [finding])


def _matched(
    train: np.ndarray, test: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As many training as test rows of each class, and 0 or 1 for where each comes from.

    Classes that are only rarer or more frequent in the test are no drift of the images.
    """
    rng, chosen = np.random.default_rng(SEED), []
    for k in np.unique(labels):
        parts = [part[labels[part] == k] for part in (train, test)]
        size = min(*map(len, parts), _MOST)
        chosen.append([rng.choice(part, size, replace=False) for part in parts])
    first, second = (np.concatenate([pair[i] for pair in chosen]) for i in (0, 1))
    return np.concatenate([first, second]), np.repeat([0, 1], len(first))


def check_shortcuts(evidence: Evidence) -> Outcome:
    """Ask whether size, shape or border of a file, which show no object, predict its class."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = evidence.pool
    labels = evidence.catalog.labels[rows]
    if np.bincount(labels)[np.unique(labels)].min() < 5:
        return unknown("shortcuts", "some class has fewer than five images")
    base = float(np.bincount(labels).max() / len(labels))
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    findings, told = [], []
    for name, clues in _clues(evidence, rows).items():
        forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=SEED)
        correct = cross_val_predict(forest, clues, labels, cv=folds) == labels
        share, low = float(correct.mean()), wilson(float(correct.sum()), len(correct))[0]
        told.append(f"{name} {share:.3f}")
        if low > base + _SHORTCUT * (1 - base):
            findings.append(_shortcut(name, share, low, base))
    says = f"classes guessed from {', '.join(told)}; from nothing {base:.3f}"
    return outcome("shortcuts", says, findings)


def _clues(evidence: Evidence, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers of a file that say nothing of what it shows, each of shape (n, c)."""
    sizes = evidence.seen.sizes[rows].astype(np.float64)
    thumbs = evidence.seen.thumbs[rows].astype(np.float64)
    edges = (thumbs[:, 0], thumbs[:, -1], thumbs[:, :, 0], thumbs[:, :, -1])
    flat = np.stack([edge.std(axis=1) < 1 for edge in edges], axis=1)
    level = np.stack([edge.mean(axis=1) for edge in edges], axis=1)
    # only plain edges count: on others the object itself may be seen
    return {"width and height": sizes, "plain borders": np.where(flat, level, -1.0)}


def _shortcut(name: str, share: float, low: float, base: float) -> Finding:
    return Finding(
        title=f"The {name} of an image give its class away.",
        cost=share - base,
        evidence=(
            f"From nothing but {name}, {share:.1%} (at least {low:.1%}) of the classes are "
            f"guessed rightly; always naming the largest class gives {base:.1%}.",
        ),
        advice="Bring all classes to the same sizes and borders; otherwise the network may learn "
        "those, and fail on images from elsewhere.",
    )


def _cross_scores(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=float(features.shape[1])))
    folds = StratifiedKFold(5, shuffle=True, random_state=SEED)
    scores: np.ndarray = cross_val_predict(
        model, features, labels, cv=folds, method="decision_function"
    )
    return scores
