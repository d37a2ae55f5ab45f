"""Phrases that readers stumbled over stay out of documentation, docstrings and messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.markdown import PAGES, ROOT, name_of

_THING = (
    r"(?:rows?|lines?|folders?|modules?|values?|numbers?|ids?|images?|seconds?|milliseconds|ms|"
    r"columns?|tables?|epochs?|steps?|scripts?|one)"
)
_UNIT = (
    r"(?:step|epoch|command|class|row|trial|member|seed|image|fold|process|line|page|run|job|"
    r"question|variant|family|sample|batch|second|pass|method|network|split|metric)"
)
# the phrase, and what to write in its place
BANNED = {
    rf"\b{_THING} an? {_UNIT}\b": "one row per epoch, images per second",
    r"\bone name a class\b|\bone command a\b|\b[Aa] row an? \b": "one row per epoch",
    r"(?-i:\bwhere None\b)": "if None",
    r"\b(?:[Ee]mpty|None|nan) where (?:there|it|they|no|nothing|nobody|all|one)\b": "empty if",
    r"\btrainings\b": "runs, fits",
    r"\bgo(?:es)? on (?:with|from)\b|\bgoing on with\b|\bcommand goes on\b": "continue",
    r"\bon one side\b": "in the same split",
    r"\bthat are no (?!longer|more)[a-z]+": "non-image, that are not",
    r"\bright alone\b": "correct where the other is wrong",
    r"\btoo good\b": "optimistically biased",
    r"\bthat lose\b|\bclasses lose\b|\bbecause they are rare\b": "low recall from class imbalance",
    r"\bbecomes? square\b": "resize mode",
    r"\bleaves the class\b": "label-preserving",
    r'"Of (?:joblib|the page)\b': "say what it is: output path of the report",
    r"\b(?:no|any) say\b": "zero weight",
    r"\bis all one\b": "does not matter",
    r"\b(?:not to be|cannot be|could not be|can be) had\b": "cannot be loaded",
    r"\bmay go beyond are none\b": "hard bounds are not reported",
    r"\bbeside each other\b|\bnothing beside it\b": "side by side; self-contained",
    r"\bnear copies\b": "near-duplicates",
}
CODE = [
    path
    for package in ("zoo", "backbones", "ensembles", "benchmarks")
    for pattern in ("*.py", "*.html")
    for path in sorted((ROOT / package).rglob(pattern))
]


def banned_in(text: str) -> list[str]:
    """Each banned phrase, also across lines, with the words around it and what to write."""
    flat = re.sub(r" +", " ", re.sub(r'\s+(?:# |f?" ?)?', " ", text))
    return [
        f"...{flat[max(0, found.start() - 30) : found.end() + 20]}... (write: {instead})"
        for phrase, instead in BANNED.items()
        for found in re.finditer(phrase, flat, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=name_of)
def test_pages_use_the_terms_of_the_field(path: Path) -> None:
    assert banned_in(path.read_text("utf-8")) == []


def test_code_uses_the_terms_of_the_field() -> None:
    found = {name_of(path): banned_in(path.read_text("utf-8")) for path in CODE}
    assert {name: phrases for name, phrases in found.items() if phrases} == {}


@pytest.mark.parametrize(
    "text",
    [
        "history: a row an\n        epoch.",
        'f"the file goes on "\n        f"with the next"',
        "32 images a step",
        "weights that cannot be had",
        "the others must have no say",
        "files that are no images",
        "copies of an image stay on one side",
        "equal where None.",
    ],
)
def test_the_check_finds_phrases(text: str) -> None:
    assert banned_in(text)
