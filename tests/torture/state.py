"""Every state file, damaged at random, through every command that reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from tests.torture.damage import Damage, damages
from tests.torture.forked import run
from tests.torture.place import Place
from tests.torture.prepared import BENCHMARK, JOURNAL, STUDY
from tests.torture.verdict import broken

_RUN = {
    "run.json": "runs|runs --json|show|predict|report|report --no-diagnose|compare|diagnose"
    "|ensemble|repeat",
    "metrics.json": "runs|runs --json|show|report --no-diagnose|compare|diagnose|ensemble",
    "history.csv": "report|report --no-diagnose|diagnose",
    "digests.json": "runs|show|predict|report --no-diagnose",
    "predictions/val.npz": "report|report --no-diagnose|compare|diagnose|ensemble",
    "predictions/test.npz": "report|report --no-diagnose|compare|diagnose|ensemble",
    "model.keras": "predict|report|diagnose|ensemble --measure",
}
_ENSEMBLE = {
    "ensemble.json": "predict|report --no-diagnose|show|ensemble",
    "run.json": "runs|show|predict|report --no-diagnose|ensemble",
    "metrics.json": "runs|show|report --no-diagnose",
    "digests.json": "runs|show|predict",
    "predictions/val.npz": "report --no-diagnose|ensemble",
    "predictions/test.npz": "report --no-diagnose|ensemble",
    "members/a/run.json": "predict|report --no-diagnose",
    "members/a/model.keras": "predict",
}
_CELL = "runs/benchmarks/data/cells/cnn-full-s0-*"
FILES: dict[str, list[str]] = {
    **{
        f"runs/a/{name}": [*commands.split("|"), "runs --verify"] for name, commands in _RUN.items()
    },
    **{
        f"runs/both/{name}": [*commands.split("|"), "runs --verify"]
        for name, commands in _ENSEMBLE.items()
    },
    "runs/studies/cnn-data/study.sqlite3": ["tune"],
    "runs/studies/cnn-data/best.json": ["tune", "best"],
    "runs/studies/cnn-data/trials.jsonl": ["tune"],
    "runs/studies/cnn-data/study.html": ["tune"],
    "runs/studies/cnn-data/.zoo": ["tune"],
    "runs/studies/cnn-data/trials/1/val.npy": ["tune"],
    "journal.log": ["tune logged"],
    **{
        f"{_CELL}/{name}": ["benchmark"]
        for name in ("run.json", "metrics.json", "digests.json", "history.csv")
    },
    f"{_CELL}/predictions/val.npz": ["benchmark"],
    f"{_CELL}/predictions/test.npz": ["benchmark"],
    "runs/benchmarks/data/about/cnn-full-s0-*.json": ["benchmark"],
    **{f"runs/benchmarks/data/table.{x}": ["benchmark"] for x in ("md", "csv", "json")},
    "runs/benchmarks/data/.zoo": ["benchmark"],
    "config.yaml": ["config"],
}


# people write them, or may: another value in them is no damage
_EDITED = {"config.yaml", "runs/studies/cnn-data/best.json"}


def commands(target: str) -> dict[str, list[str]]:
    """The lines of the commands that read files of a run."""
    other = "b"
    return {
        "runs": ["runs"],
        "runs --json": ["runs", "--json"],
        "runs --verify": ["runs", "--verify"],
        "show": ["show", target],
        "predict": ["predict", target, "data/one"],
        "report": ["report", target, "--output", "page.html"],
        "report --no-diagnose": ["report", target, "--no-diagnose", "--output", "page.html"],
        "compare": ["report", target, other, "--output", "page.html"],
        "diagnose": ["diagnose", target, "--no-report"],
        "ensemble": ["ensemble", target, other, "--method", "soft", "--name", "new"],
        "ensemble --measure": ["ensemble", target, other, "--measure", "--name", "new"],
        "repeat": ["finetune", "--config", f"runs/{target}/run.json", "--dry-run"],
        "best": ["finetune", "--config", "runs/studies/cnn-data/best.json", "--dry-run"],
        "config": ["finetune", "cnn", "--data", "data", "--config", "config.yaml", "--dry-run"],
        "tune": STUDY,
        "tune logged": [*STUDY, *JOURNAL],
        "benchmark": BENCHMARK,
    }


@dataclass(frozen=True)
class StateCase:
    """A file, what happens to it, and the command that reads it."""

    file: str
    damage: Damage
    command: str
    kind = "damaged state"

    def __str__(self) -> str:
        return f"{self.file}: {self.damage}: {self.command}"

    @property
    def line(self) -> list[str]:
        """Words of the command."""
        return commands("both" if self.file.startswith("runs/both/") else "a")[self.command]

    def run(self, place: Place) -> str:
        """What is wrong; empty if nothing."""
        expected = place.usual(self.line)
        place.renew()
        path = next(place.path.glob(self.file))
        before = path.read_bytes()
        self.damage.apply(path)
        same = path.is_file() and path.stat().st_size < 1 << 30 and path.read_bytes() == before
        outcome = run(self.line, place.path)
        if said := broken(outcome):
            return said
        if (
            same
            or self.file in _EDITED
            or (outcome.status == 0 and place.seen(outcome) == expected)
        ):
            return ""
        told = outcome.err + outcome.out + place.new_on_page(self.line)
        if not any(re.search(rf"(?<![\w]){re.escape(n)}", told) for n in _names(self.file)):
            what = "status 0 and other output" if outcome.status == 0 else "an error"
            return f"{what} that does not name the file: {outcome.err[-300:]}"
        return ""


@cache
def _names(file: str) -> tuple[str, ...]:
    """By which of these a file may be named."""
    path = Path(file)
    names = [path.name.partition("*")[0]]
    if path.name == "digests.json":  # it names the files that differ from it
        names = ["digests.json", "was changed", "is missing"]
    if "cells/" in file:
        names.append(path.parts[4].partition("*")[0])
    if path.name == ".zoo":
        names.append(path.parent.name)
    if "studies/" in file or file == "journal.log":
        names += [path.parts[2] if "studies/" in file else "logged"]
    return tuple(names)


def state_cases() -> st.SearchStrategy[StateCase]:
    """All of them."""
    pairs = [(file, command) for file, found in FILES.items() for command in found]
    return st.sampled_from(pairs).flatmap(
        lambda pair: st.builds(StateCase, st.just(pair[0]), damages(pair[0]), st.just(pair[1]))
    )
