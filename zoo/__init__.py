"""From a folder of images to a trained, calibrated and evaluated image classifier.

    run = zoo.finetune("efficientnet", data="photos/")
    run.metrics["test"]["accuracy"]
    zoo.ensemble(run, "another-run")
    run.predict("new.jpg").labels

``zoo.runs()`` and ``zoo.list()`` say what there is, ``zoo.load(name)`` opens a run.

Importing this package imports neither TensorFlow nor Keras; training and predicting do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.runs import Run, open_run
from zoo.runs import open_run as load

# hides the module of this name, which `from zoo.runs import ...` still finds
from zoo.listing import runs  # isort: skip

if TYPE_CHECKING:
    from zoo.automatic.job import auto
    from zoo.benchmarking.job import benchmark
    from zoo.combine.job import ensemble
    from zoo.diagnosis.job import Diagnosis, diagnose
    from zoo.estimator import ImageClassifier
    from zoo.evaluate.predict import ImagePrediction, Prediction, predict
    from zoo.exporting.job import export, verify
    from zoo.listing import backbones_list as list
    from zoo.reporting.job import report
    from zoo.serving.job import serve
    from zoo.train.distill import distill
    from zoo.train.job import finetune
    from zoo.tuning.job import sweep, tune

__version__ = "0.1.0"
__all__ = [
    "Diagnosis",
    "ImageClassifier",
    "ImagePrediction",
    "Prediction",
    "Run",
    "ZooError",
    "auto",
    "benchmark",
    "diagnose",
    "distill",
    "ensemble",
    "export",
    "finetune",
    "list",
    "load",
    "open_run",
    "predict",
    "report",
    "runs",
    "serve",
    "sweep",
    "tune",
    "verify",
]

# name to its module, and its name there where that is another one
_LAZY = {
    "Diagnosis": "zoo.diagnosis.job",
    "ImageClassifier": "zoo.estimator",
    "ImagePrediction": "zoo.evaluate.predict",
    "Prediction": "zoo.evaluate.predict",
    "auto": "zoo.automatic.job",
    "benchmark": "zoo.benchmarking.job",
    "diagnose": "zoo.diagnosis.job",
    "distill": "zoo.train.distill",
    "ensemble": "zoo.combine.job",
    "export": "zoo.exporting.job",
    "finetune": "zoo.train.job",
    "list": "zoo.listing",
    "predict": "zoo.evaluate.predict",
    "report": "zoo.reporting.job",
    "serve": "zoo.serving.job",
    "sweep": "zoo.tuning.job",
    "tune": "zoo.tuning.job",
    "verify": "zoo.exporting.job",
}
_ELSEWHERE = {"list": "backbones_list"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), _ELSEWHERE.get(name, name))


def __dir__() -> Any:
    return sorted([*globals(), *_LAZY])
