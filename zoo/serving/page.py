"""The page of a server: drop photos, see what the run says of them."""

from __future__ import annotations

from zoo.pages.charts.palette import class_colour
from zoo.pages.render import render
from zoo.reporting.sections import about, headline
from zoo.runs import Run
from zoo.words import listed

_NAMED = 30  # classes in a sentence


def page(run: Run, needs_token: bool) -> str:
    """HTML that asks the server it comes from, and nobody else.

    Args:
        run: what answers.
        needs_token: whether the page is to ask for a token.
    """
    classes = run.classes
    more = len(classes) - _NAMED
    return render(
        "serve.html",
        script="serve.js",
        policy="connect-src 'self'; img-src data: blob:",
        run=run.name,
        about=about(run),
        headline=headline(run, run.metrics),
        classes=[(name, class_colour(k, len(classes))) for k, name in enumerate(classes)],
        known=listed([*classes[:_NAMED], *([f"{more} more"] if more > 0 else [])]),
        needs_token=needs_token,
    )
