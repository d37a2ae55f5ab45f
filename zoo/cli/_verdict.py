"""A paired test in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def verdict(against: Mapping[str, Any], heading: str) -> str:
    """What an ``ensembles.Comparison`` says, from its record.

    Args:
        against: of ``Comparison.as_record``.
        heading: what is compared with what.
    """
    n = against["n"]

    def words(found: str) -> str:
        return f"{found} with {n} images" if found.startswith("not") else found

    return (
        f"{heading}, paired:\n"
        f"  accuracy {against['accuracy']:+.3f}: {words(against['by_accuracy'])} "
        f"(correct where the other is wrong: {against['only_first']} and "
        f"{against['only_second']} images, "
        f"McNemar p = {against['p_value']:.2g})\n"
        f"  log loss {against['log_loss']:+.3f} [{against['low']:+.3f}, {against['high']:+.3f}]: "
        f"{words(against['by_log_loss'])} (paired bootstrap)"
    )
