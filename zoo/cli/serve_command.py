"""``zoo serve RUN``."""

from __future__ import annotations

import click

from zoo.cli._command import Command
from zoo.cli._common import RunName, echo, runs_option
from zoo.escape import printable


@click.command("serve", cls=Command)
@click.argument("run", type=RunName())
@click.option(
    "--port",
    type=int,
    metavar="NUMBER",
    default=8000,
    show_default=True,
    help="To listen at; 0 takes a free one.",
)
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="To listen at: this machine only, or 0.0.0.0 for others as well, which needs a token.",
)
@click.option(
    "--max-mb",
    type=float,
    metavar="NUMBER",
    default=32,
    show_default=True,
    help="Megabytes that a request may have.",
)
@runs_option
def command(run: str, port: int, host: str, max_mb: float, runs_dir: str | None) -> None:
    """Answer requests about images over HTTP, and show a page to drop photos on.

    Images that come in at the same time are predicted together. Ctrl-C stops the server after the
    requests under way are answered.

    With the environment variable ZOO_SERVE_TOKEN, every request must bring the header
    "Authorization: Bearer TOKEN". Without it, only this machine can ask.

    \b
    Paths:
      /           page: drop, paste or take photos
      /predict    POST images: as the body, as a form, or as JSON in base64
      /explain    POST an image: what speaks for a class (?class=NAME)
      /model      what the model is: classes, metrics, data, weights
      /health, /metrics (Prometheus), /openapi.json

    \b
    Examples:
      zoo serve a
      curl --data-binary @photo.jpg http://127.0.0.1:8000/predict
      ZOO_SERVE_TOKEN=... zoo serve a --host 0.0.0.0
    """
    import zoo

    def ready(address: str) -> None:
        echo(f"{printable(run)} answers at {address} (Ctrl-C stops it)")

    zoo.serve(run, host=host, port=port, megabytes=max_mb, runs_dir=runs_dir, ready=ready)
    echo("stopped")
