"""What makes the trials of a study comparable, and the refusal of what does not."""

from __future__ import annotations

import json
from typing import Any

from zoo.data.dataset import Dataset
from zoo.errors import ZooError
from zoo.settings import Settings
from zoo.train.plan import Resolved
from zoo.tuning.book import Book
from zoo.tuning.request import Request
from zoo.tuning.space import Point, Space


def identity_of(
    given: Settings,
    resolved: Resolved,
    dataset: Dataset,
    request: Request,
    searched: Space | list[Point],
    probing: bool,
) -> dict[str, Any]:
    """What makes trials comparable. Paths are no part of it: machines differ in them."""
    paths = ("data", "weights", "backbone")
    settings = {n: v for n, v in given.as_dict().items() if n not in paths and v is not None}
    if isinstance(searched, dict):
        space: Any = {n: d.as_data() for n, d in searched.items()}
    else:
        space = searched
    return {
        "data": dataset.split_fingerprint(),
        "backbone": resolved.spec.name,
        "metric": request.metric,
        "space": space,
        "settings": settings,
        "probes first": probing,
    }


_SAID = {
    "data": "other images or another split",
    "backbone": "another backbone",
    "metric": "another metric",
    "space": "another search space",
    "settings": "other fixed settings",
    "probes first": "another way to search the head",
}


def identify(book: Book, name: str, identity: dict[str, Any]) -> None:
    """Note what the study is of, or refuse where it is of something else.

    Raises:
        ZooError: it is.
    """
    mine = json.loads(json.dumps(identity))
    known = book.note("identity")
    if known is None:
        book.note("identity", mine)
        return
    for key, words in _SAID.items():
        if known.get(key) != mine[key]:
            short = key in {"backbone", "metric"}
            detail = f" ({known.get(key)}, not {mine[key]})" if short else ""
            raise ZooError(
                f"study {name!r} was made with {words}{detail}: choose another --name, or repeat "
                f"the command it was begun with"
            )
