"""Who works on which trial: nothing is lost, nothing is done twice, on one machine or many."""

import os
import subprocess
import sys
import time

import pytest
from optuna.distributions import FloatDistribution

from zoo.errors import ZooError
from zoo.processes import owner
from zoo.tuning.storage import open_storage
from zoo.tuning.trial_store import TrialStore

SPACE = {"x": FloatDistribution(0.0, 1.0)}


@pytest.fixture
def store(tmp_path):
    return TrialStore(open_storage(None, tmp_path), "b", "maximize")


def states(store):
    return [t.state.name for t in store.trials]


def gone():
    """Owner of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return {**owner.this_process(), "pid": done.pid, "since": 1.0}


def test_trials_are_given_out_until_enough_count(store):
    for number in range(3):
        trial = store.claim(3, SPACE)
        assert trial.number == number
        store.complete(trial, trial.params["x"])
    assert store.claim(3, SPACE) is None
    assert store.claim(4, SPACE).number == 3


def test_a_trial_of_a_killed_process_is_tried_once_more_and_counted_once(store):
    for attempt in (1, 2):
        trial = store.claim(2, SPACE)
        trial.set_user_attr("owner", gone())
        assert trial.user_attrs.get("retry_of") == (None if attempt == 1 else 0)
    third = store.claim(2, SPACE)
    first, second = store.trials[:2]
    assert first.params == second.params  # the same was tried again
    assert states(store) == ["FAIL", "FAIL", "RUNNING"]
    assert "tried once more" in first.user_attrs["reason"]
    assert "not tried again" in second.user_attrs["reason"]
    assert store.counted() == 2
    store.complete(third, 1.0)
    assert store.claim(2, SPACE) is None


def test_trials_of_living_processes_are_left_alone(store):
    store.claim(5, SPACE)
    store.claim(5, SPACE)
    assert states(store) == ["RUNNING", "RUNNING"]
    other = {**owner.this_process(), "host": "another"}
    trial = store.claim(5, SPACE)
    trial.set_user_attr("owner", other)
    store.recover()
    assert states(store)[-1] == "RUNNING"
    assert store.elsewhere() == 1
    trial.set_user_attr("beat", time.time() - 2 * owner.SILENCE)
    store.recover()
    assert states(store) == ["RUNNING", "RUNNING", "FAIL", "WAITING"]


def test_the_same_process_number_is_not_the_same_process():
    mine = owner.this_process()
    assert not owner.is_gone(mine, time.time())
    assert owner.is_gone({**mine, "session": "earlier"}, time.time())
    parent = {**mine, "pid": os.getppid()}
    assert owner.is_gone({**parent, "since": 0.0}, time.time())
    assert owner.is_gone(None, time.time() - 100)
    assert not owner.is_gone(None, time.time())


def test_an_interrupted_trial_is_repeated_and_keeps_its_notes(store):
    store.enqueue([{"x": 0.25}], default=True)
    trial = store.claim(1, SPACE)
    store.interrupt(trial, "stopped by Ctrl-C")
    store.interrupt(trial, "a second time does no harm")
    assert states(store) == ["FAIL", "WAITING"]
    again = store.claim(1, SPACE)
    assert again.params == {"x": 0.25}
    assert again.user_attrs["default"]


def test_without_a_limit_only_what_is_enqueued_is_given_out(store):
    assert store.claim(None) is None
    store.study.enqueue_trial({"x": 0.5}, user_attrs={"point": {"x": 0.5}})
    trial = store.claim(None)
    assert trial.suggest_float("x", 0, 1) == 0.5
    assert store.claim(None) is None


def test_another_direction_is_another_study(store, tmp_path):
    with pytest.raises(ZooError, match="made with another metric"):
        TrialStore(open_storage(None, tmp_path), "b", "minimize")


WORK = """
import sys, time
from pathlib import Path
from optuna.distributions import FloatDistribution
from zoo.tuning.trial_store import TrialStore
from zoo.tuning.storage import open_storage
store = TrialStore(open_storage(sys.argv[1], Path(sys.argv[2])), "shared", "maximize")
while (trial := store.claim(12, {"x": FloatDistribution(0, 1)})) is not None:
    time.sleep(0.05)
    store.complete(trial, trial.params["x"])
"""


def share(storage, folder):
    """Let two processes do twelve trials together."""
    args = [sys.executable, "-c", WORK, storage, str(folder)]
    both = [subprocess.Popen(args, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    store = TrialStore(open_storage(storage, folder), "shared", "maximize")
    workers = {t.user_attrs["owner"]["pid"] for t in store.trials}
    assert set(states(store)) == {"COMPLETE"}
    assert 12 <= len(store.trials) <= 13  # both may take the last one
    assert len(workers) == 2


def test_two_processes_share_a_journal_file(tmp_path):
    share(f"journal:{tmp_path / 'deep' / 'study.log'}", tmp_path)


def test_two_processes_share_a_postgresql_server(tmp_path, postgres):
    share(postgres, tmp_path)
