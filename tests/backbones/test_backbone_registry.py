"""The registry: names, families, and what other packages add."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import backbones
from backbones import _registry

ROOT = Path(backbones.__file__).parents[1]


def run(code: str, *path: Path) -> str:
    """Standard output of a fresh interpreter that finds the project and these folders."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def distribution(folder: Path, name: str, module: str, source: str) -> Path:
    """An installed package with one module, entered in the group of backbones."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zoo.backbones]\n{name} = {module}\n")
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    return folder


def test_importing_backbones_and_asking_of_them_imports_no_keras():
    code = """
    import sys, backbones
    backbones.names(), backbones.families(), backbones.check("efficientnet"), backbones.get("cnn")
    print([m for m in ("keras", "tensorflow", "tf_keras", "h5py") if m in sys.modules])
    """
    assert run(code) == "[]\n"


def test_a_name_registered_twice_raises_and_leaves_the_first():
    spec, builder = backbones.get("cnn"), _registry.builder("cnn")
    with pytest.raises(ValueError, match="'cnn' is registered already"):
        backbones.register(spec)(lambda *_: None)
    assert _registry.builder("cnn") is builder


def test_a_family_is_its_one_default_variant():
    for family in backbones.families():
        variants = [s for s in map(backbones.get, backbones.names()) if s.family == family]
        assert [s.default for s in variants].count(True) == 1
        assert backbones.get(family).family == family
        assert backbones.get(family).default
    assert backbones.get("efficientnet").name == "efficientnet-lite0"


def test_a_name_is_either_a_variant_or_a_family_of_itself():
    for name in set(backbones.names()) & set(backbones.families()):
        assert backbones.get(name).family == name


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("ResNet50", "resnet50"),
        ("EfficientNet_B0", "efficientnet-b0"),
        ("mobilenetv2", "mobilenet-v2"),
        ("CNN", "cnn"),
    ],
)
def test_capitals_and_separators_do_not_matter(asked, name):
    assert backbones.get(asked).name == name
    assert backbones.get("EfficientNet") == backbones.get("efficientnet")


@pytest.mark.parametrize(
    ("asked", "content"),
    [
        ("mobilnet-v2", "did you mean 'mobilenet-v2'"),
        ("rezn", "did you mean 'resnet'"),
        ("resnet18", "of resnet there is resnet50, resnet101"),
        ("ResNet-34", "of resnet there is resnet50, resnet101"),
        ("mobilenet-v9", "of mobilenet there is mobilenet-v2"),
        ("qqqq", "choose one of"),
        ("", "choose one of"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_all(asked, content):
    with pytest.raises(backbones.BackboneError) as raised:
        backbones.get(asked)
    assert content in str(raised.value)
    assert repr(asked) in str(raised.value)
    if content == "choose one of":
        assert all(family in str(raised.value) for family in backbones.families())


FAILING = {
    "raises": ("raise RuntimeError('needs a newer zoo')", "RuntimeError: needs a newer zoo"),
    "imports": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "shadows": (
        "import backbones\nbackbones.register(backbones.get('cnn'))(print)",
        "ValueError: a backbone named 'cnn' is registered already",
    ),
}


def test_plug_ins_that_fail_are_named_with_the_reason_and_skipped(tmp_path):
    for name, (source, _) in FAILING.items():
        distribution(tmp_path, name, f"{name}_plugin", source)
    code = """
    import backbones
    print(backbones.names())
    for name, reason in sorted(backbones.plugin_problems().items()):
        print(name, reason, sep="|")
    """
    names, *problems = run(code, tmp_path).splitlines()
    assert names == str(backbones.names())
    assert problems == [f"{name}|{reason}" for name, (_, reason) in sorted(FAILING.items())]


def test_a_plug_in_of_five_lines_adds_a_backbone_that_builds(tmp_path):
    source = """
    import dataclasses, backbones
    @backbones.register(dataclasses.replace(backbones.get("cnn"), name="mean", family="mean",
                        blocks={"all": "pool"}, features=3, parameters=0, options={}))
    def build(spec, size, weights, options):
        import keras
        rgb = keras.Input((size, size, 3))
        return keras.Model(rgb, keras.layers.GlobalAveragePooling2D(name="pool")(rgb))
    """
    distribution(tmp_path, "tiny-zoo", "tiny_zoo", source)
    code = """
    import backbones
    print(backbones.names()[-1], backbones.families()[-1], backbones.plugin_problems())
    built = backbones.build("mean", size=8, weights="none")
    import numpy as np
    rgb = np.full((1, 8, 8, 3), 200, np.float32)
    print(np.asarray(built.model(rgb)).tolist(), built.upper_blocks("1"))
    """
    assert run(code, tmp_path).splitlines() == ["mean mean {}", "[[200.0, 200.0, 200.0]] ['all']"]
