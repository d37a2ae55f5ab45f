"""What a model is, for programs: classes, input, metrics, data, weights, limits."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from zoo.exporting.formats import Format
from zoo.runs import Run

_LIMITS = [
    "It knows the classes of its training images only, and gives one of them to any image.",
    "The metrics hold for images like those that it was tested on.",
]


def card(run: Run, form: Format, int8: bool) -> dict[str, Any]:
    """The card of an exported model.

    Args:
        run: what it is made from.
        form: its format.
        int8: whether it computes in 8 bits.
    """
    about = about_run(run)
    about["input"] = {"takes": list(form.takes), **about["input"]}
    made = {"format": form.name, "file": form.file, "int8": int8}
    return {"written_by": "zoo", **made, **about, "created": now()}


def about_run(run: Run) -> dict[str, Any]:
    """What a run is, without a path of this machine."""
    record = run.record
    return {
        "run": run.name,
        "model": _without_path(run.title),
        "classes": run.classes,
        "input": {"networks": [list(one.view) for one in run.networks]},
        "output": "probabilities in the order of the classes; each row sums to 1",
        "metrics": run.metrics,
        "data": {
            name: record["data"].get(name)
            for name in ("name", "images", "fingerprint", "value_range")
        },
        "weights": [_weights(one) for one in run.networks],
        "limits": _LIMITS,
        "versions": record.get("versions", {}),
        "zoo": sys.modules["zoo"].__version__,
    }


def now() -> str:
    """The time, as ISO 8601 with the offset of this place."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _weights(run: Run) -> dict[str, Any]:
    import backbones

    name = str(run.settings["backbone"])
    licence = "see its source" if name.startswith("hub:") else backbones.get(name).licence
    about = dict(run.record.get("weights", {}))
    if "source" in about:
        about["source"] = _without_path(str(about["source"]))
    return {"backbone": _without_path(name), **about, "licence": licence}


def _without_path(name: str) -> str:
    """A source of weights or of a module; of one on this machine, the name of the file."""
    kind, hub, place = name.rpartition("hub:")
    return name if "://" in place or "/" not in place else kind + hub + Path(place).name
