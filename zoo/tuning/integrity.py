"""Whether the trials of a study are those that were stored: nothing lost, nothing changed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

from zoo.digests import ChangedFileWarning
from zoo.errors import ZooError
from zoo.records import RecordError, mismatch, read_text
from zoo.tuning.result import TrialRecord, trial_records
from zoo.tuning.trial_store import TrialStore


def check_trials(stages: Mapping[str, TrialStore], folder: Path, storage: str) -> None:
    """Look at all trials before anything is done with them.

    Trials that were changed after they were finished are named in a warning.

    Args:
        stages: name of a stage to its trials.
        folder: of the study, with the log of its trials.
        storage: the storage in words.

    Raises:
        ZooError: a trial is damaged, or trials are lost that the log has.
    """
    found: dict[str, set[int]] = {}
    for stage, store in stages.items():
        rows = trial_records(store, stage)
        for row in rows:
            if problem := mismatch(row, TrialRecord):
                raise ZooError(
                    f"trial {row['trial']} in storage {storage} is damaged ({problem}): put back "
                    f"a copy of it, or choose another --name and storage"
                )
        found[stage] = {row["trial"] for row in rows}
        for number in store.changed():
            warnings.warn(
                f"trial {number} in storage {storage} was changed after it was finished: what is "
                f"read from it is not what was tried",
                ChangedFileWarning,
                stacklevel=2,
            )
    lost = sum(number not in found.get(stage, {number}) for stage, number in _logged(folder))
    if lost:
        raise ZooError(
            f"{folder / 'trials.jsonl'} has {lost} trials that storage {storage} has not: it was "
            f"emptied or replaced; put it back, or choose another --name (or move {folder} away)"
        )


def _logged(folder: Path) -> list[tuple[str, int]]:
    """Stage and number of the trials of an earlier command; none if the log cannot be read."""
    found = []
    try:
        for line in read_text(folder / "trials.jsonl").splitlines():
            row = json.loads(line)
            found.append((str(row["stage"]), int(row["trial"])))
    except (RecordError, ValueError, KeyError, TypeError, RecursionError):
        return []  # it is written anew from the storage
    return found
