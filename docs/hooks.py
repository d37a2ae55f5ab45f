"""What the documentation takes from the code when it is built: every command's help, all settings.

A page asks for it with a comment on a line of its own, ``<!-- zoo: commands -->`` or
``<!-- zoo: settings -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

from zoo.cli import cli
from zoo.settings import Option, describe

_WIDTH = 88  # characters of a line of help that fit the page


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls this with the text of each page."""
    parts = {"commands": _commands, "settings": _settings}
    return re.sub(r"^<!-- zoo: (\w+) -->$", lambda m: parts[m[1]](), markdown, flags=re.MULTILINE)


def on_page_content(html: str, **_: Any) -> str:
    """MkDocs calls this with each page's HTML: roles of Sphinx in docstrings become plain code."""
    return re.sub(r":(?:attr|class|data|exc|func|meth|mod):(?=<code>)", "", html)


def _leaves(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=name)
    for key in group.list_commands(context):
        command = group.get_command(context, key)
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{name} {key}")
        elif command is not None and not command.hidden:
            yield f"{name} {key}", command


def _commands() -> str:
    sections = []
    for name, command in _leaves(cli, "zoo"):
        settings = {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
        context = click.Context(
            command, info_name=name, help_option_names=["-h", "--help"], **settings
        )
        sections.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```")
    return "\n\n".join(sections)


def _settings() -> str:
    groups: dict[str, list[str]] = {}
    for option in describe().values():
        groups.setdefault(option.group, []).append(_row(option))
    head = "| setting | default | values | |\n| --- | --- | --- | --- |\n"
    return "\n\n".join(f"## {g.capitalize()}\n\n{head}" + "\n".join(r) for g, r in groups.items())


def _row(option: Option) -> str:
    switch = option.type is bool
    default = ("on" if option.default else "off") if switch else option.default
    values = "on, off" if switch else option.range().removeprefix("one of ")
    text = option.help.replace("|", "\\|")
    return f"| `{option.name}` | {option.auto or default} | {values} | {text} |"
