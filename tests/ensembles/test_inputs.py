"""What people have as probabilities and labels: taken exactly, or refused with what to call."""

from decimal import Decimal

import numpy as np
import pytest

from ensembles import EnsembleError, PredictionTable

RNG = np.random.default_rng(3)
N, K = 40, 3
Y = np.concatenate([np.arange(K), RNG.integers(0, K, N - K)])
LOGITS = RNG.normal(0, 1, (N, K)) + 2 * np.eye(K)[Y]
P = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
WIDE = RNG.dirichlet(np.full(20, 0.3), N)  # of twenty classes
BINARY = RNG.uniform(0, 1, N)
B = (RNG.uniform(0, 1, N) < BINARY).astype(int)
NAMES = np.array(["ant", "bee", "cat"])


def with_value(value, row=5, column=1):
    changed = P.copy()
    changed[row, column] = value
    return changed


# probabilities, and by how much the table may differ from P
TAKEN = {
    "as they are": (P, 1e-7),
    "lists": (P.tolist(), 1e-7),
    "float32": (P.astype(np.float32), 1e-7),
    "float16": (P.astype(np.float16), 5e-4),
    "of precision 1/256, as bfloat16": (np.round(P * 256) / 256, 4e-3),
    "objects": (P.astype(object), 1e-7),
    "decimals": ([[Decimal(str(x)) for x in row] for row in P.round(6).tolist()], 2e-6),
    "rounded to 3 digits": (P.round(3), 2e-3),
    "rounded to 2 digits": (P.round(2), 0.015),
    "rounded to 1 digit": (P.round(1), 0.11),
    "a trace below zero": (np.concatenate([P[:, :2] + 1e-9, P[:, 2:] - 2e-9], axis=1), 1e-6),
    "in columns' order of memory": (np.asfortranarray(P), 1e-7),
    "not contiguous": (np.repeat(P, 2, axis=0)[::2], 1e-7),
}


@pytest.mark.parametrize("case", TAKEN)
def test_probabilities_are_taken_exactly_and_rows_sum_to_one(case):
    given, within = TAKEN[case]
    table = PredictionTable.of(given, Y)
    assert table.probabilities.dtype == np.float32
    np.testing.assert_allclose(table.probabilities, P, atol=within)
    np.testing.assert_allclose(table.probabilities.sum(axis=1), 1, atol=1e-3)


def test_rounded_rows_are_divided_by_their_sum_and_others_left_alone():
    rounded = P.round(2)
    table = PredictionTable.of(rounded, Y)
    expected = (rounded / rounded.sum(axis=1, keepdims=True)).astype(np.float32)
    np.testing.assert_array_equal(table.probabilities, expected)
    exact = PredictionTable.of(P.astype(np.float32), Y)
    np.testing.assert_array_equal(exact.probabilities, P.astype(np.float32))


def test_many_classes_rounded_to_two_digits_are_taken():
    rounded = WIDE.round(2)
    assert abs(rounded.sum(axis=1) - 1).max() > 0.01
    table = PredictionTable.of(rounded, np.zeros(N, int))
    np.testing.assert_allclose(table.probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("values", [P > 0.5, (P > 0.5).astype(int)])
def test_predicted_classes_are_taken_where_each_row_has_one(values):
    sure = np.flatnonzero(P.max(axis=1) > 0.5)
    table = PredictionTable.of(values[sure], Y[sure])
    np.testing.assert_array_equal(table.probabilities, np.eye(K)[P[sure].argmax(axis=1)])


REFUSED = {
    "nan": (with_value(np.nan), r"row 5 holds nan \(1 of 40 rows are so\).*leave them out"),
    "infinite": (with_value(np.inf), "row 5 holds inf"),
    "minus infinity": (with_value(-np.inf), "row 5 holds -inf"),
    "all nan": (np.full((N, K), np.nan), r"row 0 holds nan \(40 of 40"),
    "masked": (np.ma.masked_array(P, P > 2).filled(np.nan) * np.nan, "holds nan"),
    "logits": (LOGITS, "for logits call PredictionTable.from_logits"),
    "logits above zero": (LOGITS - LOGITS.min(), "for logits call PredictionTable.from_logits"),
    "log-probabilities": (np.log(P), "call PredictionTable.from_logits, or take np.exp"),
    "log-odds": (np.log(P / (1 - P)), "call PredictionTable.from_logits"),
    "percentages": (100 * P, "divide percentages by 100"),
    "rounded percentages": ((100 * P).round(), "divide percentages by 100"),
    "percentages of many classes": ((100 * WIDE).round(), "divide percentages by 100"),
    "votes": (np.round(P * 50) + np.eye(K)[0], "divide weights or votes by"),
    "weights": (7 * P, "divide weights or votes by their sum"),
    "per mille": (1000 * P, "divide weights or votes by their sum"),
    "independent sigmoids": (1 / (1 + np.exp(-LOGITS)), r"independent outputs \(sigmoid\)"),
    "squared": (P**2, "sum to 1 in a row: row 0 sums to"),
    "one row of zeros": (with_value(0.0) * (np.arange(N) != 7)[:, None], "row 5|row 7 holds zeros"),
    "one row off": (with_value(0.9), "row 5 sums to .* so are 1 of 40 rows"),
    "a difference": (P - P[::-1], "not negative"),
    "text": (P.astype(str), r"floating-point numbers.*astype\(float\)"),
    "complex": (P.astype(complex), "floating-point numbers"),
    "words": ([["much", "little", "none"]] * N, "floating-point numbers"),
    "None": (np.full((N, K), None), "row 0 holds nan"),
    "rows that differ": ([[0.5, 0.5, 0.0]] * (N - 1) + [[1.0]], "array of numbers"),
    "the transpose": (P.T, r"\(3, 40\) with 40 labels: give their transpose"),
    "all members": (np.stack([P, P]), "one table for each member"),
    "a number": (0.5, r"not \(\)"),
    "predicted classes": (P.argmax(axis=1), r"whole numbers from 0 to 2: .* np.eye"),
    "predicted classes in a column": (P.argmax(axis=1)[:, None], "np.eye"),
    "a column of log-odds": (LOGITS[:, :1], "call PredictionTable.from_logits"),
    "a column of percentages": (100 * BINARY, "percentages by 100"),
    "too few rows": (P[:9], r"40 whole numbers|9 whole numbers, .* shape \(40,\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_are_no_probabilities_is_refused_with_what_to_call(case):
    given, content = REFUSED[case]
    with pytest.raises(EnsembleError, match=content):
        PredictionTable.of(given, Y)


def test_a_wrong_value_is_named_by_sample_and_row():
    ids = [f"photo {i}.jpg" for i in range(N)]
    with pytest.raises(EnsembleError, match=r"photo 5.jpg \(row 5\) holds nan"):
        PredictionTable.of(with_value(np.nan), Y, ids=ids)
    with pytest.raises(EnsembleError, match=r"photo 5.jpg \(row 5\) sums to"):
        PredictionTable.of(with_value(0.99), Y, ids=ids)


ONE_COLUMN = {
    "a column": BINARY[:, None],
    "one dimension": BINARY,
    "a list": BINARY.tolist(),
    "float32": BINARY.astype(np.float32),
}


@pytest.mark.parametrize("case", ONE_COLUMN)
@pytest.mark.parametrize("classes", [None, ["no", "yes"]])
def test_one_column_is_the_second_of_two_classes(case, classes):
    table = PredictionTable.of(ONE_COLUMN[case], B, classes=classes)
    np.testing.assert_allclose(table.probabilities[:, 1], BINARY, atol=1e-7)
    np.testing.assert_allclose(table.probabilities[:, 0], 1 - BINARY, atol=1e-7)
    assert table.classes.tolist() == (classes or ["0", "1"])


def test_one_column_and_three_classes_are_refused():
    with pytest.raises(EnsembleError, match="one column and there are 3 classes"):
        PredictionTable.of(BINARY[:, None], B, classes=NAMES)


def test_a_single_class_stays_one_column():
    table = PredictionTable.of(np.ones((4, 1)), np.zeros(4, int), classes=["all"])
    assert table.probabilities.shape == (4, 1)


LABELS = {
    "a list": Y.tolist(),
    "int8": Y.astype(np.int8),
    "uint64": Y.astype(np.uint64),
    "floats": Y.astype(float),
    "objects": Y.astype(object),
    "a column": Y[:, None],
    "one-hot": np.eye(K)[Y],
    "one-hot of whole numbers": np.eye(K, dtype=int)[Y],
    "one-hot of truth values": np.eye(K, dtype=bool)[Y],
    "names": NAMES[Y],
    "names in a list": NAMES[Y].tolist(),
    "names as objects": NAMES[Y].astype(object),
    "names as bytes": NAMES[Y].astype("S"),
    "names in a column": NAMES[Y][:, None],
}


@pytest.mark.parametrize("case", LABELS)
def test_labels_are_taken_exactly(case):
    table = PredictionTable.of(P, LABELS[case], classes=NAMES)
    np.testing.assert_array_equal(table.labels, Y)
    assert table.labels.dtype == np.int64


@pytest.mark.parametrize("values", [B.astype(bool), B.astype(float), np.array(["n", "y"])[B]])
def test_labels_of_two_classes_are_taken(values):
    names = ["n", "y"] if values.dtype.kind == "U" else None
    np.testing.assert_array_equal(PredictionTable.of(BINARY, values, classes=names).labels, B)


@pytest.mark.parametrize("offset", [1, 7, 2020])
def test_labels_are_numbers_that_are_the_names_of_the_classes(offset):
    table = PredictionTable.of(P, Y + offset + 2, classes=np.arange(K) + offset + 2)
    np.testing.assert_array_equal(table.labels, Y)


# labels, names of the classes, and what the sentence says
REFUSED_LABELS = {
    "from 1": (Y + 1, None, r"0\.\.2, not 1\.\.3 .*numbered from 0: give labels - 1"),
    "from 1, with names": (Y + 1, NAMES, "give labels - 1"),
    "from 1, as floats": (Y + 1.0, None, "give labels - 1"),
    "too large": (Y * 5, None, "give also classes="),
    "minus 1 for unknown": (np.where(Y == 2, -1, Y), None, r"not -1\.\.1.*leave out samples"),
    "halves": (Y + 0.5, None, "whole numbers.*row 0 has 0.5"),
    "nan": (np.where(np.arange(N) == 4, np.nan, Y), None, "row 4 has nan"),
    "infinite": (np.where(np.arange(N) == 4, np.inf, Y), None, "row 4 has inf"),
    "text without names": (NAMES[Y], None, "the first is 'ant': .* also classes="),
    "numbers as text": (Y.astype(str), None, "also classes="),
    "a name that is no class": (np.where(Y == 1, "Bee", NAMES[Y]), NAMES, "did you mean 'bee'"),
    "None": ([None, *Y[1:].tolist()], None, "array of numbers|whole numbers"),
    "names and None": ([None, *NAMES[Y][1:].tolist()], NAMES, "array of numbers"),
    "truth values of three classes": (Y > 0, None, "two classes, not 3"),
    "soft": (P, None, r"must be one-hot, and row 0 is not.*argmax"),
    "several classes": (np.tile([1, 1, 0], (N, 1)), None, "no or several classes"),
    "one-hot with an empty row": (np.eye(K)[Y] * (Y > 0)[:, None], None, "row 0 is not"),
    "one-hot of more classes": (np.eye(4)[Y], None, r"shape \(40, 4\)"),
    "too few": (Y[:-1], None, r"40 whole numbers.*\(39,\)"),
    "too many": (np.append(Y, 0), None, r"\(41,\)"),
    "a number": (1, None, r"shape \(\)"),
    "a row": (Y[None], None, r"\(1, 40\)"),
    "numbers that are names and columns": (
        np.clip(Y, 1, 2),
        ["1", "2", "3"],
        r"columns or names of the classes 1, 2, 3: .*astype\(str\)",
    ),
    "dates": (np.full(N, "2020-01-01", "M8[D]"), None, "numbers"),
}


@pytest.mark.parametrize("case", REFUSED_LABELS)
def test_labels_that_can_be_read_in_several_ways_are_refused(case):
    values, classes, content = REFUSED_LABELS[case]
    with pytest.raises(EnsembleError, match=content):
        PredictionTable.of(P, values, classes=classes)


def test_labels_of_minus_and_plus_one_say_how_to_convert_them():
    with pytest.raises(EnsembleError, match=r"give \(labels > 0\).astype\(int\)"):
        PredictionTable.of(BINARY, 2 * B - 1)


LOGIT_FORMS = {
    "logits": LOGITS,
    "lists": LOGITS.tolist(),
    "shifted": LOGITS + 100,
    "float32": LOGITS.astype(np.float32),
    "log-probabilities": np.log(P),
}


@pytest.mark.parametrize("case", LOGIT_FORMS)
def test_logits_become_their_softmax(case):
    table = PredictionTable.from_logits(LOGIT_FORMS[case], NAMES[Y], classes=NAMES, split="test")
    np.testing.assert_allclose(table.probabilities, P, atol=1e-6)
    np.testing.assert_array_equal(table.labels, Y)
    assert (table.split, table.classes.tolist()) == ("test", NAMES.tolist())


@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_a_column_of_log_odds_is_the_second_of_two_classes(shape):
    odds = np.log(BINARY / (1 - BINARY)).reshape(shape)
    table = PredictionTable.from_logits(odds, B)
    np.testing.assert_allclose(table.probabilities[:, 1], BINARY, atol=1e-6)


def test_large_logits_and_classes_that_are_ruled_out_stay_finite():
    table = PredictionTable.from_logits([[1e4, -1e4], [-np.inf, 0]], [0, 1])
    np.testing.assert_array_equal(table.probabilities, [[1, 0], [0, 1]])


BAD_LOGITS = {
    "probabilities": (P, "are probabilities: give them to PredictionTable.of"),
    "nan": (np.where(P > 0.9, np.nan, LOGITS), "logits must be finite"),
    "infinite": (np.where(P > 0.9, np.inf, LOGITS), "holds inf"),
    "all ruled out": (np.full((N, K), -np.inf), "row 0 holds -inf"),
    "text": (LOGITS.astype(str), "logits must be floating-point numbers"),
    "three dimensions": (LOGITS[None], r"not \(1, 40, 3\)"),
}


@pytest.mark.parametrize("case", BAD_LOGITS)
def test_logits_that_cannot_be_are_refused(case):
    values, content = BAD_LOGITS[case]
    with pytest.raises(EnsembleError, match=content):
        PredictionTable.from_logits(values, Y)


def test_a_repeated_sample_and_class_are_named_with_their_places():
    with pytest.raises(EnsembleError, match="more than once, the first is 'a' in 0 and 2"):
        PredictionTable.of(P[:3], Y[:3], ids=["a", "b", "a"])
    with pytest.raises(EnsembleError, match="'b' in 1 and 2"):
        PredictionTable.of(P, Y, classes=["a", "b", "b"])
