"""All findings of a run in a sentence or two: what limits it most, how sure, what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.diagnosis.finding import Finding, Outcome
from zoo.words import counted, listed

_LITTLE = 0.01  # cost below which a finding limits a run little
_CONFIDENCE = {
    "high": "certain: counted",
    "moderate": "likely: shown by a test at the 5% level",
    "low": "possible: a rule of thumb",
}


def verdict(run: str, accuracy: str, outcomes: Sequence[Outcome], worst: Finding | None) -> str:
    """What limits a run most, how sure that is, and what to do next.

    Args:
        run: its name.
        accuracy: what it reaches, in words; empty if not known.
        outcomes: of all checks.
        worst: the finding of highest cost; None if there is none.
    """
    reached = f"{run} reaches {accuracy}. " if accuracy else ""
    if worst is None:
        clear = sum(outcome.state == "clear" for outcome in outcomes)
        return (
            f"{reached}Nothing wrong was found by {clear} of {counted(len(outcomes), 'check')}; "
            f"the others cannot tell. Next: search for better settings with zoo tune, or combine "
            f"several runs with zoo ensemble."
        )
    most = "Little limits it; the most" if worst.cost < _LITTLE else "What limits it most"
    title = worst.title.rstrip(".")
    return f"{reached}{most} ({_CONFIDENCE[worst.confidence]}): {title}. Next: {worst.advice}"


def unknown_checks(outcomes: Sequence[Outcome]) -> str:
    """The checks that cannot tell, in one sentence by cause; empty if there are none."""
    causes: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.state == "unknown":
            causes.setdefault(outcome.cause, []).append(outcome.check)
    if not causes:
        return ""
    count = sum(map(len, causes.values()))
    parts = [listed(names) + (f" ({cause})" if cause else "") for cause, names in causes.items()]
    return f"{count} of {counted(len(outcomes), 'check')} cannot tell: {'; '.join(parts)}"
