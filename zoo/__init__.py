"""From a folder of images to a trained, calibrated and evaluated image classifier.

    run = zoo.finetune("efficientnet", data="photos/")
    run.metrics["test"]["accuracy"]
    zoo.ensemble([run, "another-run"])
    zoo.predict(run, ["new.jpg"])

Importing this package imports neither TensorFlow nor Keras; training and predicting do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.runs import Run, open_run

if TYPE_CHECKING:
    from zoo.benchmarking.job import benchmark
    from zoo.combine.job import ensemble
    from zoo.diagnosis.job import Diagnosis, diagnose
    from zoo.evaluate.predict import Prediction, predict
    from zoo.reporting.job import report
    from zoo.train.job import finetune
    from zoo.tuning.job import sweep, tune

__version__ = "0.1.0"
__all__ = [
    "Diagnosis",
    "Prediction",
    "Run",
    "ZooError",
    "benchmark",
    "diagnose",
    "ensemble",
    "finetune",
    "open_run",
    "predict",
    "report",
    "sweep",
    "tune",
]

_LAZY = {
    "Diagnosis": "zoo.diagnosis.job",
    "benchmark": "zoo.benchmarking.job",
    "diagnose": "zoo.diagnosis.job",
    "ensemble": "zoo.combine.job",
    "finetune": "zoo.train.job",
    "predict": "zoo.evaluate.predict",
    "report": "zoo.reporting.job",
    "sweep": "zoo.tuning.job",
    "tune": "zoo.tuning.job",
    "Prediction": "zoo.evaluate.predict",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
