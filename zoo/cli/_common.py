"""What the commands share: parameter types with completion, and options from settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from zoo.escape import printable, printable_lines
from zoo.progress import Progress, for_terminal
from zoo.settings import PAIR, Option, check, describe, from_text


class BackboneName(click.ParamType):
    """A family or variant, completed from the registry; checked by the call itself."""

    name = "backbone"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Families first, then variants."""
        import backbones

        known = dict.fromkeys([*backbones.families(), *backbones.names()])
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


class _Several(click.ParamType):
    """Mixed into a type of names: several with commas between; the last one is completed."""

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> list[str]:
        """Names without blanks around them; empty ones are left out."""
        if isinstance(value, list):
            return value
        return [part.strip() for part in value.split(",") if part.strip()]

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """What may follow the last comma."""
        before, comma, last = incomplete.rpartition(",")
        found = super().shell_complete(context, parameter, last)
        given = before.split(",")
        return [CompletionItem(before + comma + i.value) for i in found if i.value not in given]


class BackboneNames(_Several, BackboneName):
    """Families or variants with commas between."""

    name = "backbones"


class RunName(click.ParamType):
    """A finished run."""

    name = "run"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Runs of the folder given before, or of the usual one."""
        from zoo.runs import finished

        found = finished(context.params.get("runs_dir"))
        return [CompletionItem(run.name) for run in found if run.name.startswith(incomplete)]


class RunNames(_Several, RunName):
    """Finished runs with commas between."""

    name = "runs"


class DataSource(click.ParamType):
    """A path or a built-in set."""

    name = "src"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Built-in sets, then paths of the shell."""
        from zoo.data import builtin

        items = [CompletionItem(n, help=s.about) for n, s in builtin.SETS.items()]
        matching = [item for item in items if item.value.startswith(incomplete)]
        return [*matching, CompletionItem(incomplete, type="file")]


class SettingValue(click.ParamType):
    """A value of a setting, refused in the same words as in Python and in files."""

    def __init__(self, option: Option) -> None:
        self.name = option.name
        self._option = option

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Any:
        """The value with its type.

        Raises:
            ZooError: it has another type, or is out of range.
        """
        if isinstance(value, str):
            value = from_text(self._option, value)
        return check({self.name: value})[self.name]

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The choices, if there are any."""
        return [CompletionItem(c) for c in self._option.choices if c.startswith(incomplete)]


runs_option = click.option(
    "--runs-dir", metavar="DIR", help="Folder of the runs.  [default: $ZOO_RUNS or ./runs]"
)
jobs_option = click.option(
    "--jobs",
    type=int,
    default=1,
    show_default=True,
    metavar="J",
    help="Runs at a time on this machine.",
)
wide_option = click.option(
    "--wide", is_flag=True, help="Show all columns, also where the terminal is too narrow."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


def settings_options(
    function: Callable[..., Any], left_out: Sequence[str] = ()
) -> Callable[..., Any]:
    """Decorator: an option for every setting, but for some; those not given are None."""
    for option in reversed(describe().values()):
        if option.name not in {"data", *left_out}:
            function = _click_option(option)(function)
    return function


def _click_option(option: Option) -> Callable[..., Any]:
    flag = option.name.replace("_", "-")
    default = option.auto or option.default
    if option.type is bool:
        shown = option.auto or ("on" if option.default else "off")
        return click.option(
            f"--{flag}/--no-{flag}",
            option.name,
            default=None,
            help=f"{_sentence(option)}  [default: {shown}]",
        )
    if option.type == PAIR:
        return click.option(
            f"--{flag}",
            option.name,
            nargs=2,
            type=float,
            metavar="LOW HIGH",
            default=None,
            help=f"{_sentence(option)}  [default: {default}]",
        )
    metavar = "|".join(option.choices) or _METAVARS[option.type]
    limits = f"; {option.range()}" if option.range() and not option.choices else ""
    return click.option(
        f"--{flag}",
        option.name,
        type=SettingValue(option),
        metavar=metavar,
        default=None,
        help=f"{_sentence(option)}  [default: {default}{limits}]",
    )


_METAVARS = {int: "N", float: "X", str: "TEXT"}


def _sentence(option: Option) -> str:
    """The help text as a sentence; a literal at its beginning is left as it is typed."""
    literal = option.help.split()[0] in {"cnn:", "hub:", "mobilenet:"}
    return (option.help if literal else option.help[0].upper() + option.help[1:]) + "."


def progress_for(as_json: bool) -> Progress:
    """The steps on the terminal; with --json, nothing."""
    return Progress() if as_json else for_terminal()


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print for a person; what a command shows goes through here.

    Control characters are shown as escapes, because names and records come from others.
    """
    click.echo(printable_lines(text), err=err, nl=nl)


def print_json(content: Any) -> None:
    """Print to standard output, as JSON."""
    from zoo.runs import to_json

    click.echo(to_json(content))


def table(headers: list[str], rows: list[list[str]], right: set[int] | None = None) -> str:
    """Aligned plain-text columns, two blanks apart.

    Args:
        headers: column titles.
        rows: cells; control characters are shown as escapes, because names come from the data.
        right: columns aligned to the right.
    """
    cells = [headers, *[[printable(cell) for cell in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    right = right or set()

    def line(row: list[str]) -> str:
        parts = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(cells[0]), "  ".join("-" * w for w in widths), *map(line, cells[1:])])
