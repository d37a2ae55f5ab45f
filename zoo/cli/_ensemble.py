"""What is shown of an ensemble: how good, against what, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zoo.cli._common import table
from zoo.cli._metrics import entry
from zoo.cli._verdict import verdict

if TYPE_CHECKING:
    from zoo.runs import Run

_BLOCKS = (
    (("accuracy", "accuracy"), ("f1", "macro F1"), ("auc", "AUC")),
    (("log_loss", "log loss"), ("calibration_error", "calibration error")),
)
_MOST = 12  # members up to which every pair is shown


def ensemble_text(run: Run) -> str:
    """Method and reason, the table, the test against the best member, and what the members add."""
    found = run.record["combination"]
    parts = [
        _method(found, run),
        _scores(found, run),
        verdict(found["against_best"], f"against {found['best_member']}"),
        _tried(found),
        _contributions(found, run),
        _pairs(found),
    ]
    if found.get("calibration"):
        parts.append(_calibration(found["calibration"], run))
    return "\n\n".join(part for part in parts if part)


def _fitted_on(found: Mapping[str, Any], run: Run) -> str:
    split = found["fitted_on"]
    n = run.metrics[split]["accuracy"]["n"]
    return f"{n} {'out-of-fold' if split == 'oof' else 'validation'} images"


def _method(found: Mapping[str, Any], run: Run) -> str:
    reason = found["reason"]
    lines = [f"method  {found['method']}{'' if reason else ', as asked for'}"]
    if reason:
        lines.append(f"        {found['reason']} (on {_fitted_on(found, run)})")
    if found["method"] == "best":
        lines.append(f"        so this run is {found['members'][0]} alone")
    if found["dropped"]:
        lines.append(f"without {', '.join(found['dropped'])}: zero weight, not kept")
    return "\n".join(lines)


def _scores(found: Mapping[str, Any], run: Run) -> str:
    """A row each for members, plain mean and this run; metrics in two blocks to fit a terminal."""
    best = found["best_member"]
    rows = [
        (f"{row['name']}{' *' if row['name'] == best else ''}", row["test"], row["ms_per_image"])
        for row in found["rows"]
    ]
    times = [row["ms_per_image"] for row in found["rows"]]
    rows.append(("soft vote of all", found["soft"], None if None in times else sum(times)))
    rows.append((f"{found['method']} = {run.name}", run.metrics["test"], run.milliseconds))
    blocks = []
    for i, block in enumerate(_BLOCKS):
        last = i == len(_BLOCKS) - 1
        headers = ["test", *[label for _, label in block], *(["ms/image"] if last else [])]
        cells = [
            [name, *[entry(m.get(key)) for key, _ in block], *([_time(ms)] if last else [])]
            for name, m, ms in rows
        ]
        blocks.append(table(headers, cells, right={3} if last else None))
    n = run.metrics["test"]["accuracy"]["n"]
    notes = f"{n} test images; 95% intervals in brackets; * best member on validation"
    return "\n\n".join(blocks) + f"\n{notes}"


def _time(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.1f}"


def _tried(found: Mapping[str, Any]) -> str:
    title = "log loss of soups, on validation" if found["method"] == "soup" else "cross-validated"
    names = {"best": "best member alone"}
    losses = sorted(found["losses"].items(), key=lambda item: item[1])
    rows = [[names.get(name, name), f"{loss:.4f}"] for name, loss in losses]
    return table([title, "log loss"], rows, right={1})


def _contributions(found: Mapping[str, Any], run: Run) -> str:
    """What each member is worth: the log loss that the plain mean would lose without it."""
    diversity = found["diversity"]
    weights = dict(zip(found["members"], found.get("weights") or [], strict=False))
    rows = []
    for row, loss, gain in zip(
        found["rows"], diversity["losses"], diversity["contributions"], strict=True
    ):
        ms = row["ms_per_image"]
        weight = weights.get(row["name"], 0.0 if weights else None)
        rows.append(
            [
                row["name"],
                "-" if weight is None else f"{weight:.2f}",
                f"{loss:.4f}",
                f"{gain:+.4f}",
                _time(ms),
                f"{gain / ms:+.5f}" if ms else "-",
            ]
        )
    headers = ["member", "weight", "log loss alone", "worth", "ms/image", "worth/ms"]
    note = (
        f"worth: how much the log loss of the soft vote rises without the member; on "
        f"{_fitted_on(found, run)}"
    )
    return table(headers, rows, right={1, 2, 3, 4, 5}) + f"\n{note}"


def _pairs(found: Mapping[str, Any]) -> str:
    names = [row["name"] for row in found["rows"]]
    if len(names) > _MOST:
        return ""
    diversity = found["diversity"]
    differ, both = diversity["disagreement"], diversity["double_fault"]

    def cell(i: int, j: int) -> str:
        return f"{100 * (differ[i][j] if j > i else both[i][j]):.1f}%"

    numbers = [f"({i + 1})" for i in range(len(names))]
    rows = [
        [f"{number} {name}", *[cell(i, j) for j in range(len(names))]]
        for i, (number, name) in enumerate(zip(numbers, names, strict=True))
    ]
    shared = [diversity["overlap"][i][j] for i in range(len(names)) for j in range(i)]
    return (
        table(["pairs", *numbers], rows, right=set(range(1, len(names) + 1)))
        + "\nabove the diagonal: they disagree; on it: wrong; below it: both wrong"
        + f"\nerrors in common: {100 * sum(shared) / len(shared):.0f}% of those of a pair, on "
        + f"average; {100 * diversity['unsolved']:.1f}% of images are wrong by all"
    )


def _calibration(calibration: Mapping[str, Any], run: Run) -> str:
    rows = []
    for name, scores in calibration.items():
        raw, after = scores["raw"], scores["calibrated"]
        rows.append(
            [
                run.name if name == "combined" else name,
                *[f"{raw[key]:.4f} -> {after[key]:.4f}" for key in raw],
            ]
        )
    headers = ["temperatures", "log loss", "Brier", "calibration error"]
    return table(headers, rows) + "\nbefore -> after scaling, each image by a fit without its fold"
