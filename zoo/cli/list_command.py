"""``zoo list``."""

from __future__ import annotations

import dataclasses

import click

from zoo.cli._common import json_option, print_json, table


@click.command("list")
@click.option("--family", metavar="F", help="Only this family.")
@json_option
def command(family: str | None, as_json: bool) -> None:
    """List the backbones: size, input, weights, licence.

    A family's name alone means its default variant, marked with a star.
    """
    import backbones
    from zoo.errors import ZooError, nearest

    if family and family not in backbones.families():
        raise ZooError(f"there is no family {family!r}: {nearest(family, backbones.families())}")
    specs = [s for s in map(backbones.get, backbones.names()) if family in (None, s.family)]
    if as_json:
        kept = [f.name for f in dataclasses.fields(backbones.Spec) if f.name != "blocks"]
        rows = [{n: getattr(s, n) for n in kept} for s in specs]
        for row, spec in zip(rows, specs, strict=True):
            row["options"] = dict(spec.options)
            row["blocks"] = list(spec.blocks_for(spec.options))
        print_json(rows)
        return
    headers = ["variant", "family", "M params", "input px", "weights", "licence", "paper"]
    cells = [
        [
            s.name + (" *" if s.default else ""),
            s.family,
            f"{s.parameters / 1e6:.1f}",
            f"{s.input_size} (min {s.min_size})",
            s.weights if s.weights != "none" else "from scratch",
            s.licence,
            s.paper,
        ]
        for s in specs
    ]
    click.echo(table(headers, cells, right={2}))
    click.echo("and hub:URL or hub:PATH, any image feature vector of TF Hub")
    for name, problem in backbones.plugin_problems().items():
        click.echo(f"plug-in {name} could not be loaded: {problem}", err=True)
