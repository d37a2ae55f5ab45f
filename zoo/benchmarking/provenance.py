"""Which versions of zoo and its packages made the runs of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

_UNKNOWN = "not recorded"  # by an older zoo

Versions = Mapping[str, str]


def versions_of(runs: Iterable[Versions]) -> dict[str, list[str]]:
    """Package to every version of it that made a run, sorted."""
    records = list(runs)
    packages = dict.fromkeys(package for record in records for package in record)
    return {p: sorted({record.get(p, _UNKNOWN) for record in records}) for p in packages}


def mixed(runs: Iterable[Versions], cells: Path) -> str:
    """A sentence if runs were made by different versions; empty if not.

    Args:
        runs: package to version, of each run.
        cells: the folder of the runs.
    """
    several = {p: found for p, found in versions_of(runs).items() if len(found) > 1}
    if not several:
        return ""
    listed = "; ".join(f"{package} {' and '.join(found)}" for package, found in several.items())
    return (
        f"These rows were made by different versions ({listed}): remove {cells} to redo them all."
    )


def by_other_code(runs: Mapping[str, Versions], code: str) -> list[str]:
    """Names of the runs that the current code of zoo did not make.

    Args:
        runs: name to package to version.
        code: of :func:`zoo.origin.code_version`.
    """
    return [name for name, versions in runs.items() if versions.get("zoo", _UNKNOWN) != code]
