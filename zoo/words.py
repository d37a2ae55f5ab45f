"""Numbers with the words that they count."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A number and what it counts, such as ``1 image`` or ``1,200 images``.

    Args:
        count: how many.
        one: the word for one.
        many: the word for several; ``one`` with an s if empty.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """Words as a sentence lists them: ``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
