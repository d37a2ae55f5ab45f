"""Faults of the image files: unusable, blank or tiny ones, leaks, drift, and shortcuts."""

from __future__ import annotations

import numpy as np

import backbones
from zoo.diagnosis.evidence import SEED, Evidence
from zoo.diagnosis.finding import (
    FEW_IMAGES,
    NO_FEATURES,
    Finding,
    Outcome,
    Shown,
    outcome,
    unknown,
)
from zoo.evaluate.metrics import wilson
from zoo.words import counted

_PLAIN = 3.0  # standard deviation of a blank grey thumbnail, in 0..255
_DARK = 16.0  # brightest cell of a black one; a dark photo of something has brighter ones
_SHARE = 0.02  # of the images; fewer that are small or long are usual
_SMALL = 3  # times smaller than the network's input
_LONG = 3  # times as long as wide
_DRIFT = 0.6  # area under the ROC curve; 0.5 is no difference
_FEWEST = 100  # test images for a test of drift
_MOST = 500  # images per class and split for it
_SHORTCUT = 0.2  # of what guessing the largest class leaves wrong
_FOLDS = 5  # of cross-validation


def check_files(evidence: Evidence) -> Outcome:
    """Name files that are unusable, blank, dark, tiny, or of an extreme aspect ratio."""
    catalog, seen = evidence.catalog, evidence.seen
    count = len(catalog)
    findings = []
    if catalog.bad:
        findings.append(
            Finding(
                title=counted(
                    len(catalog.bad), "file is not a usable image", "files are not usable images"
                )
                + " and skipped.",
                confidence="high",
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
        (thumbs.max(axis=1) < _DARK, "almost black", "Check how they were exposed or scaled.", 0.0),
        (side < wanted / _SMALL, f"far smaller than the network's {wanted} px", "", _SHARE),
        (aspect > _LONG, "over three times as long as wide", "Crop them, or --resize pad.", _SHARE),
    )
    for wrong, what, advice, least in kinds:
        if wrong.sum() > least * count:
            advice = advice or f"Get larger originals{_or_else(evidence, int(np.median(side)))}."
            findings.append(_files(evidence, wrong, what, advice))
    text = f"{counted(count, 'usable image')}, {len(catalog.bad)} unusable"
    return outcome("files", text, findings)


def _or_else(evidence: Evidence, side: int) -> str:
    """What else to do about small images, given the median of the shorter sides."""
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
        evidence=(f"{share:.1%} of {counted(len(wrong), 'image')}.",),
        advice=advice,
        confidence="high",
        files=tuple(Shown(evidence.catalog.ids[i]) for i in rows),
    )


def check_leaks(evidence: Evidence) -> Outcome:
    """Name training images that are copies of validation or test images."""
    leaking = evidence.dataset.split.leaking
    says = (
        f"{counted(len(leaking), 'training image is a copy', 'training images are copies')} of "
        f"validation or test images"
    )
    if not len(leaking):
        return outcome("leaks", says, [])
    ids = evidence.catalog.ids
    finding = Finding(
        title=says[0].upper() + says[1:] + ".",
        confidence="high",
        cost=len(leaking) / len(ids),
        evidence=("They were left out of training, so this run's metrics are not biased by them.",),
        advice="Remove the copies, above all before another program trains on this data.",
        files=tuple(Shown(ids[i]) for i in leaking),
    )
    return outcome("leaks", says, [finding])


def check_drift(evidence: Evidence) -> Outcome:
    """Test whether training and test images can be told apart by their frozen features.

    A classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv 1610.06545): an area under the
    ROC curve of 0.5 means that they cannot.
    """
    from sklearn.metrics import roc_auc_score

    split = evidence.dataset.split
    features = evidence.features
    if features is None:
        return unknown("drift", "a network trained from scratch has no features", NO_FEATURES)
    if min(len(split.train), len(split.test)) < _FEWEST:
        return unknown("drift", f"{_FEWEST} training and test images are needed", FEW_IMAGES)
    # copies would be counted as independent, and be told by their likes
    train, test = (evidence.one_of_each_group(part) for part in (split.train, split.test))
    rows, origin = _matched(train, test, evidence.catalog.labels)
    size = len(rows) // 2
    if size < _FEWEST:
        why = f"{size} test images with training images of their class are too few"
        return unknown("drift", why, FEW_IMAGES)
    scores = _cross_scores(features[rows], origin)
    area = float(roc_auc_score(origin, scores))
    error = np.sqrt(1 / (6 * size))  # of an area of 0.5 (Mann and Whitney 1947)
    says = f"a classifier tells training from test images with an AUC of {area:.3f} (0.5: chance)"
    if area - 2 * error < _DRIFT:
        return outcome("drift", says, [])
    finding = Finding(
        title="The test images differ from the training images.",
        cost=max(0.01, (area - 0.5) / 5),  # not measured: nothing that advises reads the test
        evidence=(says[0].upper() + says[1:] + f"; standard error {error:.3f}.",),
        advice="Find out how both were taken. If the test images are like those that the "
        "classifier is for, get training images like them; test metrics are of such images only.",
    )
    return outcome("drift", says, [finding])


def _matched(
    train: np.ndarray, test: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As many training as test rows of each class, and 0 or 1 for where each comes from.

    Classes that are only rarer or more frequent in the test split are no drift of the images.
    """
    rng, chosen = np.random.default_rng(SEED), []
    for k in np.unique(labels):
        parts = [part[labels[part] == k] for part in (train, test)]
        size = min(*map(len, parts), _MOST)
        chosen.append([rng.choice(part, size, replace=False) for part in parts])
    first, second = (np.concatenate([pair[i] for pair in chosen]) for i in (0, 1))
    return np.concatenate([first, second]), np.repeat([0, 1], len(first))


def check_shortcuts(evidence: Evidence) -> Outcome:
    """Test whether size, shape or border of an image, which show no object, predict its class."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = evidence.one_of_each_group(evidence.not_test)
    labels = evidence.catalog.labels[rows]
    if np.bincount(labels)[np.unique(labels)].min() < _FOLDS:
        return unknown("shortcuts", f"a class has fewer than {_FOLDS} images", FEW_IMAGES)
    base = float(np.bincount(labels).max() / len(labels))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=SEED)
    findings, told = [], []
    for name, clues in _clues(evidence, rows).items():
        forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=SEED)
        correct = cross_val_predict(forest, clues, labels, cv=folds) == labels
        share, low = float(correct.mean()), wilson(float(correct.sum()), len(correct))[0]
        told.append(f"{name} {share:.3f}")
        if low > base + _SHORTCUT * (1 - base):
            findings.append(_shortcut(name, share, low, base))
    says = f"accuracy of guessing the class from {', '.join(told)}; largest class {base:.3f}"
    return outcome("shortcuts", says, findings)


def _clues(evidence: Evidence, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Properties of an image that say nothing about its content, each of shape (n, c)."""
    sizes = evidence.seen.sizes[rows].astype(np.float64)
    thumbs = evidence.seen.thumbs[rows].astype(np.float64)
    edges = (thumbs[:, 0], thumbs[:, -1], thumbs[:, :, 0], thumbs[:, :, -1])
    flat = np.stack([edge.std(axis=1) < 1 for edge in edges], axis=1)
    level = np.stack([edge.mean(axis=1) for edge in edges], axis=1)
    # only plain edges count: others may show the object itself
    return {"width and height": sizes, "plain borders": np.where(flat, level, -1.0)}


def _shortcut(name: str, share: float, low: float, base: float) -> Finding:
    return Finding(
        title=f"The {name} of an image give its class away (a shortcut).",
        cost=share - base,
        evidence=(
            f"From {name} alone, {share:.1%} (at least {low:.1%}) of the classes are guessed "
            f"correctly; always guessing the largest class gives {base:.1%}.",
        ),
        advice="Give all classes the same sizes and borders; otherwise the network may learn those "
        "and fail on images from elsewhere.",
    )


def _cross_scores(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=float(features.shape[1])))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=SEED)
    scores: np.ndarray = cross_val_predict(
        model, features, labels, cv=folds, method="decision_function"
    )
    return scores
