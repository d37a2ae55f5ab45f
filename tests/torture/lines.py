"""Random command lines: words in any order, values of any kind, and what is right for no option."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache
from typing import Any

import click
from hypothesis import strategies as st

from tests.torture.forked import run
from tests.torture.place import Place
from tests.torture.verdict import broken

# what keeps a line from working for hours where it happens to be right; the last value counts
_SHORT: dict[str, list[str]] = {
    "finetune": ["--dry-run"],
    "tune": ["--print-space"],
    "sweep": ["--data", "nothing"],
    "benchmark": ["--data", "nothing"],
    "predict": [],
    "report": ["--no-diagnose"],
    "diagnose": ["--no-report"],
    "ensemble": [],
    "show": [],
    "runs": [],
    "list": [],
    "weights": ["list"],
}
_LEFT_OUT = {"--range-test", "--compare-backbones", "--measure", "--mlflow", "--storage", "--help"}
_PLACES = ["a", "b", "both", "nothing", "cnn", "data", "config.yaml", "journal.log", "runs/a"]
_ODD = [
    *("", " ", "-", "--", "../..", "/", ".", "~nobody/x", "a/b", "*", "%s", "{}", "$(x)", "a=b=c"),
    *(
        "x" * 300,
        "x" * 5000,
        "\x1b[2J",
        "a\nb",
        "\u202ex",
        "\udcff",
        "é",
        "0",
        "-1",
        "1e400",
        "nan",
    ),
    *("true", "none", "auto", "imagenet", "hub:", "hub:nothing", "tfds:nothing", "journal:", "://"),
]
_NO_NUMBERS = ["x", "nan", "inf", "-inf", "", " ", "1e400", "0x10", "1,2", "--", "٣٤x", "1e-400x"]


@dataclass(frozen=True)
class LineCase:
    """A command line; ``wrong`` is the part of it that is right for no option."""

    words: tuple[str, ...]
    wrong: str
    kind = "command line"

    def __str__(self) -> str:
        return shlex.join(self.words) + (f"  (wrong: {self.wrong!r})" if self.wrong else "")

    def run(self, place: Place) -> str:
        """What is wrong; empty if nothing."""
        place.renew()
        outcome = run(self.words, place.path)
        if said := broken(outcome):
            return said
        if self.wrong and outcome.status == 0:
            return f"status 0 for nonsense: {outcome.out[:200]}"
        return ""


@cache
def _options(command: str) -> list[click.Option]:
    from zoo import cli

    found = cli.cli.get_command(click.Context(cli.cli), command)
    assert found is not None
    options = [p for p in found.params if isinstance(p, click.Option)]
    return [o for o in options if not set(o.opts) & _LEFT_OUT]


def _is_number(option: click.Option) -> bool:
    from zoo.settings import describe

    described: Any = describe().get(option.name or "")
    kind = option.type.name if described is None else getattr(described.type, "__name__", "")
    return kind in {"integer", "float", "int", "integer range", "float range"}


@st.composite
def line_cases(draw: st.DrawFn) -> LineCase:
    """A line of a command with some of its options."""
    command = draw(st.sampled_from(sorted(_SHORT)))
    if draw(st.integers(0, 19)) == 0:
        return LineCase((draw(st.sampled_from(_ODD)), *draw(_words())), "")
    words, wrong = draw(_words()), ""
    available = [o for o in _options(command) if o.name not in {"dry_run", "print_space"}]
    several = st.lists(st.sampled_from(available or [None]), max_size=4, unique=True)
    for option in draw(several) if available else []:
        words.append(draw(st.sampled_from(option.opts + option.secondary_opts)))
        if option.is_flag:
            continue
        if _is_number(option) and draw(st.booleans()):
            words.append(draw(st.sampled_from(_NO_NUMBERS)))
            wrong = wrong or f"{words[-2]} {words[-1]}"
        elif draw(st.integers(0, 9)) == 0:
            words.append("")
            wrong = wrong or f"{words[-2]} ''"
        else:
            words.append(draw(_value()))
    return LineCase((command, *words, *_SHORT[command]), wrong)


def _value() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(_ODD),
        st.sampled_from(_PLACES),
        st.integers(-(10**12), 10**12).map(str),
        st.floats().map(str),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8),
    )


def _words() -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(st.sampled_from(_PLACES), st.sampled_from(_ODD)), max_size=3)
