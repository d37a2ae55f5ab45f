"""What the study that chose a run's settings says about them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import NOT_APPLICABLE, Finding, Outcome, outcome, unknown
from zoo.run_names import plain_name
from zoo.settings import set_words

_COST = 0.02  # of accuracy per setting: a guess, so that findings that were measured come first


def check_study(evidence: Evidence) -> Outcome:
    """Name settings whose best value was at the end of the searched range."""
    study = evidence.run.record.get("study")
    if not study:
        return unknown("study", "the settings do not come from a study", NOT_APPLICABLE)
    if "edges" not in study:
        why = "the record of this older run does not hold the ranges"
        return unknown("study", why, NOT_APPLICABLE)
    edges = [str(sentence) for sentence in study["edges"]]
    says = f"the settings come from study {study.get('name')}"
    if not edges:
        return outcome("study", f"{says}; no best value is at the end of its range", [])
    finding = Finding(
        title="The best settings lie at the end of the searched ranges.",
        cost=_COST * len(edges),
        confidence="low",
        evidence=tuple(sentence[0].upper() + sentence[1:] + "." for sentence in edges),
        advice="Write the search space to a file, widen these ranges in it, and search again under "
        "a new name.",
        command=_wider(evidence, study),
    )
    return outcome("study", says, [finding])


def _wider(evidence: Evidence, study: Mapping[str, Any]) -> str:
    """The commands that search a wider space; the file is edited between them."""
    settings, name = evidence.settings, plain_name(f"{study.get('name')}-wider")
    # older records do not hold what was the same in all trials
    fixed = study.get("fixed", {"size": settings.size, "weights": settings.weights})
    words = ["zoo", "tune", settings.backbone, "--data", settings.data, *set_words(fixed)]
    again, file = shlex.join(words), f"{name}.yaml"
    return f"{again} --print-space > {file}\n{again} --space {file} --name {name}"
