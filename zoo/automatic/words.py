"""An automatic search in words."""

from __future__ import annotations

from zoo.automatic.result import AutoResult
from zoo.words import counted


def time_in_words(seconds: float) -> str:
    """Such as ``45 s``, ``3 min 20 s`` or ``1 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def headline(result: AutoResult) -> str:
    """The result in one sentence."""
    accuracy = result.run.metrics["test"]["accuracy"]
    text = (
        f"{result.run.name} is correct on {accuracy['value']:.1%} of {accuracy['n']:,} test images"
    )
    if accuracy["low"] is not None and accuracy["high"] is not None:
        text += f" (95% interval {accuracy['low']:.1%} to {accuracy['high']:.1%})"
    runs = counted(sum(step.state == "done" for step in result.steps), "run")
    text += f", after {runs} in {time_in_words(result.seconds)}"
    if result.run.combination is not None:
        members = len(result.run.combination["members"])
        return f"{text}; it combines {members} of them."
    return f"{text}: {result.best_single.what}."
