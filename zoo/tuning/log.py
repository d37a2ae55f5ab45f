"""What is kept of the trials beside the storage: JSON Lines, TensorBoard HParams, MLflow."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.escape import printable
from zoo.installation import install_hint
from zoo.output import WRITTEN_BY, write_output
from zoo.paths import empty_folder
from zoo.tuning.result import Study, TrialRecord

_SCALARS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate")
_MLFLOW = {
    # its own patience with a server that does not answer is a quarter of an hour
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # standard output is for what the command finds
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_MLFLOW_MOST = 900  # metrics that it takes at once


def write_jsonl(path: Path, rows: Sequence[TrialRecord]) -> None:
    """One line per trial; written anew from the storage, so that no kill leaves half of it."""
    write_output(path, "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows))


def write_tensorboard(study: Study) -> None:
    """HParams of every finished trial: ``tensorboard --logdir STUDY/tensorboard``."""
    from zoo.keras_setup import import_keras

    import_keras()
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    folder = study.path / "tensorboard"
    empty_folder(folder)
    names = sorted({name for row in study.trials for name in row["params"]})
    metrics = [hp.Metric(f"val/{name}", display_name=name) for name in ("accuracy", "log_loss")]
    with tf.summary.create_file_writer(str(folder)).as_default():
        hp.hparams_config(hparams=[hp.HParam(name) for name in names], metrics=metrics)
    for row in study.trials:
        if row["state"] not in {"complete", "pruned"}:
            continue
        title = f"{row['stage']}-{row['trial']}"
        with tf.summary.create_file_writer(str(folder / title)).as_default():
            values = {
                n: printable(v) if isinstance(v, str) else v for n, v in row["params"].items()
            }
            hp.hparams(values, trial_id=title)
            for epoch in row["epochs"]:
                for key in [key for key in _SCALARS if key in epoch]:
                    tf.summary.scalar(f"epoch/{key}", epoch[key], step=int(epoch["epoch"]))
            for key, value in _last_metrics(row).items():
                tf.summary.scalar(f"val/{key}", value, step=0)


def _last_metrics(row: TrialRecord) -> dict[str, float]:
    """Metrics of a trial; of a pruned one, of its last epoch."""
    if row["metrics"]:
        return {k: v for k, v in row["metrics"].items() if v is not None}
    if not row["epochs"]:
        return {}
    last = row["epochs"][-1]
    return {"accuracy": last["val_accuracy"], "log_loss": last["val_loss"]}


class Mlflow:
    """Logs trials to an MLflow tracking server or database.

    Args:
        uri: of a server, or of a database such as ``sqlite:///mlflow.db``.
        experiment: name of the study.

    Raises:
        ZooError: MLflow is not installed, or the server cannot be reached.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        for variable, value in _MLFLOW.items():
            os.environ.setdefault(variable, value)
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise ZooError(f"--mlflow needs MLflow: {install_hint('mlflow')}") from None
        self._uri = uri
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = (
                found.experiment_id if found else self._client.create_experiment(experiment)
            )
            self._logged = self._titles()
        except Exception as error:  # MLflow, requests and SQLAlchemy raise their own
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ZooError(f"MLflow at {uri} cannot be used ({first[:300]})") from error

    def _titles(self) -> set[str]:
        """Names of the runs that are there, from an earlier command or another machine."""
        found, token = set(), None
        while True:
            page = self._client.search_runs([self._experiment], page_token=token)
            found |= {run.info.run_name for run in page if run.info.status != "RUNNING"}
            token = page.token
            if not token:
                return found

    def log(self, rows: Sequence[TrialRecord]) -> str:
        """Log the finished trials that are not there yet.

        Returns:
            Why not, where the server was lost; what is missing is logged by the next call.
        """
        try:
            for row in rows:
                title = f"{row['stage']}-{row['trial']}"
                if row["state"] not in {"running", "waiting"} and title not in self._logged:
                    self._log(title, row)
                    self._logged.add(title)
        except Exception as error:
            return f"MLflow at {self._uri} was lost ({error!s:.300}): trials are logged there later"
        return ""

    def _log(self, title: str, row: TrialRecord) -> None:
        from mlflow.entities import Metric, Param, RunTag

        now = int(1000 * time.time())
        run = self._client.create_run(self._experiment, run_name=title).info.run_id
        params = {**row["settings"], **row["params"]}
        metrics = [Metric(f"val/{k}", v, now, 0) for k, v in _last_metrics(row).items()]
        metrics += [
            Metric(key, epoch[key], now, int(epoch["epoch"]))
            for epoch in row["epochs"]
            for key in _SCALARS
            if key in epoch
        ]
        tags = [RunTag(key, str(row[key])) for key in ("state", "reason", "seconds", "host")]
        self._client.log_batch(
            run, metrics[:_MLFLOW_MOST], [Param(k, str(v)) for k, v in params.items()], tags
        )
        done = row["state"] in {"complete", "pruned"}
        self._client.set_terminated(run, "FINISHED" if done else "FAILED")


def write_best(path: Path, settings: Mapping[str, Any]) -> None:
    """The best settings, as ``zoo finetune --config`` takes them."""
    content = {**WRITTEN_BY, "settings": dict(settings)}
    write_output(path, json.dumps(content, indent=2) + "\n")
