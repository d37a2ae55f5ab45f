"""Public names that were renamed: an old name works for one version and names the new one.

What a person writes (a setting, a parameter, an option, a file) warns; what zoo itself wrote (the
record of an older run or study) is read in silence. The tables here are the only list of old names.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from zoo.errors import ZooError

P = ParamSpec("P")
T = TypeVar("T")

# old to new
SETTINGS = {"fit": "resize"}
VALUES = {"resize": {"squash": "stretch"}}
PARAMETERS = {"min_gain": "tolerance", "probes": "head_trials", "runs": "runs_dir"}
OPTIONS = {"--fit": "--resize", "--min-gain": "--tolerance", "--probes": "--head-trials"}


class RenamedWarning(FutureWarning):
    """An old name was used; Python shows it to users by default, and so does the command line."""


def warn_renamed(old: str, new: str, where: str = "", stacklevel: int = 2) -> None:
    """Say that a name was renamed.

    Args:
        old, new: as the user writes them.
        where: the file, if it stands in one.
        stacklevel: see :func:`warnings.warn`, counted from the caller.
    """
    place = f" in {where}" if where else ""
    warnings.warn(
        f"{old}{place} is now called {new}: the old name stops working in the next version",
        RenamedWarning,
        stacklevel=stacklevel + 1,
    )


def renamed_parameters(*old_names: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator: keyword arguments may have these old names of ``PARAMETERS``.

    Raises:
        ZooError: of the decorated function, where a parameter is given by both of its names.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            for old in old_names:
                if old in kwargs:
                    new = PARAMETERS[old]
                    if new in kwargs:
                        raise ZooError(_both(old, new))
                    warn_renamed(f"{old}=", f"{new}=")
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return decorate


def current_settings(
    values: Mapping[str, Any], where: str = "", *, quiet: bool = True, stacklevel: int = 2
) -> dict[str, Any]:
    """Settings under their present names, with present values.

    Args:
        values: setting to value, by old or new names.
        where: named in messages, for instance the config file.
        quiet: whether zoo wrote them, so that nobody need be warned.
        stacklevel: see :func:`warn_renamed`.

    Raises:
        ZooError: a setting is given by both of its names.
    """
    found: dict[str, Any] = {}
    for given, value in values.items():
        name = SETTINGS.get(given, given)
        if name != given:
            if name in values:
                raise ZooError(_both(given, name))
            if not quiet:
                warn_renamed(given, name, where, stacklevel + 1)
        if isinstance(value, str) and value in VALUES.get(name, {}):
            present = VALUES[name][value]
            if not quiet:
                warn_renamed(f"{name} {value}", f"{name} {present}", where, stacklevel + 1)
            value = present
        found[name] = value
    return found


def _both(old: str, new: str) -> str:
    return f"{old} and {new} are the same: give {new} alone"
