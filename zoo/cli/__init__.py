"""The command line: one module per command, and nothing heavy imported until a command runs."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import warnings
from collections.abc import Mapping
from typing import Any, TextIO

import click

from zoo import __version__
from zoo.cli._streams import Stopped, Streams, stop_on_signals
from zoo.deprecated import RenamedWarning
from zoo.digests import ChangedFileWarning
from zoo.errors import ZooError
from zoo.escape import printable_lines

# name and first line of help: listing the commands imports none of them
_COMMANDS = {
    "auto": "Find the best classifier that the data and the time allow.",
    "finetune": "Train a classifier on a folder of images.",
    "tune": "Search for the best settings, and train a run with them.",
    "sweep": "Train with every combination of some settings.",
    "ensemble": "Combine finished runs into one that is better.",
    "distill": "Train one network to say what an ensemble says.",
    "benchmark": "Compare backbones, recipes and ensembles over seeds.",
    "diagnose": "Find out why a run is not better, and what to do.",
    "report": "Write the report of a run, or compare runs, as one HTML file.",
    "predict": "Predict images with a finished run.",
    "export": "Write a run as a model for other programs, with proof that both agree.",
    "verify": "Compare an exported model with its run again.",
    "serve": "Answer requests about images over HTTP, with a page.",
    "list": "List the backbones.",
    "weights": "List, fetch and check the published ImageNet weights.",
    "runs": "List the runs.",
    "show": "Show a run: metrics, settings, data.",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"zoo.cli.{name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[:1] == ["help"]:  # zoo help finetune
            args = [*args[1:2], "--help"]
            if args == ["--help"]:
                click.echo(context.get_help())
                context.exit()
        if args and args[0].lower() in _COMMANDS:
            args = [args[0].lower(), *args[1:]]
        elif args and not args[0].startswith("-"):
            from zoo.aliases import command_advice

            raise ZooError(f"there is no command {args[0]!r}: {command_advice(args[0], _COMMANDS)}")
        return super().resolve_command(context, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="zoo")
def cli() -> None:
    """From a folder of images to trained, evaluated and combined classifiers.

    Start with `zoo finetune efficientnet --data FOLDER`, where FOLDER holds a folder of images for
    each class.
    """


def main() -> None:
    """Entry point: user errors become one sentence on standard error and exit code 2.

    With ``--json``, the error is printed as JSON on standard output as well.
    """
    warnings.showwarning = _show_warning
    try:
        streams = Streams()
        stop_on_signals()
        if sys.platform == "win32":
            _tell("error: zoo runs on Linux and macOS: on Windows, use it in WSL")
            sys.exit(2)
        code = _run() or streams.status()
    except KeyboardInterrupt as error:  # before the command began, or after its end
        code = _interrupted(error)
    sys.exit(code)


def _run() -> int:
    """Run the command; its exit status."""
    try:
        code = cli(prog_name="zoo", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except click.ClickException as error:
        _fail(_usage(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        # click raises its own from it
        cause = error.__cause__ if isinstance(error.__cause__, KeyboardInterrupt) else error
        return _interrupted(cause)
    except Exception as error:
        if isinstance(error, OSError) and error.strerror and error.filename is not None:
            _fail(f"{os.fsdecode(error.filename)} cannot be used ({error.strerror})")
        elif _is_meant_for_users(error):
            _fail(_stopped(str(error), error), getattr(error, "details", {}))
        else:
            raise
        return 2


def _interrupted(error: BaseException) -> int:
    """Say what ended the command and what continues it; the exit status."""
    if isinstance(error, Stopped):
        _tell(_stopped(f"stopped by {signal.Signals(error.number).name}", error))
        return 128 + error.number
    _tell(_stopped("stopped", error))
    return 130


def _stopped(text: str, error: BaseException) -> str:
    """The text with the command that continues, if there is one."""
    return "; ".join([text, *getattr(error, "__notes__", [])])


def _tell(text: str) -> None:
    print(printable_lines(text), file=sys.stderr)


def _usage(error: click.ClickException) -> str:
    """What click says of a wrong line, in the style of all other errors."""
    text = error.format_message().rstrip(".")
    text = text[0].lower() + text[1:]
    context = getattr(error, "ctx", None)
    return f"{text}: see `{context.command_path} --help`" if context else text


def _fail(message: str, details: Mapping[str, Any] = ZooError.details) -> None:
    """Show an error; with --json, as JSON on standard output as well."""
    _tell(f"error: {message}")
    if "--json" in sys.argv[1:] or "--format=json" in sys.argv[1:]:
        from zoo.runs import to_json

        print(to_json({"error": message, **details}))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what is meant for users as a sentence, everything else as Python does."""
    if issubclass(category, (RenamedWarning, ChangedFileWarning)):
        print(f"warning: {message}", file=sys.stderr)
    else:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        (file or sys.stderr).write(text)


def _is_meant_for_users(error: Exception) -> bool:
    from backbones import BackboneError
    from ensembles import EnsembleError

    return isinstance(error, ZooError | BackboneError | EnsembleError)
