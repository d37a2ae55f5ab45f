"""Processes that train: what they say, and what is said of them when they end badly."""

import os
import signal
import time

from zoo.tuning.process import worker
from zoo.tuning.worker import reason


def test_an_error_is_an_answer(tmp_path):
    with worker({"kind": "nonsense"}, tmp_path / "log.txt") as made:
        (answer,) = made.answers(lambda: None)
    assert answer == {"error": "KeyError: 'nonsense'"}


def test_a_killed_process_is_told_to_want_memory_and_one_that_breaks_its_last_words(tmp_path):
    with worker({"kind": "nonsense"}, tmp_path / "log.txt") as made:
        os.kill(made._process.pid, signal.SIGKILL)
        list(made.answers(lambda: None))
        assert "want of memory" in made.why(made.end())
        assert "exit status 3" in made.why(3)
    (tmp_path / "log.txt").write_text("first\nsegment gone\n\n")
    assert made.why(-11) == "the process ended with signal 11: segment gone"


def test_it_ends_with_its_parent(tmp_path):
    with worker({"kind": "nonsense"}, tmp_path / "log.txt") as made:
        process = made._process
        process.stdin.close()
        for _ in range(200):
            if process.poll() is not None:
                break
            time.sleep(0.05)
        assert process.poll() is not None


def test_reasons_name_memory():
    class ResourceExhaustedError(Exception):
        pass

    assert reason(MemoryError()) == "out of memory: "
    assert reason(ResourceExhaustedError("OOM when\nallocating")).startswith("out of memory: OOM")
    assert reason(KeyError("x")) == "KeyError: 'x'"
