"""What makes the trials of a study comparable, and the refusal of what does not."""

from __future__ import annotations

import json
from typing import Any

import backbones
from zoo.data.dataset import Dataset
from zoo.deprecated import current_settings
from zoo.errors import ZooError
from zoo.settings import Settings
from zoo.train.plan import ResolvedPlan
from zoo.tuning.grid import choices_of
from zoo.tuning.request import Request
from zoo.tuning.result import TrialRecord
from zoo.tuning.space import Point, Space
from zoo.tuning.trial_store import TrialStore

_PATHS = ("data", "weights", "backbone")


def identity_of(
    given: Settings,
    resolved: ResolvedPlan,
    dataset: Dataset,
    request: Request,
    searched: Space | list[Point],
    probing: bool,
) -> dict[str, Any]:
    """What makes trials comparable. Paths are no part of it: machines differ in them."""
    settings = {n: v for n, v in given.as_dict().items() if n not in _PATHS and v is not None}
    if isinstance(searched, dict):
        space: Any = {n: d.as_data() for n, d in searched.items()}
    else:
        space = searched
    # a module's name is its path, too; what it holds is among the weights
    hub = resolved.settings.weights == resolved.spec.name
    return {
        "data": dataset.split_fingerprint(),
        "backbone": "hub" if hub else resolved.spec.name,
        "weights": [
            backbones.source_identity(str(source))
            for source in (resolved.settings.weights, *_tried(searched))
        ],
        "metric": request.metric,
        "space": space,
        "settings": settings,
        "probes first": probing,
    }


def with_paths(row: TrialRecord, resolved: ResolvedPlan) -> TrialRecord:
    """A trial with the paths of this command: files may have moved since, or machines differ."""
    if not row["settings"]:
        return row
    varies = {"weights", "backbone"} & set(row["params"])
    own = resolved.settings.as_dict()
    paths = {n: own[n] for n in (("data",) if varies else _PATHS)}
    return {**row, "settings": {**current_settings(row["settings"]), **paths}}


def _tried(searched: Space | list[Point]) -> list[Any]:
    """The weights among what is searched."""
    if isinstance(searched, dict):
        return list(searched["weights"].choices) if "weights" in searched else []
    return choices_of(searched).get("weights", [])


_SAID = {
    "data": "other images or another split",
    "backbone": "another backbone",
    "weights": "weights of other content",
    "metric": "another metric",
    "space": "another search space",
    "settings": "other fixed settings",
    "probes first": "another way to search the head",
}


def identify(store: TrialStore, name: str, identity: dict[str, Any]) -> None:
    """Note what the study is of, or refuse where it is of something else.

    Raises:
        ZooError: it is.
    """
    mine = json.loads(json.dumps(identity))
    known = store.note("identity")
    if known is None:
        store.note("identity", mine)
        return
    before = {"weights": mine["weights"], **known}  # of an older study, they are not known
    before["settings"] = current_settings(known["settings"])
    for key, words in _SAID.items():
        if before.get(key) != mine[key]:
            short = key in {"backbone", "metric"}
            detail = f" ({before.get(key)}, not {mine[key]})" if short else ""
            raise ZooError(
                f"study {name!r} was made with {words}{detail}: choose another --name, or repeat "
                f"the command it was begun with"
            )
    store.note("identity", mine)
