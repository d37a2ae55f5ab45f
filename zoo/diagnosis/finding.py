"""What a check says: what is wrong, how it is known, which files show it, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Shown:
    """An image that shows a fault.

    Attributes:
        id: its id in the catalogue.
        note: what to see in it; empty where the finding says it all.
    """

    id: str
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        title: what is wrong, in one sentence.
        cost: about how large a share of images it spoils, 0..1; findings are ordered by it.
        evidence: sentences with the figures and intervals that show it.
        files: the images that show it, the clearest first.
        advice: what to do.
        command: the command that does it, or several in their order, a line each; empty where
            there is none.
    """

    title: str
    cost: float
    evidence: tuple[str, ...]
    advice: str
    files: tuple[Shown, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Outcome:
    """What one check came to.

    Attributes:
        check: its name.
        state: ``found``, ``clear``, or ``unknown`` where the run does not tell.
        says: what was looked at, or why it does not tell, in one sentence.
        findings: what is wrong; empty unless found.
        curve: pairs of values that can be drawn, where the check has a curve: number of training
            images and validation loss.
    """

    check: str
    state: Literal["found", "clear", "unknown"]
    says: str
    findings: tuple[Finding, ...] = ()
    curve: tuple[tuple[float, float], ...] = ()

    def as_record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def outcome(check: str, says: str, findings: list[Finding]) -> Outcome:
    """Found where there are findings, clear otherwise."""
    return Outcome(check, "found" if findings else "clear", says, tuple(findings))


def unknown(check: str, why: str) -> Outcome:
    """The run does not tell."""
    return Outcome(check, "unknown", why)
