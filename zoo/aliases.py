"""Names that other tools use, and what they are called here.

A name with one meaning is understood; one that is no setting of zoo, or that means something else
elsewhere, is answered with a sentence that says what to use instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zoo.errors import nearest

# of settings; compared without "-", "_" and capitals
_SETTINGS = {
    "backbone": "model modelname arch architecture network net basemodel encoder",
    "data": "dataset datadir datapath datafolder root imagefolder traindir",
    "size": "imgsz imgsize imagesize inputsize imsize resolution",
    "resize": "resizemode",
    "val_fraction": "valsplit validationsplit valsize valfrac valpct validationfraction",
    "test_fraction": "testsplit testsize testfrac testpct",
    "weights": "checkpoint initweights pretrainedweights",
    "epochs": "epoch numepochs nepochs numtrainepochs maxepochs nbepochs",
    "batch_size": "batch bs batchsz trainbatchsize",
    "learning_rate": "lr lr0 eta initlr baselr maxlr learningrateinit",
    "optimizer": "optim opt optimiser",
    "layer_decay": "llrd lrdecay layerwisedecay",
    "patience": "earlystopping earlystop earlystoppingpatience",
    "class_weights": "classweight",
    "folds": "kfold kfolds cv nfolds nsplits",
    "precision": "dtype",
    "seed": "randomstate randomseed",
    "l1": "l1reg l1penalty",
    "l2": "l2reg l2penalty weightdecay wd",
    "dropout": "drop droprate dropoutrate pdrop",
    "label_smoothing": "smoothing smooth labelsmooth",
    "augment": "augmentation augmentations aug dataaugmentation autoaugment aa",
    "flip": "fliplr hflip horizontalflip",
}
_SWITCHES = {"pretrained": ("weights", {True: "imagenet", False: "none"})}

_DEVICE = (
    "a GPU that TensorFlow finds is used: set the variable CUDA_VISIBLE_DEVICES to choose one, or "
    "to -1 for none"
)
_WORKERS = "images are decoded once, by all cores: leave it out"
_INSTEAD = {
    "device": _DEVICE,
    "gpu": _DEVICE,
    "gpus": _DEVICE,
    "cuda": _DEVICE,
    "cpu": _DEVICE,
    "accelerator": _DEVICE,
    "workers": _WORKERS,
    "numworkers": _WORKERS,
    "verbose": "progress is always shown: leave it out",
    "quiet": "progress is written to standard error: use 2>/dev/null",
    "csv": "zoo predict writes CSV with --format csv, other commands print JSON with --json",
    "amp": "use precision with the value mixed",
    "fp16": "use precision with the value mixed",
    "half": "use precision with the value mixed",
    "mixedprecision": "use precision with the value mixed",
    "freeze": "unfreeze says how many upper blocks are trained, none for the head alone",
    "frozen": "unfreeze says how many upper blocks are trained, none for the head alone",
    "featureextract": "unfreeze none trains the head alone",
    "mixup": "use mix with the value mixup",
    "cutmix": "use mix with the value cutmix",
    "scheduler": "the learning rate warms up and follows a cosine: leave it out",
    "lrscheduler": "the learning rate warms up and follows a cosine: leave it out",
    "warmup": "a tenth of all steps is warm-up: leave it out",
    "warmupepochs": "a tenth of all steps is warm-up: leave it out",
    "momentum": "optimizer sgd has Nesterov momentum 0.9: leave it out",
    "loss": "the loss is cross-entropy, with label_smoothing: leave it out",
    "numclasses": "the classes are those of the data: leave it out",
    "classes": "the classes are those of the data: leave it out",
    "nc": "the classes are those of the data: leave it out",
    "project": "runs_dir is the folder of the runs",
    "savedir": "runs_dir is the folder of the runs, name the name of this one",
    "outputdir": "runs_dir is the folder of the runs, name the name of this one",
    "output": "runs_dir is the folder of the runs, name the name of this one",
    "n": "name is the name of the run, epochs the number of epochs",
}

# of the letters that other tools have for options; None: no option of this kind
_LETTERS = {"-d": "data", "-e": "epochs", "-b": "batch_size", "-m": "backbone", "-a": "backbone"}

_METRICS = {
    "accuracy": "acc top1 valaccuracy valacc accuracyscore",
    "f1": "f1score f1macro macrof1",
    "auc": "rocauc auroc rocaucscore",
    "log_loss": "loss logloss nll crossentropy valloss neglogloss",
}

_COMMANDS = {
    "finetune": "train fit trainer learn",
    "tune": "search optimize optimise hpo hyperopt",
    "sweep": "grid gridsearch",
    "ensemble": "combine merge blend stack",
    "benchmark": "bench compare",
    "diagnose": "debug explain why",
    "report": "html page plot",
    "predict": "classify infer inference pred",
    "export": "convert save onnx tflite savedmodel",
    "verify": "certify check",
    "list": "models backbones ls",
    "weights": "download fetch",
    "runs": "history status ps experiments",
    "show": "info metrics evaluate eval test val validate score results",
}
_INSTEAD_OF_COMMANDS = {
    "rm": "remove the run's folder, which `zoo show RUN` prints",
    "remove": "remove the run's folder, which `zoo show RUN` prints",
    "delete": "remove the run's folder, which `zoo show RUN` prints",
    "resume": "`zoo finetune --resume` continues an interrupted run",
    "version": "`zoo --version` prints it",
}


def plain(name: str) -> str:
    """A name without capitals, ``-``, ``_`` and blanks."""
    return re.sub(r"[-_\s]", "", name).lower()


def _inverted(table: dict[str, str]) -> dict[str, str]:
    return {alias: name for name, aliases in table.items() for alias in aliases.split()}


_SETTING_OF, _METRIC_OF, _COMMAND_OF = map(_inverted, (_SETTINGS, _METRICS, _COMMANDS))


def setting_of(name: str, known: Iterable[str]) -> str | None:
    """The setting that is meant by a name; None if none is for certain.

    Args:
        name: as it was written.
        known: all settings.
    """
    wanted = plain(name)
    return next((k for k in known if plain(k) == wanted), None) or _SETTING_OF.get(wanted)


def switched(name: str, value: object) -> tuple[str, object] | None:
    """Setting and value that are meant by a switch of other tools, such as ``pretrained=True``."""
    setting, values = _SWITCHES.get(plain(name), ("", {}))
    return (setting, values[value]) if setting and isinstance(value, bool) else None


def is_switch(name: str) -> bool:
    """Whether :func:`switched` knows the name."""
    return plain(name) in _SWITCHES


def letter_of(option: str) -> str | None:
    """The setting that is meant by an option of one letter."""
    return _LETTERS.get(option)


def advice(name: str, known: Iterable[str]) -> str:
    """How a message on an unknown setting ends: what to use instead, or the nearest name."""
    return _INSTEAD.get(plain(name)) or nearest(name, known)


def metric_of(name: str) -> str:
    """A metric's name here; the name itself if it is not known."""
    wanted = plain(name)
    return next((m for m in _METRICS if plain(m) == wanted), _METRIC_OF.get(wanted, name))


def command_advice(name: str, known: Iterable[str]) -> str:
    """How a message on an unknown command ends."""
    wanted = plain(name)
    if wanted in _COMMAND_OF:
        return f"`zoo {_COMMAND_OF[wanted]}` does that"
    return _INSTEAD_OF_COMMANDS.get(wanted) or nearest(name, known)
