"""Settings as keyword arguments, for editors and type checkers (PEP 692).

``zoo/settings.py`` is the one table of settings; a test holds these names and types against it.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class SharedSettings(TypedDict, total=False):
    """What each training run of a study or of its own can be told; see ``zoo.settings``."""

    resize: Literal["stretch", "crop", "pad"]
    val_fraction: float
    test_fraction: float
    split_seed: int
    near_duplicates: bool
    class_level: int
    path_column: str | None
    label_column: str | None
    group_column: str | None
    group_pattern: str | None
    value_range: tuple[float, float] | None
    weights: str | None
    size: int | None
    unfreeze: str | int | None
    input_range: Literal["0..1", "-1..1", "0..255"] | None
    width: float | None
    blocks: int | None
    filters: int | None
    kernel_size: int | None
    dense_units: int | None
    batch_norm: bool | None
    block_dropout: float | None
    epochs: int | None
    batch_size: int
    learning_rate: float | None
    optimizer: Literal["adamw", "adam", "sgd", "rmsprop"]
    layer_decay: float | None
    head_rate: float
    patience: int
    class_weights: Literal["none", "auto"]
    folds: int
    precision: Literal["auto", "float32", "mixed"]
    calibrate: bool
    seed: int
    l1: float
    l2: float | None
    head_l1: float | None
    head_l2: float | None
    dropout: float
    label_smoothing: float
    augment: Literal["none", "light", "standard", "strong"]
    mix: Literal["none", "cutmix", "mixup", "both"]
    flip: Literal["none", "horizontal", "both"]


class TrainingSettings(SharedSettings, total=False):
    """What a training run of its own can be told besides."""

    refit: bool
