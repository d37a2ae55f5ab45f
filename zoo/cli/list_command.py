"""``zoo list``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._command import Command
from zoo.cli._common import echo, json_option, print_json, wide_option

if TYPE_CHECKING:
    from backbones import Published, Spec

_NOTES = """\
* what the family's name alone means
params, MACs (multiply-accumulates of one image of that many px): without a head, default settings
top-1: on ImageNet in percent, as published; `zoo list --json` names the sources
here: whether the ImageNet weights are on this machine; `zoo weights fetch VARIANT` gets them
also hub:URL and hub:PATH: any image feature vector of TF Hub"""


@click.command("list", cls=Command)
@click.option("--family", metavar="F", help="Only this family.")
@wide_option
@json_option
def command(family: str | None, wide: bool, as_json: bool) -> None:
    """List the backbones: size, cost, input, ImageNet accuracy, licence, weights.

    A family's name alone means its default variant, marked with a star. Within a family the
    variants are in the order of their cost.
    """
    import backbones
    from zoo.errors import ZooError, nearest

    if family and family not in backbones.families():
        raise ZooError(f"there is no family {family!r}: {nearest(family, backbones.families())}")
    specs = [s for s in map(backbones.get, backbones.names()) if family in (None, s.family)]
    order = backbones.families()
    specs.sort(key=lambda s: (order.index(s.family), s.macs or 0))
    if as_json:
        print_json([_record(s) for s in specs])
    else:
        from zoo.cli._tables import fitted, terminal_width

        cells, width = [_cells(s) for s in specs], terminal_width()
        echo(fitted(_HEADERS, cells, _IMPORTANT, width=width, wide=wide, right={2, 3, 4, 5}))
        echo(f"\n{_NOTES}")
    for name, problem in backbones.plugin_problems().items():
        echo(f"plug-in {name} could not be loaded: {problem}", err=True)


_HEADERS = [
    *("variant", "family", "M params", "G MACs", "px", "top-1", "licence", "weights", "here")
]
_IMPORTANT = (0, 2, 3, 4, 5, 8, 6, 7, 1)


def _default_file(spec: Spec) -> Published | None:
    return spec.file_for(spec.input_size, spec.options)


def _cells(spec: Spec) -> list[str]:
    from backbones import located

    file = _default_file(spec)
    source = {"none": "from scratch", "keras.applications": "Keras"}.get(spec.weights)
    return [
        spec.name + (" *" if spec.default else ""),
        spec.family,
        f"{spec.parameters / 1e6:.2f}",
        f"{spec.macs / 1e9:.2f}" if spec.macs else "",
        str(spec.input_size),
        f"{file.top1:.1f}" if file and file.top1 else "",
        spec.licence,
        source or spec.weights.partition(":")[0],
        "" if file is None else "yes" if located(file) else "no",
    ]


def _record(spec: Spec) -> dict[str, Any]:
    """All that is known of a variant at its default settings, for machines."""
    from backbones import located

    computed = {"blocks", "features", "files", "fits"}
    kept = [f.name for f in dataclasses.fields(spec) if f.name not in computed]
    file = _default_file(spec)
    files = [
        {**dataclasses.asdict(f), "here": located(f) is not None, "size": f.size or spec.input_size}
        for f in spec.files
    ]
    return {
        **{name: getattr(spec, name) for name in kept},
        "options": dict(spec.options),
        "features": spec.features_for(spec.options),
        "blocks": list(spec.blocks_for(spec.options)),
        "top1": file.top1 if file else None,
        "top1_source": file.top1_source if file else "",
        "here": None if file is None else located(file) is not None,
        "files": files,
    }
