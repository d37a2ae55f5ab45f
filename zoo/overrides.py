"""Settings given one by one as ``SETTING=VALUE``, for all networks or for one backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo import aliases
from zoo.deprecated import SETTINGS
from zoo.errors import ZooError
from zoo.settings import check, describe, from_text

Overrides = dict[str, Any]


def known_name(name: str, where: str) -> str:
    """The full name of a setting.

    Raises:
        ZooError: there is none of this name.
    """
    found = aliases.setting_of(SETTINGS.get(name, name), describe())
    if found not in describe():
        hint = aliases.advice(name, describe())
        raise ZooError(f"there is no setting {name!r} in {where}: {hint}")
    return found


def checked_value(name: str, value: Any, where: str) -> Any:
    """A value of a setting; text is read as the setting's type (YAML takes 1e-4 for text).

    Raises:
        ZooError: wrong type, or out of range.
    """
    return check({name: from_text(describe()[name], value)}, where)[name]


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
