"""Processes that train: what they say, and what is said of them when they end badly."""

import ast
import os
import signal
import time
from pathlib import Path

import pytest

import zoo
from zoo.processes.child import child
from zoo.processes.resources import threads_per_job, with_threads
from zoo.processes.serving import reason


def test_an_error_is_an_answer(tmp_path):
    with child({"kind": "nonsense"}, tmp_path / "log.txt", "zoo.tuning.worker") as made:
        (answer,) = made.answers(lambda: None)
    assert answer == {"error": "KeyError: 'nonsense'"}


def test_a_killed_process_is_told_to_want_memory_and_one_that_breaks_its_last_words(tmp_path):
    with child({"kind": "nonsense"}, tmp_path / "log.txt", "zoo.tuning.worker") as made:
        os.kill(made._process.pid, signal.SIGKILL)
        list(made.answers(lambda: None))
        assert "out of memory" in made.why(made.end())
        assert "exit status 3" in made.why(3)
    (tmp_path / "log.txt").write_text("first\nsegment gone\n\n")
    assert made.why(-11) == "the process ended with signal 11: segment gone"


def test_it_ends_with_its_parent(tmp_path):
    with child({"kind": "nonsense"}, tmp_path / "log.txt", "zoo.tuning.worker") as made:
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


@pytest.mark.parametrize("orders", [["job"], ["job", "go"]])
def test_answers_come_as_they_are_given_and_the_last_line_may_be_cut_off(tmp_path, orders):
    script = tmp_path / "speaks.py"
    script.write_text(
        "import sys\nprint('{\"n\": 1}', flush=True)\nsys.stdin.readline()\n"
        "print('{\"n\": 2}\\n{\"n\":', end='', flush=True)\n"
    )
    module = "speaks"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        with child({}, tmp_path / "log.txt", module) as made:
            for order in orders[1:]:
                made.send(order)
            assert [answer["n"] for answer in made.answers(lambda: None)] == [1, 2]
            assert made.end() == 0


def test_threads_are_shared_and_the_users_own_limits_stay():
    cores = os.cpu_count() or 1
    assert threads_per_job(1) == 0
    assert threads_per_job(2) == max(1, cores // 2)
    assert threads_per_job(10 * cores) == 1
    given = with_threads({"OMP_NUM_THREADS": "3"}, 2)
    assert (given["OMP_NUM_THREADS"], given["TF_NUM_INTRAOP_THREADS"]) == ("3", "2")
    assert with_threads({}, 0) == {}


@pytest.mark.parametrize("room", ["processes", "tuning", "benchmarking"])
def test_nothing_that_windows_lacks_is_imported(room):
    files = list((Path(zoo.__file__).parent / room).glob("*.py"))
    assert files
    for file in files:
        nodes = [n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Import)]
        imported = {alias.name for node in nodes for alias in node.names}
        assert not imported & {"fcntl", "select", "termios", "pwd", "grp", "resource"}, file
