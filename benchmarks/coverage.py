"""Do 95% intervals cover, and how often are equal classifiers called different?

Classifiers of known truth: of an image of class y they see d * e_y + N(0, I) and say the softmax of
``sharpness * d`` times it. Prints tables of coverage, size and power in Markdown; the columns of
coverage say where an interval is given and how often it then holds the truth.

    python benchmarks/coverage.py [--repetitions 200] [--quick]
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from _table import print_table

from ensembles import PredictionTable, compare
from ensembles.comparison import LEVEL
from ensembles.probabilities import BINS, softmax
from zoo.benchmarking.verdict import judge
from zoo.evaluate.labels import LABELS
from zoo.evaluate.metrics import evaluate, value

_POPULATION = 200_000  # images that stand for the truth
ACCURACIES, SIZES = (0.6, 0.9, 0.98), (40, 200, 1000)  # of the simulated classifiers and samples


@dataclass(frozen=True)
class Population:
    """Images and a classifier of known quality.

    Attributes:
        k: classes.
        accuracy: of the classifier.
        ratio: of the largest class to the smallest.
        sharpness: 1 is calibrated where classes are balanced, more is overconfident.
    """

    k: int
    accuracy: float
    ratio: float = 1.0
    sharpness: float = 1.0

    @property
    def priors(self) -> np.ndarray:
        """Shares of the classes."""
        weights = np.geomspace(self.ratio, 1, self.k)
        return weights / weights.sum()

    def draw(
        self, rng: np.random.Generator, n: int, common: np.ndarray | None = None, own: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, probabilities and what is seen of n images.

        Args:
            rng: draws them.
            n: images.
            common: noise of shape (n, k) that other classifiers see as well.
            own: share of the variance of the noise that is this classifier's own.
        """
        labels = rng.choice(self.k, n, p=self.priors)
        return labels, *self.classify(rng, labels, common, own)

    def classify(
        self,
        rng: np.random.Generator,
        labels: np.ndarray,
        common: np.ndarray | None = None,
        own: float = 1.0,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities of images with these labels, and what is seen of them."""
        d = distance(self.k, self.accuracy)
        seen = math.sqrt(own) * rng.standard_normal((len(labels), self.k))
        if common is not None:
            seen += math.sqrt(1 - own) * common
        seen[np.arange(len(labels)), labels] += d
        return softmax(self.sharpness * d * seen), seen

    def truth(self) -> dict[str, float]:
        """Every metric of the population, with the labels' probabilities in place of labels."""
        labels, p, seen = self.draw(np.random.default_rng(99), _POPULATION)
        posterior = softmax(distance(self.k, self.accuracy) * seen + np.log(self.priors))
        rows, said, sure = np.arange(len(p)), p.argmax(axis=1), p.max(axis=1)
        right = posterior[rows, said]
        correct = np.bincount(said, right, self.k)
        counted = np.bincount(said, minlength=self.k) + posterior.sum(axis=0)
        bins = np.minimum((sure * BINS).astype(int), BINS - 1)
        return {
            "accuracy": float(right.mean()),
            "f1": float((2 * correct / counted).mean()),
            "auc": value("auc", labels, p),
            "log_loss": float(-(posterior * np.log(np.maximum(p, 1e-12))).sum(axis=1).mean()),
            "calibration_error": float(abs(np.bincount(bins, right - sure, BINS)).sum() / len(p)),
        }


@cache
def distance(k: int, accuracy: float) -> float:
    """Distance of the classes at which the first choice has this accuracy."""
    noise = np.random.default_rng(1).standard_normal((_POPULATION, k))
    needed = np.sort(noise[:, 1:].max(axis=1) - noise[:, 0])
    return float(np.quantile(needed, accuracy))


def coverage(population: Population, n: int, repetitions: int) -> dict[str, tuple[float, float]]:
    """Metric to the share of samples with an interval, and the share of those that it covers."""
    truth = population.truth()
    shown, held = dict.fromkeys(LABELS, 0), dict.fromkeys(LABELS, 0)
    for r in range(repetitions):
        labels, p, _ = population.draw(np.random.default_rng([n, r]), n)
        for name, found in evaluate(labels, p.astype(np.float32), seed=r).items():
            if found["low"] is not None:
                shown[name] += 1
                held[name] += found["low"] <= truth[name] <= found["high"]
    return {
        name: (shown[name] / repetitions, held[name] / shown[name] if shown[name] else math.nan)
        for name in LABELS
    }


def in_groups(share: float, size: int, n: int, repetitions: int) -> tuple[dict[str, float], float]:
    """Coverage of each metric, and false verdicts of a pair, where images come in groups.

    Args:
        share: of the images that are in groups, the others are alone.
        size: images of a group, which see nearly the same noise.
        n: images.
        repetitions: samples.
    """
    population = Population(5, 0.85)
    truth, false = population.truth(), 0
    shown, held = dict.fromkeys(LABELS, 0), dict.fromkeys(LABELS, 0)
    for r in range(repetitions):
        rng = np.random.default_rng([size, r])
        count = round(share * n / size)
        alone = n - count * size
        groups = np.concatenate([np.repeat(np.arange(count), size), count + np.arange(alone)])
        labels = rng.integers(0, 5, count + alone)[groups]
        both = rng.standard_normal((count + alone, 5))
        tables = []
        for _ in range(2):
            noise = 0.8 * both + 0.6 * rng.standard_normal(both.shape)
            p = population.classify(rng, labels, noise[groups], own=0.05)[0]
            tables.append(PredictionTable.of(p, labels, groups=groups))
        found = evaluate(labels, tables[0].probabilities, groups=groups)
        for name, entry in found.items():
            if entry["low"] is not None:
                shown[name] += 1
                held[name] += entry["low"] <= truth[name] <= entry["high"]
        against = compare(*tables)
        false += "better" in _verdicts(against) or "worse" in _verdicts(against)
    covered = {m: held[m] / shown[m] if shown[m] else math.nan for m in LABELS}
    return covered, false / repetitions


def _verdicts(found) -> tuple[str, str]:
    return found.by_accuracy, found.by_log_loss


def size_and_power(
    first: Population, second: Population, n: int, repetitions: int
) -> tuple[float, float]:
    """How often a pair is called different by accuracy and by log loss."""
    seen = np.zeros(2)
    for r in range(repetitions):
        rng = np.random.default_rng([n, r])
        labels = rng.integers(0, first.k, n)
        common = rng.standard_normal((n, first.k))
        tables = [
            PredictionTable.of(p.classify(rng, labels, common, own=0.4)[0], labels)
            for p in (first, second)
        ]
        seen += [v in ("better", "worse") for v in _verdicts(compare(*tables))]
    return tuple(seen / repetitions)


def equal_loss(first: Population, more_accurate: float) -> Population:
    """A classifier of this accuracy that is so overconfident that its log loss is the other's."""
    goal, low, high = first.truth()["log_loss"], 1.0, 12.0
    for _ in range(12):
        middle = (low + high) / 2
        loss = Population(first.k, more_accurate, sharpness=middle).truth()["log_loss"]
        low, high = (middle, high) if loss < goal else (low, middle)
    return Population(first.k, more_accurate, sharpness=low)


def false_over_seeds(seeds: int, spread: float, n: int, repetitions: int) -> float:
    """How often recipes of equal mean accuracy, whose runs differ, are called different."""
    false = 0
    for r in range(repetitions):
        rng = np.random.default_rng([seeds, n, r])
        labels, k = rng.integers(0, 10, n), 10
        common = rng.standard_normal((n, k))
        rows = []
        for _ in range(2):
            own = np.clip(0.85 + spread * rng.standard_normal(seeds), 0.7, 0.95).round(3)
            made = [Population(k, float(a)).classify(rng, labels, common, own=0.4)[0] for a in own]
            rows.append([PredictionTable.of(p, labels) for p in made])
        found = judge(*rows)
        false += found.of == "recipes" and (
            "better" in _verdicts(found) or "worse" in _verdicts(found)
        )
    return false / repetitions


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="a few cells only")
    given = parser.parse_args(arguments)
    begun, repetitions = time.process_time(), given.repetitions
    _print_coverage(repetitions, given.quick)
    _print_groups(repetitions, given.quick)
    _print_pairs(repetitions, given.quick)
    _print_seeds(repetitions, given.quick)
    print(f"{repetitions} repetitions, {time.process_time() - begun:.0f} s of processor time.")
    return 0


def _print_coverage(repetitions: int, quick: bool) -> None:
    rows = []
    for k in (2,) if quick else (2, 10):
        for ratio in (1.0, 20.0):
            for sharpness in (1.0, 2.0):
                for accuracy in ACCURACIES[1:2] if quick else ACCURACIES:
                    for n in SIZES[:2] if quick else SIZES:
                        cell = Population(k, accuracy, ratio, sharpness)
                        found = coverage(cell, n, repetitions)
                        name = "calibrated" if sharpness == 1 else "overconfident"
                        about = [str(k), f"1:{ratio:.0f}", name, f"{accuracy:.2f}", str(n)]
                        rows.append([*about, *(_held(*found[m]) for m in LABELS)])
    title = "Coverage of 95% intervals (share of samples that have one, where not all)"
    print_table(title, ["k", "balance", "predictor", "accuracy", "n", *LABELS.values()], rows)


def _held(shown: float, held: float) -> str:
    if shown == 0:
        return "none"
    return f"{held:.3f}" if shown == 1 else f"{held:.3f} ({shown:.0%})"


def _print_groups(repetitions: int, quick: bool) -> None:
    rows = []
    for share, size in ((0.5, 5),) if quick else ((0.0, 1), (0.2, 5), (0.5, 5), (1.0, 5)):
        held, false = in_groups(share, size, 400, repetitions)
        rows.append([f"{share:.0%} of {size}", *(f"{held[m]:.3f}" for m in LABELS), f"{false:.3f}"])
    title = "400 images, some in groups of near-duplicates"
    print_table(title, ["in groups", *LABELS.values(), "false verdicts"], rows)


def _print_pairs(repetitions: int, quick: bool) -> None:
    rows = []
    for k in (2,) if quick else (2, 10):
        for accuracy in (0.9,) if quick else (0.75, 0.9, 0.97):
            base = Population(k, accuracy)
            sharp = equal_loss(base, round(accuracy + 0.15 * (1 - accuracy), 4))
            gain = 0.05 if accuracy < 0.95 else 0.02
            for n in (20, 40) if quick else (20, 40, 80, 372, 2000):
                equal = size_and_power(base, base, n, repetitions)
                over = size_and_power(sharp, base, n, repetitions)
                power = size_and_power(Population(k, accuracy + gain), base, n, repetitions)
                shown = [*equal, over[1], *power]
                about = [str(k), f"{accuracy}", str(n)]
                rows.append([*about, *(f"{x:.3f}" for x in shown[:3]), f"+{gain}"])
                rows[-1] += [f"{x:.3f}" for x in shown[3:]]
    title = f"Verdicts better or worse at the {LEVEL:.0%} level, of pairs"
    head = ["k", "accuracy", "n", "equal: by accuracy", "equal: by log loss"]
    head += ["equal loss, one overconfident", "true gain", "by accuracy", "by log loss"]
    print_table(title, head, rows)


def _print_seeds(repetitions: int, quick: bool) -> None:
    rows = []
    for spread in (0.02,) if quick else (0.0, 0.01, 0.023):
        for n in (372,) if quick else (372, 2000):
            for seeds in (3,) if quick else (1, 2, 3, 5):
                few = max(20, repetitions // (1 if n == 372 else 4))
                false = false_over_seeds(seeds, spread, n, few)
                rows.append([f"{spread}", str(n), str(seeds), f"{false:.3f}"])
    title = "False verdicts about recipes that are equal, by accuracy or log loss"
    print_table(title, ["deviation of accuracy over seeds", "n", "seeds", "false"], rows)


if __name__ == "__main__":
    sys.exit(main())
