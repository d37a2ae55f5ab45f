"""``zoo benchmark``: bad input, and that its help needs nothing heavy."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--seeds 0", "seeds must be 1 to 1000, not 0"),
        ("--backbones efficentnet,cnn", "did you mean 'efficientnet'"),
        ("--backbones cnn,cnn", "backbone 'cnn' is named twice"),
        ("--set epohcs=3", "there is no setting 'epohcs' in --set: did you mean 'epochs'?"),
        ("--set epochs", "--set must be setting=value"),
        ("--set lr=50", "learning_rate in --set must be 1e-08 to 10, not 50"),
        ("--set cnn.blocks=20", "blocks in --set must be 1 to 8, not 20"),
        ("--set l2=1e-4", "l2 cannot be set: the table compares"),
        ("--set seed=1", "the table compares several seeds"),
        ("--set cnn.augment=strong", "cnn.augment cannot be set: the table compares"),
        ("--set unfreeze=none", "unfreeze cannot be none"),
        ("--set folds=3", "folds cannot be set"),
        ("--set width=0.5", "cnn has no setting 'width': settings for one backbone are given as"),
        ("--set resnt.size=32", "settings for 'resnt', which is not among the backbones"),
        ("--set cnn.weights=/no/such.h5", "there is no weights file /no/such.h5"),
        ("--methods sof", "there is no method 'sof' to combine runs: did you mean 'soft'?"),
        ("--jobs 0", "jobs must be at least 1, not 0"),
        ("--backend das", "there is no backend 'das': did you mean 'dask'?"),
        ("--backend dask", "needs the address of a scheduler"),
        ("--address tcp://127.0.0.1:1", "--address goes with --backend dask"),
        ("--name ../x", "cannot name a run"),
        ("--data /no/such/folder", "there is no data at /no/such/folder"),
    ],
)
def test_bad_input_is_one_sentence_with_exit_code_2(zoo_command, tmp_path, args, words):
    call = ["benchmark", "--data", "digits", "--backbones", "cnn", *args.split()]
    code, out, err = zoo_command(*call)
    assert code == 2
    assert out == ""
    assert words in err
    assert len([line for line in err.splitlines() if "error" in line]) == 1
    assert not (tmp_path / "runs").exists()


def test_help_needs_nothing_heavy():
    script = (
        "import sys; sys.argv = ['zoo', 'benchmark', '--help']\nfrom zoo.cli import main\n"
        "try: main()\nfinally: print([m for m in ('tensorflow', 'keras', 'joblib', 'sklearn', "
        "'scipy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]"), done.stdout


def test_backbones_are_completed_behind_the_comma():
    from click import Context

    from zoo.cli.benchmark_command import command

    (option,) = [p for p in command.params if p.name == "backbones"]
    found = option.type.shell_complete(Context(command), option, "cnn,efficientnet-lite")
    assert [i.value for i in found] == [f"cnn,efficientnet-lite{n}" for n in range(3)]
