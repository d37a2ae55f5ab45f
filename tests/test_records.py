"""Records of runs: every field is checked where the file is read, and named if it is wrong."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from zoo.records import EnsembleRecord, Metrics, RecordError, RunRecord, read_record

RUN: dict[str, Any] = {
    "settings": {"backbone": "cnn"},
    "classes": ["cat", "dog"],
    "data": {
        "name": "pets",
        "root": "/pets",
        "counts": {"train": [3, 4], "val": [1, 1], "test": [1, 2]},
    },
    "created": "2026-01-01T00:00:00+00:00",
    "seconds": {"total": 2.5},
    "network": {"precision": "float32", "ms_per_image": None},
    "weights": {"source": "none", "sha256": None},
    "kept": [
        {
            "stage": "finetune",
            "best_epoch": 3,
            "temperature": 1,
            "probe": {"val_loss": 0.5, "val_accuracy": 0.75, "l2": 0.01},
        }
    ],
}
METRICS = {"val": {"accuracy": {"value": 0.5, "low": None, "high": None, "n": 4}}}
ENSEMBLE = {"members": ["a", "b"], "ensemble": {"method": "soft"}}


def written(folder: Path, content: object) -> Path:
    path = folder / "record.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def altered(record: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a place such as ``kept/0/stage``."""
    whole = part = copy.deepcopy(record)
    *above, last = [int(key) if key.isdigit() else key for key in place.split("/")]
    for key in above:
        part = part[key]
    part[last] = value
    return whole


@pytest.mark.parametrize(
    ("kind", "record"), [(RunRecord, RUN), (Metrics, METRICS), (EnsembleRecord, ENSEMBLE)]
)
def test_a_record_is_read_as_it_was_written(kind, record, tmp_path):
    assert read_record(written(tmp_path, record), kind) == record


def test_fields_of_a_later_version_are_kept(tmp_path):
    record = RUN | {"colour": "red"}
    assert read_record(written(tmp_path, record), RunRecord) == record


WRONG_TYPES = [
    ("settings", [], "settings must be an object, not []"),
    ("classes", "cat", 'classes must be a list, not "cat"'),
    ("classes/1", 2, "classes[1] must be a text, not 2"),
    ("data", None, "data must be an object, not null"),
    ("data/name", ["pets"], 'data.name must be a text, not ["pets"]'),
    ("data/counts/val", 3, "data.counts.val must be a list, not 3"),
    ("data/counts/val/0", 1.5, "data.counts.val[0] must be a whole number, not 1.5"),
    ("data/counts/val/0", True, "data.counts.val[0] must be a whole number, not true"),
    ("created", 2026, "created must be a text, not 2026"),
    ("seconds", "2.5", 'seconds must be an object, not "2.5"'),
    ("seconds/total", "2.5", 'seconds.total must be a number, not "2.5"'),
    ("network/ms_per_image", {}, "network.ms_per_image must be a number or null, not {}"),
    ("weights/sha256", 7, "weights.sha256 must be a text or null, not 7"),
    ("kept", {"stage": "probe"}, 'kept must be a list, not {"stage": "probe"}'),
    ("kept/0", "probe", 'kept[0] must be an object, not "probe"'),
    ("kept/0/best_epoch", "3", 'kept[0].best_epoch must be a whole number, not "3"'),
    ("kept/0/probe/val_loss", None, "kept[0].probe.val_loss must be a number, not null"),
    ("created", ["x" * 99], "created must be a text, not [" + '"' + "x" * 38 + "..."),
]


@pytest.mark.parametrize(("place", "value", "sentence"), WRONG_TYPES)
def test_a_field_of_another_type_is_named(place, value, sentence, tmp_path):
    path = written(tmp_path, altered(RUN, place, value))
    with pytest.raises(RecordError) as raised:
        read_record(path, RunRecord)
    assert str(raised.value) == f"{path} is damaged: {sentence}; train the run again"


@pytest.mark.parametrize("name", ["settings", "classes", "data", "created", "seconds", "kept"])
def test_a_missing_field_is_named(name, tmp_path):
    path = written(tmp_path, {key: value for key, value in RUN.items() if key != name})
    with pytest.raises(RecordError, match=f"is damaged: {name} is missing"):
        read_record(path, RunRecord)


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        ("classes", ["cat"], "classes must be at least two different names"),
        ("classes", ["cat", "cat"], "classes must be at least two different names"),
        ("data/counts/val", [1], "data.counts.val must have a number for each of 2 classes"),
        ("seconds", {}, "seconds.total is missing"),
        ("kept", [], "kept is missing"),
        ("kind", "ensemble", "combination is missing"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(place, value, sentence, tmp_path):
    with pytest.raises(RecordError) as raised:
        read_record(written(tmp_path, altered(RUN, place, value)), RunRecord)
    assert sentence in str(raised.value)


@pytest.mark.parametrize("content", [[], None, 1, "text", True])
@pytest.mark.parametrize("kind", [RunRecord, Metrics, EnsembleRecord])
def test_json_that_is_no_object_is_refused(content, kind, tmp_path):
    with pytest.raises(RecordError, match="its content must be an object"):
        read_record(written(tmp_path, content), kind)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b"{}}", b'{"a": 1,}', b"[" * 100_000, b"\0" * 64]
)
def test_what_is_no_json_is_refused(raw, tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(raw)
    with pytest.raises(RecordError, match=r"run\.json cannot be read"):
        read_record(path, RunRecord)
