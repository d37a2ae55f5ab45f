"""What the study that a run came from says of its settings."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding, Outcome, outcome, unknown
from zoo.runs import plain_name
from zoo.settings import set_words


def check_study(evidence: Evidence) -> Outcome:
    """Name settings whose best value was at the end of the range that was searched."""
    study = evidence.run.record.get("study")
    if not study:
        return unknown("study", "the settings were not searched for")
    if "edges" not in study:
        return unknown("study", "the record of this older run does not tell the ranges")
    edges = [str(sentence) for sentence in study["edges"]]
    says = f"the settings come from study {study.get('name')}"
    if not edges:
        return outcome("study", f"{says}: no best value is at the end of its range", [])
    finding = Finding(
        title="The best settings lie at the end of what was searched.",
        cost=0.02 * len(edges),
        evidence=tuple(sentence[0].upper() + sentence[1:] + "." for sentence in edges),
        advice="Write down what is searched, widen these ranges in the file, and search in it, in "
        "a study of a new name.",
        command=_wider(evidence, study),
    )
    return outcome("study", says, [finding])


def _wider(evidence: Evidence, study: Mapping[str, Any]) -> str:
    """The commands that search on; between them the file is edited."""
    settings, name = evidence.settings, plain_name(f"{study.get('name')}-wider")
    # older records do not tell what was the same in all trials
    fixed = study.get("fixed", {"size": settings.size, "weights": settings.weights})
    words = ["zoo", "tune", settings.backbone, "--data", settings.data, *set_words(fixed)]
    again, file = shlex.join(words), f"{name}.yaml"
    return f"{again} --print-space > {file}\n{again} --space {file} --name {name}"
