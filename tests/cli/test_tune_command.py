"""``zoo tune`` and ``zoo sweep``: bad input, and what they print without training."""

import json

import pytest
import yaml


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("tune", "no backbone is given"),
        ("tune cnm --data digits", "did you mean 'cnn'"),
        ("tune cnn --data digits --trials 0", "trials must be at least 1, not 0"),
        ("tune cnn --data digits --head-trials -1", "head_trials must be at least 0"),
        ("tune cnn --data digits --jobs 0", "jobs must be at least 1"),
        ("tune cnn --data digits --top 0", "top must be at least 1"),
        ("tune cnn --data digits --timeout soon", "timeout must be a time such as 1h"),
        ("tune cnn --data digits --metric accurracy", "did you mean 'accuracy'"),
        ("tune cnn --data digits --set lr=50", "learning_rate in --set must be 1e-08 to 10"),
        ("tune cnn --data digits --set lrr=1", "there is no setting 'lrr' in --set"),
        ("tune cnn --data digits --set folds=5", "leave --folds out"),
        ("tune cnn --data digits --space /no/such.yaml", "there is no space file"),
        ("tune cnn --data digits --storage somewhere", "must be journal:PATH or the URL"),
        ("tune cnn --data digits --name ../x", "cannot name a run"),
        ("tune cnn --data /no/such/folder", "there is no data at /no/such/folder"),
        ("tune efficientnet --data digits --set blocks=3", "has no setting 'blocks'"),
        ("sweep /no/such.yaml cnn --data digits", "there is no grid /no/such.yaml"),
        ("sweep", "missing argument"),
    ],
)
def test_bad_input_is_one_sentence_with_exit_code_2(zoo_command, tmp_path, args, words):
    code, out, err = zoo_command(*args.split())
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_the_space_is_printed_as_a_space_file(zoo_command):
    code, out, _ = zoo_command("tune", "cnn", "--data", "digits", "--print-space")
    assert code == 0
    space = yaml.safe_load(out)
    assert space["kernel_size"] == [3, 5, 7]
    assert space["learning_rate"]["log"]
    _, out, _ = zoo_command("tune", "cnn", "--data", "digits", "--print-space", "--set", "lr=1e-3")
    assert "learning_rate" not in yaml.safe_load(out)
    _, out, _ = zoo_command("tune", "cnn", "--data", "digits", "--print-space", "--json")
    assert json.loads(out) == space


def test_help_needs_nothing_heavy(zoo_command):
    import subprocess
    import sys

    script = (
        "import sys; sys.argv = ['zoo', sys.argv[1], '--help']\nfrom zoo.cli import main\n"
        "try: main()\nfinally: print([m for m in ('tensorflow', 'keras', 'optuna', 'sklearn', "
        "'scipy') if m in sys.modules])"
    )
    for name in ("tune", "sweep"):
        done = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True)
        assert done.stdout.strip().endswith("[]"), done.stdout
