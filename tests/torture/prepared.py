"""A small folder of everything that zoo writes: runs, an ensemble, studies, a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import write_digits
from tests.helpers.ready_cells import SMALL, fill
from tests.torture.forked import fork, run

NETWORK = ["--size", "16", "--blocks", "1", "--filters", "4", "--dense-units", "16"]
TRAINING = [*NETWORK, "--epochs", "2", "--patience", "0", "--flip", "none"]
_PINS = ["size=16", "blocks=1", "filters=4", "dense_units=16", "epochs=2", "near_duplicates=off"]
PINNED = [word for pin in _PINS for word in ("--set", pin)]
STUDY = ["tune", "cnn", "--data", "data", "--trials", "3", "--no-refit", *PINNED]
JOURNAL = ["--name", "logged", "--storage", "journal:journal.log"]
BENCHMARK_PINS = ["size=16", "near_duplicates=off", "flip=none", "epochs=1", "test_fraction=0.4"]
BENCHMARK_PINS += ["cnn.blocks=1", "cnn.filters=4", "cnn.dense_units=16"]
BENCHMARK = ["benchmark", "--backbones", "cnn", "--data", "data", "--seeds", "2"]
BENCHMARK += ["--methods", "soft,greedy"]
BENCHMARK += [word for pin in BENCHMARK_PINS for word in ("--set", pin)]


def prepare(folder: Path) -> None:
    """Make everything below a folder, whose paths in what is written are relative.

    Args:
        folder: empty. It gets ``data``, ``runs``, ``journal.log`` and ``config.yaml``.
    """
    write_digits(folder / "data", per_class=20)
    from tests.torture.foreign import write_archives  # which imports this module

    (folder / "config.yaml").write_text("epochs: 2\nsize: 16\nblocks: 1\nfilters: 4\n")
    for seed in ("0", "1"):
        name = ["--name", "ab"[int(seed)], "--seed", seed]
        _done(run(["finetune", "cnn", "--data", "data", *name, *TRAINING], folder))
    _done(run(["ensemble", "a", "b", "--method", "soft", "--name", "both"], folder))
    _done(fork(_write_studies, folder))
    _done(fork(_write_benchmark, folder))
    _done(fork(lambda: write_archives(folder), folder))
    for line in (STUDY, [*STUDY, *JOURNAL], BENCHMARK):
        _done(run(line, folder))


def _done(outcome: Any) -> None:
    if outcome.status != 0:
        raise RuntimeError(f"what is to be damaged could not be made: {outcome.err}")


def _write_benchmark() -> int:
    fill(Path("runs"), Path("data"), ["cnn"], 2, each={"cnn": SMALL})
    folder = Path("runs/benchmarks/digits")
    folder.rename(folder.with_name("data"))
    return 0


def _write_studies() -> int:
    _write_study("cnn-data", None)
    _write_study("logged", "journal:journal.log")
    return 0


def _write_study(name: str, storage: str | None) -> None:
    """Three finished trials, with made-up scores, histories and predictions."""
    from zoo.digests import write_digests
    from zoo.overrides import parse_overrides
    from zoo.progress import Progress
    from zoo.train.plan import collect_settings, resolve
    from zoo.tuning.finetune_stage import work_folder
    from zoo.tuning.request import Request
    from zoo.tuning.session import Place, begin, data_of
    from zoo.tuning.space import default_point, default_space

    progress, pinned = Progress(), parse_overrides(_PINS)
    given = collect_settings("cnn", "data", None, pinned, progress)
    resolved = resolve(given)
    space = {n: d for n, d in default_space(resolved).items() if n not in pinned}
    request = Request(3, 100, "accuracy", 1, float("inf"), True, 1)
    place = Place(name, None, storage)
    dataset = data_of(resolved, place, progress)
    session = begin(given, resolved, dataset, request, space, place, progress)
    store, rng = session.store, np.random.default_rng(0)
    store.enqueue([default_point(space, resolved)], default=True)
    store.note("begun", True)
    for number in range(3):
        trial = store.claim(3, {n: d.distribution() for n, d in space.items()})
        settings = resolve(given.changed(**trial.params)).settings
        accuracy = 0.5 + 0.1 * number
        rows = [
            {"fold": 0, "epoch": e, "train_loss": 1.0, "val_loss": 0.9, "val_accuracy": accuracy}
            for e in (1, 2)
        ]
        metrics = {"accuracy": accuracy, "log_loss": 0.9, "f1": accuracy, "auc": 0.8}
        attributes = {"settings": settings.as_dict(), "epochs": rows, "seconds": 1.0}
        for key, value in {**attributes, "metrics": metrics, "best_epoch": 2}.items():
            trial.set_user_attr(key, value)
        folder = work_folder(session.context.folder, number)
        folder.mkdir(parents=True)
        p = rng.dirichlet(np.ones(3), session.context.val_count).astype(np.float32)
        np.save(folder / "val.npy", p)
        write_digests(folder)
        store.complete(trial, accuracy)
    session.log()
