"""What ``zoo auto`` has done so far, on disk after every step: killed, it continues from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.digests import checked
from zoo.errors import ZooError
from zoo.paths import claim_folder
from zoo.records import RecordError, read_record
from zoo.runs import write_json

FILE = "auto.json"
STATES = ("running", "done", "failed", "interrupted")


@dataclass
class Step:
    """A training run of an automatic search.

    Attributes:
        run: its name.
        key: see :attr:`zoo.automatic.plan.Proposal.key`.
        what: it is, in words.
        why: in words.
        kind: ``probe`` or ``finetune``.
        predicted: seconds.
        started: seconds after the beginning.
        seconds: that it took; 0 until it is done.
        state: ``running``, ``done``, ``failed`` or ``interrupted``.
        reason: why it failed; empty if it did not.
        cut: whether it ended because the time was over.
    """

    run: str
    key: str
    what: str
    why: str
    kind: str
    predicted: float
    started: float
    seconds: float = 0.0
    state: str = "running"
    reason: str = ""
    cut: bool = False


@dataclass
class Journal:
    """The state of an automatic search.

    Attributes:
        folder: where it is kept.
        request: what was asked, to refuse to continue with something else.
        spent: seconds that earlier calls took.
        steps: in their order.
        final: name of the run that is the result; empty until there is one.
        seconds: of everything; 0 until it is done.
    """

    folder: Path
    request: dict[str, Any]
    spent: float = 0.0
    steps: list[Step] = field(default_factory=list)
    final: str = ""
    seconds: float = 0.0

    def write(self) -> None:
        """Write it, whole or not at all."""
        about = {k: v for k, v in asdict(self).items() if k != "folder"}
        write_json(self.folder / FILE, {"written_by": "zoo auto", **about})

    @property
    def done(self) -> list[Step]:
        """Steps that gave a run."""
        return [step for step in self.steps if step.state == "done"]


def open_journal(folder: Path, request: dict[str, Any]) -> Journal:
    """The journal of a folder, continued or begun.

    Raises:
        ZooError: it is finished, was asked for something else, or is damaged; or the folder is not
            zoo's.
    """
    claim_folder(folder, signs=[FILE])
    file = folder / FILE
    if not file.is_file():
        return Journal(folder, request)
    try:
        about = read_record(checked(file), dict)
        journal = Journal(
            folder,
            dict(about["request"]),
            float(about["spent"]),
            [Step(**step) for step in about["steps"]],
            str(about["final"]),
            float(about["seconds"]),
        )
    except (RecordError, KeyError, TypeError, ValueError) as error:
        raise ZooError(
            f"{file} is damaged ({error}): remove {folder} to begin anew; its runs stay"
        ) from error
    if journal.final:
        raise ZooError(
            f"{folder.name!r} is finished, its result is run {journal.final!r}: choose another "
            f"--name, or remove {folder} to begin anew"
        )
    for key, value in request.items():
        if journal.request.get(key) != value:
            raise ZooError(
                f"{folder.name!r} was begun with {key} {journal.request.get(key)!r}, not "
                f"{value!r}: continue with the same command, or choose another --name"
            )
    return journal
