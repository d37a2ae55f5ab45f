"""The result of a check: what is wrong, the evidence, the files that show it, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Confidence = Literal["high", "moderate", "low"]
State = Literal["found", "clear", "unknown"]


@dataclass(frozen=True)
class Shown:
    """An image that shows a fault.

    Attributes:
        id: its id in the catalog.
        note: what to see in it; empty if the finding says everything.
    """

    id: str
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        title: what is wrong, in one sentence.
        cost: estimated share of images that are misclassified because of it, 0..1; findings are
            ordered by it.
        evidence: sentences with the figures and intervals that show it.
        files: the images that show it, the clearest first.
        advice: what to do.
        command: the command that does it, or several in their order, one per line; empty if there
            is none.
        confidence: ``high`` if it was counted, ``moderate`` if a test at the 5% level shows it,
            ``low`` if it is a rule of thumb.
    """

    title: str
    cost: float
    evidence: tuple[str, ...]
    advice: str
    files: tuple[Shown, ...] = ()
    command: str = ""
    confidence: Confidence = "moderate"


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    Attributes:
        check: its name.
        state: ``found``, ``clear``, or ``unknown`` if this run cannot tell.
        says: what was examined, or why it cannot tell, in one sentence.
        findings: the faults; empty unless found.
        curve: points of a chart if the check has one: number of training images and validation
            loss.
        cause: why it cannot tell, in the few words that several checks share.
    """

    check: str
    state: State
    says: str
    findings: tuple[Finding, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    cause: str = ""

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def outcome(check: str, says: str, findings: list[Finding]) -> Outcome:
    """Found if there are findings, clear otherwise."""
    return Outcome(check, "found" if findings else "clear", says, tuple(findings))


FEW_IMAGES = "too few images"
NO_FEATURES = "no pretrained features"
NOT_APPLICABLE = "not applicable to this run"


def unknown(check: str, why: str, cause: str) -> Outcome:
    """This run cannot tell; the cause is one of those above."""
    return Outcome(check, "unknown", why, cause=cause)
