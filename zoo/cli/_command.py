"""A command that understands the option names of other tools, and says what was meant by others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from zoo import aliases
from zoo.deprecated import OPTIONS, warn_renamed
from zoo.errors import ZooError
from zoo.escape import printable
from zoo.settings import describe

_ALSO = {"--runs": "--runs-dir"}  # shorter, and not worth a warning
_SETTINGS_OPTION = "pinned"  # the parameter of --set SETTING=VALUE
# what `zoo finetune --help` shows; --help-all shows all
_FIRST = (
    "data",
    "name",
    "epochs",
    "size",
    "batch_size",
    "learning_rate",
    "unfreeze",
    "augment",
    "weights",
    "folds",
    "config",
    "resume",
    "as_json",
    "help",
)
_GROUPS = ("data", "backbone", "training", "regularization", "augmentation", "evaluation")
_GROUP_OF = {
    "data": "data",
    "config": "output",
    "name": "output",
    "runs_dir": "output",
    "resume": "output",
    "dry_run": "output",
    "as_json": "output",
}


class Command(click.Command):
    """A command that takes the names of other tools and renamed options."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """See :meth:`click.Command.parse_args`.

        Raises:
            ZooError: an unknown option, an empty value, or arguments that have no place.
        """
        context.allow_extra_args = True
        rest = super().parse_args(
            context, _Words(self, self.get_params(context), args).translated()
        )
        if rest and not context.resilient_parsing:
            raise ZooError(self._misplaced(context.command_path, rest))
        for parameter in self.params:
            source = context.get_parameter_source(parameter.name or "")
            if source is ParameterSource.COMMANDLINE and _is_empty(
                context.params.get(parameter.name or "")
            ):
                said = "it is empty: give a value, or leave it out"
                raise click.BadParameter(said, context, parameter)
        return rest

    def _misplaced(self, path: str, rest: list[str]) -> str:
        said = " ".join(printable(word) for word in rest)
        words = f"{path} has no place for {said!r}"
        if any("--data" in p.opts for p in self.params) and _is_data(rest[0]):
            return f"{words}: give it as --data {printable(rest[0])}"
        names = [p.make_metavar(click.Context(self)) for p in self._arguments()]
        return f"{words}: it takes {' '.join(names) or 'options alone'}"

    def _arguments(self) -> list[click.Parameter]:
        return [p for p in self.params if isinstance(p, click.Argument)]


def _is_data(word: str) -> bool:
    from zoo.data import builtin

    return word in builtin.SETS or "/" in word or word.startswith("tfds:") or _exists(word)


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except (OSError, ValueError):
        return False


class _Words:
    """The words of a command line, put into the names that a command has.

    Args:
        command: whose options they are.
        params: all that it has.
        args: without the command's name.
    """

    def __init__(
        self, command: click.Command, params: list[click.Parameter], args: list[str]
    ) -> None:
        self._command = command
        options = [p for p in params if isinstance(p, click.Option)]
        self._own = {n: p for p in options for n in (*p.opts, *p.secondary_opts)}
        self._names = {p.name for p in params}
        end = args.index("--") if "--" in args else len(args)
        self._left, self._behind = list(args[:end]), list(args[end:])
        self._moved: list[str] = []

    def translated(self) -> list[str]:
        """The words by present names.

        Raises:
            ZooError: an option that the command does not have.
        """
        found: list[str] = []
        while self._left:
            word = self._left.pop(0)
            name, equals, value = word.partition("=")
            if not word.startswith("-") or word == "-" or _is_number(word):
                found.append(word)
            elif name in self._own or name in {"--help", "-h"}:
                found.append(word)
                self._take_value(name, equals, found)
            else:
                found += self._option(name, value if equals else None)
        return [*self._moved, *found, *self._behind]

    def _take_value(self, name: str, equals: str, found: list[str]) -> None:
        """The next word is the value of an option, whatever it looks like."""
        option = self._own.get(name)
        if option is None or equals or option.is_flag or option.count:
            return
        count = max(1, option.nargs)
        found += self._left[:count]
        del self._left[:count]

    def _option(self, name: str, value: str | None) -> list[str]:
        """Words that stand for an option that the command does not have."""
        new = OPTIONS.get(name) or _ALSO.get(name)
        if new in self._own:
            if name in OPTIONS:
                warn_renamed(name, new)
            return self._given(new, value)
        key, off = name.lstrip("-"), name.startswith("--no-")
        if switch := aliases.switched(key[3:] if off else key, not off):
            return self._setting(name, switch[0], str(switch[1]))
        setting = aliases.letter_of(name) if not name.startswith("--") else None
        setting = setting or aliases.setting_of(key, ["backbone", *describe()])
        if setting is None and off:
            setting, value = aliases.setting_of(key[3:], describe()), "off"
        if setting is None:
            raise ZooError(self._unknown(name))
        return self._setting(name, setting, value)

    def _setting(self, name: str, setting: str, value: str | None) -> list[str]:
        flag = f"--{setting.replace('_', '-')}"
        option = describe().get(setting)
        if setting == "backbone":
            flag = "--backbones" if "--backbones" in self._own else flag
            if flag not in self._own and "backbone" in self._names:
                self._moved.append(self._needed(name, value))
                return []
        if flag in self._own:
            return self._given(flag, value)
        if _SETTINGS_OPTION not in self._names or option is None:
            raise ZooError(self._unknown(name))
        if option.type is bool and value is None:
            value = "on"
        return ["--set", f"{setting}={self._needed(name, value)}"]

    def _given(self, flag: str, value: str | None) -> list[str]:
        if value is not None:
            return [f"{flag}={value}"]
        found = [flag]
        self._take_value(flag, "", found)
        return found

    def _needed(self, name: str, value: str | None) -> str:
        if value is None and not self._left:
            raise ZooError(f"{name} needs a value")
        return self._left.pop(0) if value is None else value

    def _unknown(self, name: str) -> str:
        known = [n for n in self._own if n.startswith("--")]
        hint = aliases.advice(name.lstrip("-"), known)
        if hint.startswith("there is ") or not known:
            hint = f"`zoo {self._command.name} --help` lists all"
        return f"there is no option {printable(name)}: {hint}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


class GroupedCommand(Command):
    """A command with an option for every setting: its help shows the most needed ones first."""

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        """The command's parameters, and ``--help-all``."""
        params = super().get_params(context)
        return [*params, _help_all()]

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that people need first, or all of them in groups."""
        options = [p for p in self.get_params(context) if isinstance(p, click.Option)]
        records = {p.name: r for p in options if (r := p.get_help_record(context))}
        if not context.meta.get("zoo.help_all"):
            order = [*_FIRST, "help_all"]
            with formatter.section("Most needed options"):
                formatter.write_dl([records[n] for n in order if n in records])
            return
        described: dict[Any, Any] = dict(describe())
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, record in records.items():
            group = described[name].group if name in described else _GROUP_OF.get(str(name), "")
            groups.setdefault(group or "help", []).append(record)
        for title in (
            "data",
            "backbone",
            "training",
            "regularization",
            "augmentation",
            "evaluation",
        ):
            self._write(formatter, title, groups.pop(title, []))
        for title, rows in groups.items():
            self._write(formatter, title, rows)

    @staticmethod
    def _write(formatter: click.HelpFormatter, title: str, rows: list[tuple[str, str]]) -> None:
        if rows:
            with formatter.section(title.capitalize()):
                formatter.write_dl(rows)


def _help_all() -> click.Option:
    def show(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            context.meta["zoo.help_all"] = True
            click.echo(context.get_help())
            context.exit()

    return click.Option(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show all options, in groups.",
    )


def _is_empty(value: object) -> bool:
    """Whether a value, or one of several, is a text without a letter."""
    if isinstance(value, list | tuple):
        return not value or any(map(_is_empty, value))
    return isinstance(value, str) and not value.strip()
