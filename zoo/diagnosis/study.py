"""What the study that a run came from says of its settings."""

from __future__ import annotations

import shlex

from zoo.diagnosis.evidence import Evidence
from zoo.diagnosis.finding import Finding, Outcome, outcome, unknown


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
        advice="Search on in the wider range, in a study of a new name.",
        command=f"zoo tune {evidence.settings.backbone} --data "
        f"{shlex.quote(evidence.settings.data)} "
        "--space space.toml",
    )
    return outcome("study", says, [finding])
