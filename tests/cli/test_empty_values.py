"""Empty values and impossible names are refused, under --dry-run too, before anything is made."""

import pytest

FINETUNE = ["finetune", "cnn", "--data", "digits"]
CASES = [
    (["finetune", "cnn", "--data"], "--data"),
    ([*FINETUNE, "--name"], "--name"),
    ([*FINETUNE, "--runs-dir"], "--runs-dir"),
    ([*FINETUNE, "--runs"], "--runs-dir"),
    ([*FINETUNE, "--config"], "--config"),
    ([*FINETUNE, "--weights"], "--weights"),
    (["finetune"], "BACKBONE"),
    (["tune", "cnn", "--data"], "--data"),
    (["tune", "cnn", "--data", "digits", "--storage"], "--storage"),
    (["tune", "cnn", "--data", "digits", "--set"], "--set"),
    (["sweep"], "GRID"),
    (["ensemble", "--members"], "--members"),
    (["benchmark", "--backbones"], "--backbones"),
    (["report", "p", "--output"], "--output"),
    (["report"], "RUN"),
    (["diagnose", "p", "--output"], "--output"),
    (["diagnose", "p", "--compare-backbones"], "--compare-backbones"),
    (["predict", "p"], "IMAGES"),
    (["predict"], "RUN"),
    (["show"], "RUN"),
    (["runs", "--runs-dir"], "--runs-dir"),
]


@pytest.mark.parametrize("value", ["", "  ", "\t"])
@pytest.mark.parametrize(("args", "name"), CASES, ids=lambda x: x if isinstance(x, str) else None)
def test_an_empty_value_is_refused(args, name, value, zoo_command, tmp_path):
    last = ["x.png"] if args == ["predict"] else []
    code, out, err = zoo_command(*args, value, *last)
    assert code == 2
    assert out == ""
    assert "it is empty: give a value, or leave it out" in err
    assert name.lower() in err.lower()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["bad/name", "..", ".hidden", "a b", "-", "x" * 101, "ä"])
def test_a_dry_run_refuses_a_name_that_no_run_can_have(name, zoo_command, tmp_path):
    code, out, err = zoo_command(*FINETUNE, "--dry-run", f"--name={name}")
    assert (code, out) == (2, "")
    assert "cannot name a run" in err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_refuses_a_name_that_is_taken(zoo_command, tmp_path):
    (tmp_path / "runs" / "taken").mkdir(parents=True)
    code, _, err = zoo_command(*FINETUNE, "--dry-run", "--name", "taken")
    assert code == 2
    assert "there is a run 'taken'" in err
