"""The points of a sweep: every combination of lists, or a list as it is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.config_files import read_file
from zoo.errors import ZooError
from zoo.overrides import checked_value
from zoo.settings import check
from zoo.tuning.space import Point, known_setting

_MOST = 10_000  # combinations of a grid


def read_grid(path: Path) -> list[Point]:
    """The points of a file.

    Raises:
        ZooError: missing, unreadable, empty, or with an unknown setting or a wrong value.
    """
    return points_of(read_file(path, "grid"), str(path))


def points_of(content: Any, where: str) -> list[Point]:
    """The points of settings with lists of values, or of a list of settings.

    Raises:
        ZooError: neither of them, empty, or with an unknown setting or a wrong value.
    """
    if isinstance(content, Mapping):
        points = _combinations(content, where)
    elif isinstance(content, Sequence) and not isinstance(content, str):
        points = [_point(entry, where) for entry in content]
    else:
        points = []
    if not points or not all(points):
        raise ZooError(
            f"{where} must hold settings with lists of values, or a list of settings, "
            f"not {content!r:.60}"
        )
    return list({repr(sorted(p.items())): p for p in points}.values())


def choices_of(points: Sequence[Point]) -> dict[str, list[Any]]:
    """Setting to all its values."""
    names = dict.fromkeys(name for point in points for name in point)
    return {n: list(dict.fromkeys(p[n] for p in points if n in p)) for n in names}


def _combinations(content: Mapping[Any, Any], where: str) -> list[Point]:
    lists: dict[str, list[Any]] = {}
    count = 1
    for name, values in content.items():
        listed = values if isinstance(values, list | tuple) else [values]
        if not listed:
            raise ZooError(f"{name} in {where} has no values: name at least one")
        setting = _name(str(name), where)
        lists[setting] = [_value(setting, v, where) for v in listed]
        count *= len(listed)
    if count > _MOST:
        raise ZooError(f"{where} has {count} combinations: keep to {_MOST}, or use zoo tune")
    if not lists:
        return []
    return [dict(zip(lists, c, strict=True)) for c in itertools.product(*lists.values())]


def _point(entry: Any, where: str) -> Point:
    if not isinstance(entry, Mapping):
        raise ZooError(f"{where} must list settings, not {entry!r:.60}")
    found = {}
    for name, value in entry.items():
        setting = _name(str(name), where)
        found[setting] = _value(setting, value, where)
    return found


def _name(name: str, where: str) -> str:
    return name if name == "backbone" else known_setting(name, where)


def _value(name: str, value: Any, where: str) -> Any:
    return (
        check({name: value}, where)[name]
        if name == "backbone"
        else checked_value(name, value, where)
    )
