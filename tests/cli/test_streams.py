"""Standard output that is full or closed, and signals: no traceback and the right exit status."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ZOO = f"{shlex.quote(sys.executable)} -m zoo"


def shell(line: str) -> subprocess.CompletedProcess:
    """Run a line of bash; the exit status of its first part is printed last on standard error."""
    return subprocess.run(
        ["bash", "-c", f"{line}; echo ${{PIPESTATUS[0]}} >&2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("list >/dev/full", 1, "No space left on device"),
        ("list --json >/dev/full", 1, "No space left on device"),
        ("--help >/dev/full", 1, "No space left on device"),
        ("--version >/dev/full", 1, "No space left on device"),
        ("list >&-", 1, "Bad file descriptor"),
        ("runs --json >&-", 1, "Bad file descriptor"),
        ("list | true", 0, ""),
        ("list --json | true", 0, ""),
        ("list | head -n 1", 0, ""),
        ("show nothing >/dev/full", 2, "there is no run 'nothing'"),
        ("show nothing >&-", 2, "there is no run 'nothing'"),
    ],
)
def test_output_that_is_lost(line, status, said):
    if "/dev/full" in line and not Path("/dev/full").is_char_device():
        pytest.skip("/dev/full is not a device here")
    done = shell(f"{ZOO} {line}")
    *lines, code = done.stderr.splitlines()
    assert int(code) == status, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == (1 if said else 0)
    assert said in done.stderr


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "0<&- 2>&-"])
def test_lost_errors_change_no_exit_status(redirection):
    assert shell(f"{ZOO} show nothing {redirection}").stderr.splitlines()[-1] == "2"
    done = shell(f"{ZOO} list {redirection}")
    assert done.stderr.splitlines()[-1] == "0"
    assert "efficientnet-lite0" in done.stdout


def test_a_letter_that_the_encoding_lacks_is_shown_as_an_escape(tmp_path):
    (tmp_path / "Löwe").mkdir()
    done = shell(f"cd {tmp_path}; PYTHONIOENCODING=ascii {ZOO} show Löwe")
    assert "Traceback" not in done.stderr
    assert "L\\xf6we" in done.stderr


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_keeps_the_run_and_names_the_command_that_continues(
    name, status, digits_folder, tmp_path
):
    pins = "--size 16 --blocks 1 --filters 4 --dense-units 16 --epochs 400 --patience 0"
    call = ["finetune", "cnn", "--data", str(digits_folder), "--name", "a", *pins.split()]
    runs = tmp_path / "my runs"
    process = subprocess.Popen(
        [sys.executable, "-m", "zoo", *call, "--runs-dir", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # tests may be started with signals ignored, as by nohup
        preexec_fn=lambda: (
            signal.signal(getattr(signal, name), signal.SIG_DFL)
            if name != "SIGINT"
            else signal.signal(signal.SIGINT, signal.default_int_handler)
        ),
    )
    while not list(runs.glob(".a.partial/checkpoints/*.npz")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    os.kill(process.pid, getattr(signal, name))
    _, said = process.communicate(timeout=120)
    assert process.returncode == status, said
    told = "stopped" if name == "SIGINT" else f"stopped by {name}"
    last = said.splitlines()[-1]
    assert last == f"{told}; continue with `zoo finetune --resume --name a --runs-dir '{runs}'`"
    assert (runs / ".a.partial" / "run.json").is_file()


_IN_DESTRUCTOR = """
import gc, signal, time
from zoo.cli._streams import Stopped, stop_on_signals

class Last:
    def __del__(self):
        signal.raise_signal(signal.{name})

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
stop_on_signals()
try:
    Last()
    time.sleep(30)
except KeyboardInterrupt as error:
    print(int(getattr(error, "number", signal.SIGINT)))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_in_a_destructor_is_not_lost(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IN_DESTRUCTOR.format(name=name)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout.strip() == str(int(getattr(signal, name)))
    assert "Traceback" not in done.stderr
