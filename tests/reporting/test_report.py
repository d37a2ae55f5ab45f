"""The page as a text: what it shows, that nothing of it is another's HTML, and bad input."""

import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from ensembles import EnsembleError, PredictionTable
from tests.helpers.checked_html import Page
from tests.helpers.named_digits import CLASSES
from zoo.cli import cli
from zoo.evaluate.tables import write_tables
from zoo.runs import Run, finished, write_json


def seen(path):
    text = path.read_text("utf-8")
    page = Page(text)
    # whatever the names are: one script, which is ours, nothing loaded, no handler
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert "nan" not in re.sub(r"<(script|style).*?</\1>|data:[^\"]*", "", text, flags=re.S).split()
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith(("#", "data:")), (tag, name, value)
    names = {value for _, name, value in page.attributes if name == "id"}
    inner = {value for _, name, value in page.attributes if name == "href" and value[0] == "#"}
    assert {value[1:] for value in inner} <= names
    return page


def test_the_page_of_a_run_shows_all_parts(page, trained):
    found = seen(page)
    for words in (
        "Findings",
        "cannot tell for this run",
        "Confusion matrix",
        "Reliability",
        "ROC",
        "Grad-CAM",
    ):
        assert words in found.words
    for name in CLASSES:
        assert found.words.count(name) > 5
    assert "map-dot miss" in page.read_text()
    metrics = trained[0].metrics
    assert f"{metrics['test']['accuracy']['value']:.3f}" in found.words
    assert f"validation {metrics['val']['accuracy']['value']:.3f}" in found.words
    shown = [v for t, n, v in found.attributes if (t, n) == ("svg", "aria-label") and "png" in v]
    wrong = (lambda t: (t.probabilities.argmax(axis=1) != t.labels).sum())(
        trained[0].predictions("val")
    )
    assert wrong > 0
    assert len(shown) >= min(wrong, 12)
    assert {name for _, name, _ in found.attributes} >= {"data-predicted", "data-class"}


def test_the_run_is_left_as_it_is(trained, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in trained[0].path.rglob("*")}
    zoo.report(trained[0], output=tmp_path, diagnose=False)
    assert {p: p.stat().st_mtime_ns for p in trained[0].path.rglob("*")} == before
    assert (tmp_path / "first.html").is_file()


def test_runs_are_compared(trained, tmp_path):
    path = zoo.report(list(trained), output=f"{tmp_path / 'new'}/")
    assert path == tmp_path / "new" / "first-second.html"
    found = seen(path)
    assert "Correct by one run only" in found.words
    tables = [run.predictions("val") for run in trained]
    right = [t.probabilities.argmax(axis=1) == t.labels for t in tables]
    assert f"{(right[0] & ~right[1]).sum()} image" in found.words
    assert re.search(r"better|worse|not distinguishable", found.words)


def test_an_ensemble_shows_its_members(trained):
    both = Run(trained[0].path.parent / "both")
    path = zoo.report(both)
    assert path == both.path.parent / "reports" / "both.html"
    found = seen(path)
    for words in ("Members", "first", "second", "plain mean of all members", "best of them"):
        assert words in found.words
    assert "both" in [run.name for run in finished(both.path.parent)]
    assert "reports" not in [run.name for run in finished(both.path.parent)]


def test_images_that_moved_leave_a_page_without_pictures(copied, tmp_path):
    record = copied.record
    record["data"]["root"] = str(tmp_path / "moved")
    record["settings"]["data"] = str(tmp_path / "moved" / "list.csv")
    write_json(copied.path / "run.json", record)
    found = seen(zoo.report(Run(copied.path), output=tmp_path))
    assert "No picture could be read" in found.words
    assert "No diagnosis was possible: the images of run 'copy' cannot be loaded" in found.words
    assert "image" not in found.tags


def test_a_backbone_that_is_gone_leaves_a_page_without_diagnosis(copied, tmp_path):
    record = copied.record
    record["settings"] |= {"backbone": f"hub:{tmp_path / 'gone'}", "weights": "imagenet"}
    write_json(copied.path / "run.json", record)
    words = seen(zoo.report(Run(copied.path), output=tmp_path)).words
    assert "No diagnosis was possible: " in words
    assert f"{tmp_path / 'gone'}" in words


def test_few_validation_images_are_told_to_be_few(copied, tmp_path):
    tables = {split: copied.predictions(split) for split in ("val", "test")}
    tables["val"] = tables["val"].rows(np.arange(4))
    write_tables(copied.path, tables)
    found = seen(zoo.report(Run(copied.path), output=tmp_path, diagnose=False))
    assert "With 4 images, most differences are chance." in found.words
    assert "4 images are too few" in found.words


def test_no_test_predictions_are_no_obstacle(copied, tmp_path):
    (copied.path / "predictions" / "test.npz").unlink()
    assert "Validation" in seen(zoo.report(copied, output=tmp_path, diagnose=False)).words


def test_bad_input_is_told_in_a_sentence(trained, copied, tmp_path):
    folder = trained[0].path.parent
    with pytest.raises(zoo.ZooError, match="did you mean 'first'"):
        zoo.report("frist", runs_dir=folder)
    with pytest.raises(zoo.ZooError, match="named twice"):
        zoo.report(["first", "first"], runs_dir=folder)
    with pytest.raises(zoo.ZooError, match="no run is given"):
        zoo.report([])
    (tmp_path / "file").write_text("")
    with pytest.raises(zoo.ZooError, match=r"no folder .*make it first"):
        zoo.report(trained[0], output=tmp_path / "file" / "a.html")
    shutil.rmtree(copied.path / "predictions")
    with pytest.raises(zoo.ZooError, match=r"no predictions .*`zoo finetune --config .*` makes"):
        zoo.report(copied)


def test_runs_of_other_data_are_not_compared(trained, copied):
    table = copied.predictions("val")
    other = PredictionTable.of(
        table.probabilities, table.labels, ids=[f"x{i}" for i in range(len(table))],
        classes=table.classes, fingerprint="other",
    )  # fmt: skip
    write_tables(copied.path, {"val": other})
    with pytest.raises(EnsembleError, match="first and copy do not go together"):
        zoo.report([trained[0], copied])


def test_many_images_and_classes_are_a_page_that_opens(copied, tmp_path):
    rng = np.random.default_rng(0)
    n, k = 20_000, 100
    p = rng.dirichlet(np.full(k, 0.02), n).astype(np.float32) + 1e-6
    labels = np.where(rng.random(n) < 0.8, p.argmax(axis=1), rng.integers(0, k, n))
    names = [f"class {i:03d}" for i in range(k)]
    table = PredictionTable.of(p / p.sum(axis=1, keepdims=True), labels, classes=names)
    record = copied.record | {"classes": names}
    record["data"]["counts"] = {split: [1] * k for split in ("train", "val", "test")}
    write_json(copied.path / "run.json", record)
    write_tables(copied.path, {"val": table})
    path = zoo.report(Run(copied.path), output=tmp_path, diagnose=False)
    assert path.stat().st_size < 3e6
    found = seen(path)
    shown = [value for _, name, value in found.attributes if name == "data-0"]
    assert (len(shown), len(set(shown))) == (240, k)
    assert "the 240 with the highest loss are shown, some of every class" in found.words


def test_commands_write_the_page(trained, monkeypatch):
    folder = trained[0].path.parent
    monkeypatch.setenv("ZOO_CACHE", str(folder.parent / "cache"))

    def call(*arguments):
        return CliRunner().invoke(cli, [*map(str, arguments), "--runs-dir", str(folder)])

    assert (
        str(folder / "reports" / "second.html") in call("report", "second", "--no-diagnose").stdout
    )
    place = folder / "reports" / "diagnosed.html"
    assert f"page  {place}" in call("diagnose", "second", "--output", place).stdout
    assert "No fault found" in seen(place).words
    assert json.loads(call("diagnose", "second", "--json").stdout)["page"] is None
    refused = call("diagnose", "second", "--no-report", "--output", "x")
    assert (refused.exit_code, "--no-report writes none" in refused.stderr) == (2, True)
    assert isinstance(call("report", "secnd").exception, zoo.ZooError)
