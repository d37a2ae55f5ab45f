"""A lock keeps other processes out, and ends with its process however that ends."""

import subprocess
import sys

import pytest

from zoo.processes.lock import LockedError, locked

HOLD = """
import sys
from pathlib import Path
from zoo.processes.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock until it is told or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_another_process_is_kept_out_until_the_first_lets_go(holder, tmp_path):
    with pytest.raises(LockedError), locked(tmp_path / "lock"):
        pass
    with pytest.raises(LockedError), locked(tmp_path / "lock", wait=0.2):
        pass
    holder.communicate("done\n")
    with locked(tmp_path / "lock"):
        pass


def test_a_killed_process_holds_nothing(holder, tmp_path):
    holder.kill()
    holder.wait()
    with locked(tmp_path / "lock"):
        pass


def test_waiting_gets_it_when_the_other_ends(holder, tmp_path):
    holder.stdin.write("done\n")
    holder.stdin.flush()
    with locked(tmp_path / "lock", wait=30):
        assert holder.wait() == 0


def test_an_error_in_the_block_lets_go_too(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    with locked(tmp_path / "lock"):
        pass
