"""What the project's Markdown says: its pages, code blocks, links and command lines."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_FENCED = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: the file that has it, relative to the project.
        language: ``sh``, ``python``, ...; empty for an indented block.
        title: of the block, such as the name of the file that it is.
        code: without fence and common indentation.
    """

    page: str
    language: str
    title: str
    code: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page in their order; indented ones are taken for shell."""
    text = page.read_text("utf-8")
    found = []
    for indent, language, rest, code in _FENCED.findall(text):
        title = re.search(r'title="([^"]*)"', rest)
        lines = [line.removeprefix(indent) for line in code.splitlines()]
        name = title.group(1) if title else ""
        found.append(Block(name_of(page), language, name, "\n".join(lines) + "\n"))
    outside = _FENCED.sub("", text)
    for code in _INDENTED.findall(outside):
        found.append(Block(name_of(page), "", "", re.sub("(?m)^ {4}", "", code)))
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCED.sub("", page.read_text("utf-8"))


def zoo_lines(page: Path) -> Iterator[list[str]]:
    """Arguments of every ``zoo ...`` command in blocks, and of whole commands between backticks."""
    lines = [
        line
        for block in blocks(page)
        if block.language in {"", "sh", "text"}
        for line in block.code.replace("\\\n", " ").splitlines()
    ]
    lines += [code for code in _INLINE.findall(prose(page)) if code.startswith("zoo ")]
    for line in lines:
        words = _words(line)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # ZOO_WEIGHTS=folder zoo ...
            words = words[1:]
        if words and words[0] == "zoo":
            yield words[1:]


def _words(line: str) -> list[str]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # prose with an apostrophe
        return []
    for stop in (">", "|", "&&"):
        words = words[: words.index(stop)] if stop in words else words
    return words
