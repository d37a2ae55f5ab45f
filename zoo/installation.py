"""How zoo is installed, for messages that tell what to install."""

from __future__ import annotations

import functools
import json
from importlib.metadata import Distribution, distributions

_COMMAND = ("zoo", "zoo.cli:main")  # name and target: what only the distribution of zoo installs


def install_hint(extra: str) -> str:
    """The command that installs an optional part: ``pip install '.[dask]'`` in a checkout.

    Args:
        extra: one of the extras in ``setup.cfg``.
    """
    found = _distribution()
    # the code without an installation is a checkout as well
    name = "." if found is None or _is_from_folder(found) else found.metadata["Name"]
    return f"pip install '{name}[{extra}]'"


@functools.cache
def _distribution() -> Distribution | None:
    """The installed distribution that brings the command, whatever its name; None if none does."""
    for found in distributions():
        for entry in found.entry_points.select(group="console_scripts"):
            if (entry.name, entry.value) == _COMMAND:
                return found
    return None


def _is_from_folder(distribution: Distribution) -> bool:
    """Whether pip installed it from a folder of sources, editable or not (PEP 610)."""
    origin = distribution.read_text("direct_url.json")
    try:
        return "dir_info" in json.loads(origin or "{}")
    except ValueError:
        return False
