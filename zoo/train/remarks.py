"""What a user should know of the data before training."""

from __future__ import annotations

from zoo.data.dataset import Dataset

_SHOWN = 10  # classes or files in a sentence


def data_remarks(dataset: Dataset) -> list[str]:
    """What a user should know of the data, a sentence each."""
    catalog, split = dataset.catalog, dataset.split
    parts = f"{len(split.train)} train, {len(split.val)} validation, {len(split.test)} test"
    remarks = [f"{catalog.name}: {len(catalog)} images of {len(catalog.classes)} classes: {parts}"]
    names = list(catalog.classes[:_SHOWN])
    more = [f"{len(catalog.classes) - _SHOWN} more"] if len(catalog.classes) > _SHOWN else []
    remarks.append(f"classes: {', '.join(names + more)}")
    remarks += catalog.notes
    if catalog.bad:
        remarks.append(f"files left out: {len(catalog.bad)}")
        shown = list(catalog.bad.items())[:_SHOWN]
        remarks += [f"  {sample}: {reason}" for sample, reason in shown]
        if len(catalog.bad) > len(shown):
            remarks.append(f"  and {len(catalog.bad) - len(shown)} more, all in run.json")
    if len(split.leaking):
        remarks.append(
            f"{len(split.leaking)} training or validation images are copies of held-out images "
            f"and are not trained on, the first is {catalog.ids[split.leaking[0]]}"
        )
    return remarks
