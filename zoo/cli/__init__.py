"""The command line: one module per command, and nothing heavy imported until a command runs."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import TextIO

import click

from zoo import __version__
from zoo.deprecated import RenamedWarning
from zoo.digests import ChangedFileWarning
from zoo.errors import ZooError

# name, module and first line of help: listing the commands imports none of them
_COMMANDS = {
    "finetune": "Train a classifier on a folder of images.",
    "tune": "Search for the best settings, and train a run with them.",
    "sweep": "Train with every combination of some settings.",
    "ensemble": "Combine finished runs into one that is better.",
    "benchmark": "Compare backbones, recipes and ensembles over seeds.",
    "diagnose": "Find out why a run is not better, and what to do.",
    "report": "Write the report of a run, or compare runs, as one HTML file.",
    "predict": "Predict images with a finished run.",
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
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from zoo.errors import nearest

            context.fail(f"there is no command {args[0]!r}: {nearest(args[0], _COMMANDS)}")
        return super().resolve_command(context, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="zoo")
def cli() -> None:
    """From a folder of images to trained, evaluated and combined classifiers.

    Start with `zoo finetune efficientnet --data FOLDER`, where FOLDER holds a folder of images for
    each class.
    """


def main() -> None:
    """Entry point: user errors become one sentence on standard error and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        code = cli(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:
        if not _is_meant_for_users(error):
            raise
        from zoo.escape import printable

        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)


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
