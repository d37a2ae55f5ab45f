"""All settings of a training, in one typed and validated object.

It is the source of the command's options, of what a ``--config`` file may hold, and of what
``run.json`` records. Nothing here imports Keras.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from zoo.aliases import advice, setting_of, switched
from zoo.deprecated import current_settings
from zoo.errors import ZooError, nearest

PAIR = tuple[float, float]  # type of a setting of two numbers
_UNBOUNDED = 2**31 - 1  # the largest seed that NumPy and TensorFlow both take
_WORDS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


def _option(
    default: Any,
    text: str,
    *,
    group: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    auto: str = "",
) -> Any:
    """A field with what a command line and a check need to know of it."""
    about = {"help": text, "group": group, "low": low, "high": high}
    return field(default=default, metadata={**about, "choices": choices, "auto": auto})


@dataclass(frozen=True)
class Settings:
    """Settings of ``zoo finetune``; None means that the backbone or the data decides.

    ``Settings.of(...)`` checks every value; see ``describe()`` for ranges and meanings.
    """

    backbone: str
    data: str = _option("", "folder, manifest.csv, tfds:NAME, or a built-in set", group="data")

    resize: str = _option(
        "stretch",
        "resize mode: stretch (ignore the aspect ratio), crop (center crop) or pad (add borders)",
        group="data",
        choices=("stretch", "crop", "pad"),
    )
    val_fraction: float = _option(
        0.15, "share of each class for validation", group="data", low=0.01, high=0.5
    )
    test_fraction: float = _option(
        0.2,
        "share of each class for testing if the data has no test split",
        group="data",
        low=0.01,
        high=0.5,
    )
    split_seed: int = _option(
        0,
        "seed of the split; runs can be combined if it is the same",
        group="data",
        low=0,
        high=_UNBOUNDED,
    )
    near_duplicates: bool = _option(
        True, "keep near-duplicates of an image in the same split", group="data"
    )

    class_level: int = _option(
        1,
        "folders: which folder level below the split names the class, from 1",
        group="data",
        low=1,
        high=20,
    )
    path_column: str | None = _option(
        None, "manifest: column with the images' paths", group="data", auto="path"
    )
    label_column: str | None = _option(
        None, "manifest: column with the classes", group="data", auto="label"
    )
    group_column: str | None = _option(
        None,
        "manifest: column that names the group of an image (patient, burst, video, specimen); "
        "images of one group are never in different splits or folds",
        group="data",
        auto="group if there is one",
    )
    group_pattern: str | None = _option(
        None,
        "regular expression searched in an image's path; what it matches, or its groups match, "
        "names the image's group",
        group="data",
        auto="every image by itself",
    )

    value_range: tuple[float, float] | None = _option(
        None,
        "images of more than 8 bits a channel: the values that become black and white",
        group="data",
        auto="decided once for all images, by their metadata or the values in use",
    )

    weights: str | None = _option(
        None,
        "pretrained weights: imagenet, none (train from scratch), or a weights file",
        group="backbone",
        auto="imagenet; none for cnn; a hub: module's own",
    )
    size: int | None = _option(
        None, "input side in pixels", group="backbone", low=8, high=1024, auto="the backbone's own"
    )
    unfreeze: str | None = _option(
        None,
        "what to fine-tune: all, none (train the head alone), a number of upper blocks, or the "
        "name of the lowest block",
        group="backbone",
        auto="the upper half; all from scratch",
    )
    depths: str = _option(
        "auto",
        "features that the head sees: last (of the last layer), all (pooled maps of earlier layers "
        "too), or auto: what cross-validation finds better",
        group="backbone",
        choices=("auto", "last", "all"),
    )
    views: str = _option(
        "auto",
        "symmetries of an image that the prediction is averaged over: 1, 2 (mirrored too), 4 "
        "(upside down too), 8 (quarter turns too), or auto: 2 if --flip allows it and "
        "cross-validation finds it better, else 1",
        group="backbone",
        choices=("auto", "1", "2", "4", "8"),
    )
    input_range: str | None = _option(
        None,
        "hub: pixel values that the module takes",
        group="backbone",
        choices=("0..1", "-1..1", "0..255"),
        auto="0..1 of a URL, 0..255 of uint8",
    )
    width: float | None = _option(
        None,
        "mobilenet: channels relative to the published network",
        group="backbone",
        low=0.25,
        high=2.0,
        auto="1",
    )
    blocks: int | None = _option(
        None, "cnn: convolution blocks", group="backbone", low=1, high=8, auto="4"
    )
    filters: int | None = _option(
        None, "cnn: filters of the first block", group="backbone", low=1, high=512, auto="32"
    )
    kernel_size: int | None = _option(
        None, "cnn: side of the convolution kernels", group="backbone", low=1, high=11, auto="3"
    )
    dense_units: int | None = _option(
        None, "cnn: units of the dense layer", group="backbone", low=1, high=4096, auto="128"
    )
    batch_norm: bool | None = _option(None, "cnn: batch normalization", group="backbone", auto="on")
    block_dropout: float | None = _option(
        None, "cnn: dropout after each block", group="backbone", low=0.0, high=0.9, auto="0"
    )

    epochs: int | None = _option(
        None,
        "epochs of fine-tuning",
        group="training",
        low=1,
        high=1000,
        auto="6; 40 from scratch",
    )
    batch_size: int = _option(32, "images per step", group="training", low=1, high=4096)
    learning_rate: float | None = _option(
        None,
        "peak learning rate",
        group="training",
        low=1e-8,
        high=10.0,
        auto="by optimizer; higher from scratch",
    )
    optimizer: str = _option(
        "adamw",
        "optimization algorithm",
        group="training",
        choices=("adamw", "adam", "sgd", "rmsprop"),
    )
    layer_decay: float | None = _option(
        None,
        "learning rate of a block relative to the block above it",
        group="training",
        low=0.1,
        high=1.0,
        auto="0.8; 1 from scratch",
    )
    head_rate: float = _option(
        1.0,
        "learning rate of the head relative to the peak",
        group="training",
        low=0.01,
        high=100.0,
    )
    patience: int = _option(
        4,
        "early stopping: end after this many epochs without a lower validation loss; 0: never",
        group="training",
        low=0,
        high=1000,
    )
    class_weights: str = _option(
        "none",
        "weights of the classes in the loss; auto is inverse to their frequency",
        group="training",
        choices=("none", "auto"),
    )
    folds: int = _option(
        0,
        "cross-validation: train this many models, average their predictions; 0: off",
        group="evaluation",
        low=0,
        high=20,
    )
    refit: bool = _option(
        False,
        "train once more on training and validation images, for the number of epochs that was best "
        "on validation; with folds, keep that model instead of the fold models",
        group="training",
    )
    teacher: str | None = _option(
        None,
        "run or ensemble with out-of-fold predictions, of the same data and split, whose "
        "probabilities are learned beside the labels (`zoo distill`)",
        group="training",
        auto="the labels alone",
    )
    teacher_weight: float = _option(
        0.5, "share of the teacher in what is learned", group="training", low=0.0, high=1.0
    )
    precision: str = _option(
        "auto",
        "numeric precision; auto is mixed (bfloat16) on a GPU and float32 on a CPU",
        group="training",
        choices=("auto", "float32", "mixed"),
    )
    calibrate: bool = _option(
        True, "temperature scaling of the probabilities on validation images", group="evaluation"
    )
    seed: int = _option(
        0,
        "random seed of initialization, order and augmentation",
        group="training",
        low=0,
        high=_UNBOUNDED,
    )

    l1: float = _option(
        0.0, "L1 penalty on the trained kernels", group="regularization", low=0.0, high=10.0
    )
    l2: float | None = _option(
        None,
        "L2 penalty on the trained kernels",
        group="regularization",
        low=0.0,
        high=10.0,
        auto="chosen on validation for the head, none below",
    )
    head_l1: float | None = _option(
        None,
        "L1 penalty on the head's kernel",
        group="regularization",
        low=0.0,
        high=10.0,
        auto="as l1",
    )
    head_l2: float | None = _option(
        None,
        "L2 penalty on the head's kernel",
        group="regularization",
        low=0.0,
        high=10.0,
        auto="as l2, else chosen on validation",
    )
    dropout: float = _option(
        0.0, "dropout before the head while fine-tuning", group="regularization", low=0.0, high=0.95
    )
    label_smoothing: float = _option(
        0.1, "label smoothing while fine-tuning", group="regularization", low=0.0, high=0.9
    )
    augment: str = _option(
        "standard",
        "augmentation policy",
        group="augmentation",
        choices=("none", "light", "standard", "strong"),
    )
    mix: str = _option(
        "none",
        "mix pairs of images and their labels",
        group="augmentation",
        choices=("none", "cutmix", "mixup", "both"),
    )
    flip: str = _option(
        "horizontal",
        "label-preserving flips; part of every augmentation but none",
        group="regularization",
        choices=("none", "horizontal", "both"),
    )

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "") -> Settings:
        """Settings from names and values, each checked.

        Args:
            values: setting to value; what is missing has its default.
            where: named in messages, for instance the config file.

        Raises:
            ZooError: unknown setting, wrong type, out of range, or no backbone.
        """
        checked = check(values, where)
        if "backbone" not in checked:
            raise ZooError(f"{where or 'the settings'} must name a backbone, and does not")
        return cls(**checked)

    @classmethod
    def of_record(cls, values: Mapping[str, Any], where: str = "") -> Settings:
        """Settings that zoo wrote, perhaps an older version of it.

        Raises:
            ZooError: see :meth:`of`.
        """
        return cls.of(current_settings(values), where)

    def changed(self, **values: Any) -> Settings:
        """A checked copy with other values."""
        return Settings.of({**self.as_dict(), **values})

    def as_dict(self) -> dict[str, Any]:
        """Setting to value."""
        return dataclasses.asdict(self)

    @property
    def head_penalties(self) -> tuple[float, float | None]:
        """L1 and L2 on the head; L2 is None if it is to be chosen on validation."""
        l1 = self.l1 if self.head_l1 is None else self.head_l1
        return l1, self.l2 if self.head_l2 is None else self.head_l2

    def network_options(self) -> dict[str, Any]:
        """Settings that only some backbones take, where they are given."""
        cnn = ("blocks", "filters", "kernel_size", "dense_units", "batch_norm", "block_dropout")
        names = ("width", *cnn, "input_range")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}


@dataclass(frozen=True)
class Option:
    """What is known of one setting: its name, plain type, default, meaning and range."""

    name: str
    type: type
    default: Any
    help: str
    group: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    auto: str

    def range(self) -> str:
        """The range in words, empty if anything goes."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.low is None:
            return ""
        if self.high is None or self.high >= _UNBOUNDED:
            return f"at least {self.low:g}"
        return f"{self.low:g} to {self.high:g}"


def describe() -> dict[str, Option]:
    """All settings but the backbone, in order of declaration."""
    hints = get_type_hints(Settings)
    options = {}
    for f in dataclasses.fields(Settings):
        if f.default is MISSING:
            continue
        kinds = [t for t in get_args(hints[f.name]) or (hints[f.name],) if t is not type(None)]
        options[f.name] = Option(name=f.name, type=kinds[0], default=f.default, **f.metadata)
    return options


def check(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The values with their exact types.

    Raises:
        ZooError: unknown setting, wrong type, out of range.
    """
    options, suffix = describe(), f" in {where}" if where else ""
    values = current_settings(values, where, quiet=False, stacklevel=3)
    checked: dict[str, Any] = {}
    by: dict[str, str] = {}
    for given, content in values.items():
        name, value = _meant(str(given), content, options)
        if name in by:
            raise ZooError(f"{by[name]} and {given} are the same setting{suffix}: give one of them")
        by[name] = str(given)
        if name == "backbone":
            if not isinstance(value, str):
                raise ZooError(f"backbone{suffix} must be a name, not {value!r}")
            checked[name] = value
            continue
        if name not in options:
            hint = advice(name, ["backbone", *options])
            raise ZooError(f"there is no setting {given!r}{suffix}: {hint}")
        checked[name] = _checked(options[name], value, suffix)
    return checked


def _meant(name: str, value: Any, options: Mapping[str, Option]) -> tuple[str, Any]:
    """Setting and value, also where other tools call it by another name."""
    if name in options or name == "backbone":
        return name, value
    return switched(name, value) or (setting_of(name, ["backbone", *options]) or name, value)


def from_text(option: Option, value: Any) -> Any:
    """Text read as the setting's type where it can be; YAML, for one, takes 1e-4 for text."""
    if not isinstance(value, str) or option.type is str:
        return value
    if option.type is bool:
        return _WORDS.get(value.lower(), value)
    if option.type == PAIR:
        parts = value.replace("..", ",").replace(",", " ").split()
        try:
            return tuple(map(float, parts))
        except ValueError:
            return value
    try:
        return option.type(value)
    except ValueError:
        return value


def _checked(option: Option, value: Any, suffix: str) -> Any:
    shown = f"{option.name}{suffix}"
    if option.type == PAIR and value is not None:
        return _checked_pair(shown, value)
    if isinstance(value, str) and value.lower() in option.choices:
        value = value.lower()
    if value is None and (option.default is None or option.default == ""):
        return option.default
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and abs(value) > 1e300:
        raise ZooError(f"{shown} must be {option.range() or 'a smaller number'}, not {value!r:.30}")
    if option.type is float and number:
        value = float(value)
    if isinstance(value, Path) or (option.name in {"unfreeze", "views"} and type(value) is int):
        value = str(value)
    if type(value) is not option.type:  # exactly: True is no whole number here
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise ZooError(f"{shown} must be {kind[option.type]}, not {value!r}")
    if option.choices and value not in option.choices:
        hint = nearest(str(value), option.choices)
        raise ZooError(f"{shown} must be {option.range()}, not {value!r}: {hint}")
    if isinstance(value, int | float):
        below = option.low is not None and value < option.low
        above = option.high is not None and value > option.high
        if below or above or not math.isfinite(value):
            raise ZooError(f"{shown} must be {option.range()}, not {value:g}")
    if option.name == "folds" and value == 1:
        raise ZooError(f"{shown} must be 0 (off) or at least 2, not 1")
    return value


def _checked_pair(shown: str, value: Any) -> tuple[float, float]:
    """Two finite numbers, the lower one first."""
    pair = tuple(value) if isinstance(value, list | tuple) else ()
    is_numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in pair)
    if len(pair) != 2 or not is_numbers or not all(abs(x) < 1e300 for x in pair):
        raise ZooError(f"{shown} must be two numbers, such as 0 4095, not {value!r:.60}")
    low, high = map(float, pair)
    if not low < high:
        raise ZooError(f"{shown} must be a lower and a higher number, not {low:g} and {high:g}")
    return low, high


def set_words(values: Mapping[str, Any], owner: str = "") -> list[str]:
    """Words of a command line that set these: ``--set``, ``size=96``, ...

    Args:
        values: setting to value.
        owner: the backbone that they are of, in ``zoo benchmark``; of all if empty.
    """
    words = []
    for name, value in values.items():
        text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
        if isinstance(value, list | tuple):
            text = ",".join(map(str, value))
        words += ["--set", f"{owner}.{name}={text}".lstrip(".")]
    return words
