"""Tables and bars in terminals of any width, a real one included."""

import fcntl
import os
import pty
import struct
import sys
import termios
import time

import pytest

from zoo.cli._tables import fitted

HEADERS = ["run", "model", "data", "accuracy"]
ROWS = [["a" * 30, "cnn", "digits", "0.912 [0.880, 0.940]"], ["b", "", "x" * 20, "0.5"]]


def lines(width: int | None, wide: bool = False) -> list[str]:
    return fitted(HEADERS, ROWS, (0, 3, 1, 2), width=width, wide=wide, right={3}).splitlines()


@pytest.mark.parametrize("width", [60, 70, 79, 80, 200])
def test_no_line_is_longer_than_the_terminal(width):
    assert max(map(len, lines(width))) <= width
    assert "0.912 [0.880, 0.940]" in "\n".join(lines(width))


def test_what_is_left_out_is_said():
    assert lines(60)[-1] == "not shown: data (--wide)"
    assert "not shown" not in "\n".join(lines(60, wide=True))


def test_narrow_terminals_get_lines_and_files_everything():
    assert lines(40)[:2] == ["a" * 30, "  accuracy: 0.912 [0.880, 0.940]"]
    assert "  model: " not in lines(40)[-3:]
    assert lines(None) == lines(500)
    assert lines(None)[0].split() == HEADERS


def in_terminal(columns: int, *words: str) -> str:
    """What a command prints in a terminal of so many columns."""
    pid, descriptor = pty.fork()
    if pid == 0:
        environment = {k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}}
        while not os.get_terminal_size(1).columns:  # until it is set below
            time.sleep(0.01)
        os.execve(sys.executable, [sys.executable, *words], environment)
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    shown = b""
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(descriptor)
    assert os.waitpid(pid, 0)[1] == 0, shown
    return shown.decode()


BAR = """
import time
from zoo.progress import for_terminal
with for_terminal().step("finetune fold 3/5", total=12345) as advance:
    advance(1234)
    advance(1, "epoch 12/40, validation loss 0.3456, accuracy 0.9123")
    time.sleep(0.3)
"""


@pytest.mark.parametrize("columns", [80, 70])
def test_the_remaining_time_is_not_cut(columns):
    shown = in_terminal(columns, "-c", BAR)
    assert "1235/12345" in shown
    assert "eta" in shown
    assert "epoch 12" in shown


def test_no_bar_in_a_narrow_terminal():
    assert in_terminal(50, "-c", BAR) == ""


def test_the_list_of_backbones_fits_80_columns():
    code = "from zoo.cli import main; main()"
    shown = in_terminal(80, "-c", code, "list").splitlines()
    table = shown[: next(i for i, line in enumerate(shown) if line.startswith("not shown"))]
    assert max(map(len, table)) <= 80
    assert "params" in table[0]
