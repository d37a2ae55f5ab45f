"""Trials in MLflow: a real store in a file, asked with its own client."""

import pytest

import zoo
from zoo.tuning.log import Mlflow

EPOCH = {"epoch": 1, "val_loss": 0.8, "val_accuracy": 0.4, "train_loss": 1.0}


def row(number, state="complete", **more):
    about = {"stage": "finetune", "trial": number, "state": state, "reason": "", "host": "h"}
    metrics = {"accuracy": 0.5, "log_loss": 0.7, "auc": None} if state == "complete" else {}
    logged = {"seconds": 3.0, "params": {"lr": 0.1}, "settings": {"lr": 0.1, "size": None}}
    return {**about, **logged, "metrics": metrics, "epochs": [EPOCH], **more}


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def runs_in(store):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store)
    found = client.search_runs([client.get_experiment_by_name("birds").experiment_id])
    return {run.info.run_name: run for run in found}


def test_finished_trials_are_logged_once_also_by_a_second_command(store, capsys):
    first = [row(0), row(1, "failed", reason="out of memory"), row(2, "running")]
    assert Mlflow(store, "birds").log(first) == ""
    assert set(runs_in(store)) == {"finetune-0", "finetune-1"}
    assert Mlflow(store, "birds").log([row(0), row(2)]) == ""
    runs = runs_in(store)
    assert sorted(runs) == ["finetune-0", "finetune-1", "finetune-2"]
    best, failed = runs["finetune-0"], runs["finetune-1"]
    assert best.data.metrics == {
        "val_loss": 0.8,
        "val_accuracy": 0.4,
        "train_loss": 1.0,
        "val/accuracy": 0.5,
        "val/log_loss": 0.7,
    }
    assert best.data.params == {"lr": "0.1", "size": "None"}
    assert (best.info.status, failed.info.status) == ("FINISHED", "FAILED")
    assert failed.data.tags["reason"] == "out of memory"
    assert capsys.readouterr().out == ""


def test_a_lost_server_is_told_and_what_is_missing_is_logged_later(store, monkeypatch):
    log = Mlflow(store, "birds")
    with monkeypatch.context() as broken:
        broken.setattr(log._client, "create_run", lambda *_, **__: 1 / 0)
        assert "was lost" in log.log([row(0)])
    assert log.log([row(0), row(1)]) == ""
    assert len(runs_in(store)) == 2


def test_an_address_where_nothing_listens(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(zoo.ZooError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be used"):
        Mlflow("http://127.0.0.1:9", "birds")
