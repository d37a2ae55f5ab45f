"""Who sees what of long steps, and the names that the classes had."""

import io
import sys

import pytest

from zoo import progress


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (progress.Progress, ""),
        (progress.LogProgress, "four \\x1b[31mimages\n"),
        (progress.BarProgress, "four \\x1b[31mimages\n"),
    ],
)
def test_what_is_said(cls, expected, capsys):
    cls().say("four \x1b[31mimages")
    assert capsys.readouterr().err == expected


def test_bar_counts_the_units(capsys):
    with progress.BarProgress().step("decode", total=3) as advance:
        advance(2)
        advance(1, note="cat.png")
    err = capsys.readouterr().err
    assert "3/3" in err
    assert "cat.png" in err


def test_bars_only_in_a_terminal(monkeypatch):
    assert type(progress.for_terminal()) is progress.LogProgress
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    assert type(progress.for_terminal()) is progress.BarProgress


@pytest.mark.parametrize(
    ("old", "new"), [("Silent", "Progress"), ("Lines", "LogProgress"), ("Bars", "BarProgress")]
)
def test_former_names_warn(old, new):
    with pytest.warns(FutureWarning, match=f"zoo.progress.{old} is called {new} now"):
        assert getattr(progress, old) is getattr(progress, new)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Bar'"):
        progress.Bar  # noqa: B018


def test_a_notebook_gets_a_bar_of_its_own():
    display = pytest.importorskip("IPython.utils.capture")
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()
    try:
        with (
            display.capture_output() as captured,
            progress.NotebookProgress().step("<b>decode", total=4) as advance,
        ):
            advance(1)
            advance(3, note="cat & dog")
    finally:
        InteractiveShell.clear_instance()
    first, last = (output.data["text/html"] for output in captured.outputs)
    assert "&lt;b&gt;decode 0/4" in first
    assert "&lt;b&gt;decode 4/4" in last
    assert 'value="4" max="4"' in last
    assert "cat &amp; dog" in last


def test_scripts_stay_silent():
    assert not progress.in_notebook()
    assert type(progress.for_python()) is progress.Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3.6, "4 s"), (130, "2 min 10 s"), (11100, "3 h 5 min"), (200000, "2 days")],
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
