"""What ``run.json``, ``metrics.json`` and ``ensemble.json`` hold, checked where they are read."""

# no `from __future__ import annotations`: Required and NotRequired are looked at when this runs

import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import (
    Any,
    NotRequired,
    TypedDict,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from zoo.errors import ZooError
from zoo.paths import read_regular

SPLITS = ("train", "val", "test")
_LARGEST = 1 << 28  # bytes of a record
_SHOWN = 40  # characters of a wrong value in a message


class DataRecord(TypedDict):
    """The images that a run was made from."""

    name: str
    root: str
    fingerprint: NotRequired[str]
    split_fingerprint: NotRequired[str]
    images: NotRequired[int]
    counts: NotRequired[dict[str, list[int]]]  # images of each class, by split
    # of images of more than 8 bits a channel, what became 0 and 255; None if there was none
    value_range: NotRequired[list[float] | None]


class WeightsRecord(TypedDict):
    """Where a backbone's weights are from."""

    source: str
    sha256: str | None


class NetworkRecord(TypedDict):
    """The network, or all networks of an ensemble."""

    precision: NotRequired[str]
    backbone_parameters: NotRequired[int]
    ms_per_image: NotRequired[float | None]  # None if it was not measured


class StageRecord(TypedDict):
    """The best result of one stage of a training."""

    val_loss: float
    val_accuracy: float
    l2: NotRequired[float]
    passes: NotRequired[int]


class TrainingRecord(TypedDict):
    """One training that was judged on images it was not trained on."""

    stage: str
    best_epoch: int  # 0 if the probe was kept
    temperature: float
    probe: NotRequired[StageRecord]
    finetune: NotRequired[StageRecord]
    average: NotRequired[StageRecord]  # of the weights of both, if that was kept
    depths: NotRequired[str]  # what the head sees: ``last`` or ``all``
    views: NotRequired[int]  # and how many of an image
    tried: NotRequired[dict[str, float]]  # out-of-fold log loss of such sets of features


class Interval(TypedDict):
    """A metric with its 95% confidence interval, and the number of images it is from."""

    value: float | None  # None if it is not defined, such as the AUC of a split with one class
    low: float | None
    high: float | None
    n: int
    reason: NotRequired[str]  # why there is a value and no interval, in words
    raw: NotRequired[float]  # of the calibration error: before its bias is taken off
    raw_if_perfect: NotRequired[float]  # what that is at most, 95% of the time, if calibrated


class MemberRecord(TypedDict):
    """A run that was considered as a member of an ensemble."""

    name: str
    ms_per_image: float | None
    test: dict[str, Interval]


class DiversityRecord(TypedDict):
    """See :class:`ensembles.Diversity`; lists have an entry for each member considered."""

    losses: list[float]
    contributions: list[float]
    disagreement: list[list[float]]
    double_fault: list[list[float]]
    overlap: list[list[float]]
    unsolved: float


class CombinationRecord(TypedDict):
    """How the members of an ensemble were combined, and what it is compared with."""

    method: str
    members: list[str]
    weights: NotRequired[list[float] | None]
    dropped: list[str]
    reason: str
    fitted_on: str
    losses: dict[str, float]
    calibration: NotRequired[dict[str, Any]]
    temperatures: list[float]
    rows: list[MemberRecord]
    soft: dict[str, Interval]
    best_member: str
    against_best: dict[str, Any]
    diversity: DiversityRecord


class StartedRecord(TypedDict):
    """``run.json`` of a run that is being written: what resuming needs."""

    settings: dict[str, Any]
    created: NotRequired[str]
    kind: NotRequired[str]
    status: NotRequired[str]
    study: NotRequired[dict[str, Any]]
    teacher: NotRequired[dict[str, str]]
    data: NotRequired[dict[str, Any]]
    versions: NotRequired[dict[str, str]]


class RunRecord(TypedDict):
    """``run.json`` of a finished run."""

    settings: dict[str, Any]
    classes: list[str]
    data: DataRecord
    created: str
    seconds: dict[str, float]  # by stage, and ``total``
    kind: NotRequired[str]
    status: NotRequired[str]
    resumed: NotRequired[bool]
    versions: NotRequired[dict[str, str]]
    machine: NotRequired[dict[str, str]]
    weights: NotRequired[WeightsRecord]
    network: NotRequired[NetworkRecord]
    kept: NotRequired[list[TrainingRecord]]
    bag_temperature: NotRequired[float]  # of the mean of several that are kept
    before_refit: NotRequired[list[TrainingRecord]]
    folds: NotRequired[list[TrainingRecord]]
    combination: NotRequired[CombinationRecord]
    study: NotRequired[dict[str, Any]]
    teacher: NotRequired[dict[str, str]]  # its ``run`` and the ``sha256`` of what it says


Metrics = dict[str, dict[str, Interval]]  # by split and metric


class EnsembleRecord(TypedDict):
    """``ensemble.json``: the members' names, and the fitted combination."""

    members: list[str]
    ensemble: dict[str, Any]


T = TypeVar("T")


class RecordError(ZooError):
    """A record is missing or damaged."""


def read_text(path: Path) -> str:
    """Text of a file of a run.

    Raises:
        RecordError: missing, or not text.
    """
    try:
        return read_regular(path, _LARGEST).decode("utf-8")
    except FileNotFoundError:
        raise RecordError(f"{path} is missing: the run is damaged; train it again") from None
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise RecordError(f"{path} cannot be read ({why}): train the run again") from error


def read_record(path: Path, kind: type[T]) -> T:
    """A JSON file, checked field by field.

    Args:
        path: of the file.
        kind: one of the types of this module.

    Raises:
        RecordError: missing, no JSON, or a field is missing or has another type; it is named.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{path} cannot be read ({error}): train the run again") from error
    problem = mismatch(content, kind) or _inconsistency(content, kind)
    if problem:
        raise RecordError(f"{path} is damaged: {problem}; train the run again")
    return cast(T, content)


def mismatch(value: object, kind: Any, name: str = "") -> str:
    """What of a value from JSON is not of a type; empty if nothing.

    Args:
        value: as ``json.loads`` gives it.
        kind: a TypedDict, a list, a dict with string keys, a union, a plain type or ``Any``.
        name: of the value in the message, as in ``data.counts``.
    """
    if is_typeddict(kind):
        return _fields_mismatch(value, kind, name)
    if kind is Any or _is_plain(value, kind):
        return ""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        found = [mismatch(value, one, name) for one in args]
        return "" if "" in found else _expected(value, kind, name)
    if origin is list and isinstance(value, list):
        pairs = [(f"{name}[{i}]", part, args[0]) for i, part in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        pairs = [(_join(name, key), part, args[1]) for key, part in value.items()]
    else:
        return _expected(value, kind, name)
    return next(filter(None, (mismatch(part, one, at) for at, part, one in pairs)), "")


def _is_plain(value: object, kind: Any) -> bool:
    if kind is None or kind is types.NoneType:
        return value is None
    if isinstance(value, bool):  # which is an int to Python
        return kind is bool
    return isinstance(kind, type) and isinstance(value, (int, float) if kind is float else kind)


def _fields_mismatch(value: object, kind: Any, name: str) -> str:
    if not isinstance(value, dict):
        return _expected(value, dict, name)
    missing = sorted(kind.__required_keys__ - value.keys())
    if missing:
        return f"{_join(name, missing[0])} is missing"
    hints = get_type_hints(kind)
    found = (mismatch(value[key], hints[key], _join(name, key)) for key in hints if key in value)
    return next(filter(None, found), "")


_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
    "NoneType": "null",
}


def _expected(value: object, kind: Any, name: str) -> str:
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    wanted = [_WORDS.get((get_origin(k) or k).__name__, "an object") for k in kinds]
    shown = json.dumps(value, ensure_ascii=True)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"{name or 'its content'} must be {' or '.join(wanted)}, not {shown}"


def _join(name: str, key: object) -> str:
    return f"{name}.{key}" if name else str(key)


def _inconsistency(content: Mapping[str, Any], kind: object) -> str:
    """What in a record of the right types contradicts itself; empty if nothing."""
    return _run_inconsistency(content) if kind is RunRecord else ""


def _run_inconsistency(record: Mapping[str, Any]) -> str:
    classes, counts = record["classes"], record["data"].get("counts")
    if len(classes) < 2 or len(set(classes)) != len(classes):
        return "classes must be at least two different names"
    if counts is not None:
        for split in SPLITS:
            if len(counts.get(split, [])) != len(classes):
                return f"data.counts.{split} must have a number for each of {len(classes)} classes"
    if "total" not in record["seconds"]:
        return "seconds.total is missing"
    needed = "combination" if record.get("kind") == "ensemble" else "kept"
    if not record.get(needed):
        return f"{needed} is missing"
    return ""
