"""Files of a run that were changed, lost or damaged are never believed in silence."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo.cli import cli
from zoo.digests import NAME, ChangedFileWarning, differences
from zoo.history import read_history
from zoo.records import RecordError
from zoo.runs import Run, open_run

SETTINGS = {"size": 8, "epochs": 2, "filters": 4, "dense_units": 4, "blocks": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs of small networks, and an ensemble of them."""
    from PIL import Image

    root = tmp_path_factory.mktemp("digests")
    rng = np.random.default_rng(0)
    for i in range(40):
        path = root / "data" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (8, 8, 3)) + 100 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    for seed, name in enumerate("mn"):
        zoo.finetune(
            "cnn", data=root / "data", name=name, runs_dir=root / "runs", seed=seed, **SETTINGS
        )
    zoo.ensemble(["m", "n"], name="both", runs_dir=root / "runs")
    return root / "runs"


@pytest.fixture
def runs(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "runs")


def test_a_run_as_it_was_written_has_no_differences_and_no_warnings(runs):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ChangedFileWarning)
        for name in ("m", "both"):
            run = open_run(name, runs)
            assert differences(run.path) == {}
            assert run.record
            assert run.metrics
            assert len(run.predictions("test"))
            assert run.epochs or name == "both"


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


READERS = {
    "metrics.json": lambda run: run.metrics,
    "run.json": lambda run: run.record,
    "history.csv": lambda run: run.epochs,
    "predictions/test.npz": lambda run: run.predictions("test"),
    "model.keras": lambda run: run.model,
}


@pytest.mark.parametrize("name", READERS)
def test_what_reads_a_changed_file_names_it_once(runs, name):
    path = runs / "m" / name
    content = path.read_bytes()
    path.write_bytes(content + b"\n" if path.suffix in {".json", ".csv"} else flip(content))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            READERS[name](Run(runs / "m"))
        except zoo.ZooError:
            pass  # a flipped bit may also be what the format notices
        except Exception as error:
            assert type(error).__name__ == "EnsembleError"
    named = [w for w in caught if issubclass(w.category, ChangedFileWarning)]
    assert [str(path) in str(w.message) for w in named] == [True]
    assert differences(runs / "m") == {name: "changed"}


def test_a_changed_digit_of_metrics_is_a_sentence_on_the_command_line(runs):
    path = runs / "m" / "metrics.json"
    path.write_text(path.read_text().replace("0.", "0.1", 1))
    result = CliRunner().invoke(cli, ["runs", "--verify", "--runs-dir", str(runs)])
    assert result.exit_code == 1
    assert "m: metrics.json was changed" in result.output
    assert "both: as it was written" in result.output


def test_a_member_that_an_ensemble_keeps_is_checked_by_the_ensembles_digests(runs):
    path = runs / "both" / "members" / "m" / "run.json"
    content = path.read_text()
    path.unlink()  # it may be a link of the run's own
    path.write_text(content.replace('"cnn"', '"cnn" '))
    with pytest.warns(ChangedFileWarning, match="members"):
        _ = Run(runs / "both" / "members" / "m").record
    assert differences(runs / "both") == {"members/m/run.json": "changed"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda run: (run / "metrics.json").unlink(), {"metrics.json": "missing"}),
        (lambda run: (run / NAME).unlink(), None),
        (lambda run: (run / NAME).write_text("{"), {NAME: "damaged"}),
        (lambda run: (run / NAME).write_text('{"sha256": [1]}'), {NAME: "damaged"}),
        (lambda run: (run / "notes.txt").write_text("mine"), {}),
    ],
    ids=["lost", "old run", "half digests", "wrong digests", "a file of the user"],
)
def test_differences(runs, change, expected):
    change(runs / "m")
    assert differences(runs / "m") == expected


def half(text: str) -> str:
    return text[: len(text) // 2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text.splitlines()[0] + "\n",
        half,
        lambda text: text.replace("fold,", "", 1),
        lambda text: text.replace("\n0,2,", "\n0,3,"),
        lambda text: text + "0,3,zero\n",
        lambda text: text.rsplit("\n", 2)[0] + "\n",
        lambda text: text.replace("\n0,1,", "\n0,one,"),
        lambda text: "\0" * len(text),
    ],
    ids=["empty", "header", "half", "column", "gap", "short row", "tail", "word", "zeros"],
)
@pytest.mark.filterwarnings("ignore::zoo.digests.ChangedFileWarning")
def test_a_damaged_history_is_refused_by_name(runs, damage):
    run = runs / "m" / "run.json"
    record = json.loads(run.read_text())
    record["kept"][0].update(stage="finetune", best_epoch=2)
    run.write_text(json.dumps(record))
    path = runs / "m" / "history.csv"
    path.write_text(damage(path.read_text()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChangedFileWarning)
        with pytest.raises(RecordError, match=r"history\.csv is damaged"):
            _ = Run(runs / "m").epochs
    for command in (["diagnose", "m", "--no-report"], ["report", "m"]):
        result = CliRunner().invoke(cli, [*command, "--runs-dir", str(runs)])
        assert isinstance(result.exception, RecordError), result.output
        assert "only the probe was trained" not in result.output


def test_a_history_is_read_by_fold(runs):
    found = read_history(runs / "m" / "history.csv")
    assert [row["epoch"] for row in found[0]] == [1, 2]
