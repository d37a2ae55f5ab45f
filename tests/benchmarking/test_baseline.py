"""Against a baseline: a fall and a missing figure fail, noise and other machines do not."""

import copy
import json
from dataclasses import replace
from importlib.machinery import ModuleSpec

import pytest

import zoo
from tests.helpers.ready_cells import SKILL, SMALL, TINY, fill
from zoo import origin
from zoo.benchmarking.baseline import check, read_baseline, record_of, write_baseline
from zoo.benchmarking.tables import markdown


@pytest.fixture
def baseline(table):
    return record_of([table])


def made(folder, data, skill, seeds=2):
    """The CNN's rows of classifiers with another skill."""
    fill(folder, data, ["cnn"], seeds, each={"cnn": SMALL}, skill=skill)
    return zoo.benchmark(["cnn"], data, seeds=seeds, each={"cnn": SMALL}, runs_dir=folder, **TINY)


def test_the_same_table_is_no_fall(table, baseline, tmp_path):
    write_baseline(tmp_path / "b.json", [table])
    assert read_baseline(tmp_path / "b.json") == baseline
    report = check([table], baseline)
    assert report.problems == []
    assert report.lines[0].count("+0.0000") == len(table.rows)
    assert "the same machine" in report.lines[0]


def test_a_fall_fails(digits_folder, tmp_path):
    before = made(tmp_path / "before", digits_folder, SKILL)
    after = made(tmp_path / "after", digits_folder, {**SKILL, "full": 1.0})
    report = check([after], record_of([before]))
    (problem,) = report.problems
    assert problem.startswith("digits: cnn: fine-tuned, augmentation, L1/L2: accuracy fell from")
    better = check([before], record_of([after]))
    assert better.problems == []


def test_what_seeds_differ_by_is_no_fall(digits_folder, tmp_path, monkeypatch):
    """The same skill with other draws of luck, as another machine gives."""
    from tests.helpers import ready_cells

    plain = ready_cells.predictions
    before = made(tmp_path / "before", digits_folder, SKILL)
    fell = 0
    for luck in range(5):

        def other(dataset, split, number, skill, luck=luck):
            return plain(dataset, split, 1000 * (luck + 1) + number, skill)

        monkeypatch.setattr(ready_cells, "predictions", other)
        fell += len(
            check([made(tmp_path / f"{luck}", digits_folder, SKILL)], record_of([before])).problems
        )
    assert fell == 0


def test_missing_figures_fail(table, baseline):
    assert check([], baseline).problems == ["digits: the table was not produced"]
    without = replace(table, rows=[r for r in table.rows if r.label != "cnn: fine-tuned"])
    assert "cnn: fine-tuned: the row was not produced" in check([without], baseline).problems[0]
    rows = [copy.copy(r) for r in table.rows]
    rows[0] = replace(rows[0], train_seconds=None)
    rows[4] = replace(rows[4], runs={0: rows[4].runs[0]}, problems={1: "out of memory"})
    problems = check([replace(table, rows=rows)], baseline).problems
    assert "train_seconds was not produced" in problems[0]
    assert "seed 1 was not produced (out of memory)" in problems[1]


def test_a_figure_that_is_no_number_fails(table, baseline):
    rows = [copy.copy(r) for r in table.rows]
    found = rows[0].figures
    rows[0] = replace(rows[0])
    rows[0].__dict__["figures"] = {**found, "auc": replace(found["auc"], value=float("nan"))}
    assert "AUC was not produced" in check([replace(table, rows=rows)], baseline).problems[0]


def test_times_of_another_machine_are_compared_in_proportion(table, baseline):
    other = copy.deepcopy(baseline)
    kept = other["tables"]["digits"]
    kept["machines"] = ["a slow machine"]
    for row in kept["rows"].values():
        row["train_seconds"] *= 10
    report = check([table], other)
    assert report.problems == []
    assert "shares of the table's" in report.lines[0]
    assert report.lines[0].count(" 1.00 |") == len(table.rows)
    kept["machines"] = table.origin["machines"]
    assert check([table], other).lines[0].count(" 0.10 |") == len(table.rows)


def test_versions_of_packages_make_no_other_machine(table, baseline):
    kept = baseline["tables"]["digits"]
    kept["versions"] = {**kept["versions"], "numpy": "1.0", "zoo": "0.0.1+abc"}
    report = check([table], baseline)
    assert report.problems == []
    now = table.origin["versions"]
    assert (
        f"the same machine, with other versions: numpy 1.0, now {now['numpy']}; zoo 0.0.1+abc, "
        f"now {now['zoo']}." in report.lines[0]
    )
    assert "other versions" not in check([table], record_of([table])).lines[0]


def test_figures_of_other_code_are_not_judged_by(digits_folder, tmp_path):
    fresh = made(tmp_path / "a", digits_folder, SKILL)
    assert fresh.origin["mixed"] == ""
    file = next(iter(fresh.rows[0].runs.values())).path / "run.json"
    record = json.loads(file.read_text())
    record["versions"] |= {"zoo": "0.0.1+abc", "numpy": "1.0"}
    file.write_text(json.dumps(record))
    old = made(tmp_path / "a", digits_folder, SKILL)
    better = made(tmp_path / "b", digits_folder, {**SKILL, "full": 5.0})
    (problem,) = check([old], record_of([better])).problems
    assert problem == (
        f"digits: 1 of 6 runs were made by another version: remove {old.path / 'cells'}"
    )
    with pytest.raises(zoo.ZooError, match="1 of 6 runs were made by another version"):
        write_baseline(tmp_path / "b.json", [old])
    assert not (tmp_path / "b.json").exists()
    now = fresh.origin["versions"]
    sentence = (
        f"These rows were made by different versions (numpy 1.0 and {now['numpy']}; zoo 0.0.1+abc "
        f"and {now['zoo']}): remove {old.path / 'cells'} to redo them all."
    )
    content = json.loads((old.path / "table.json").read_text())
    assert content["mixed"] == sentence
    assert content["made_by"][file.parent.name]["zoo"] == "0.0.1+abc"
    assert sentence in markdown(old).replace("\n", " ")
    del record["versions"]["zoo"]  # as older runs have it
    file.write_text(json.dumps(record))
    assert "zoo 0.1.0+" in made(tmp_path / "a", digits_folder, SKILL).origin["mixed"]


def test_the_version_changes_with_the_code(tmp_path, monkeypatch):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").write_text("")
    monkeypatch.setattr(origin, "_OURS", ("zoo",))
    spec = ModuleSpec("zoo", None, origin=str(tmp_path / "zoo" / "__init__.py"))
    monkeypatch.setattr(origin, "find_spec", lambda name: spec)
    said = [origin.code_version.__wrapped__()]
    (tmp_path / "zoo" / "new.py").write_text("x = 1")
    said.append(origin.code_version.__wrapped__())
    (tmp_path / "zoo" / "notes.md").write_text("no code")
    said.append(origin.code_version.__wrapped__())
    assert said[0] != said[1] == said[2]
    assert said[0].startswith(f"{zoo.__version__}+")


def test_other_images_cannot_be_compared(table, baseline):
    baseline["tables"]["digits"]["split_fingerprint"] = "other"
    assert "not those of the baseline" in check([table], baseline).problems[0]


def test_another_command_cannot_be_compared(table, baseline):
    baseline["tables"]["digits"]["command"] += " --set epochs=9"
    assert "was made by `zoo benchmark" in check([table], baseline).problems[0]


def test_an_incomplete_table_is_no_baseline(table, tmp_path):
    rows = [replace(table.rows[0], problems={1: "out of memory"}), *table.rows[1:]]
    with pytest.raises(zoo.ZooError, match="is not complete"):
        write_baseline(tmp_path / "b.json", [replace(table, rows=rows)])
    assert not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"tables": {"a": {"rows": {"b": {}}}}}'])
def test_what_is_no_baseline(tmp_path, content):
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(zoo.ZooError, match="cannot be read"):
        read_baseline(tmp_path / "b.json")
    with pytest.raises(zoo.ZooError, match="write one with --update"):
        read_baseline(tmp_path / "no.json")
