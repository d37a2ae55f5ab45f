"""Groups: images that belong together, and so are never in different splits or folds.

Copies of one image form a group; so do the images of one patient, burst, video or specimen, where
the user says which they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from zoo.errors import ZooError


def of_names(names: Sequence[str]) -> np.ndarray:
    """Group numbers, int64 of shape (n,): equal names share one, an empty name shares none."""
    known: dict[str, int] = {}
    numbers = [known.setdefault(name, len(known)) if name else -1 for name in names]
    result = np.array(numbers, np.int64)
    alone = result < 0
    result[alone] = len(known) + np.arange(int(alone.sum()))
    return renumbered(result)


def of_pattern(ids: Sequence[str], pattern: str) -> list[str]:
    """Group name of each id by a regular expression, empty if it does not match.

    The name is what the expression's groups match, or all that it matches if it has none.

    Raises:
        ZooError: no regular expression, or it matches no id.
    """
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise ZooError(
            f"--group-pattern {pattern!r} is no regular expression ({error}): expected, for "
            f"instance, 'patient[0-9]+'"
        ) from error
    found = [search(sample) for sample in ids]
    names = [
        "\0".join(part or "" for part in (match.groups() or (match[0],))) if match else ""
        for match in found
    ]
    if not any(names):
        raise ZooError(
            f"--group-pattern {pattern!r} matches none of the {len(ids)} paths, the first is "
            f"{ids[0]}: it is searched in the path below the data folder"
        )
    if len(set(names)) == 1:
        raise ZooError(
            f"--group-pattern {pattern!r} puts all {len(ids)} images in one group, so that they "
            f"cannot be split: make it match what tells the groups apart"
        )
    return names


def united(*groupings: np.ndarray) -> np.ndarray:
    """Group numbers in which images that share a group anywhere share one.

    Args:
        groupings: at least one, each int64 of shape (n,), not negative.

    Returns:
        int64 of shape (n,), numbered as they come.
    """
    # takes a fifth of a second, for which no wrong line must wait
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, *others = groupings
    for other in others:
        if not len(first):
            break
        size = int(first.max()) + 1
        edges = (np.ones(len(first), bool), (first, other + size))
        whole = size + int(other.max()) + 1
        graph = coo_array(edges, shape=(whole, whole))
        first = connected_components(graph, directed=False)[1][first]
    return renumbered(first)


def renumbered(numbers: np.ndarray) -> np.ndarray:
    """The same groups, int64 of shape (n,), numbered from 0 as they come."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse].astype(np.int64)
