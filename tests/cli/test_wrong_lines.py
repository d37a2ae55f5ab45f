"""Wrong command lines: each is answered with one sentence that says what was meant, or is right.

They are run in this process. None of them may import TensorFlow.
"""

import json
import os
import shlex
import subprocess
import sys

import pytest
from PIL import Image

from zoo import cli
from zoo.aliases import metric_of, setting_of
from zoo.settings import describe

# line, what the sentence says
OPTIONS = [
    ("finetune cnn --lr 99", "learning_rate must be 1e-08 to 10, not 99"),
    ("finetune cnn --lr=99", "learning_rate must be 1e-08 to 10, not 99"),
    ("finetune cnn --learning_rate 99", "learning_rate must be 1e-08 to 10, not 99"),
    ("finetune cnn --LR 99", "learning_rate must be 1e-08 to 10, not 99"),
    ("finetune cnn --lr0 99", "learning_rate must be"),
    ("finetune cnn --batch 0", "batch_size must be 1 to 4096, not 0"),
    ("finetune cnn --bs 0", "batch_size must be 1 to 4096, not 0"),
    ("finetune cnn -b 0", "batch_size must be 1 to 4096, not 0"),
    ("finetune cnn --imgsz 4", "size must be 8 to 1024, not 4"),
    ("finetune cnn --img-size 4", "size must be 8 to 1024, not 4"),
    ("finetune cnn --image_size 4", "size must be 8 to 1024, not 4"),
    ("finetune cnn --num-epochs 0", "epochs must be 1 to 1000, not 0"),
    ("finetune cnn --n_epochs 0", "epochs must be 1 to 1000, not 0"),
    ("finetune cnn -e 0", "epochs must be 1 to 1000, not 0"),
    ("finetune cnn --optim adamm", "did you mean 'adam'?"),
    ("finetune cnn --weight-decay 11", "l2 must be 0 to 10, not 11"),
    ("finetune cnn --wd 11", "l2 must be 0 to 10, not 11"),
    ("finetune cnn --drop-rate 2", "dropout must be 0 to 0.95, not 2"),
    ("finetune cnn --smoothing 2", "label_smoothing must be 0 to 0.9, not 2"),
    ("finetune cnn --augmentation heavy", "augment must be one of none, light, standard, strong"),
    ("finetune cnn --kfold 1", "folds must be 0 (off) or at least 2, not 1"),
    ("finetune cnn --early-stopping x", "patience must be a whole number, not 'x'"),
    ("finetune cnn --random-state -1", "seed must be at least 0, not -1"),
    ("finetune cnn --test-size 0.9", "test_fraction must be 0.01 to 0.5, not 0.9"),
    ("finetune cnn --val-split 0.9", "val_fraction must be 0.01 to 0.5, not 0.9"),
    ("finetune --model nothing", "there is no backbone named 'nothing'"),
    ("finetune --backbone nothing", "there is no backbone named 'nothing'"),
    ("finetune --arch=nothing", "there is no backbone named 'nothing'"),
    ("finetune -m nothing", "there is no backbone named 'nothing'"),
    ("finetune cnn --dataset digit", "did you mean 'digits'?"),
    ("finetune cnn --data-dir digit", "did you mean 'digits'?"),
    ("finetune cnn -d digit", "did you mean 'digits'?"),
    ("finetune cnn --pretrained --data digits", "cnn has no ImageNet weights"),
    ("finetune cnn --device gpu", "CUDA_VISIBLE_DEVICES"),
    ("finetune cnn --device=cuda:0", "CUDA_VISIBLE_DEVICES"),
    ("finetune cnn --gpu", "CUDA_VISIBLE_DEVICES"),
    ("finetune cnn --gpus 2", "CUDA_VISIBLE_DEVICES"),
    ("finetune cnn -n 3", "name is the name of the run, epochs the number of epochs"),
    ("finetune cnn --verbose", "progress is always shown"),
    ("finetune cnn --workers 8", "images are decoded once"),
    ("finetune cnn --num_workers 8", "images are decoded once"),
    ("finetune cnn --mixup", "use mix with the value mixup"),
    ("finetune cnn --amp", "precision with the value mixed"),
    ("finetune cnn --freeze 3", "unfreeze says how many upper blocks are trained"),
    ("finetune cnn --scheduler cosine", "follows a cosine"),
    ("finetune cnn --momentum 0.9", "Nesterov momentum 0.9"),
    ("finetune cnn --num-classes 10", "the classes are those of the data"),
    ("finetune cnn --project x", "runs_dir is the folder of the runs"),
    ("predict run x.png --csv", "--format csv"),
    ("finetune cnn --augmnt light", "did you mean '--augment'?"),
    ("finetune cnn --epocs 3", "did you mean '--epochs'?"),
    ("finetune cnn --zzzz", "`zoo finetune --help` lists all"),
    ("runs --zzzz", "`zoo runs --help` lists all"),
    ("show x --zzzz=3", "`zoo show --help` lists all"),
    ("tune cnn --lr 99", "learning_rate in --set must be 1e-08 to 10, not 99"),
    ("tune cnn --epochs 0", "epochs in --set must be 1 to 1000, not 0"),
    ("tune cnn --set lr=99", "learning_rate in --set must be"),
    ("tune cnn --set batch=0", "batch_size in --set must be"),
    ("tune cnn --set lerning_rate=1", "did you mean 'learning_rate'?"),
    ("tune cnn --set lr", "--set must be setting=value"),
    ("tune cnn --data digits --metric accc", "did you mean 'accuracy'?"),
    ("tune cnn --data digits --metric mse", "there is no metric 'mse'"),
    ("sweep no.yaml --lr 99", "learning_rate in --set must be"),
    ("benchmark --epochs 0", "epochs in --set must be 1 to 1000, not 0"),
    ("benchmark --backbone nothing --data digits", "there is no backbone named 'nothing'"),
    ("finetune cnn --epochs ten", "epochs must be a whole number, not 'ten'"),
    ("finetune cnn --epochs 2.5", "epochs must be a whole number, not '2.5'"),
    ("finetune cnn --lr fast", "learning_rate must be a number, not 'fast'"),
    ("finetune cnn --epochs", "requires an argument"),
    ("finetune cnn --model", "--model needs a value"),
    ("finetune cnn --resize square", "resize must be one of stretch, crop, pad"),
]
BACKBONES = [
    ("finetune resnet18", "of resnet there is resnet50, resnet101"),
    ("finetune ResNet-34", "of resnet there is resnet50, resnet101"),
    ("finetune efficientnet-b99", "did you mean 'efficientnet-b"),
    ("finetune vgg16", "there is no backbone named 'vgg16'"),
    ("finetune mobilnet", "did you mean 'mobilenet'?"),
    ("finetune hub:nosuch", "there is no SavedModel at nosuch"),
    ("finetune hub:photos --data digits", "holds no saved_model.pb"),
    ("finetune cnn --weights gone.h5 --data digits", "there is no weights file gone.h5"),
    ("finetune mobilenet --weights gone.h5 --data digits", "there is no weights file gone.h5"),
]
DATA = [
    ("finetune cnn --data photos/cat", "did you mean the folder above, {cwd}/photos?"),
    ("finetune cnn --data photoz", "did you mean 'photos'?"),
    ("finetune cnn --data ./fotos", "did you mean 'photos'?"),
    ("finetune cnn --data {cwd}/photo", "did you mean '{cwd}/photos'?"),
    ("finetune cnn --data https://a.example/b.zip", "a URL is not read: download"),
    ("finetune cnn --data s3://bucket/b", "a URL is not read: download"),
    ("finetune cnn --data photos/cat/0.png", "is a file: expected a folder"),
    (
        "finetune cnn --data listed",
        "to read the table in it, give --data '{cwd}/listed/photos.csv'",
    ),
    ("finetune cnn --data empty", "expected a folder for each class"),
    ("finetune cnn photos", "give it as --data photos"),
    ("finetune cnn photos/", "give it as --data photos/"),
    ("finetune cnn digits", "give it as --data digits"),
    ("finetune cnn 3 4", "has no place for '3 4': it takes [BACKBONE]"),
    ("runs a", "zoo runs has no place for 'a': it takes options alone"),
    ("show a b", "zoo show has no place for 'b'"),
    ("finetune --config ensemble.json", "is of an ensemble, which is not trained"),
    ("finetune --config gone.yaml", "there is no config file gone.yaml"),
    ("finetune --config wrong.yaml", "'epohcs' in wrong.yaml: did you mean 'epochs'?"),
    ("finetune --config twice.yaml", "lr and learning_rate are the same setting in twice.yaml"),
    ("predict gone photos/cat/0.png", "there is no run 'gone'"),
    ("show gone", "there is no run 'gone'"),
    ("ensemble", "no runs are named: zoo ensemble RUN RUN"),
    ("ensemble a b", "there is no run 'a'"),
    ("ensemble a,b", "there is no run 'a'"),
    ("ensemble --members a b", "there is no run 'b'"),
    ("predict", "missing argument 'RUN': see `zoo predict --help`"),
]
COMMANDS = [
    ("train", "`zoo finetune` does that"),
    ("Train cnn", "`zoo finetune` does that"),
    ("evaluate run", "`zoo show` does that"),
    ("test run", "`zoo show` does that"),
    ("val", "`zoo show` does that"),
    ("onnx run", "zoo export"),
    ("rm run", "remove the run's folder"),
    ("delete run", "remove the run's folder"),
    ("classify", "`zoo predict` does that"),
    ("compare", "`zoo benchmark` does that"),
    ("download", "`zoo weights` does that"),
    ("models", "`zoo list` does that"),
    ("resume", "zoo finetune --resume"),
    ("finetun", "did you mean 'finetune'?"),
    ("--verson", "no such option"),
]
LINES = [*OPTIONS, *BACKBONES, *DATA, *COMMANDS]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(folder / "photos" / name / "0.png")
    (folder / "empty").mkdir()
    (folder / "listed").mkdir()
    (folder / "listed" / "photos.csv").write_text("path,label\n0.png,cat\n1.png,dog\n")
    for i, level in enumerate((0, 255)):
        Image.new("RGB", (9, 9), (level,) * 3).save(folder / "listed" / f"{i}.png")
    (folder / "runs").mkdir()
    record = {"kind": "ensemble", "settings": {"method": "soft"}, "combination": {"members": ["a"]}}
    (folder / "ensemble.json").write_text(json.dumps(record))
    (folder / "wrong.yaml").write_text("epohcs: 3\n")
    (folder / "twice.yaml").write_text("lr: 0.1\nlearning_rate: 0.2\n")
    return folder


@pytest.fixture
def zoo(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("ZOO_RUNS", "runs")
    monkeypatch.setenv("ZOO_CACHE", str(place / "cache"))

    def call(line):
        monkeypatch.setattr(sys, "argv", ["zoo", *shlex.split(line)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return call


def test_there_are_a_hundred():
    assert len(dict(LINES)) == len(LINES) >= 100


@pytest.mark.parametrize(("line", "words"), LINES)
def test_a_wrong_line_is_answered_with_what_was_meant(zoo, place, line, words):
    before = sorted(p for p in place.rglob("*") if "cache" not in p.parts)
    code, out, err = zoo(line.format(cwd=place))
    last = err.splitlines()[-1]
    assert code == 2
    assert out == ""
    assert last.startswith("error: ")
    assert words.format(cwd=place) in last
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert sorted(p for p in place.rglob("*") if "cache" not in p.parts) == before


def test_none_of_them_imports_tensorflow(place):
    """In one process of their own: the fixture's would have it from other tests."""
    program = (
        "import json, shlex, sys\nfrom zoo import cli\n"
        "for line in json.load(sys.stdin):\n"
        "    sys.argv = ['zoo', *shlex.split(line)]\n"
        "    try:\n        cli.main()\n    except SystemExit:\n        pass\n"
        "    assert not {'tensorflow', 'keras'} & set(sys.modules), line\n"
    )
    lines = json.dumps([line.format(cwd=place) for line, _ in LINES])
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=lines,
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "ZOO_RUNS": "runs", "ZOO_CACHE": str(place / "cache")},
    )
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize(
    "line",
    ["runs --json --zzzz", "show gone --json", "finetune cnn --lr 99 --json", "list --json --x"],
)
def test_with_json_the_error_is_json_as_well(zoo, line):
    code, out, err = zoo(line)
    assert code == 2
    assert err == f"error: {json.loads(out)['error']}\n"


RIGHT = [
    ("finetune CNN --data digits --dry-run --lr 0.01", "learning_rate = 0.01"),
    ("finetune --model cnn --dataset digits --dry-run --batch=8", "batch_size = 8"),
    ("finetune cnn -d digits --dry-run --optimizer Adam", "optimizer = adam"),
    ("finetune Efficient_Net --data digits --dry-run --no-pretrained", "weights none"),
    ("finetune cnn --data set --dry-run --imgsz 16", ": 20 images of 2 classes"),
    ("help list", "List the backbones"),
    ("help", "Commands:"),
    ("LIST --family cnn", "from scratch"),
    ("finetune --help", "--help-all"),
    ("finetune --help-all", "--label-smoothing X"),
]


@pytest.mark.parametrize(("line", "words"), RIGHT)
def test_what_other_tools_say_works(zoo, place, line, words):
    images = place / "set" / "images"
    images.mkdir(parents=True, exist_ok=True)
    rows = ["path,label"]
    for number in range(20):
        Image.new("RGB", (9, 9), (12 * number, 9, 9)).save(images / f"{number}.png")
        rows.append(f"images/{number}.png,{'ab'[number % 2]}")
    (place / "set" / "manifest.csv").write_text("\n".join(rows))
    code, out, err = zoo(line)
    assert code == 0, err
    assert words in out


def test_help_shows_literals_as_they_are_typed_and_no_huge_bounds(zoo):
    _, out, _ = zoo("finetune --help-all")
    for words in ("cnn: side of", "hub: pixel values", "none|light|standard|strong"):
        assert words in " ".join(out.split())
    for group in ("Data:", "Backbone:", "Training:", "Regularization:", "Augmentation:", "Output:"):
        assert f"\n{group}\n" in out
    assert "e+09" not in out
    assert "Imagenet" not in out
    named = {name.replace("_", "-") for name in describe()}
    assert all(f"--{name}" in out for name in named)


def test_the_reader_of_a_list_may_stop_reading(place):
    done = subprocess.run(
        f"{sys.executable} -m zoo list | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["acc", "Accuracy", "top1", "val_accuracy"])
def test_metrics_by_other_names(name):
    assert metric_of(name) == "accuracy"


@pytest.mark.parametrize(
    ("name", "setting"),
    [("lr", "learning_rate"), ("imgsz", "size"), ("batch", "batch_size"), ("model", "backbone")],
)
def test_settings_by_other_names_in_files_and_python(name, setting, place):
    assert setting_of(name, describe()) == setting


def test_data_that_is_not_given_is_said_first(zoo):
    _, _, err = zoo("finetune cnn --epochs 1 --weights gone.h5")
    assert err.splitlines()[0].startswith("no --data is given: training on the built-in demo data")
