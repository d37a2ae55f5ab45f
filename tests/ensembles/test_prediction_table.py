"""The prediction table: what it takes, and that its file gives back the same or a sentence."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ensembles
from ensembles import EnsembleError, PredictionTable

FIELDS = {
    "ids": np.array(["cat/1.jpg", "dog/2 b.jpg", "日本/3.png"]),
    "labels": np.array([0, 1, 1]),
    "probabilities": np.array([[0.5, 0.5], [0.1, 0.9], [0.25, 0.75]], np.float32),
    "classes": np.array(["cat", "dog"]),
    "split": "val",
    "fingerprint": "0123abcd",
}


def table(**changed) -> PredictionTable:
    return PredictionTable(**{**FIELDS, **changed})


def assert_same(one: PredictionTable, other: PredictionTable) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_saved_table_is_read_as_it_was(tmp_path):
    table().save(tmp_path / "val.npz")
    loaded = PredictionTable.load(tmp_path / "val.npz")
    assert_same(loaded, table())
    assert loaded.labels.dtype == np.int64
    assert loaded.probabilities.dtype == np.float32
    assert isinstance(loaded.split, str)
    assert len(loaded) == 3


@given(
    rows=st.lists(st.tuples(st.text(max_size=20), st.integers(0, 3)), max_size=8),
    classes=st.lists(st.text(min_size=1, max_size=9), min_size=4, max_size=4, unique=True),
)
@settings(max_examples=30)
def test_any_names_survive_the_file(tmp_path_factory, rows, classes):
    # NumPy drops zero bytes at the end of a text; no file is named so
    ids = list(dict.fromkeys(name.rstrip("\0") for name, _ in rows))
    labels = np.array([label for _, label in rows[: len(ids)]], np.int64)
    p = np.random.default_rng(0).dirichlet(np.ones(4), len(ids)).astype(np.float32)
    names = np.array([f"{name}|" for name in classes], np.str_)
    made = table(ids=np.array(ids, np.str_), labels=labels, probabilities=p, classes=names)
    path = tmp_path_factory.getbasetemp() / "any.npz"
    made.save(path)
    assert_same(PredictionTable.load(path), made)


def test_file_names_that_are_no_valid_text_survive_the_file(tmp_path):
    odd = np.array(["caf\udce9.jpg", "a", "b"])  # as os.fsdecode gives a Latin-1 name
    table(ids=odd).save(tmp_path / "t.npz")
    assert PredictionTable.load(tmp_path / "t.npz").ids[0] == "caf\udce9.jpg"


# what is wrong, and what the sentence says of it
INVALID = {
    "repeated id": ({"ids": np.array(["a", "b", "a"])}, "more than once"),
    "label too large": ({"labels": np.array([0, 1, 2])}, "in 0..1"),
    "negative label": ({"labels": np.array([0, 1, -1])}, "in 0..1"),
    "labels of floats": ({"labels": np.array([0.0, 0.5, 1.0])}, "whole numbers"),
    "labels of text": ({"labels": np.array(["cat", "dog", "dog"])}, "whole numbers"),
    "too few labels": ({"labels": np.array([0, 1])}, r"3 samples and 2 classes .* \(2,\)"),
    "too few rows": (
        {"probabilities": FIELDS["probabilities"][:2]},
        r"needs probabilities of shape \(3, 2\) .* not \(2, 2\)",
    ),
    "too many classes": ({"classes": np.array(["a", "b", "c"])}, r"3 classes .* not \(3, 2\)"),
    "not a number": ({"probabilities": np.full((3, 2), np.nan, np.float32)}, "must be finite"),
    "infinite": ({"probabilities": np.full((3, 2), np.inf, np.float32)}, "must be finite"),
    "negative": ({"probabilities": np.tile(np.float32([1.5, -0.5]), (3, 1))}, "not negative"),
    "sum is not one": ({"probabilities": np.full((3, 2), 0.6, np.float32)}, "sum to 1"),
    "probabilities of text": ({"probabilities": np.full((3, 2), "0.5")}, "floating-point"),
    "ids in a column": ({"ids": FIELDS["ids"][:, None]}, "one id per sample"),
    "one id alone": ({"ids": np.array("a")}, "one id per sample"),
    "classes in a row": ({"classes": FIELDS["classes"][None]}, "one name per class"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_table_that_cannot_be_is_refused_made_or_read(case, tmp_path):
    changed, content = INVALID[case]
    with pytest.raises(EnsembleError, match=content):
        table(**changed)
    np.savez(tmp_path / "bad.npz", **{**FIELDS, **changed})
    with pytest.raises(EnsembleError, match=content) as raised:
        PredictionTable.load(tmp_path / "bad.npz")
    assert str(tmp_path / "bad.npz") in str(raised.value)


def test_a_table_may_be_empty_and_rounding_may_leave_the_sum_a_little_off():
    assert (
        len(table(ids=np.array([], np.str_), labels=np.array([], int), probabilities=_none())) == 0
    )
    table(probabilities=np.full((3, 2), 0.50004, np.float32))


def _none() -> np.ndarray:
    return np.empty((0, 2), np.float32)


def _array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def _without_classes(path: Path) -> None:
    np.savez(path, **{name: value for name, value in FIELDS.items() if name != "classes"})


UNREADABLE = {
    "text": (lambda path: path.write_text("id,label\n"), "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "one array": (_array, "damaged"),
    "an array is missing": (_without_classes, "'classes"),
    "objects": (
        lambda path: np.savez(path, **{**FIELDS, "ids": np.array(["a", 1, None], object)}),
        "Object arrays",
    ),
    "a folder": (lambda path: path.mkdir(), "damaged"),
    "missing": (lambda path: None, "there is no prediction table"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_table_is_refused_by_its_path(case, tmp_path):
    make, content = UNREADABLE[case]
    path = tmp_path / "t.npz"
    make(path)
    with pytest.raises(EnsembleError, match=content) as raised:
        PredictionTable.load(path)
    assert str(path) in str(raised.value)


def test_objects_in_a_table_are_not_unpickled(tmp_path):
    class Touch:
        def __reduce__(self):
            return Path.touch, (tmp_path / "stolen",)

    np.savez(tmp_path / "t.npz", **{**FIELDS, "ids": np.array([Touch()] * 3, object)})
    with pytest.raises(EnsembleError):
        PredictionTable.load(tmp_path / "t.npz")
    assert not (tmp_path / "stolen").exists()


def test_damage_anywhere_in_the_file_gives_a_table_or_a_sentence(tmp_path):
    table().save(tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    bad, outcomes = tmp_path / "bad.npz", set()
    for i in range(0, len(content), 3):
        for damaged in (content[:i], content[:i] + bytes([content[i] ^ 0x41]) + content[i + 1 :]):
            bad.write_bytes(damaged)
            try:
                PredictionTable.load(bad)
                outcomes.add("read")
            except EnsembleError as error:
                outcomes.add("damaged" if "damaged" in str(error) else str(error))
    assert outcomes == {"read", "damaged"}  # a changed date in the archive does no harm


def test_importing_ensembles_imports_no_network_library():
    code = "import sys, ensembles; print([m for m in ('keras', 'tensorflow', 'zoo', 'backbones')"
    code += " if m in sys.modules])"
    root = Path(ensembles.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_groups_survive_the_file_and_follow_the_rows(tmp_path):
    grouped = table(groups=np.array([4, 9, 4]))
    grouped.save(tmp_path / "val.npz")
    np.testing.assert_array_equal(PredictionTable.load(tmp_path / "val.npz").groups, [4, 9, 4])
    np.testing.assert_array_equal(grouped.rows(np.array([2, 1])).groups, [4, 9])
    table().save(tmp_path / "none.npz")
    assert PredictionTable.load(tmp_path / "none.npz").groups is None


def test_a_table_without_groups_takes_those_of_the_table_it_is_aligned_with():
    order = np.array([2, 0, 1])
    grouped = table(groups=np.array([4, 9, 4])).rows(order)
    for aligned in ensembles.align([table(), grouped]):
        np.testing.assert_array_equal(aligned.groups, [4, 9, 4])
        np.testing.assert_array_equal(aligned.ids, table().ids)


@pytest.mark.parametrize("groups", [np.zeros(2, int), np.zeros(3), np.array(["a", "b", "c"])])
def test_groups_that_are_not_a_whole_number_for_each_sample_are_refused(groups):
    with pytest.raises(EnsembleError, match="groups must hold 3 whole numbers"):
        table(groups=groups)
