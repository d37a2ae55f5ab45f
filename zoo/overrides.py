"""Settings given one by one as ``SETTING=VALUE``, for all networks or for one backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.errors import ZooError, nearest
from zoo.settings import Option, check, describe

# short names that are usual elsewhere
ALIASES = {"lr": "learning_rate", "bs": "batch_size", "smoothing": "label_smoothing"}
_SWITCHES = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}

Overrides = dict[str, Any]


def known_name(name: str, where: str) -> str:
    """The full name of a setting.

    Raises:
        ZooError: there is none of this name.
    """
    name = ALIASES.get(name, name)
    if name not in describe():
        raise ZooError(f"there is no setting {name!r} in {where}: {nearest(name, describe())}")
    return name


def checked_value(name: str, value: Any, where: str) -> Any:
    """A value of a setting; text is read as the setting's type (YAML takes 1e-4 for text).

    Raises:
        ZooError: wrong type, or out of range.
    """
    return check({name: _from_text(describe()[name], value)}, where)[name]


def _from_text(option: Option, value: Any) -> Any:
    if not isinstance(value, str) or option.type is str:
        return value
    if option.type is bool:
        return _SWITCHES.get(value.lower(), value)
    try:
        return option.type(value)
    except ValueError:
        return value


def parse_overrides(pairs: Sequence[str]) -> Overrides:
    """Settings of ``SETTING=VALUE`` texts; a later one replaces an earlier one.

    Raises:
        ZooError: no ``=``, an unknown setting, or a value out of its range.
    """
    return dict(_parsed(pair) for pair in pairs)


def parse_scoped_overrides(pairs: Sequence[str]) -> tuple[Overrides, dict[str, Overrides]]:
    """Settings of all networks, and backbone to its own, given as ``BACKBONE.SETTING=VALUE``.

    Raises:
        ZooError: see :func:`parse_overrides`.
    """
    shared: Overrides = {}
    scoped: dict[str, Overrides] = {}
    for pair in pairs:
        left = pair.partition("=")[0]
        backbone = left.rpartition(".")[0].strip()
        name, value = _parsed(pair[left.rfind(".") + 1 :])
        (scoped.setdefault(backbone, {}) if backbone else shared)[name] = value
    return shared, scoped


def _parsed(pair: str) -> tuple[str, Any]:
    name, sign, value = pair.partition("=")
    if not sign:
        raise ZooError(f"--set must be setting=value, such as lr=1e-3, not {pair!r}")
    name = known_name(name.strip(), "--set")
    return name, checked_value(name, value.strip(), "--set")
