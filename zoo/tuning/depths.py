"""Which depths the heads of all trials see: what suits one set of features suits no other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from zoo.data.dataset import Dataset
from zoo.data.prepare import prepare
from zoo.errors import ZooError
from zoo.processes.child import child
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.train.choice import ALL, LAST
from zoo.train.plan import resolve
from zoo.tuning.space import Space


def one_set_of_features(
    given: Settings, dataset: Dataset, searched: Space, progress: Progress
) -> Settings:
    """The settings with depths and views decided; of an image one view, unless they say more.

    Cross-validation on training images chooses the depths, as in a training by itself.

    Args:
        given: settings that are the same in all trials.
        dataset: of the study.
        searched: the space file's settings; heads are sparse if it searches their L1 penalty, and
            then see the last layer.
        progress: shows the steps.

    Raises:
        ZooError: the features could not be computed.
    """
    if resolve(given).from_scratch:  # there are no features
        return given
    if given.views == "auto":
        given = given.changed(views="1")
    if given.depths != "auto":
        return given
    sparse = "head_l1" in searched or given.head_penalties[0] > 0
    return given.changed(depths=LAST if sparse else _chosen(given, dataset, progress))


def _chosen(given: Settings, dataset: Dataset, progress: Progress) -> str:
    """What cross-validation chooses, in a process of its own: this one imports no TensorFlow."""
    resolved = resolve(given)
    assert resolved.size is not None
    prepare(dataset.catalog, resolved.size, resolved.settings.resize, progress)
    job = {
        "kind": "depths",
        "settings": resolved.settings.as_dict(),
        "split": dataset.split_fingerprint(),
    }
    progress.say("choosing by cross-validation which depths of the network the heads see")
    with (
        tempfile.TemporaryDirectory() as folder,
        child(job, Path(folder) / "log.txt", "zoo.tuning.worker") as process,
    ):
        answer = next(process.answers(lambda: None), {})
        if "done" not in answer:
            why = answer.get("error") or process.why(process.end())
            raise ZooError(f"the depths could not be chosen: {why}")
    found = str(answer["done"]["depths"])
    words = "the features of all depths" if found == ALL else "those of the last layer alone"
    progress.say(f"the heads see {words}")
    return found
