"""What is made of the trials: ranks, edges, diverse members, importances, the page."""

import json

import numpy as np
import pytest

from tests.helpers.checked_html import Page
from zoo.errors import ZooError
from zoo.tuning import result
from zoo.tuning.finetune_stage import work_folder
from zoo.tuning.log import write_jsonl
from zoo.tuning.page import page
from zoo.tuning.result import (
    Study,
    against_default,
    diverse,
    edges,
    importances,
    ranked,
    trial_records,
)
from zoo.tuning.space import Dimension
from zoo.tuning.storage import open_storage
from zoo.tuning.trial_store import TrialStore

SPACE = {
    "learning_rate": Dimension("learning_rate", 1e-4, 1e-2, log=True),
    "epochs": Dimension("epochs", 2, 12, integer=True),
    "mix": Dimension("mix", choices=("none", "cutmix")),
}


def row(number, score, state="complete", **more):
    params = {"learning_rate": 10.0 ** (-4 + number / 10), "epochs": 2 + number, "mix": "none"}
    loss = 1 - (score or 0.0)
    metrics = {"accuracy": score, "f1": score, "auc": 0.9, "log_loss": loss}
    usual = {
        "stage": "finetune",
        "trial": number,
        "state": state,
        "reason": "",
        "score": score,
        "metrics": metrics if state == "complete" else {},
        "params": params,
        "settings": params,
        "epochs": [],
        "seconds": 1.0,
        "default": number == 0,
        "counts": True,
        "retry_of": None,
    }
    return {**usual, **more}


def study(rows, path, metric="accuracy"):
    return Study("s", path, metric, rows, {"finetune": SPACE}, {}, [])


def test_the_best_is_first_and_others_than_complete_are_out(tmp_path):
    rows = [row(0, 0.7), row(1, 0.9), row(2, 0.99, state="pruned"), row(3, 0.8)]
    assert [r["trial"] for r in ranked(rows, "finetune", "accuracy")] == [1, 3, 0]
    assert [r["trial"] for r in ranked(rows, "finetune", "log_loss")] == [0, 3, 1]
    found = study(rows, tmp_path)
    assert found.best["trial"] == 1
    assert found.default["trial"] == 0
    with pytest.raises(ZooError, match="no trial of study 's' was completed"):
        _ = study(rows[2:3], tmp_path).best


@pytest.mark.parametrize(
    ("dimension", "value", "words"),
    [
        (SPACE["learning_rate"], 0.0098, "upper end of 0.0001 to 0.01: try low 0.0001, high 0.1"),
        (SPACE["learning_rate"], 1e-4, "lower end of 0.0001 to 0.01: try low 1e-05, high 0.01"),
        (SPACE["learning_rate"], 1e-3, None),
        (SPACE["epochs"], 12, "upper end of 2 to 12: try low 2, high 22"),
        (SPACE["epochs"], 2, "lower end of 2 to 12: try low 1, high 12"),
        (SPACE["mix"], "cutmix", None),  # no order, so no end
        (Dimension("dropout", 0.0, 0.5), 0.0, None),  # nothing is below
        (Dimension("layer_decay", 0.5, 1.0), 1.0, None),  # nor above
        (Dimension("batch_size", choices=(16, 32, 64)), 64, "upper end of the choices 16, 32, 64"),
        (Dimension("l2", choices=(0.0, 1e-4, 1e-3)), 0.0, None),
        (Dimension("l2", choices=(0.0, 1e-4, 1e-3)), 1e-3, "high 0.01"),
        (Dimension("epochs", choices=(4,)), 4, None),
    ],
)
def test_a_best_value_at_the_end_of_its_range_is_told_with_a_wider_one(dimension, value, words):
    found = edges({dimension.name: dimension}, {dimension.name: value})
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


def test_diverse_trials_are_those_that_help_the_best_one(tmp_path):
    labels = np.array([0, 1] * 20)
    rng = np.random.default_rng(0)

    def predictions(wrong):
        p = np.where(np.eye(2)[labels] > 0, 0.9, 0.1)
        p[wrong] = p[wrong][:, ::-1]
        return p.astype(np.float32)

    first, other = rng.permutation(40)[:8], np.arange(40)
    other = np.setdiff1d(other, first)[:9]
    tables = {0: predictions(first), 1: predictions(first), 2: predictions(other)}
    for number, table in tables.items():
        folder = work_folder(tmp_path, number)
        folder.mkdir(parents=True)
        np.save(folder / "val.npy", table)
    found = study([row(0, 0.9), row(1, 0.89), row(2, 0.88), row(3, 0.5)], tmp_path)
    assert [r["trial"] for r in diverse(found, labels, 2)] == [0, 2]
    assert [r["trial"] for r in diverse(found, labels, 9)] == [0, 2, 1]  # no more have predictions


def test_the_best_trial_is_compared_with_the_default_one_on_the_same_images(tmp_path):
    labels = np.arange(60) % 2
    right = np.eye(2)[labels] * 0.8 + 0.1
    for number, wrong in ((0, 20), (1, 4)):
        folder = work_folder(tmp_path, number)
        folder.mkdir(parents=True)
        np.save(folder / "val.npy", np.concatenate([right[:wrong, ::-1], right[wrong:]]))
    found = study([row(0, 0.6, default=True), row(1, 0.9), row(2, 0.1)], tmp_path)
    against = against_default(found, labels)
    assert (against.only_first, against.only_second, against.n) == (16, 0, 60)
    assert (against.by_accuracy, against.by_log_loss) == ("better", "better")
    # two others could have been the best
    assert (against.tests, against.p_value) == (2, pytest.approx(2 * 2 / 2**16))
    assert against_default(study([row(0, 0.6, default=True)], tmp_path), labels) is None
    elsewhere = study([row(0, 0.6, default=True), row(2, 0.9)], tmp_path)
    assert against_default(elsewhere, labels) is None


def test_the_best_of_many_equal_trials_is_rarely_called_better(tmp_path):
    """Twelve trials that are correct on 60% at random, each on images of its own."""
    rng, labels, false = np.random.default_rng(3), np.arange(80) % 2, 0
    for repetition in range(30):
        scores, folder = [], tmp_path / str(repetition)
        for number in range(12):
            wrong = rng.random(80) < 0.4
            p = np.eye(2)[np.where(wrong, 1 - labels, labels)] * 0.2 + 0.4
            trial = work_folder(folder, number)
            trial.mkdir(parents=True)
            np.save(trial / "val.npy", p)
            scores.append(row(number, float(1 - wrong.mean()), default=number == 0))
        found = against_default(study(scores, folder), labels)
        false += found is not None and found.by_accuracy == "better"
    assert false <= 3


def test_importances_find_the_setting_that_matters(tmp_path):
    import optuna

    def sampler(number):  # other draws may show too little of one setting
        return optuna.samplers.TPESampler(seed=number)

    storage = open_storage(None, tmp_path)
    store = TrialStore(storage, "b", "maximize", sampler_of=sampler)
    distributions = {n: d.distribution() for n, d in SPACE.items()}
    assert importances(store) == {}
    for _ in range(24):
        trial = store.claim(24, distributions)
        trial.set_user_attr("metrics", {"accuracy": 0.5})
        store.complete(trial, -abs(np.log10(trial.params["learning_rate"]) + 3))
    found = importances(store)
    assert next(iter(found)) == "learning_rate"
    assert found["learning_rate"] > 0.5
    rows = trial_records(store, "finetune")
    assert [r["trial"] for r in rows] == list(range(24))
    write_jsonl(tmp_path / "trials.jsonl", rows)
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_the_page_shows_all_charts_and_escapes_what_it_is_told(tmp_path):
    rows = [row(n, 0.5 + n / 40) for n in range(9)]
    rows.append(row(9, None, state="failed", reason="<script>alert(1)</script>"))
    found = study(rows, tmp_path)
    found.importances["finetune"] = {"epochs": 0.7, "learning_rate": 0.3, "mix": 0.0}
    found.edges.append("epochs & more")
    text = page(found)
    seen = Page(text)
    assert seen.tags.count("script") == 1  # the page's own
    assert "<script>alert(1)</script>" in seen.words
    assert seen.tags.count("svg") == 2 + 1 + len(SPACE)  # history, importances, parallel, slices
    assert seen.tags.count("circle") >= 9 * (1 + len(SPACE))
    assert "nan" not in text.lower().replace("dominant", "")


def test_a_page_of_one_trial_or_none_is_a_page(tmp_path):
    for rows in ([], [row(0, 0.5)], [row(0, None, state="failed", reason="no")]):
        assert "s" in Page(page(study(rows, tmp_path))).words


def test_states_have_plain_names(tmp_path):
    store = TrialStore(open_storage(None, tmp_path), "b", "maximize")
    distributions = {"mix": SPACE["mix"].distribution()}
    trials = [store.claim(9, distributions) for _ in range(4)]
    store.fail(trials[0], "NaN")
    store.interrupt(trials[1], "stopped")
    trials[2].report(0.5, 1)
    store.prune(trials[2], "weak")
    assert [r["state"] for r in trial_records(store, "finetune")] == [
        "failed",
        "interrupted",
        "pruned",
        "running",
    ]
    assert result.trial_records(store, "finetune")[0]["reason"] == "NaN"
