"""Are temperatures, bags, choices and named labels what they say, on few images as on many?

Classifiers of known truth, see `coverage.py`, and small networks of scikit-learn on made-up data.
Prints tables in Markdown.

    python benchmarks/choices.py [--repetitions 40] [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from _table import print_table

from ensembles import Ensemble, choose
from ensembles.calibration import fit_temperature, scaled, temperature_of
from ensembles.probabilities import BINS, log_loss, softmax
from zoo.diagnosis.labels import LabelNoise

_POPULATION = 20_000  # images that stand for the truth


def _coverage() -> Any:
    """`coverage.py`, by its path: a package of the same name measures the coverage of tests."""
    path = Path(__file__).with_name("coverage.py")
    spec = importlib.util.spec_from_file_location("zoo_coverage", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("zoo_coverage", module)
    spec.loader.exec_module(module)
    return module


truth = _coverage()


def logits_of(
    seed: int, n: int, k: int, accuracy: float, sharpness: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (n, k) of a classifier so overconfident, labels (n,), and the true posterior."""
    population = truth.Population(k, accuracy)
    labels, _, seen = population.draw(np.random.default_rng(seed), n)
    calibrated = truth.distance(k, accuracy) * seen
    return sharpness * calibrated, labels, softmax(calibrated)


def calibration_gap(probabilities: np.ndarray, posterior: np.ndarray) -> float:
    """Calibration error with the true posterior in place of labels: free of sampling bias."""
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gap = posterior[np.arange(len(said)), said] - sure
    return float(abs(np.bincount(bins, gap, BINS)).sum() / len(said))


def temperature(
    k: int, accuracy: float, sharpness: float, n: int, repetitions: int
) -> dict[str, float]:
    """What a temperature that is fitted on n images does to all others."""
    logits, labels, posterior = logits_of(99, _POPULATION, k, accuracy, sharpness)
    raw, rows = log_loss(softmax(logits), labels), []
    for seed in range(repetitions):
        few, known, _ = logits_of(seed, n, k, accuracy, sharpness)
        p = softmax(logits / fit_temperature(few, known))
        loss = log_loss(p, labels)
        rows.append([loss - raw, loss > raw + 1e-4, calibration_gap(p, posterior)])
    change, worse, gap = np.mean(rows, axis=0)
    return {
        "before": calibration_gap(softmax(logits), posterior),
        "after": gap,
        "change": change,
        "worse": worse,
    }


def bag(seed: int, folds: int = 5, share: float = 0.12) -> dict[str, float]:
    """Test log loss of a bag of networks, as it is and at the temperature of shared images."""
    from sklearn.datasets import make_classification
    from sklearn.model_selection import StratifiedKFold, train_test_split
    from sklearn.neural_network import MLPClassifier

    x, y = make_classification(
        6000, 40, n_informative=15, n_classes=5, class_sep=1.1, flip_y=0.02, random_state=seed
    )
    pool, test = np.arange(700), np.arange(700, 6000)
    _, shared = train_test_split(pool, test_size=share, random_state=seed, stratify=y[pool])
    means, found = {"shared": 0.0, "test": 0.0}, []
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(pool, y[pool])
    for number, (rest, held) in enumerate(parts):
        network = MLPClassifier((64,), max_iter=150, alpha=1e-3, random_state=number)
        network.fit(x[np.setdiff1d(rest, shared)], y[np.setdiff1d(rest, shared)])
        own = np.setdiff1d(shared, held)
        t = temperature_of(network.predict_proba(x[own]), y[own])
        for name, rows in (("shared", shared), ("test", test)):
            means[name] = means[name] + scaled(network.predict_proba(x[rows]), t) / folds
        found.append(log_loss(scaled(network.predict_proba(x[test]), t), y[test]))
    t = temperature_of(np.asarray(means["shared"]), y[shared])
    mean, best = np.asarray(means["test"]), temperature_of(np.asarray(means["test"]), y[test])
    result = {"one fold": float(np.mean(found))}
    for name, at in (("mean", 1.0), ("calibrated", t), ("best temperature", best)):
        p = scaled(mean, at)
        result[name] = log_loss(p, y[test])
        result[f"{name}: confidence"] = float(p.max(axis=1).mean())
        result["accuracy"] = float((p.argmax(axis=1) == y[test]).mean())
    return result


def members(
    seed: int, images: int, copies: int, k: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four similar members' probabilities for copies of images, labels, and groups."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(images), copies)
    y = rng.integers(0, k, images)[groups]
    common, own = rng.normal(size=(images, k)), rng.normal(size=(4, images, k))
    x = np.sqrt(0.5) * (common[groups] + own[:, groups])
    x = 0.99 * x + 0.14 * rng.normal(size=x.shape)
    x[:, np.arange(len(y)), y] += truth.distance(k, 0.82)
    return np.stack([softmax(1.3 * truth.distance(k, 0.82) * member) for member in x]), y, groups


def choice(copies: int, repetitions: int, grouped: bool) -> tuple[Counter[str], float, float]:
    """Methods that are chosen, and their test loss less the shown and less the plain mean's."""
    methods: Counter[str] = Counter()
    differences = []
    for seed in range(repetitions):
        p, y, groups = members(seed, 300 // copies, copies)
        known = groups if grouped else None
        found = choose(p, y, groups=known)
        methods[found.method] += 1
        new, labels, _ = members(1000 + seed, 4000, 1)
        loss, plain = (
            log_loss(Ensemble(combiner).fit(p, y, known).predict_proba(new), labels)
            for combiner in (found.combiner, None)
        )
        differences.append([loss - found.losses[found.method], loss - plain])
    shown, soft = np.mean(differences, axis=0)
    return methods, float(shown), float(soft)


def alarms(k: int, ratio: float, accuracy: float, share: float, repetitions: int) -> list[bool]:
    """Whether labels are called wrong, of which this share is, by 200 and by 1,000 images."""
    population, found = truth.Population(k, accuracy, ratio), []
    for n in (200, 1000):
        for seed in range(repetitions):
            rng = np.random.default_rng([seed, n])
            labels, _, seen = population.draw(rng, n)
            p = softmax(2 * truth.distance(k, accuracy) * seen + np.log(population.priors))
            rows = rng.choice(n, round(share * n), replace=False)
            labels[rows] = (labels[rows] + rng.integers(1, k, len(rows))) % k
            noise = LabelNoise.of(labels, p)
            found.append(noise.can_tell and noise.seems_high)
    return found


def print_temperatures(accuracies: tuple[float, ...], repetitions: int) -> None:
    """The table of temperature scaling."""
    rows = []
    for k in (2, 10):
        for accuracy in accuracies:
            for sharpness in (1.0, 2.0):
                for n in (37, 340, 2000):
                    found = temperature(k, accuracy, sharpness, n, repetitions)
                    about = [str(k), f"{accuracy:g}", f"{sharpness:g}", str(n)]
                    figures = [f"{found[name]:.4f}" for name in ("before", "after")]
                    figures += [f"{found['change']:+.4f}", f"{found['worse']:.0%}"]
                    rows.append([*about, *figures])
    headers = ["classes", "accuracy", "sharpness", "labelled images"]
    headers += ["calibration error before", "after", "change of log loss", "made worse"]
    print_table("Temperature scaling", headers, rows)


def print_bags(count: int) -> None:
    """The table of bags."""
    found = [bag(seed) for seed in range(count)]
    means = {name: np.mean([row[name] for row in found]) for name in found[0]}
    rows = []
    for name in ("mean", "calibrated", "best temperature"):
        gap = means["accuracy"] - means[f"{name}: confidence"]
        rows.append([name, f"{means[name]:.3f}", f"{gap:+.3f}"])
    rows.append(["one fold", f"{means['one fold']:.3f}", ""])
    print_table("Bags of five folds", ["", "log loss", "accuracy less confidence"], rows)


def print_choices(repetitions: int) -> None:
    """The table of choices among methods."""
    rows = []
    for copies, grouped in ((1, False), (5, False), (5, True)):
        methods, shown, soft = choice(copies, repetitions, grouped)
        named = ", ".join(f"{name} {count}" for name, count in methods.most_common())
        known = "yes" if grouped else "no"
        rows.append([str(copies), known, named, f"{shown:+.3f}", f"{soft:+.3f}"])
    headers = ["copies", "groups known", "chosen", "test less shown loss", "less plain mean's"]
    print_table("Choice of a method", headers, rows)


def print_alarms(repetitions: int) -> None:
    """The table of label alarms."""
    rows = []
    for accuracy in (0.6, 0.7, 0.8, 0.9, 0.98):
        row = [f"{accuracy:g}"]
        for share in (0.0, 0.05, 0.1, 0.2):
            grid = [(k, ratio) for k in (2, 3, 10) for ratio in (1.0, 20.0)]
            cells = [alarms(k, ratio, accuracy, share, repetitions) for k, ratio in grid]
            worst = max(map(np.mean, cells)) if not share else None
            text = f"{np.mean(cells):.3f}"
            row.append(text if worst is None else f"{text} (at most {worst:.3f})")
        rows.append(row)
    headers = ["accuracy", "no wrong label", "5%", "10%", "20%"]
    print_table("Labels called wrong, by the share that is", headers, rows)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="few repetitions, fewer cells")
    given = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)  # networks that have not converged
    repetitions = 5 if given.quick else given.repetitions
    started = time.perf_counter()
    accuracies = (0.9,) if given.quick else (0.6, 0.75, 0.9, 0.98)
    print_temperatures(accuracies, repetitions)
    print_bags(1 if given.quick else 6)
    print_choices(max(2, repetitions // 4))
    print_alarms(max(2, repetitions // 2))
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
