"""``zoo benchmark``: train the missing cells, combine them, and build the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from backbones import BackboneError, weights_file
from zoo import paths
from zoo.benchmarking.cell_store import CellStore
from zoo.benchmarking.combinations import combinations, combine, failure
from zoo.benchmarking.fan_out import Job, JobRunner
from zoo.benchmarking.plan import METHODS, Candidate, Cell, PerBackbone, Request, candidates, cells
from zoo.benchmarking.provenance import mixed, versions_of
from zoo.benchmarking.result import Table, TableRow, compare_with_best, ensemble_rows, single_rows
from zoo.benchmarking.tables import write
from zoo.data.dataset import Dataset, load
from zoo.data.prepare import prepare
from zoo.deprecated import renamed_parameters
from zoo.errors import ZooError, disk_errors
from zoo.keywords import TrainingSettings
from zoo.progress import Advance, Progress, for_python
from zoo.run_names import check_name, plain_name
from zoo.train.job import fetch_weights
from zoo.train.remarks import data_remarks
from zoo.words import counted


@renamed_parameters("runs")
def benchmark(
    backbones: Sequence[str] = (),
    data: str | Path | None = None,
    *,
    seeds: int = 3,
    methods: Sequence[str] = METHODS,
    each: PerBackbone | None = None,
    jobs: int = 1,
    backend: str = "loky",
    address: str | None = None,
    name: str | None = None,
    runs_dir: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Unpack[TrainingSettings],
) -> Table:
    """Compare backbones, steps of the training recipe and ensembles on one split.

    Every backbone is trained as a linear probe, fine-tuned without augmentation and penalties, with
    augmentation, and with both; from scratch there is no probe. Then every method combines the
    networks of the full recipe of each seed, and a soup averages the weights of the fine-tuned
    variants of each backbone. Training runs are kept in ``benchmarks/NAME/cells`` of the runs
    folder: the same call continues after an interruption, and more seeds or backbones add to them.

    Args:
        backbones: families or variants; every family if empty.
        data, runs_dir, progress: see :func:`zoo.finetune`.
        seeds: training runs per cell, with seeds 0, 1, ...
        methods: ways to combine, out of ``soft``, ``geometric``, ``weighted``, ``greedy``,
            ``stack``, ``vote``, ``auto`` and ``soup``.
        each: backbone to its own settings, such as ``{"mobilenet": {"weights": "file.h5"}}``.
        jobs: training runs at a time on this machine.
        backend: joblib backend: ``loky``, or ``dask`` with the ``address`` of a scheduler whose
            workers share the runs folder and see images and weights under the same paths.
        address: of the Dask scheduler, such as ``tcp://10.0.0.5:8786``.
        name: of the benchmark; the name of the data if None.
        **settings: the same in all training runs; see :class:`zoo.settings.Settings`.

    Returns:
        The table; it is also in the folder as ``table.md``, ``table.csv`` and ``table.json``. A
        backbone whose weights cannot be loaded is a row that says so.

    Raises:
        ZooError, BackboneError: one sentence that says what is wrong; also if all new training
            runs failed, after the table was written.
    """
    progress = progress or for_python()
    source = None if data is None else str(data)
    request = Request(
        tuple(backbones),
        source,
        seeds,
        tuple(methods),
        settings,
        each or {},
        jobs,
        backend,
        address,
    )
    if name is not None:
        check_name(name)
    found = candidates(request, progress)
    dataset = _images(found[0], progress)
    label = name or _label(found[0].any.settings.data)
    no_weights = _without_weights(found, progress)
    wanted = cells(found, seeds, dataset)
    store = CellStore(paths.runs_dir(runs_dir) / "benchmarks" / label)
    runner = JobRunner(jobs, backend, address)
    with disk_errors(store.folder), store.locked():
        able = [cell for cell in wanted if cell.backbone not in no_weights]
        missing = [cell for cell in able if not store.is_done(cell.name)]
        failed = _train(able, dataset, store, runner, progress)
        table = _table(label, request, wanted, dataset, store, (failed, no_weights), name, progress)
        write(table)
    if failed and not any(store.is_done(cell.name) for cell in missing):
        raise ZooError(
            f"all {counted(len(failed), 'new training run')} failed "
            f"({next(iter(failed.values()))}); {table.path / 'table.md'} has the earlier ones"
        )
    return table


def _images(candidate: Candidate, progress: Progress) -> Dataset:
    """The images and the split that all are compared on.

    Raises:
        ZooError: there are none to compare by.
    """
    dataset = load(candidate.any.settings, progress)
    for sentence in data_remarks(dataset):
        progress.say(sentence)
    for split in ("val", "test"):
        if not len(dataset.split.rows(split)):
            what = "validation" if split == "val" else "test"
            raise ZooError(f"there are no {what} images to compare on: add some")
    return dataset


def _label(data: str) -> str:
    return plain_name(Path(data.removeprefix("tfds:")).stem) or "benchmark"


def _without_weights(found: Sequence[Candidate], progress: Progress) -> dict[str, str]:
    """Backbone to the reason why its weights cannot be loaded; missing ones are downloaded.

    Raises:
        ZooError, BackboneError: none has weights, or a named file does not exist.
    """
    reasons = {}
    for candidate in found:
        weights = str(candidate.any.settings.weights)
        if weights not in {"imagenet", "none"} and not weights.startswith("hub:"):
            weights_file(weights)
        try:
            fetch_weights(candidate.any, progress)
        except BackboneError as error:
            reasons[candidate.name] = str(error)
            progress.say(f"skipped {candidate.name}: {error}")
    if len(reasons) == len(found):
        raise ZooError(f"no backbone has weights: {next(iter(reasons.values()))}")
    return reasons


def _train(
    wanted: Sequence[Cell],
    dataset: Dataset,
    store: CellStore,
    runner: JobRunner,
    progress: Progress,
) -> dict[str, str]:
    """Train the missing cells; gives name to reason of those that failed.

    Probes come first, because they compute the features that the others load. A backbone whose
    probe failed, for instance because its weights are of another network, is not trained further.

    Raises:
        ZooError: no cell is finished.
    """
    missing = [cell for cell in wanted if not store.is_done(cell.name)]
    if len(missing) < len(wanted):
        done = len(wanted) - len(missing)
        progress.say(f"{done} of {counted(len(wanted), 'training run')} already finished")
    for size, resize in dict.fromkeys((c.settings.size, c.settings.resize) for c in missing):
        assert size is not None
        prepare(dataset.catalog, size, resize, progress)  # once, rather than in each process
    failed: dict[str, str] = {}
    by_name = {cell.name: cell for cell in missing}
    with progress.step("train", len(wanted)) as advance:
        advance(len(wanted) - len(missing))
        for first in (True, False):
            part = [cell for cell in missing if (cell.variant == "probe") == first]
            hopeless = {by_name[name].backbone: why for name, why in failed.items()}
            failed |= {c.name: hopeless[c.backbone] for c in part if c.backbone in hopeless}
            todo = [_job(c, store, runner) for c in part if c.name not in failed]
            advance(len(part) - len(todo))
            for job, answer in runner.run(todo):
                why = failure(job, answer, store)
                failed |= why
                _say_result(by_name[job["name"]], why, store, advance, progress)
    if wanted and not any(store.is_done(cell.name) for cell in wanted):
        raise ZooError(f"nothing could be trained: {next(iter(failed.values()))}")
    return failed


def _job(cell: Cell, store: CellStore, runner: JobRunner) -> Job:
    return {
        "kind": "cell",
        "name": cell.name,
        "folder": str(store.cells.resolve()),
        "settings": cell.settings.as_dict(),
        "about": str(store.about_file(cell.name).resolve()),
        "log": str(store.log(cell.name).resolve()),
        "at_a_time": runner.jobs,
    }


def _say_result(
    cell: Cell, why: Mapping[str, str], store: CellStore, advance: Advance, progress: Progress
) -> None:
    advance(1)
    run = store.run(cell.name)
    if cell.name in why or run is None:
        progress.say(f"{cell.label}: failed: {why.get(cell.name, 'it is missing')}")
        return
    # not the test metrics: nobody should choose by them while the table is made
    found, spent = run.metrics["val"], run.record["seconds"]["total"]
    accuracy, loss = found["accuracy"]["value"], found["log_loss"]["value"]
    progress.say(
        f"{cell.label}: validation accuracy {accuracy:.3f}, log loss {loss:.3f} ({spent:.0f} s)"
    )


def _table(
    label: str,
    request: Request,
    wanted: Sequence[Cell],
    dataset: Dataset,
    store: CellStore,
    problems: tuple[Mapping[str, str], Mapping[str, str]],
    name: str | None,
    progress: Progress,
) -> Table:
    """Combine the cells, and build the rows."""
    failed, no_weights = problems
    runner = JobRunner(request.jobs, request.backend, request.address)
    ensembles, missing = combinations(wanted, request.methods, request.seeds, store)
    unmade = combine(ensembles, store, runner, progress)
    rows: list[TableRow] = single_rows(wanted, store, failed, no_weights)
    rows += ensemble_rows(ensembles, missing, wanted, store, unmade)
    compare_with_best(rows)
    origin = _origin(request, rows, wanted, dataset, store, request.command(name))
    return Table(label, store.folder, rows, origin)


def _origin(
    request: Request,
    rows: Sequence[TableRow],
    wanted: Sequence[Cell],
    dataset: Dataset,
    store: CellStore,
    command: str,
) -> dict[str, Any]:
    """Command, machines, versions and data that the figures come from."""
    trained = {c.name: store.run(c.name) for c in wanted if store.is_done(c.name)}
    about = [store.about(name) for name in trained]
    summary = dataset.summary()
    data = {key: summary[key] for key in ("name", "images", "fingerprint", "split_fingerprint")}
    data |= {split: sum(counts) for split, counts in summary["counts"].items()}
    made_by = {r.name: r.record["versions"] for row in rows for r in row.runs.values()}
    return {
        "command": command,
        "machines": sorted({a["machine"] for a in about}),
        "versions": {p: ", ".join(v) for p, v in versions_of(made_by.values()).items()},
        "made_by": made_by,
        "mixed": mixed(made_by.values(), store.cells),
        "data": {**data, "classes": len(dataset.catalog.classes)},
        "seeds": request.seeds,
        "at_a_time": max(a["at_a_time"] for a in about),
        "cell_seconds": round(sum(r.record["seconds"]["total"] for r in trained.values() if r), 3),
    }
