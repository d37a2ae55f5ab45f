"""Settings as keyword arguments, for editors and type checkers (PEP 692).

``zoo/settings.py`` is the one table of settings; a test holds these names and types against it.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Literal, TypedDict, TypeVar

from zoo.settings import PAIR, Option, describe

F = TypeVar("F", bound=Callable[..., Any])
# what a run that learns from another one does not say itself: whom from, and all of the data
OF_TEACHER = ("teacher", *[o.name for o in describe().values() if o.group == "data"])


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
    depths: Literal["auto", "last", "all"]
    views: Literal["auto", "1", "2", "4", "8"]
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
    teacher: str | None
    teacher_weight: float


_KINDS = {int: "whole number", float: "number", str: "text", bool: "True or False"}
_GROUPS = ("data", "backbone", "training", "regularization", "augmentation", "evaluation")


def with_settings(*left_out: str) -> Callable[[F], F]:
    """Decorator: `help` and editors show every setting with its default, range and meaning.

    The function takes them as ``**settings``; what is shown comes from the table of settings.

    Args:
        left_out: settings that the function has as parameters of its own, or does not take.
    """

    def decorate(function: F) -> F:
        options = [o for o in describe().values() if o.name not in {"data", *left_out}]
        function.__doc__ = (
            f"{inspect.getdoc(function) or 'See the class.'}\n\n{settings_text(options)}\n"
        )
        function.__signature__ = signature_with(function, options)  # type: ignore[attr-defined]
        return function

    return decorate


def signature_with(function: Callable[..., Any], options: Iterable[Option]) -> inspect.Signature:
    """The function's signature, with a keyword for each setting in place of ``**settings``."""
    signature = inspect.signature(function)
    hints = TrainingSettings.__annotations__
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter(o.name, keyword, default=o.default, annotation=_hint(hints[o.name]))
        for o in options
    ]
    return signature.replace(parameters=[*own, *added])


def _hint(annotation: Any) -> str:
    return str(getattr(annotation, "__forward_arg__", annotation))


def settings_text(options: Iterable[Option]) -> str:
    """A docstring's section on settings, in groups."""
    ordered = sorted(options, key=lambda option: _GROUPS.index(option.group))
    lines = ["Settings:"]
    for group, members in groupby(ordered, key=lambda option: option.group):
        lines.append(f"    {group}:")
        for option in members:
            text = f"{option.name} ({_limits(option)}): {option.help}."
            lines += textwrap.wrap(
                text, 88, initial_indent=" " * 8, subsequent_indent=" " * 12, break_on_hyphens=False
            )
    return "\n".join(lines)


def _limits(option: Option) -> str:
    kind = "two numbers" if option.type == PAIR else _KINDS[option.type]
    if option.choices:
        kind = option.range()
    elif option.range():
        kind = f"{kind}, {option.range()}"
    default = (option.auto and f"None: {option.auto}") or repr(option.default)
    return f"{kind}; default {default}"
