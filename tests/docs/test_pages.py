"""Links have targets, Python blocks compile, and every command on a page exists as it is shown."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import click
import pytest

from tests.helpers.markdown import PAGES, ROOT, blocks, name_of, prose, zoo_lines
from zoo.cli import cli
from zoo.errors import ZooError
from zoo.overrides import parse_scoped_overrides
from zoo.settings import check, describe

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# what a page calls a thing that the reader puts in, where a number or a name of a list is asked for
_PLACEHOLDERS = {"VARIANT", "COMMAND", "BACKBONE", "..."}


@pytest.fixture(params=PAGES, ids=name_of)
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings}


def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_relative_to(ROOT) and target.exists(), link
        if anchor:
            source = ROOT / "CONTRIBUTING.md" if target.name == "development.md" else target
            assert anchor in _anchors(source), link


def test_python_blocks_compile(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.code, block.page, "exec")


def test_named_objects_and_files_exist(page: Path) -> None:
    if page.name in {"CHANGELOG.md", "changelog.md"}:
        return  # it names what is gone
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        if code == "zoo.backbones":  # the group of entry points
            continue
        if re.fullmatch(r"(zoo|backbones|ensembles)(\.\w+)+", code):
            assert resolves(code), f"there is no {code}"
        elif re.match(r"(zoo|backbones|ensembles|benchmarks|tests|docs)/[\w./]*$", code):
            assert (ROOT / code).exists(), code
    for block in blocks(page):
        for script in re.findall(r"python (benchmarks/\w+\.py)", block.code):
            assert (ROOT / script).is_file(), script


def resolves(name: str) -> bool:
    """Whether a dotted name is that of a module, or of something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[count:])
    return False


def test_commands_exist_as_shown(page: Path) -> None:
    for words in zoo_lines(page):
        problem = wrong(words)
        assert not problem, f"zoo {' '.join(words)}: {problem}"


def wrong(words: list[str]) -> str:
    """What is wrong with a command line; empty where nothing is. Nothing is run."""
    command: click.Command = cli
    context = click.Context(cli, info_name="zoo")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0] in _PLACEHOLDERS:
            return ""
        found = command.get_command(context, words[0])
        if found is None:
            return f"there is no command {words[0]}"
        command, words = found, words[1:]
    return _wrong_options(command, context, words)


def _wrong_options(command: click.Command, context: click.Context, words: list[str]) -> str:
    known = {o: p for p in command.get_params(context) for o in (*p.opts, *p.secondary_opts)}
    position = 0
    while position < len(words):
        name, equals, value = words[position].partition("=")
        position += 1
        if not name.startswith("-"):
            continue
        if name not in known:
            return f"there is no option {name}"
        option = known[name]
        if not isinstance(option, click.Option) or option.is_flag or option.count:
            continue
        if not equals:
            if position == len(words):
                return ""  # the page speaks of the option, not of a value
            value, position = words[position], position + 1
        if not re.fullmatch(r"[A-Z]+|\.\.\.", value):  # what the reader puts in
            problem = _wrong_value(option, value, context)
            if problem:
                return problem
    return ""


def _wrong_value(option: click.Option, value: str, context: click.Context) -> str:
    try:
        given = option.type.convert(value, option, context)
        name = option.name or ""
        if name in describe():
            check({name: given})
        elif "--set" in option.opts:
            parse_scoped_overrides([value])
    except (click.UsageError, ZooError) as error:
        return str(error)
    return ""


def test_the_check_finds_what_is_wrong() -> None:
    assert not wrong(["finetune", "cnn", "--epochs", "3", "--augment", "strong"])
    for line in (
        ["fine-tune", "cnn"],
        ["finetune", "cnn", "--epoch", "3"],
        ["finetune", "cnn", "--epochs", "three"],
        ["finetune", "cnn", "--augment", "hard"],
        ["weights", "get", "resnet50"],
        ["tune", "cnn", "--set", "epohcs=3"],
    ):
        assert wrong(line), line
    assert resolves("zoo.data.sources.scan") and resolves("zoo.data")
    assert not resolves("zoo.data.sources.scanned") and not resolves("zoo.date.sources")


def test_readme_is_short_and_names_the_test_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    assert re.search(r"^    make test\b", text, re.MULTILINE)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        assert path.relative_to(ROOT / "docs").as_posix() in navigation
