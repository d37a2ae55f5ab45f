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
        return found if found in ("better", "worse") else f"{found} with {n} images"

    groups = against.get("independent", n)
    test = "McNemar" if groups == n else f"test over {groups} groups of images,"
    tests = against.get("tests", 1)
    corrected = f", corrected for {tests} comparisons" if tests > 1 else ""

    return (
        f"{heading}, paired:\n"
        f"  accuracy {against['accuracy']:+.3f}: {words(against['by_accuracy'])} "
        f"(correct where the other is wrong: {against['only_first']} and "
        f"{against['only_second']} images, "
        f"{test} p = {against['p_value']:.2g}{corrected})\n"
        f"  log loss {against['log_loss']:+.3f} [{against['low']:+.3f}, {against['high']:+.3f}]: "
        f"{words(against['by_log_loss'])} (paired bootstrap-t{corrected})"
    )
