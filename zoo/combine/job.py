"""``zoo ensemble``: finished runs in, a better one out, from stored predictions alone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ensembles import PredictionTable
from ensembles.comparison import compare
from ensembles.diversity import Diversity
from ensembles.pipeline import Ensemble
from ensembles.selection import BestMember
from ensembles.voting import SoftVoting
from zoo.combine.decide import Decision, Request, decide
from zoo.combine.members import Members, open_members
from zoo.data.decode import View
from zoo.deprecated import renamed_parameters
from zoo.errors import ZooError, disk_errors
from zoo.evaluate.metrics import evaluate
from zoo.evaluate.tables import write_tables
from zoo.progress import Progress, for_python
from zoo.run_names import free_name
from zoo.runs import Run, RunWriter, environment, write_json


@renamed_parameters("min_gain", "runs")
def ensemble(
    *members: str | Path | Run | Sequence[str | Path | Run],
    method: str = "auto",
    weights: Sequence[float] | None = None,
    calibrate: bool = True,
    tolerance: float | None = None,
    budget_ms: float | None = None,
    measure: bool = False,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Combine finished runs; the result is a run that predicts like any other.

    Everything is decided on validation predictions, or on out-of-fold predictions where all
    members have them; the test predictions are read once, at the end. No network runs, except for
    ``soup`` and ``measure``.

    Args:
        *members: runs, their names or paths, or one list of them; at least two, of the same data
            and split.
        method: ``soft``, ``weighted``, ``greedy``, ``stack``, ``geometric`` or ``vote``, see
            :mod:`ensembles`; ``soup``, see :mod:`zoo.combine.soup`; ``auto`` takes the simplest
            that cross-validation cannot tell from the best, and never one that is worse than the
            best member.
        weights: of the members, for ``soft`` and ``geometric``.
        calibrate: scale temperatures, of the members and of their combination.
        tolerance: keep the fewest members whose log loss is at most this above the lowest, in nats.
        budget_ms: keep to members that take at most this many milliseconds per image together.
        measure: time the members' networks on this machine, now.
        name: of the run; ``ensemble``, data and a number if None.
        runs_dir: folder of the runs; ``ZOO_RUNS`` or ``./runs`` if None.
        progress: shows the steps; a bar in a notebook, else silent, if None.

    Raises:
        ZooError, EnsembleError: one sentence that says what is wrong.
    """
    started, progress = time.perf_counter(), progress or for_python()
    named, method = _named(members, method)
    request = Request(method, _numbers(weights), calibrate, tolerance, budget_ms)
    given = open_members(named, runs_dir)
    name = name or free_name(f"ensemble-{given.runs[0].record['data']['name']}", runs_dir)
    if measure:
        given = _measured(given, progress)
    with RunWriter(name, runs_dir, resumable=False) as writer, disk_errors(writer.path):
        if method == "soup":
            record = _soup(given, writer.path, progress)
        else:
            # small arrays: more threads than one only wait for each other
            with threadpool_limits(1):
                record = _combine(given, decide(given, request), writer.path)
        record = {**_about(given, request), **record}
        record["seconds"] = {"total": round(time.perf_counter() - started, 3)}
        writer.write_record(record)
        return writer.complete()


def _named(
    members: Sequence[str | Path | Run | Sequence[str | Path | Run]], method: str
) -> tuple[list[str | Path | Run], str]:
    """The members, given one by one or as a list, which the method may follow."""
    if len(members) == 2 and isinstance(members[0], list | tuple) and isinstance(members[1], str):
        method, members = members[1], members[:1]
    named: list[str | Path | Run] = []
    for member in members:
        several = [member] if isinstance(member, str | Path | Run) else member
        if not isinstance(several, list | tuple):
            raise ZooError(f"a member must be a run, its name or its path, not {member!r:.60}")
        named += several
    return named, method


def _numbers(weights: Sequence[float] | None) -> tuple[float, ...] | None:
    try:
        return None if weights is None else tuple(map(float, weights))
    except (TypeError, ValueError):
        raise ZooError(f"weights must be numbers, not {weights!r:.60}") from None


def _measured(members: Members, progress: Progress) -> Members:
    """The members with their speed on this machine, in memory only."""
    from zoo.evaluate.predictor import milliseconds, predictor
    from zoo.keras_setup import import_keras

    import_keras()
    with progress.step("measure", len(members.runs)) as advance:
        for run in members.runs:
            network = run.record.get("network", {})
            run.record["network"] = {**network, "ms_per_image": milliseconds(predictor(run))}
            advance(1)
    return members


def _combine(given: Members, decision: Decision, folder: Path) -> dict[str, Any]:
    """Write predictions and members; what the record says of the combination."""
    fitted, members = decision.ensemble, decision.members
    for run in members.runs:
        _keep(run, folder / "members" / run.name)
    write_json(folder / "ensemble.json", {"members": members.names, "ensemble": fitted.as_record()})
    tables = _held_out(decision)
    test = given.test()  # everything is decided
    used = [given.names.index(name) for name in members.names]
    combined = fitted.predict_proba([test[i] for i in used])
    tables["test"] = replace(test[0], probabilities=combined.astype(np.float32))
    write_tables(folder, tables)
    costs = [run.milliseconds for run in members.runs]
    total = None if None in costs else round(sum(cost or 0.0 for cost in costs), 3)
    return {
        "network": {"ms_per_image": total},
        "combination": {
            "method": decision.method,
            "members": members.names,
            "weights": _weights(fitted),
            "dropped": decision.dropped,
            "reason": decision.reason,
            "fitted_on": given.split,
            "losses": decision.losses,
            "calibration": decision.calibration,
            "temperatures": [*fitted.temperatures_.tolist(), float(fitted.temperature_)],
            **_baselines(given, test, tables["test"], fitted.calibrate),
        },
    }


def _soup(given: Members, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write model and predictions; what the record says of the combination."""
    from zoo.combine.soup import average_weights
    from zoo.evaluate.predictor import Single, milliseconds

    soup, first = average_weights(given, folder, progress), given.runs[0]
    write_tables(folder, soup.tables)
    used = [given.names[i] for i in soup.used]
    size, resize = first.view
    return {
        "settings": {"method": "soup", "members": given.names, "size": size, "resize": resize},
        "network": {
            **first.record["network"],
            "ms_per_image": milliseconds(Single(soup.model, View(*first.view))),
        },
        "combination": {
            "method": "soup",
            "members": used,
            "dropped": [name for name in given.names if name not in used],
            "reason": "" if used[1:] else f"no mean of weights is better than {used[0]} alone",
            "fitted_on": "val",
            "losses": soup.losses,
            "temperatures": [soup.temperature],
            **_baselines(given, given.test(), soup.tables["test"], True),
        },
    }


def _baselines(
    given: Members, test: list[PredictionTable], combined: PredictionTable, calibrate: bool
) -> dict[str, Any]:
    """What the combination is compared with: the members, their plain mean, the best of them.

    The best member is the one of lowest log loss on validation, not on the test images. It is
    compared at its best temperature if the combination is: scaling alone is no combining.
    """
    best, plain = (
        Ensemble(combiner, calibrate).fit(given.tables) for combiner in (BestMember(), SoftVoting())
    )
    alone = replace(combined, probabilities=best.predict_proba(test).astype(np.float32))
    soft = plain.predict_proba(test)
    rows = [
        {"name": run.name, "ms_per_image": run.milliseconds, "test": run.metrics.get("test", {})}
        for run in given.runs
    ]
    return {
        "rows": rows,
        "soft": evaluate(combined.labels, soft, groups=combined.groups),
        "best_member": given.names[best.used()[0]],
        "against_best": compare(combined, alone).as_record(),
        "diversity": _diversity(given),
    }


def _diversity(members: Members) -> dict[str, Any]:
    """How the members differ on what the ensemble was fitted on."""
    found = Diversity.of(members.tables)
    values = {f.name: getattr(found, f.name) for f in fields(found)}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def _weights(fitted: Ensemble) -> list[float] | None:
    weights = getattr(fitted.combiner_, "weights_", None)
    return None if weights is None else weights.tolist()


def _held_out(decision: Decision) -> dict[str, PredictionTable]:
    """The combination's predictions for what it was fitted on, each by a fit without its fold.

    An ensemble can so be a member itself: what it says of these samples is as honest as what its
    members say.
    """
    table = replace(decision.members.tables[0], probabilities=decision.held_out.astype(np.float32))
    if decision.members.split == "val":
        return {"val": table}
    named = decision.members.runs[0].predictions("val").ids
    return {"oof": table, "val": replace(table.rows(np.isin(table.ids, named)), split="val")}


_KEPT_FILES = ("run.json", "model.keras", "ensemble.json")


def _keep(run: Run, target: Path) -> None:
    """Keep what predicting with a member needs: linked where the disk can, copied otherwise.

    The ensemble then outlives its members, at no cost in space.
    """
    model = "ensemble.json" if run.combination else "model.keras"
    if not run.has(model):
        raise ZooError(f"run {run.name!r} has no {model}: it is damaged; train it again")
    target.mkdir(parents=True)
    for file in [run.file(kept) for kept in _KEPT_FILES if run.has(kept)]:
        try:
            os.link(file, target / file.name)
        except OSError:  # another file system, or one without links
            shutil.copy2(file, target / file.name)
    for member in run.members:
        _keep(member, target / "members" / member.name)


def _about(given: Members, request: Request) -> dict[str, Any]:
    """What ``run.json`` says of any ensemble."""
    return {
        "kind": "ensemble",
        "status": "complete",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {**asdict(request), "members": given.names},
        "classes": given.tables[0].classes.tolist(),
        "data": given.runs[0].record["data"],
        **environment(),
    }
