"""What people have as probabilities and labels: taken exactly, or refused with what to call."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ensembles._errors import EnsembleError
from ensembles.probabilities import normalized

SUM_TOLERANCE = 1e-3  # of a row; float16 keeps within it
_NEGLIGIBLE = 1e-6  # below zero: rounding of arithmetic
_NEARLY_ONE = 0.01  # sums of bfloat16, or of probabilities that were edited by hand
_ROUNDED_AT_MOST = 0.1  # what rounding may take from a row's sum and still mean little
_RULE = "must be finite, not negative, and sum to 1 in a row"


def numbers(values: Any, what: str) -> np.ndarray:
    """An array of numbers in its own precision; truth values count as 0 and 1.

    Raises:
        EnsembleError: text, complex numbers, or rows of different length.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in "OV":  # lists of Decimal, and bfloat16
            array = array.astype(np.float64 if array.dtype.kind == "O" else np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        raise EnsembleError(f"{what} must be an array of numbers: {error}") from None
    if array.dtype.kind == "b":
        return array.astype(np.float32)
    if array.dtype.kind not in "fiu":
        raise EnsembleError(
            f"{what} must be floating-point numbers, not {array.dtype}: "
            f"convert them with .astype(float)"
        )
    return array


def two_columns(values: np.ndarray) -> np.ndarray:
    """Probabilities of the second of two classes, shape (n,) or (n, 1), as both columns (n, 2)."""
    second = values.reshape(-1, 1)
    return np.concatenate([1 - second, second], axis=1)


def probability_matrix(values: Any, n: int, classes: int | None) -> np.ndarray:
    """Probabilities as an array of shape (n, k).

    One column of values in 0..1 that are not all 1 is the second of two classes, as a sigmoid or
    ``predict_proba(x)[:, 1]`` gives it.

    Args:
        values: of shape (n, k), (n, 1) or (n,).
        n: number of labels.
        classes: number of class names, if they are given.

    Raises:
        EnsembleError: another shape; the sentence says what to do with it.
    """
    p = numbers(values, "probabilities")
    one_column = p.ndim == 1 or (p.ndim == 2 and p.shape[1] == 1)
    if one_column and classes != 1 and not (p.ndim == 2 and p.size and (p == 1).all()):
        if classes not in (None, 2):
            raise EnsembleError(
                f"probabilities have one column and there are {classes} classes: give one column "
                f"for each class, of shape (samples, classes)"
            )
        if len(p) != n:
            raise EnsembleError(
                f"probabilities must have shape (samples, classes), not {p.shape} with {n} labels"
            )
        if np.isfinite(p).all() and (p.min(initial=0) < 0 or p.max(initial=0) > 1):
            raise EnsembleError(_one_column_outside(p))
        return two_columns(p)
    if p.ndim != 2:
        more = ": make one table for each member" if p.ndim == 3 else ""
        raise EnsembleError(
            f"probabilities must have shape (samples, classes), not {p.shape}{more}"
        )
    if p.shape[0] != n and p.shape[1] == n and classes in (None, p.shape[0]):
        raise EnsembleError(
            f"probabilities must have shape (samples, classes), not {p.shape} with {n} labels: "
            f"give their transpose, probabilities.T"
        )
    return p


def _one_column_outside(p: np.ndarray) -> str:
    if (p == np.round(p)).all() and p.min() >= 0:
        return (
            f"probabilities in one column must be those of the second of two classes, not whole "
            f"numbers from {p.min():g} to {p.max():g}: of predicted classes give "
            f"np.eye(classes)[predicted], of shape (samples, classes)"
        )
    return (
        f"probabilities in one column must be in 0..1, not {p.min():.3g} to {p.max():.3g}: call "
        f"PredictionTable.from_logits with logits, and divide percentages by 100"
    )


def unit_rows(p: np.ndarray) -> np.ndarray:
    """Rows (n, k) that were rounded, made to sum to 1; all others as they are.

    Probabilities rounded to d digits are off by up to k / 2 units of the last digit, and those of
    bfloat16 by less than 1%. What arithmetic left below zero counts as zero.
    """
    if not p.size or not np.isfinite(p).all():
        return p
    if -_NEGLIGIBLE <= p.min() < 0:
        p = np.maximum(p, 0)
    off = float(abs(p.sum(axis=1, dtype=np.float64) - 1).max())
    if off <= SUM_TOLERANCE or p.min() < 0 or off > max(_NEARLY_ONE, _rounding(p)):
        return p
    return normalized(p.astype(np.float64)).astype(p.dtype if p.dtype.kind == "f" else np.float64)


def _rounding(p: np.ndarray) -> float:
    """By how much the sum of a row may be off, because its values are rounded to few digits."""
    for digits in (1, 2, 3):
        unit = 10.0**-digits
        if (abs(p / unit - np.round(p / unit)) < 0.02).all():
            return min(p.shape[1] * unit / 2, _ROUNDED_AT_MOST) + _NEGLIGIBLE
    return 0.0


def check_probabilities(
    p: np.ndarray, ids: Sequence[str] | np.ndarray | None = None, what: str = "probabilities"
) -> None:
    """Raise an EnsembleError unless rows (n, k) are probabilities.

    The sentence names the first wrong row, and what such values are taken for.
    """
    finite = np.isfinite(p).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise EnsembleError(
            f"{what} {_RULE}: {_sample(row, ids)} holds {p[row][~np.isfinite(p[row])][0]} "
            f"({int((~finite).sum())} of {len(p)} rows are so): predict these samples again, or "
            f"leave them out"
        )
    sums = p.sum(axis=1, dtype=np.float64)
    wrong = (abs(sums - 1) > SUM_TOLERANCE) | (p < 0).any(axis=1)
    if wrong.any():
        raise EnsembleError(f"{what} {_RULE}: {_explained(p, sums, wrong, ids)}")


def _explained(
    p: np.ndarray, sums: np.ndarray, wrong: np.ndarray, ids: Sequence[str] | np.ndarray | None
) -> str:
    """What values that are not probabilities are, and what to do with them."""
    row = int(np.argmax(wrong))
    received = (
        f"{_sample(row, ids)} sums to {sums[row]:.4g}, with values from {p[row].min():.3g} to "
        f"{p[row].max():.3g}"
    )
    if p.max() <= 0 and (abs(np.exp(p).sum(axis=1) - 1) < _NEARLY_ONE).all():
        return f"{received}; log-probabilities: call PredictionTable.from_logits, or take np.exp"
    if p.min() < -_NEGLIGIBLE:
        return f"{received}; for logits call PredictionTable.from_logits"
    if (abs(sums - 100) <= min(0.5 * p.shape[1], 5)).all():
        return f"{received}; divide percentages by 100"
    if not (sums > 0).all():
        row = int(np.argmin(sums))
        return f"{_sample(row, ids)} holds zeros only: predict it again, or leave it out"
    if wrong.sum() < len(p):
        return f"{received}; so are {int(wrong.sum())} of {len(p)} rows: look at them"
    if np.ptp(sums) < _NEARLY_ONE * sums.mean() or (p == np.round(p)).all():
        return f"{received}; divide weights or votes by their sum in each row"
    if p.max() > 1:
        return f"{received}; for logits call PredictionTable.from_logits"
    return (
        f"{received}; of independent outputs (sigmoid) give the logits to "
        f"PredictionTable.from_logits, or divide each row by its sum"
    )


def _sample(row: int, ids: Sequence[str] | np.ndarray | None) -> str:
    return f"row {row}" if ids is None or str(ids[row]) == str(row) else f"{ids[row]!s} (row {row})"


def check_logits(values: Any) -> np.ndarray:
    """Logits as float64 of shape (n, k); one column is the log-odds of the second of two classes.

    Raises:
        EnsembleError: not finite (minus infinity rules a class out), or probabilities.
    """
    z = numbers(values, "logits").astype(np.float64)
    if z.ndim == 1:
        z = z[:, None]
    if z.ndim != 2:
        raise EnsembleError(f"logits must have shape (samples, classes), not {z.shape}")
    impossible = (np.isnan(z) | (z == np.inf)).any(axis=1) | ~(z > -np.inf).any(axis=1)
    if z.shape[1] and impossible.any():
        row = int(np.argmax(impossible))
        raise EnsembleError(
            f"logits must be finite: row {row} holds {z[row][~np.isfinite(z[row])][0]} (row "
            f"{row} is one of {int(impossible.sum())}): predict these samples again, or leave "
            f"them out"
        )
    several = z.shape[1] > 1
    if z.size and several and z.min() >= 0 and (abs(z.sum(axis=1) - 1) <= SUM_TOLERANCE).all():
        raise EnsembleError(
            "logits that are not negative and sum to 1 in every row are probabilities: give them "
            "to PredictionTable.of"
        )
    return np.concatenate([np.zeros_like(z), z], axis=1) if z.shape[1] == 1 else z


def label_columns(
    values: Any, n: int, k: int, classes: np.ndarray | None = None, what: str = "labels"
) -> np.ndarray:
    """Labels as columns of the probabilities, int64 of shape (n,).

    Args:
        values: column numbers, also as floats; names of ``classes``; one-hot rows (n, k).
        n: number of samples.
        k: number of columns.
        classes: the columns' names, if they are given.

    Raises:
        EnsembleError: what cannot be read in one way only; the sentence says what to give.
    """
    y = np.asarray(values)
    if y.ndim == 2 and y.shape == (n, k) and k > 1:
        return _of_one_hot(y, what)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (n,):
        raise EnsembleError(
            f"{what} must be {n} whole numbers, one for each row of the probabilities, the columns "
            f"of the true classes, not {y.dtype} of shape {y.shape}"
        )
    if y.dtype.kind == "S":
        y = y.astype(np.str_)
    if y.dtype.kind == "O" and all(isinstance(value, str) for value in y):
        y = y.astype(np.str_)
    if y.dtype.kind == "U":
        return _of_names(y, classes, what)
    if y.dtype.kind == "b" and k != 2:
        raise EnsembleError(f"{what} of True and False need two classes, not {k}")
    y = _whole(y, what)
    return _of_numbers(y, k, classes, what)


def _of_one_hot(y: np.ndarray, what: str) -> np.ndarray:
    rows = numbers(y, what)
    strange = ((rows != 0) & (rows != 1)).any(axis=1) | (rows.sum(axis=1) != 1)
    if strange.any():
        raise EnsembleError(
            f"{what} of shape {y.shape} must be one-hot, and row {int(np.argmax(strange))} is not: "
            f"{int(strange.sum())} rows have no or several classes: give the column of one true "
            f"class for each sample, for instance labels.argmax(axis=1)"
        )
    return np.asarray(rows.argmax(axis=1)).astype(np.int64)


def _of_names(y: np.ndarray, classes: np.ndarray | None, what: str) -> np.ndarray:
    if classes is None:
        raise EnsembleError(
            f"{what} are text, the first is {str(y[0]) if len(y) else ''!r}: give whole numbers, "
            f"or also classes=, the names in the order of the columns"
        )
    place = {str(name): i for i, name in enumerate(classes)}
    for row, name in enumerate(y.tolist()):
        if name not in place:
            near = difflib.get_close_matches(name, place, 1)
            hint = f", did you mean {near[0]!r}" if near else ""
            raise EnsembleError(
                f"{what} must be among the {len(place)} classes: row {row} has {name!r}{hint}"
            )
    return np.array([place[name] for name in y.tolist()], np.int64)


def _whole(y: np.ndarray, what: str) -> np.ndarray:
    y = numbers(y, what) if y.dtype.kind not in "iu" else y
    strange = ~np.isfinite(y) | (y != np.floor(y))
    if strange.any():
        row = int(np.argmax(strange))
        raise EnsembleError(
            f"{what} must be whole numbers, the columns of the true classes: row {row} has {y[row]}"
        )
    return y.astype(np.int64)


def _of_numbers(y: np.ndarray, k: int, classes: np.ndarray | None, what: str) -> np.ndarray:
    if not len(y):
        return y
    low, high = int(y.min()), int(y.max())
    names = None if classes is None else [str(name) for name in classes]
    if names is not None and {str(value) for value in np.unique(y).tolist()} <= set(names):
        named = np.array([names.index(str(value)) for value in y.tolist()], np.int64)
        if not 0 <= low <= high < k:
            return named
        if not np.array_equal(named, y):
            raise EnsembleError(
                f"{what} can be columns or names of the classes {_some(names)}: give names as "
                f"text (labels.astype(str)), or columns and other names"
            )
    if 0 <= low <= high < k:
        return y
    if low >= 1 and high == k:
        hint = "columns are numbered from 0: give labels - 1"
    elif k == 2 and set(np.unique(y).tolist()) <= {-1, 1}:
        hint = "give (labels > 0).astype(int)"
    elif low >= 0 and k > 1 and len(np.unique(y)) <= k:
        hint = "give also classes=, the numbers in the order of the columns"
    else:
        hint = "leave out samples without a known class"
    row = int(np.argmax((y < 0) | (y >= k)))
    raise EnsembleError(
        f"{what} must be columns of the probabilities, in 0..{k - 1}, not {low}..{high} (the first "
        f"other one is {int(y[row])} in row {row}): {hint}"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
