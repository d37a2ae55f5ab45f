"""The cells of a benchmark: every backbone, variant of the recipe and seed."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import backbones
from backbones import BackboneError
from zoo.data.dataset import Dataset
from zoo.errors import ZooError, nearest
from zoo.progress import Progress
from zoo.run_names import plain_name
from zoo.settings import Settings, check, set_words
from zoo.train.plan import ResolvedPlan, collect_settings, resolve

# from the least to the full recipe
VARIANTS = {
    "probe": "probe",
    "plain": "fine-tuned",
    "augmented": "fine-tuned, augmentation",
    "full": "fine-tuned, augmentation, L1/L2",
}
TUNED = ("plain", "augmented", "full")
METHODS = ("soft", "geometric", "weighted", "greedy", "stack", "vote", "auto", "soup")
BACKENDS = ("loky", "dask")

_VARIED = ("seed", "augment", "mix", "l1", "l2", "head_l1", "head_l2")
_DATA = ("val_fraction", "test_fraction", "split_seed", "near_duplicates", "value_range")
_NO_PENALTY = {"l1": 0.0, "l2": 0.0}
_MOST_SEEDS = 1000  # a larger number is a typing error

PerBackbone = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Request:
    """A checked request for a benchmark.

    Attributes:
        backbones: families or variants; all families if empty.
        data: see :func:`zoo.finetune`.
        seeds: number of training runs per cell.
        methods: ways to combine, out of ``METHODS``.
        settings: the same in all training runs.
        each: backbone, as named in ``backbones``, to its own settings.
        jobs: training runs at a time on this machine.
        backend: of joblib, ``loky`` or ``dask``.
        address: of the Dask scheduler.

    Raises:
        ZooError: a value out of its range, or values that exclude each other.
    """

    backbones: tuple[str, ...]
    data: str | None
    seeds: int = 3
    methods: tuple[str, ...] = METHODS
    settings: Mapping[str, Any] = field(default_factory=dict)
    each: PerBackbone = field(default_factory=dict)
    jobs: int = 1
    backend: str = "loky"
    address: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise ZooError(f"seeds must be 1 to {_MOST_SEEDS}, not {self.seeds}")
        for method in self.methods:
            if method not in METHODS:
                hint = nearest(method, METHODS)
                raise ZooError(f"there is no method {method!r} to combine runs: {hint}")
        if len(set(self.methods)) < len(self.methods):
            raise ZooError(f"methods {', '.join(self.methods)} name one twice: name each once")
        self._check_fan_out()
        known = self.backbones or tuple(backbones.families())
        for owner in self.each:
            if owner not in known:
                raise ZooError(
                    f"there are settings for {owner!r}, which is not among the backbones: "
                    f"{nearest(owner, known)}"
                )
        _refuse_varied(self.settings, "")
        for owner, settings in self.each.items():
            _refuse_varied(settings, f"{owner}.")
            for name in set(settings) & set(_DATA):
                raise ZooError(
                    f"{owner}.{name} cannot be set: all backbones are compared on one split, so "
                    f"give {name} to all"
                )
        weights = self.settings.get("weights", "none")
        if len(self.backbones) != 1 and weights not in {"none", "imagenet"}:
            raise ZooError(
                f"weights {weights!r} can be for one backbone only: name it, as in "
                f"mobilenet.weights={weights}"
            )

    def _check_fan_out(self) -> None:
        if self.jobs < 1:
            raise ZooError(f"jobs must be at least 1, not {self.jobs}")
        if self.backend not in BACKENDS:
            hint = nearest(self.backend, BACKENDS)
            raise ZooError(f"there is no backend {self.backend!r}: {hint}")
        if self.backend == "dask" and not self.address:
            raise ZooError(
                "--backend dask needs the address of a scheduler, such as "
                "--address tcp://10.0.0.5:8786"
            )
        if self.backend == "dask" and self.jobs != 1:
            raise ZooError(
                "--jobs is for this machine: with --backend dask, the threads of the workers set "
                "how many cells are trained at a time (dask worker --nthreads)"
            )
        if self.backend != "dask" and self.address:
            raise ZooError("--address goes with --backend dask: add it, or leave --address out")

    def command(self, name: str | None = None) -> str:
        """The command line of the same request, without how it is spread over machines."""
        words = ["zoo", "benchmark"]
        words += ["--data", self.data] if self.data else []
        words += ["--backbones", ",".join(self.backbones)] if self.backbones else []
        words += ["--seeds", str(self.seeds)]
        for owner, settings in [("", self.settings), *self.each.items()]:
            words += set_words(settings, owner)
        if self.methods != METHODS:
            words += ["--methods", ",".join(self.methods)]
        return shlex.join([*words, *(["--name", name] if name else [])])


def _refuse_varied(settings: Mapping[str, Any], owner: str) -> None:
    for name, value in settings.items():
        if name in _VARIED:
            what = "several seeds" if name == "seed" else f"training with and without {name}"
            if name in {"augment", "mix"}:
                what = "training with and without augmentation"
            raise ZooError(f"{owner}{name} cannot be set: the table compares {what}; leave it out")
        if name == "unfreeze" and value == "none":
            raise ZooError(
                f"{owner}unfreeze cannot be none: the table has probes besides fine-tuning; "
                f"leave it out"
            )
        if name in {"folds", "refit"}:
            raise ZooError(
                f"{owner}{name} cannot be set: a cell of the table is one training run, evaluated "
                f"on the validation split; leave it out"
            )
        if name == "data":
            raise ZooError("data cannot be set among the settings: give --data")


@dataclass(frozen=True)
class Candidate:
    """A backbone of the table.

    Attributes:
        name: of the variant.
        settings: variant of the recipe to its settings, except for the seed.
    """

    name: str
    settings: Mapping[str, ResolvedPlan]

    @property
    def any(self) -> ResolvedPlan:
        """Settings of one of its variants: data, weights and size are the same in all."""
        return next(iter(self.settings.values()))


def candidates(request: Request, progress: Progress) -> list[Candidate]:
    """The backbones with all defaults decided.

    Raises:
        ZooError, BackboneError: an unknown backbone or one named twice, a setting that is unknown,
            out of range or that the backbone does not have.
    """
    found: list[Candidate] = []
    for name in request.backbones or backbones.families():
        own = check(request.each.get(name, {}), f"the settings of {name}")
        given = collect_settings(name, request.data, None, {**request.settings, **own}, progress)
        made = _candidate(given)
        if made.name in {other.name for other in found}:
            raise ZooError(f"backbone {made.name!r} is named twice: name each backbone once")
        found.append(made)
        progress = Progress()  # the remark on the data is printed once
    return found


def _candidate(given: Settings) -> Candidate:
    try:
        resolved = resolve(given)
        scratch = resolved.from_scratch
        variants = [v for v in VARIANTS if v != "probe" or not scratch]
        given = given if scratch else _one_head(given)
        settings = {v: resolve(given.changed(**_changes(v, scratch))) for v in variants}
    except BackboneError as error:
        if "has no setting" not in str(error):
            raise
        raise ZooError(
            f"{error}: settings for one backbone are given as backbone.setting=value, such as "
            f"cnn.blocks=3"
        ) from None
    return Candidate(resolved.spec.name, settings)


def _one_head(given: Settings) -> Settings:
    """One head for all variants and seeds: they differ in the recipe, and their weights average."""
    depths = "all" if given.depths == "auto" else given.depths
    return given.changed(depths=depths, views="1" if given.views == "auto" else given.views)


def _changes(variant: str, scratch: bool) -> dict[str, Any]:
    """The settings that make a variant.

    With pretrained weights, L2 is on the head, its strength chosen on validation, and L1 on the
    kernels below; from scratch there is no probe to choose it, and both are on all kernels.
    """
    if variant == "probe":
        return {"unfreeze": "none"}
    if variant == "plain":
        return {"augment": "none", "mix": "none", **_NO_PENALTY}
    if variant == "augmented":
        return dict(_NO_PENALTY)
    return {"l1": 1e-6, "l2": 1e-4} if scratch else {"l1": 1e-6, "head_l1": 0.0}


@dataclass(frozen=True)
class Cell:
    """One training run.

    Attributes:
        name: of its run, which depends on settings and data.
        backbone: the candidate's name.
        variant: of the recipe.
        seed: of the training; 0 for a probe, which has no randomness.
        settings: all of them.
    """

    name: str
    backbone: str
    variant: str
    seed: int
    settings: Settings

    @property
    def label(self) -> str:
        """What it is, in words."""
        seed = "" if self.variant == "probe" else f", seed {self.seed}"
        return f"{self.backbone}, {VARIANTS[self.variant]}{seed}"


def cells(found: Sequence[Candidate], seeds: int, dataset: Dataset) -> list[Cell]:
    """All training runs of the table; a probe has no randomness and is trained once."""
    catalog, made = dataset.catalog, []
    data = f"{catalog.fingerprint()} {dataset.split_fingerprint()}"
    for candidate in found:
        weights = backbones.source_identity(str(candidate.any.settings.weights))
        for variant, resolved in candidate.settings.items():
            for seed in range(1 if variant == "probe" else seeds):
                settings = replace(resolved.settings, seed=seed)
                told = {k: v for k, v in settings.as_dict().items() if k not in {"data", "weights"}}
                key = short_hash([told, data, weights])
                stem = plain_name(backbones.short_name(candidate.name), 60)
                name = f"{stem}-{variant}-s{seed}-{key}"
                made.append(Cell(name, candidate.name, variant, seed, settings))
    return made


def short_hash(content: Any) -> str:
    """Eight hexadecimal digits that identify a content."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
