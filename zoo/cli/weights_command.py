"""``zoo weights``: list, fetch and verify the published weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zoo.cli._common import BackboneName, echo, json_option, print_json, progress_for, table

if TYPE_CHECKING:
    from backbones import Published, Spec


@click.group("weights", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List, fetch and check the published ImageNet weights.

    They lie in one folder, $ZOO_WEIGHTS or Keras's own (~/.keras/models). Copied to a machine
    without network, with ZOO_WEIGHTS set to it, the folder is all that training there needs.
    """


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those for other widths and sizes.")
@json_option
def list_(everything: bool, as_json: bool) -> None:
    """List the published files, and which of them are on this machine."""
    import backbones

    rows = []
    for spec, file in _files():
        path = backbones.located(file)
        if everything or path or file is spec.files[0]:
            where = None if path is None else str(path)
            rows.append({"variant": spec.words_for(file), "file": file.file, "path": where})
    if as_json:
        print_json({"folder": str(backbones.weights_folder()), "files": rows})
        return
    cells = [[str(r["variant"]), "yes" if r["path"] else "no", str(r["file"])] for r in rows]
    echo(table(["variant", "here", "file"], cells))
    echo(f"\nfolder  {backbones.weights_folder()}")


@command.command("fetch")
@click.argument("variants", metavar="VARIANT...", type=BackboneName(), nargs=-1, required=True)
@click.option("--width", type=float, metavar="FLOAT", help="Width of a MobileNet.  [default: 1]")
@click.option("--size", type=int, metavar="INT", help="Input side.  [default: the variant's own]")
@json_option
def fetch(variants: tuple[str, ...], width: float | None, size: int | None, as_json: bool) -> None:
    """Download published weights into the folder and check them.

    Files that are there and whole are left alone. A variant is named as in `zoo list`; weights
    that come with pip are fetched by pip.
    """
    import backbones
    from zoo.errors import ZooError

    given = {} if width is None else {"width": width}
    files = []
    for name in variants:  # all are checked before the first is fetched
        if backbones.get(name).weights == "none":
            raise ZooError(f"{name} is trained from scratch: there are no weights to fetch")
        spec, asked, options = backbones.check(name, size=size, options=given)
        files.append((spec, _published(spec, asked, options)))
    progress = progress_for(as_json)
    rows = []
    for spec, file in files:
        path = backbones.fetch(spec.words_for(file), file, progress.step)
        rows.append({"variant": spec.name, "path": str(path), "bytes": path.stat().st_size})
        if not as_json:
            echo(f"{spec.name}  {path.stat().st_size / 1e6:.1f} MB  {path}")
    if as_json:
        print_json(rows)


@command.command("verify")
@json_option
def verify(as_json: bool) -> None:
    """Compare the files on this machine with their published checksums.

    Exit code 2 if one differs.
    """
    import backbones

    rows, damaged = [], []
    for _, file in _files():
        if (path := backbones.located(file)) is None:
            continue
        try:
            backbones.verify(path, file)
            state = f"{file.checksum} as published" if file.digest else "none is published"
        except backbones.BackboneError as error:
            state = "damaged"
            damaged.append(error)
        rows.append({"file": file.file, "checksum": state, "path": str(path)})
    if as_json:
        print_json({"folder": str(backbones.weights_folder()), "files": rows})
    elif rows:
        echo(table(["file", "checksum"], [[r["file"], r["checksum"]] for r in rows]))
    else:
        echo(f"no published weights are on this machine: {backbones.weights_folder()}")
    if damaged:
        raise damaged[0]


def _files() -> list[tuple[Spec, Published]]:
    import backbones

    specs = map(backbones.get, backbones.names())
    return [(spec, file) for spec in specs for file in spec.files]


def _published(spec: Spec, size: int, options: dict[str, Any]) -> Published:
    from zoo.errors import ZooError

    file = spec.file_for(size, options)
    if file is None:
        raise ZooError(f"there are no published weights of {spec.name}: leave it out")
    return file
