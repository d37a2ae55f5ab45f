"""``zoo.runs()`` and ``zoo.list()``: what there is, as lists that show themselves as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError, nearest
from zoo.frames import Listing
from zoo.run_text import run_columns
from zoo.runs import Run, finished

if TYPE_CHECKING:
    from backbones import Spec


def runs(runs_dir: str | Path | None = None) -> Listing[Run]:
    """The finished runs, sorted by name.

    Args:
        runs_dir: folder of the runs; ``ZOO_RUNS`` or ``./runs`` if None.

    Returns:
        A list that is shown as a table; ``to_frame()`` makes it a pandas data frame.
    """
    return Listing(finished(runs_dir), run_columns)


def backbones_list(family: str | None = None) -> Listing[Spec]:
    """The backbones that can be fine-tuned, by family in the order of their cost.

    Args:
        family: only this one, for instance ``resnet``.

    Returns:
        A list that is shown as a table; ``to_frame()`` makes it a pandas data frame.

    Raises:
        ZooError: no such family.
    """
    import backbones

    families = backbones.families()
    if family is not None and family not in families:
        raise ZooError(f"there is no family {family!r}: {nearest(str(family), families)}")
    specs = [s for s in map(backbones.get, backbones.names()) if family in (None, s.family)]
    specs.sort(key=lambda spec: (families.index(spec.family), spec.macs or 0))
    return Listing(specs, _columns)


def _columns(spec: Spec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "family": spec.family,
        "default": spec.default,
        "parameters": spec.parameters,
        "MACs": spec.macs,
        "input size": spec.input_size,
        "licence": spec.licence,
    }
