"""Which values become black and white, decided once for all images of a data set."""

from __future__ import annotations

import numpy as np

from zoo.data.inspect import Inspection
from zoo.data.values import (
    FILE_BY_FILE,
    Scale,
    ValueRange,
    Values,
    fitted_range,
    usual_range,
)
from zoo.errors import ZooError
from zoo.runs import Run


def range_of(
    seen: Inspection, given: tuple[float, float] | None
) -> tuple[ValueRange | None, list[str]]:
    """The range of values of a data set, and what a user should know of it.

    Args:
        seen: the inspection of the usable images.
        given: the setting ``value_range``.

    Returns:
        None if no image has more than 8 bits a channel and no range is given; and sentences.

    Raises:
        ZooError: the images hold floats and whole numbers that no range suits both.
    """
    deep = seen.deep()
    if not deep:
        note = "no image has more than 8 bits a channel, so that --value-range changes nothing"
        return (None, []) if given is None else (ValueRange(*given), [note])
    if given is not None:
        chosen, why = ValueRange(*given), "given"
    else:
        chosen, why = _decided(deep)
    all_of_them = len(deep) == len(seen.digests)
    which = f"all {len(deep)} images have" if all_of_them else f"{len(deep)} images have"
    rest = "" if all_of_them else "; images of 8 bits stay as they are"
    change = "" if why == "given" else "; --value-range LOW HIGH sets another"
    return chosen, [
        f"{which} more than 8 bits a channel: their values {chosen} ({why}) become 0 to 255"
        f"{rest}{change}"
    ]


def scale_of(run: Run) -> Scale:
    """The scale that a run was trained in, for whatever else it is shown.

    Raises:
        ZooError: its record is damaged.
    """
    data = run.record["data"]
    if "value_range" not in data:
        return FILE_BY_FILE  # it was made by an earlier version
    ends = data["value_range"]
    if ends is None:
        return None
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ZooError(
            f"{run.path / 'run.json'} is damaged: data.value_range is {ends!r:.40}, not two rising "
            f"numbers; train the run again"
        )
    return ValueRange(*ends)


def _decided(deep: list[Values]) -> tuple[ValueRange, str]:
    kinds = {whole: _together([v for v in deep if v.whole == whole]) for whole in (True, False)}
    ranges = {whole: usual_range(v) for whole, v in kinds.items() if v is not None}
    if len(set(ranges.values())) > 1:
        raise ZooError(
            f"some images hold whole numbers ({ranges[True]}) and some floats ({ranges[False]}) "
            f"which no range suits both: convert some of them, or give --value-range LOW HIGH"
        )
    values = _together(deep)
    assert values is not None
    chosen = fitted_range(values)
    if chosen == values.stated:
        return chosen, "stated in the files"
    if chosen == usual_range(values) and chosen.low in (0.0, -1.0):
        return chosen, f"used are {ValueRange(values.low, values.high)}"
    return chosen, "the range in use"


def _together(deep: list[Values]) -> Values | None:
    """What lies in all of them; a range that not all state is none."""
    if not deep:
        return None
    stated = {values.stated for values in deep}
    return Values(
        float(np.min([v.low for v in deep])),
        float(np.max([v.high for v in deep])),
        all(v.whole for v in deep),
        stated.pop() if len(stated) == 1 else None,
    )
