"""The table of finished cells: figures, verdicts, costs, and how it is written."""

import csv
import errno
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

import zoo
from tests.helpers.ready_cells import SMALL, TINY
from zoo.benchmarking.result import TableRow, mean_interval
from zoo.benchmarking.tables import markdown, write
from zoo.benchmarking.terminal import terminal_table


def row(table, label):
    (found,) = [r for r in table.rows if r.label == label]
    return found


def normalized(stored):
    """Float64, rows summing to one more closely than float32 can."""
    p = stored.probabilities.astype(float)
    return p / p.sum(axis=1, keepdims=True)


def test_rows_are_backbones_by_variant_and_then_ensembles(table):
    assert [r.label for r in table.rows] == [
        "efficientnet-lite0: probe",
        "efficientnet-lite0: fine-tuned",
        "efficientnet-lite0: fine-tuned, augmentation",
        "efficientnet-lite0: fine-tuned, augmentation, L1/L2",
        "cnn: fine-tuned",
        "cnn: fine-tuned, augmentation",
        "cnn: fine-tuned, augmentation, L1/L2",
        "ensemble: soft",
        "ensemble: geometric",
        "ensemble: vote",
        "ensemble: auto",
    ]


def test_figures_are_means_over_seeds_recomputed_by_sklearn(table):
    found = row(table, "cnn: fine-tuned").figures
    stored = [run.predictions("test") for run in row(table, "cnn: fine-tuned").runs.values()]
    said = [t.probabilities.argmax(axis=1) for t in stored]
    for name, values in {
        "accuracy": [accuracy_score(t.labels, p) for t, p in zip(stored, said, strict=True)],
        "f1": [f1_score(t.labels, p, average="macro") for t, p in zip(stored, said, strict=True)],
        "log_loss": [log_loss(t.labels, normalized(t)) for t in stored],
    }.items():
        assert found[name].each == pytest.approx(values, abs=1e-6)
        assert found[name].value == pytest.approx(np.mean(values), abs=1e-6)
        # Student's t with one degree of freedom: 12.706
        half = 12.7062 * abs(values[0] - values[1]) / 2
        assert found[name].low == pytest.approx(max(0, np.mean(values) - half), abs=1e-4)
        assert found[name].over == "seeds"


def test_a_probe_is_trained_once_and_has_the_interval_over_images(table):
    probe = row(table, "efficientnet-lite0: probe")
    (run,) = probe.runs.values()
    stored, found = run.metrics["test"]["accuracy"], probe.figures["accuracy"]
    assert (found.low, found.high, found.over) == (stored["low"], stored["high"], "images")
    assert probe.verdict.seeds == 2  # against each training of the best single


def test_the_best_single_is_chosen_on_validation(table):
    losses = {
        r.label: np.mean([run.metrics["val"]["log_loss"]["value"] for run in r.runs.values()])
        for r in table.rows
        if r.kind == "single"
    }
    assert table.best.label == min(losses, key=losses.get)
    assert table.best.verdict is None
    assert row(table, "efficientnet-lite0: probe").verdict.by_log_loss == "worse"


def test_ensembles_are_of_the_whole_recipe_of_a_seed_and_cost_what_members_do(table):
    soft = row(table, "ensemble: soft")
    for seed, run in soft.runs.items():
        members = run.settings["members"]
        assert len(members) == 2
        assert all(f"-full-s{seed}-" in name for name in members)
    assert (soft.parameters, soft.macs, soft.size) == (10_000, 140_000, 2_000)
    # EfficientNet's features are counted as its probe computed them, the CNN's as each cell's
    assert soft.train_seconds == pytest.approx((7.0 + 1.0 + 7.0) + (0.1 + 1.0 + 7.0))
    assert soft.ms_per_image == pytest.approx((2 * 2.0 + 2 * 3.0) / 2)


def test_markdown_csv_and_json_tell_the_same_and_where_it_comes_from(table):
    text = (table.path / "table.md").read_text("utf-8")
    assert text == markdown(table)
    lines = list(csv.DictReader((table.path / "table.csv").open(encoding="utf-8")))
    content = json.loads((table.path / "table.json").read_text("utf-8"))
    assert content.pop("written_by") == "zoo"
    assert content == json.loads(json.dumps(table.as_record()))
    for line, kept, made in zip(lines, content["rows"], table.rows, strict=True):
        value = made.figures["accuracy"].value
        assert float(line["accuracy"]) == pytest.approx(value, abs=1e-5)
        assert kept["metrics"]["accuracy"]["value"] == value
        assert f"{value:.3f} [{made.figures['accuracy'].low:.3f}" in text
    split = content["data"]["split_fingerprint"]
    for whole in (text.replace("\n", " "), json.dumps(content), str(lines[0])):
        assert split[:12] in whole
        assert "a machine" in whole
        assert "zoo benchmark --data" in whole
    assert "tensorflow" in lines[0]["versions"]
    assert "tensorflow" in content["versions"]


def test_every_line_of_a_markdown_table_has_as_many_cells(table):
    blocks = re.findall(r"(?:^\|.*\n)+", markdown(table), re.M)
    assert len(blocks) == 2
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1
        assert len({len(line) for line in block.splitlines()}) == 1


def test_one_seed_has_intervals_over_images_and_says_so(filled, digits_folder, tmp_path):
    filled(["cnn"], 1, each={"cnn": SMALL})
    table = zoo.benchmark(
        ["cnn"], digits_folder, seeds=1, each={"cnn": SMALL}, runs_dir=tmp_path / "runs", **TINY
    )
    assert len(table.rows) == 3  # nothing to be combined with
    assert {f.over for r in table.rows for f in r.figures.values()} == {"images"}
    assert "† one training run: 95% interval over test images" in markdown(table)


def test_a_row_of_which_seeds_failed_is_not_taken_for_a_probe(table):
    def footnote(rows):
        text = " ".join(markdown(replace(table, rows=rows)).split())
        (reason,) = re.findall(r"† one training run ?(.*?):", text)
        return reason

    probe, whole = table.rows[0], table.rows[1:]
    failed = replace(whole[0], runs={0: whole[0].runs[0]}, problems={1: "out of memory"})
    assert footnote([probe, *whole]) == "(a probe has no randomness)"
    other = "of other rows, seeds are missing"
    assert footnote([failed, *whole[1:]]) == f"({other})"
    assert footnote([probe, failed, *whole[1:]]) == f"(a probe has no randomness; {other})"


def test_more_backbones_and_seeds_leave_what_is_there(filled, digits_folder, tmp_path):
    call = {"runs": tmp_path / "runs", "methods": ["soft"], **TINY}
    store, first = filled(["cnn"], 1, each={"cnn": SMALL})
    zoo.benchmark(["cnn"], digits_folder, seeds=1, each={"cnn": SMALL}, **call)
    times = {c.name: (store.cells / c.name / "run.json").stat().st_mtime_ns for c in first}
    filled(["cnn", "resnet20"], 2, each={"cnn": SMALL})
    both = zoo.benchmark(["cnn", "resnet20"], digits_folder, seeds=2, each={"cnn": SMALL}, **call)
    assert [r.label for r in both.rows][-1] == "ensemble: soft"
    assert times == {n: (store.cells / n / "run.json").stat().st_mtime_ns for n in times}
    assert {c.name for c in first} <= {r.name for x in both.rows for r in x.runs.values()}


def test_a_backbone_without_weights_is_a_row_that_says_so(
    filled, digits_folder, tmp_path, monkeypatch
):
    from backbones import BackboneError
    from zoo.benchmarking import job

    def no_network(resolved, progress):
        if resolved.spec.name == "resnet50":
            raise BackboneError(
                "the ImageNet weights of resnet50 could not be fetched (no network)"
            )

    monkeypatch.setattr(job, "fetch_weights", no_network)
    filled(["cnn"], 1, each={"cnn": SMALL})
    table = zoo.benchmark(
        ["resnet50", "cnn"],
        digits_folder,
        seeds=1,
        each={"cnn": SMALL, "resnet50": {"size": 32}},
        runs_dir=tmp_path / "runs",
        **TINY,
    )
    assert [bool(r.runs) for r in table.rows] == [False, True, True, True]
    text = markdown(table)
    assert re.search(r"^\| resnet50 +\| +no weights \|", text, re.M)
    assert "could not be fetched (no network)." in text.replace("\n", " ")
    lines = list(csv.DictReader((table.path / "table.csv").open(encoding="utf-8")))
    assert "could not be fetched" in lines[0]["problem"]


def test_the_interval_of_a_mean():
    mean, low, high = mean_interval([0.90, 0.92, 0.94])
    assert mean == pytest.approx(0.92)
    assert high - mean == pytest.approx(4.3027 * 0.02 / 3**0.5, abs=1e-5)
    assert mean - low == pytest.approx(high - mean)


@pytest.mark.parametrize("width", [60, 80, 100, 170])
def test_the_table_in_a_terminal_fits_it(table, width):
    text = terminal_table(table, width)
    assert max(map(len, text.splitlines())) <= width
    lines = text.splitlines()
    assert {"efficientnet-lite0", "cnn", "ensembles"} <= set(lines)
    best = table.best.figures["accuracy"]
    (line,) = [x for x in lines if " * " in x and "[" in x]
    assert f"{best.value:.3f} [{best.low:.3f}, {best.high:.3f}]" in line
    assert "--wide" in text or width > 160


def test_all_columns_are_shown_where_asked_for(table):
    wide = terminal_table(table, 60, wide=True)
    for title in ("accuracy", "log loss", "ms/image", "AUC", "calibration error"):
        assert title in wide
    assert "--wide" not in wide


def test_all_files_of_a_table_are_renewed_or_none(table, tmp_path, monkeypatch):
    broken = replace(table, path=tmp_path)
    write(broken)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert set(before) == {"table.md", "table.csv", "table.json"}
    changed = replace(broken, name="changed")
    plain, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(zoo.ZooError, match="the disk is full"):
        write(changed)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_equal_runs_of_several_seeds_have_the_interval_of_one(table):
    run = next(row for row in table.rows if row.variant == "probe").runs[0]
    once, thrice = (TableRow("a", "single", runs=dict.fromkeys(range(n), run)) for n in (1, 3))
    for name, found in thrice.figures.items():
        assert (found.low, found.high) == (once.figures[name].low, once.figures[name].high)
        assert (found.over, found.each) == ("images", once.figures[name].each * 3)
