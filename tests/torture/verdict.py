"""What is wrong however a command was called."""

from __future__ import annotations

from tests.torture.forked import MEMORY, Outcome

_RIGHT = {0, 1, 2}


def broken(outcome: Outcome) -> str:
    """A traceback, a wait without end, or an exit status that says nothing; empty if none."""
    if outcome.status is None:
        return f"it was not done in {outcome.seconds:.0f} s"
    both = outcome.err + outcome.out
    if "MemoryError" in both or "bad_alloc" in both:
        return f"it took more than {MEMORY >> 20} MB: {outcome.err[-300:]}"
    if "Traceback (most recent" in both:
        return f"traceback: {outcome.err.strip().splitlines()[-1][:300]}"
    if outcome.status not in _RIGHT:
        return f"exit status {outcome.status}: {outcome.err[-300:]}"
    if "\x1b" in both:
        return "a control character reaches the terminal"
    if outcome.status == 2 and "error: " not in outcome.err:
        return f"exit status 2 without an error: {outcome.err[-300:]}"
    return ""
