"""The process of one cell, so that memory does not grow with the table.

Started by :mod:`zoo.benchmarking.fan_out`; see :func:`zoo.processes.serving.serve`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from zoo.benchmarking.cell_store import digest
from zoo.processes.serving import Channel, serve
from zoo.runs import Run, being_written, finished, unfinished, write_json

_POLL = 1.0  # seconds between two looks at a run that another process is writing


def _cell(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Train or resume a run, and record the costs of its network and the machine."""
    from zoo.origin import machine
    from zoo.train.job import finetune

    name, folder = job["name"], Path(job["folder"])
    while being_written(name, folder):
        time.sleep(_POLL)  # by a process whose parent was killed, or of another machine
    if name not in {run.name for run in finished(folder)}:
        if name in unfinished(folder):
            finetune(name=name, runs_dir=folder, resume=True)
        else:
            finetune(name=name, runs_dir=folder, **job["settings"])
    run = Run(folder / name)
    costs = _costs(run)  # loads TensorFlow if nothing was left to train
    about = {"machine": machine(), "at_a_time": job["at_a_time"], **costs}
    write_json(Path(job["about"]), {**about, "sha256": digest(about)})
    return {"seconds": run.record["seconds"]["total"]}


def _costs(run: Run) -> dict[str, Any]:
    """Parameters of a run's network, and its multiply-accumulates if they are known."""
    import backbones
    from zoo.keras_setup import import_keras

    import_keras()
    model, macs = run.model, None
    if not run.settings["backbone"].startswith("hub:"):  # a graph, whose layers are not known
        with suppress(ValueError):
            macs = backbones.macs(model)
    return {"parameters": model.count_params(), "macs": macs}


def _soup(job: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Average the weights of runs."""
    from zoo.combine.job import ensemble

    made = ensemble(job["members"], "soup", name=job["name"], runs_dir=job["folder"])
    return {"seconds": made.record["seconds"]["total"]}


if __name__ == "__main__":
    serve({"cell": _cell, "soup": _soup})
