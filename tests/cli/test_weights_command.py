"""``zoo weights`` and what ``zoo list`` says of weights."""

import dataclasses
import json

import pytest

import backbones
from backbones import _registry, digest_of

CONTENT = b"not really weights, but served, fetched and checked as such" * 1000


@pytest.fixture
def b0(server, tmp_path, monkeypatch) -> dict:
    """EfficientNet-B0, whose published file is served from here; settings to change it by."""
    (tmp_path / "served/b0.h5").write_bytes(CONTENT)
    spec = backbones.get("efficientnet-b0")
    file = dataclasses.replace(spec.files[0], source=f"{server.address}/b0.h5", digest="md5:")
    file = dataclasses.replace(file, digest=digest_of(tmp_path / "served/b0.h5", file))

    def use(**changed):
        files = (dataclasses.replace(file, **changed),)
        monkeypatch.setitem(_registry._SPECS, spec.name, dataclasses.replace(spec, files=files))
        return files[0]

    use()
    return {"file": file, "use": use, "folder": tmp_path / "weights"}


def row(out: str, first: str) -> str:
    return next(line for line in out.splitlines() if line.split()[:1] == [first])


def test_a_fetched_file_is_listed_as_here_and_verified(zoo_command, b0):
    assert row(zoo_command("list")[1], "efficientnet-b0").endswith(" no")
    assert " no " in row(zoo_command("weights", "list")[1], "efficientnet-b0")
    code, out, err = zoo_command("weights", "fetch", "efficientnet-b0")
    assert (code, err) == (0, "")
    assert out.split() == ["efficientnet-b0", "0.1", "MB", str(b0["folder"] / b0["file"].file)]
    assert (b0["folder"] / b0["file"].file).read_bytes() == CONTENT
    assert row(zoo_command("list")[1], "efficientnet-b0").endswith(" yes")
    assert " yes " in row(zoo_command("weights", "list")[1], "efficientnet-b0")
    code, out, _ = zoo_command("weights", "verify")
    assert code == 0
    assert row(out, b0["file"].file).endswith("MD5 as published")


def test_the_same_as_json(zoo_command, b0):
    _, out, _ = zoo_command("weights", "fetch", "efficientnet-b0", "efficientnet", "--json")
    assert [r["variant"] for r in json.loads(out)] == ["efficientnet-b0", "efficientnet-lite0"]
    _, out, _ = zoo_command("weights", "list", "--json")
    assert json.loads(out)["folder"] == str(b0["folder"])
    assert all(set(r) == {"variant", "file", "path"} for r in json.loads(out)["files"])
    _, out, _ = zoo_command("weights", "verify", "--json")
    assert {r["checksum"] for r in json.loads(out)["files"]} == {
        "MD5 as published",
        "SHA-256 as published",
    }
    shown = {r["name"]: r for r in json.loads(zoo_command("list", "--json")[1])}
    assert shown["efficientnet-b0"]["here"] is True
    assert shown["efficientnet-b1"]["here"] is False
    assert shown["cnn"]["here"] is None
    assert shown["efficientnet-b1"]["top1_source"] == "keras.io/api/applications"


def test_a_damaged_file_is_named_with_what_was_expected_and_received(zoo_command, b0):
    zoo_command("weights", "fetch", "efficientnet-b0")
    path = b0["folder"] / b0["file"].file
    path.write_bytes(b"other")
    code, out, err = zoo_command("weights", "verify")
    assert code == 2
    assert row(out, path.name).endswith("damaged")
    for part in (str(path), "795f3202b17cb6bc3d4b771d8c6c9eaf", b0["file"].digest[4:]):
        assert part in err  # the first is of the five bytes, by md5sum
    assert err.count("\n") == 1


def test_a_file_without_published_checksum_is_said_to_have_none(zoo_command, b0):
    b0["use"](digest="")
    zoo_command("weights", "fetch", "efficientnet-b0")
    assert row(zoo_command("weights", "verify")[1], b0["file"].file).endswith("none is published")


def test_training_fetches_the_weights_first_and_leaves_nothing_where_it_cannot(
    zoo_command, b0, tmp_path
):
    b0["use"](source="http://127.0.0.1:9/b0.h5")
    code, out, err = zoo_command("finetune", "efficientnet-b0", "--data", "digits")
    assert (code, out) == (2, "")
    assert "could not be fetched" in err
    assert not (tmp_path / "runs").exists()


def test_all_widths_and_sizes_are_listed_on_demand_as_fetch_takes_them(zoo_command):
    _, usual, _ = zoo_command("weights", "list")
    _, everything, _ = zoo_command("weights", "list", "--all")
    assert "mobilenet-v2 --width 0.35 --size 96 " in everything
    assert "mobilenet-v3-large --width 0.75" in everything
    assert "--width" not in usual
    assert len(everything.splitlines()) == len(usual.splitlines()) + 21 + 2


BAD = [
    ("fetch", "missing argument"),
    ("fetch efficientnet-b9", "did you mean 'efficientnet-b"),
    ("fetch efficientnet-b0 cnn", "cnn is trained from scratch"),
    ("fetch resnet20", "resnet20 is trained from scratch"),
    ("fetch mobilenet --width 0.6", "one of 0.35, 0.5, 0.75, 1, 1.3, 1.4"),
    ("fetch resnet50 --width 0.5", "resnet50 has no setting 'width'"),
    ("fetch resnet50 --size 16", "at least 32 px, not 16"),
    ("fech resnet50", "no such command"),
]


@pytest.mark.parametrize(("args", "words"), BAD)
def test_bad_input_is_one_sentence_with_exit_code_2(zoo_command, server, tmp_path, args, words):
    code, out, err = zoo_command("weights", *args.split())
    assert (code, out) == (2, "")
    assert words in err
    assert not (tmp_path / "weights").exists()
    assert server.asked == []


def test_nothing_here_is_said_so(zoo_command, monkeypatch):
    spec = backbones.get("efficientnet-lite0")
    gone = dataclasses.replace(spec.files[0], member="")
    monkeypatch.setitem(_registry._SPECS, spec.name, dataclasses.replace(spec, files=(gone,)))
    code, out, _ = zoo_command("weights", "verify")
    assert code == 0
    assert "no published weights are on this machine" in out


def test_the_list_fits_a_terminal_of_a_hundred_columns_and_explains_itself(zoo_command):
    _, out, _ = zoo_command("list")
    assert max(map(len, out.splitlines())) <= 100
    for words in ("multiply-accumulates", "zoo weights fetch", "ImageNet", "zoo list --json"):
        assert words in out


def test_a_plug_in_that_fails_is_named_below_the_list(zoo_command, monkeypatch):
    monkeypatch.setitem(_registry._PLUGIN_PROBLEMS, "broken", "ImportError: no module named y")
    for args in (("list",), ("list", "--json")):
        code, _, err = zoo_command(*args)
        assert code == 0
        assert "plug-in broken could not be loaded: ImportError: no module named y" in err
