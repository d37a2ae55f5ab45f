"""What is searched: for every setting a range or a list of choices, as data.

A space file has the same form::

    learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
    optimizer: [adamw, sgd]
    epochs: 6

A single value is not searched but set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import backbones
from backbones import BackboneError
from zoo.config_files import read_file
from zoo.errors import ZooError
from zoo.overrides import checked_value, known_name
from zoo.settings import describe
from zoo.train.plan import ResolvedPlan, resolve

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

# searched on frozen features, where a trial takes about a second
HEAD = ("head_l1", "head_l2", "class_weights")

_ANY: dict[str, Any] = {
    "optimizer": ["adamw", "adam", "sgd", "rmsprop"],
    "batch_size": [16, 32, 64],
    "l1": [0.0, 1e-7, 1e-6, 1e-5],
    "l2": [0.0, 1e-6, 1e-5, 1e-4, 1e-3],
    "dropout": {"low": 0.0, "high": 0.5},
    "label_smoothing": {"low": 0.0, "high": 0.2},
    "augment": ["none", "light", "standard", "strong"],
    "mix": ["none", "cutmix", "mixup", "both"],
}
PRETRAINED: dict[str, Any] = {
    "head_l1": {"low": 1e-8, "high": 1e-2, "log": True},
    "head_l2": {"low": 1e-5, "high": 3.0, "log": True},
    "class_weights": ["none", "auto"],
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "head_rate": {"low": 0.1, "high": 10.0, "log": True},
    "layer_decay": {"low": 0.5, "high": 1.0},
    "epochs": {"low": 2, "high": 12},
    "unfreeze": "depth",
    **_ANY,
}
FROM_SCRATCH: dict[str, Any] = {
    "class_weights": ["none", "auto"],
    "learning_rate": {"low": 3e-4, "high": 3e-2, "log": True},
    "epochs": {"low": 10, "high": 60},
    **_ANY,
}
# what only the networks of one family have
FAMILIES: dict[str, dict[str, Any]] = {
    "cnn": {
        "blocks": {"low": 2, "high": 5},
        "filters": [8, 16, 32, 64],
        "kernel_size": [3, 5, 7],
        "dense_units": [32, 64, 128, 256],
        "block_dropout": {"low": 0.0, "high": 0.4},
    },
}
_DEEPER = 2  # blocks below those that are usually fine-tuned
_FIXED = (
    "data",
    "val_fraction",
    "test_fraction",
    "split_seed",
    "near_duplicates",
    "value_range",
    "folds",
    "refit",
    "teacher",
    "teacher_weight",
)
Point = dict[str, Any]


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched.

    Attributes:
        name: the setting.
        low, high: of a range; both are in it.
        log: whether the range is searched on a logarithmic scale.
        integer: whether the range has integers only.
        choices: instead of a range.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    choices: tuple[Any, ...] = ()

    def distribution(self) -> BaseDistribution:
        """The same for Optuna."""
        from optuna import distributions as d

        if self.choices:
            return d.CategoricalDistribution(self.choices)
        if self.integer:
            return d.IntDistribution(int(self.low), int(self.high), log=self.log)
        return d.FloatDistribution(self.low, self.high, log=self.log)

    def as_data(self) -> Any:
        """As a space file has it."""
        if self.choices:
            return list(self.choices)
        kind = int if self.integer else float
        ends = {"low": kind(self.low), "high": kind(self.high)}
        return {**ends, "log": True} if self.log else ends

    def nearest_to(self, value: Any) -> Any:
        """The value, or what comes closest to it; the middle if there is none."""
        if self.choices:
            return value if value in self.choices else self.choices[0]
        if not isinstance(value, int | float):
            value = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        value = min(max(value, self.low), self.high)
        return round(value) if self.integer else float(value)

    def position(self, value: Any) -> float:
        """Where a value lies: 0 at the lowest or first, 1 at the highest or last."""
        if self.choices:
            return self.choices.index(value) / max(1, len(self.choices) - 1)
        low, high, x = float(self.low), float(self.high), float(value)
        if self.log:
            low, high, x = math.log(low), math.log(high), math.log(x)
        return (x - low) / (high - low)


Space = dict[str, Dimension]


def default_space(resolved: ResolvedPlan) -> Space:
    """What is searched for a backbone if nobody says otherwise.

    Args:
        resolved: the settings that are the same in all trials.
    """
    found = dict(FROM_SCRATCH if resolved.from_scratch else PRETRAINED)
    found |= FAMILIES.get(resolved.spec.family, {})
    if resolved.settings.depths != "last":
        # thousands of columns have no short way to a sparse head: a trial would take minutes
        found.pop("head_l1", None)
    if found.get("unfreeze") == "depth":
        found["unfreeze"] = _depths(resolved)
    if "blocks" in found:
        found["blocks"] = _fitting(resolved, "blocks", found["blocks"])
    return {name: _dimension(name, value, "") for name, value in found.items()}


def _depths(resolved: ResolvedPlan) -> dict[str, int] | list[str]:
    there = list(resolved.spec.blocks_for(resolved.options))
    usual = unfrozen(resolved, resolved.spec.unfreeze)
    deepest = min(len(there), usual + _DEEPER)
    return {"low": 1, "high": deepest} if deepest > 1 else ["all"]


def unfrozen(resolved: ResolvedPlan, depth: str) -> int:
    """How many blocks ``depth`` unfreezes."""
    blocks = resolved.spec.blocks_for(resolved.options)
    return len(backbones.upper_blocks(resolved.spec.name, blocks, depth))


def _fitting(resolved: ResolvedPlan, name: str, ends: Mapping[str, int]) -> dict[str, int]:
    """The range without the high numbers that the images are too small for."""
    high = ends["high"]
    while high > ends["low"] and _refused(resolved, {name: high}):
        high -= 1
    return {"low": min(ends["low"], high - 1), "high": high}


def _refused(resolved: ResolvedPlan, point: Point) -> str:
    try:
        resolve(resolved.settings.changed(**point))
    except (ZooError, BackboneError) as error:
        return str(error)
    return ""


def read_space(path: Path, resolved: ResolvedPlan) -> tuple[Space, Point]:
    """What a file says to search, and what it says to set.

    Raises:
        ZooError: missing, unreadable, an unknown setting, an empty range, or a value that the
            setting or the backbone does not take.
    """
    content = read_file(path, "space file")
    if not isinstance(content, dict) or not content:
        raise ZooError(
            f"space file {path} must hold settings with ranges or choices, not {content!r:.60}"
        )
    space: Space = {}
    fixed: Point = {}
    for name, value in content.items():
        setting = known_setting(str(name), str(path))
        if isinstance(value, dict | list):
            space[setting] = _dimension(setting, value, str(path))
            _check_ends(resolved, space[setting], str(path))
        else:
            fixed[setting] = checked_value(setting, value, str(path))
    return space, fixed


def known_setting(name: str, where: str) -> str:
    """The full name of a setting that may be searched or set.

    Raises:
        ZooError: there is none, or it must be the same in all trials.
    """
    name = known_name(name, where)
    if name in _FIXED:
        raise ZooError(
            f"{name} in {where} cannot be searched: trials are compared on one split, which they "
            f"share"
        )
    return name


def _dimension(name: str, value: Any, where: str) -> Dimension:
    suffix = f" in {where}" if where else ""
    if isinstance(value, list):
        choices = tuple(dict.fromkeys(checked_value(name, v, where) for v in value))
        if not choices:
            raise ZooError(f"{name}{suffix} has no choices: name at least one")
        return Dimension(name, choices=choices)
    option = describe()[name]
    unknown = set(value) - {"low", "high", "log"}
    if unknown or not {"low", "high"} <= set(value):
        raise ZooError(
            f"{name}{suffix} must be a list of choices, or a range such as "
            f"{{low: 0.1, high: 0.5, log: false}}, not {value!r:.80}"
        )
    if not (option.type in {int, float} or name == "unfreeze"):
        raise ZooError(
            f"{name}{suffix} has no range: list choices, {option.range() or 'such as a'}"
        )
    low, high = (_end(name, value[end], where) for end in ("low", "high"))
    log = bool(value.get("log", False))
    if not low < high:
        raise ZooError(
            f"{name}{suffix} has an empty range: low {low:g} must be below high {high:g}"
        )
    if log and low <= 0:
        raise ZooError(f"{name}{suffix} has a logarithmic range from {low:g}: low must be above 0")
    return Dimension(name, low, high, log, integer=option.type is int or name == "unfreeze")


def _end(name: str, value: Any, where: str) -> float:
    found = checked_value(name, value, where)
    try:
        return float(found)
    except (TypeError, ValueError):
        raise ZooError(
            f"{name}{f' in {where}' if where else ''} must have numbers as low and high, not "
            f"{value!r:.60}"
        ) from None


def _check_ends(resolved: ResolvedPlan, dimension: Dimension, where: str) -> None:
    """Refuse now what would fail trial after trial."""
    ends = dimension.choices or (
        dimension.nearest_to(dimension.low),
        dimension.nearest_to(dimension.high),
    )
    for value in ends:
        if why := _refused(resolved, {dimension.name: value}):
            raise ZooError(f"{dimension.name} {value!r} in {where} cannot be: {why}")


def default_point(space: Space, resolved: ResolvedPlan) -> Point:
    """The default settings, or what of the space comes closest to them."""
    settings = resolved.settings.as_dict()
    head_l1, head_l2 = resolved.settings.head_penalties
    settings |= {"head_l1": head_l1, "head_l2": head_l2}
    if settings["unfreeze"] != "none" and "unfreeze" in space and not space["unfreeze"].choices:
        settings["unfreeze"] = unfrozen(resolved, str(settings["unfreeze"]))
    return {name: d.nearest_to(settings.get(name)) for name, d in space.items()}
