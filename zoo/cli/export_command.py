"""``zoo export RUN``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, json_option, print_json, progress_for, runs_option
from zoo.escape import printable

if TYPE_CHECKING:
    from zoo.exporting.certificate import Certificate


@click.command("export", cls=Command)
@click.argument("run", type=RunName())
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    default="savedmodel",
    show_default=True,
    help="savedmodel, onnx, litert, openvino or keras.",
)
@click.option(
    "--output",
    metavar="FOLDER",
    help="Folder to make.  [default: exports/NAME-FORMAT in the runs folder]",
)
@click.option("--int8", is_flag=True, help="Of litert: compute in 8 bits, smaller and faster.")
@click.option(
    "--docker",
    is_flag=True,
    help="Of savedmodel: write a Dockerfile and compose.yaml that serve it.",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0),
    metavar="NUMBER",
    default=0.02,
    show_default=True,
    help="With --int8: by how much the log loss may be higher than the run's.",
)
@click.option(
    "--max-latency",
    type=float,
    metavar="MS",
    help="Refuse a model that takes longer for an image on this machine.",
)
@runs_option
@json_option
def command(
    run: str,
    form: str,
    output: str | None,
    int8: bool,
    docker: bool,
    max_loss: float,
    max_latency: float | None,
    runs_dir: str | None,
    as_json: bool,
) -> None:
    """Write a run as a model for other programs, with proof that both agree.

    The model takes images as they are, resizes them as the run does, and gives the run's calibrated
    probabilities; an ensemble becomes one model, too. Its own runtime is then asked, in a process
    of its own, about the validation images. A model that does not say the same as the run is
    refused.

    \b
    Formats:
      savedmodel  TensorFlow and TF Serving: image files (JPEG, PNG, WebP, ...), or pixels
      onnx        ONNX Runtime, in most languages: RGB of any size
      openvino    OpenVINO: RGB of any size
      litert      phones: RGB as the network takes it, one image at a time
      keras       model.keras as it is

    \b
    Examples:
      zoo export a
      zoo export a --format onnx --output a-onnx/
      zoo export a --format litert --int8
      zoo export a --docker
    """
    import zoo
    from zoo.exporting.formats import format_named
    from zoo.runs import open_run

    open_run(run, runs_dir)  # refused before anything slow is imported
    format_named(form)
    made = zoo.export(
        run,
        form,
        output=output,
        int8=int8,
        docker=docker,
        max_loss=max_loss,
        max_latency=max_latency,
        runs_dir=runs_dir,
        progress=progress_for(as_json),
    )
    if as_json:
        print_json(
            {
                "folder": str(made.folder),
                "model": str(made.model),
                "certificate": made.certificate.as_record(),
            }
        )
        return
    echo(certificate_text(made.certificate))
    echo(f"\nmodel  {printable(str(made.model))} ({made.certificate.bytes / 1e6:.1f} MB)")
    echo(f"next   zoo verify {printable(str(made.folder))} {printable(run)}")


def certificate_text(found: Certificate) -> str:
    """What was measured, a line for each kind of input."""
    from zoo.cli._tables import fitted, terminal_width
    from zoo.words import counted

    head = ["given", "largest difference", "changed labels", "accuracy", "log loss", "ms per image"]
    rows = [
        [
            one.takes,
            f"{one.largest:.2g}",
            f"{one.changed} of {one.images}",
            f"{one.accuracy:.3f} (run {one.run_accuracy:.3f})",
            f"{one.log_loss:.3f} (run {one.run_log_loss:.3f})",
            f"{one.ms:.1f}",
        ]
        for one in found.agreements
    ]
    made = fitted(head, rows, [0, 2, 1, 5, 4, 3], width=terminal_width(), right={5})
    images = counted(found.agreements[0].images, f"{found.split} image")
    return (
        f"{found.format} and run {printable(found.run)} on {images}, asked by "
        f"{found.agreements[0].runtime}\n\n{made}"
    )
