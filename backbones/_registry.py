"""The registry: how a backbone is added, and how one is found by name.

Nothing here imports Keras, so that names can be listed, completed and checked at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from importlib.metadata import entry_points

from backbones import _hub_source
from backbones._errors import BackboneError
from backbones._spec import Builder, Spec

ENTRY_POINT_GROUP = "zoo.backbones"

_SPECS: dict[str, Spec] = {}
_BUILDERS: dict[str, Builder] = {}
_PLUGIN_PROBLEMS: dict[str, str] = {}
_plugins_loaded = False


def register(*specs: Spec) -> Callable[[Builder], Builder]:
    """Decorator: the function builds these variants.

    The function is called with (spec, input size in pixels, weights, options) and returns a
    ``keras.Model`` from float RGB of shape (n, size, size, 3) in 0..255 to features of shape
    (n, spec.features), preprocessing inside. ``weights`` is ``imagenet``, ``none`` or a path.

    Raises:
        ValueError: a name is registered already.
    """

    def add(builder: Builder) -> Builder:
        for spec in specs:
            if spec.name in _SPECS:
                raise ValueError(f"a backbone named {spec.name!r} is registered already")
            _SPECS[spec.name] = spec
            _BUILDERS[spec.name] = builder
        return builder

    return add


def _load_plugins() -> None:
    """Import what other packages add; one that fails is noted and skipped."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry.load()
        except (Exception, SystemExit) as error:  # a plug-in is foreign code
            _PLUGIN_PROBLEMS[entry.name] = f"{type(error).__name__}: {error}"


def plugin_problems() -> dict[str, str]:
    """Name of each plug-in that could not be imported, with the reason."""
    _load_plugins()
    return dict(_PLUGIN_PROBLEMS)


def names() -> list[str]:
    """All variants, in the order of registration."""
    _load_plugins()
    return list(_SPECS)


def families() -> list[str]:
    """All families, in the order of registration."""
    return list(dict.fromkeys(get(name).family for name in names()))


def get(name: str) -> Spec:
    """Spec of a variant, of a family's default variant, or of a module named ``hub:...``.

    Only a module is loaded, with TensorFlow, to learn what it is.

    Raises:
        BackboneError: nothing of this name (the nearest name is given), or no usable module.
    """
    if name.startswith(_hub_source.PREFIX):
        from backbones import hub_layer

        return hub_layer.spec(name)
    _load_plugins()
    if name in _SPECS:
        return _SPECS[name]
    for spec in _SPECS.values():
        if spec.family == name and spec.default:
            return spec
    known = list(dict.fromkeys([s.family for s in _SPECS.values()] + list(_SPECS)))
    meant = {_plain(k): k for k in reversed(known)}.get(_plain(name))
    if meant is not None:
        return get(meant)
    raise BackboneError(
        f"there is no backbone named {name!r}: {_hint(name, known)} (`zoo list` shows all)"
    )


def _plain(name: str) -> str:
    """Without capitals and separators: EfficientNet_B0 is efficientnet-b0."""
    return re.sub(r"[-_\s]", "", name).lower()


def _hint(name: str, known: list[str]) -> str:
    for family in families():
        depth = _plain(name).removeprefix(_plain(family))
        if depth != _plain(name) and depth.removeprefix("v").isdecimal():  # resnet18
            variants = [s.name for s in _SPECS.values() if s.family == family]
            return f"of {family} there is {', '.join(variants)}"
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(families())}"


def builder(name: str) -> Builder:
    """Function that builds the variant of this exact name."""
    if name.startswith(_hub_source.PREFIX):
        from backbones import hub_layer

        return hub_layer.build
    return _BUILDERS[name]
