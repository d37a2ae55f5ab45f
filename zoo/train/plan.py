"""What a training will do, decided and checked before anything heavy is imported.

Only a ``hub:`` module must be loaded to know what it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import backbones
from backbones import Spec
from zoo.config_files import read_config
from zoo.data import builtin
from zoo.data.dataset import default_source
from zoo.errors import ZooError
from zoo.keras_setup import import_keras
from zoo.paths import user_path
from zoo.progress import Progress
from zoo.settings import Settings, check
from zoo.train.rates import DEFAULT_RATES

# few, because the fitted head is a good start; from scratch there is none
_EPOCHS, _EPOCHS_FROM_SCRATCH = 6, 40
_LAYER_DECAY = 0.8  # of pretrained networks: lower blocks are general and change less


@dataclass(frozen=True)
class ResolvedPlan:
    """Settings with everything decided that was left open.

    Attributes:
        settings: all of them, nothing None but ``l2`` and the head's penalties.
        spec: the backbone.
        options: the backbone's own settings.
        size: side of the input in pixels.
        weights: ``imagenet``, ``none``, or a file or module.
        unfreeze: what is fine-tuned, as in the settings.
        epochs: of fine-tuning.
        layer_decay: learning rate of a block relative to the block above it.
        learning_rate: the peak.
    """

    settings: Settings
    spec: Spec
    options: dict[str, Any]
    size: int
    weights: str
    unfreeze: str
    epochs: int
    layer_decay: float
    learning_rate: float

    @property
    def from_scratch(self) -> bool:
        """Whether the network starts from random weights."""
        return self.weights == "none"

    @property
    def probe_only(self) -> bool:
        """Whether nothing but the head is trained."""
        return self.unfreeze == "none"


def given_settings(
    backbone: str | None,
    data: str | Path | None,
    config: str | Path | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """What is said in the config file and, above it, in the call; each value checked.

    Raises:
        ZooError: unknown or invalid settings.
    """
    explicit = {k: v for k, v in given.items() if v is not None}
    if backbone:
        explicit["backbone"] = backbone
    if data:
        explicit["data"] = str(data)
    return {**(read_config(Path(config)) if config else {}), **check(explicit)}


def collect_settings(
    backbone: str | None,
    data: str | Path | None,
    config: str | Path | None,
    given: Mapping[str, Any],
    progress: Progress,
) -> Settings:
    """Settings from, in rising order: defaults, the data set's own, the config file, the call.

    Raises:
        ZooError: unknown or invalid settings, no backbone, or no data and no default for it.
        BackboneError: unknown backbone.
    """
    values = given_settings(backbone, data, config, given)
    if not values.get("backbone"):
        raise ZooError(f"no backbone is given: choose one of {', '.join(backbones.families())}")
    _spec(values["backbone"])
    if not values.get("data"):
        values["data"] = default_source()
        name = values["data"]
        progress.say(
            f"no --data is given: training on the built-in demo data {name} "
            f"({builtin.SETS[name].about}); give a folder of your images with --data FOLDER"
        )
    suited = builtin.SETS[values["data"]].settings if values["data"] in builtin.SETS else {}
    return Settings.of({**suited, **values})


def resolve(settings: Settings) -> ResolvedPlan:
    """Decide what the settings leave to the backbone.

    Raises:
        BackboneError: unknown backbone, unknown option, too small a size, no such weights.
        ZooError: settings that exclude each other.
    """
    spec = _spec(settings.backbone)
    usual = {"none": "none", "hub": spec.name}.get(spec.weights, "imagenet")
    weights = settings.weights or usual
    if weights.lower() in {"imagenet", "none"}:
        weights = weights.lower()
    elif not weights.startswith("hub:") and spec.weights != "hub":
        backbones.weights_file(weights)  # refused now rather than when TensorFlow is there
    given = settings.network_options()
    spec, size, options = backbones.check(
        spec.name,
        size=settings.size or _natural_size(settings, spec),
        weights=weights,
        options=given,
    )
    scratch = weights == "none"
    unfreeze = settings.unfreeze or ("all" if scratch else spec.unfreeze)
    if scratch and unfreeze != "all":
        raise ZooError(
            f"--unfreeze {unfreeze} would leave random weights untrained: {spec.name} starts from "
            f"scratch, so use --unfreeze all, or give --weights"
        )
    backbones.upper_blocks(spec.name, spec.blocks_for(options), unfreeze)
    decided: _Decided = {
        "size": size,
        "weights": weights if weights in {"imagenet", "none"} else _absolute(weights),
        "unfreeze": unfreeze,
        "epochs": settings.epochs or (_EPOCHS_FROM_SCRATCH if scratch else _EPOCHS),
        "layer_decay": settings.layer_decay or (1.0 if scratch else _LAYER_DECAY),
        "learning_rate": settings.learning_rate or DEFAULT_RATES[settings.optimizer][scratch],
    }
    complete = settings.changed(
        backbone=spec.name, data=_absolute(settings.data), **decided, **options
    )
    return ResolvedPlan(complete, spec, options, **decided)


class _Decided(TypedDict):
    """What a plan decides of the settings that may be left open."""

    size: int
    weights: str
    unfreeze: str
    epochs: int
    layer_decay: float
    learning_rate: float


def _spec(name: str) -> Spec:
    """The backbone's; a module is loaded for it, with a quiet TensorFlow."""
    if name.startswith("hub:"):
        backbones.find_module(name)  # before TensorFlow is imported, which takes seconds
        import_keras()
    return backbones.get(name)


def _natural_size(settings: Settings, spec: Spec) -> int | None:
    """The size of a built-in set of tiny images, for a network without one of its own."""
    tiny = builtin.SETS[settings.data].size if settings.data in builtin.SETS else None
    if not tiny or spec.weights != "none":
        return None
    return max(tiny, spec.min_size)


def _absolute(source: str) -> str:
    path = user_path(source)
    there = source not in builtin.SETS and os.path.exists(path)  # noqa: PTH110 - Path's may raise
    return str(path.resolve()) if there else source
