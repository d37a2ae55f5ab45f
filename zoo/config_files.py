"""Files of settings: TOML, YAML and JSON."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from zoo.deprecated import current_settings
from zoo.errors import ZooError
from zoo.paths import read_regular
from zoo.settings import check

_LARGEST_CONFIG = 1 << 26  # bytes
_CONFIGS = (".toml", ".yaml", ".yml", ".json")


def read_file(path: Path, what: str) -> Any:
    """Content of a ``.toml``, ``.yaml`` or ``.json`` file.

    Args:
        path: the file.
        what: it is, for messages.

    Raises:
        ZooError: missing, or not readable as its suffix says.
    """
    if path.suffix.lower() not in _CONFIGS:
        raise ZooError(f"{what} {path} must end in .toml, .yaml or .json")
    try:
        text = read_regular(path, _LARGEST_CONFIG).decode("utf-8-sig")
    except FileNotFoundError:
        raise ZooError(f"there is no {what} {path}: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ZooError(f"{what} {path} cannot be read: {why}") from error
    try:
        return _parse(text, path.suffix.lower())
    except (ValueError, RecursionError) as error:  # yaml's is turned into a ValueError
        first = " ".join(str(error).split())
        raise ZooError(f"{what} {path} is not valid {path.suffix[1:]}: {first}") from error


def read_config(path: Path) -> dict[str, Any]:
    """Settings of a ``.toml``, ``.yaml`` or ``.json`` file; a run's ``run.json`` is one.

    Raises:
        ZooError: missing, not readable as its suffix says, or with an unknown setting.
    """
    values = read_file(path, "config file")
    if not isinstance(values, dict):
        raise ZooError(f"config file {path} must hold settings by name, not {values!r:.60}")
    if isinstance(values.get("settings"), dict):
        if values.get("kind") == "ensemble":
            members = values.get("combination", {}).get("members", ["A", "B"])
            raise ZooError(
                f"config file {path} is of an ensemble, which is not trained: combine its members "
                f"again with `zoo ensemble {' '.join(map(str, members))}`, or give the run.json of "
                f"one of them"
            )
        values = current_settings(values["settings"])
    return check(values, str(path))


def _without_aliases() -> type:
    """YAML's safe loader, but for aliases: a few lines of them stand for gigabytes."""
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                alias = self.peek_event()
                line = alias.start_mark.line + 1
                raise ValueError(f"line {line} has the alias *{alias.anchor}: write its value")
            return super().compose_node(parent, index)

    return Loader


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix == ".json":
        return json.loads(text)
    import yaml

    try:
        content = yaml.load(text, _without_aliases())
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return {} if content is None else content
