"""Sixty of the cases of ``make torture``, in a process of their own: it forks."""

import subprocess
import sys


def test_no_fault_ends_in_a_traceback_or_in_silence():
    call = [sys.executable, "-m", "tests.torture", "--cases", "60"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "| all | 60 | 60 | 0 |" in done.stdout
