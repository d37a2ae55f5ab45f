"""What is searched: default spaces, space files, overrides, and points on the scale of a range."""

import pytest

import backbones
from zoo.errors import ZooError
from zoo.overrides import parse_overrides
from zoo.settings import Settings, describe
from zoo.train.plan import resolve
from zoo.tuning.space import (
    Dimension,
    default_point,
    default_space,
    known_setting,
    read_space,
)


def resolved(backbone="efficientnet", **settings):
    return resolve(Settings.of({"backbone": backbone, "data": "digits", **settings}))


@pytest.mark.parametrize("name", backbones.names())
def test_every_backbone_has_a_space_whose_ends_it_takes(name):
    found = resolved(name)
    space = default_space(found)
    assert {"learning_rate", "epochs", "l1", "l2", "dropout", "augment"} <= set(space)
    for d in space.values():
        assert d.name in describe()
        for value in d.choices or (d.nearest_to(d.low), d.nearest_to(d.high)):
            resolve(found.settings.changed(**{d.name: value}))
    assert ("unfreeze" in space) != found.from_scratch
    assert ("kernel_size" in space) == (found.spec.family == "cnn")


@pytest.mark.parametrize(("depths", "searched"), [("last", True), ("all", False), ("auto", False)])
def test_sparse_heads_are_searched_on_the_last_layer_alone(depths, searched):
    assert ("head_l1" in default_space(resolved(depths=depths))) == searched


def test_default_point_is_the_default_settings():
    found = resolved()
    point = default_point(default_space(found), found)
    assert point["learning_rate"] == found.settings.learning_rate
    assert point["epochs"] == 6
    assert point["l2"] == 0.0
    usual = backbones.upper_blocks(
        found.spec.name, found.spec.blocks_for(found.options), found.settings.unfreeze
    )
    assert point["unfreeze"] == len(usual)
    sparse = resolved(depths="last")
    # 0 is not on a logarithmic scale
    assert default_point(default_space(sparse), sparse)["head_l1"] == 1e-8
    deep = resolved("cnn", blocks=2, dense_units=128)
    assert default_point(default_space(deep), deep)["dense_units"] == 128


def test_small_images_have_fewer_blocks_to_search():
    assert default_space(resolved("cnn", size=16))["blocks"].high < 5
    assert default_space(resolved("cnn", size=64))["blocks"].high == 5


@pytest.mark.parametrize(
    ("dimension", "value", "position", "nearest"),
    [
        (Dimension("learning_rate", 1e-4, 1e-2, log=True), 1e-3, 0.5, 1e-3),
        (Dimension("dropout", 0.0, 0.5), 0.125, 0.25, 0.125),
        (Dimension("epochs", 2, 12, integer=True), 12, 1.0, 12),
        (Dimension("mix", choices=("none", "cutmix", "both")), "cutmix", 0.5, "cutmix"),
        (Dimension("mix", choices=("none",)), "none", 0.0, "none"),
    ],
)
def test_positions_and_nearest_values(dimension, value, position, nearest):
    assert dimension.position(value) == pytest.approx(position)
    assert dimension.nearest_to(value) == nearest


def test_values_outside_are_moved_to_the_nearest_end():
    d = Dimension("learning_rate", 1e-4, 1e-2, log=True)
    assert d.nearest_to(0.0) == 1e-4
    assert d.nearest_to(1.0) == 1e-2
    assert d.nearest_to(None) == pytest.approx(1e-3)


def test_a_file_says_what_is_searched_and_what_is_set(space_file):
    path = space_file(
        "lr: {low: 1e-4, high: 1e-2, log: true}\noptimizer: [adamw, sgd]\nepochs: 3\n"
        "unfreeze: {low: 1, high: 4}\nl2: [0, 1e-4]\n"
    )
    space, fixed = read_space(path, resolved())
    assert space["learning_rate"] == Dimension("learning_rate", 1e-4, 1e-2, log=True)
    assert space["unfreeze"].integer
    assert space["l2"].choices == (0.0, 1e-4)
    assert fixed == {"epochs": 3}


def test_the_default_space_written_to_a_file_is_the_same_space(space_file):
    import yaml

    for name in ("efficientnet", "cnn", "resnet20"):
        found = resolved(name)
        space = default_space(found)
        text = yaml.safe_dump({n: d.as_data() for n, d in space.items()})
        assert read_space(space_file(text), found) == (space, {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learning_rte: [1.0e-3]", "did you mean 'learning_rate'"),
        ("learning_rate: {low: 0.01, high: 0.01}", "has an empty range: low 0.01 must be below"),
        ("learning_rate: {low: 0.1, high: 0.01}", "has an empty range"),
        ("learning_rate: {low: 0.1, high: 20}", "learning_rate in .* must be 1e-08 to 10, not 20"),
        ("dropout: {low: 0, high: 0.5, log: true}", "low must be above 0"),
        ("dropout: {low: 0}", "must be a list of choices, or a range"),
        ("dropout: {low: a, high: b}", "dropout in .* must be a number, not 'a'"),
        ("optimizer: [adamw, sgdd]", "did you mean 'sgd'"),
        ("optimizer: {low: 1, high: 2}", "optimizer .* must be text|has no range"),
        ("optimizer: []", "has no choices"),
        ("folds: [0, 5]", "cannot be searched"),
        ("split_seed: [0, 5]", "cannot be searched"),
        ("unfreeze: {low: 1, high: 99}", "unfreeze .* in .* cannot be"),
        ("blocks: [1, 2]", "has no setting 'blocks'"),
        ("[1, 2]", "must hold settings with ranges or choices"),
        ("", "must hold settings with ranges or choices"),
        ("a: [", "is not valid yaml"),
    ],
)
def test_what_a_space_file_may_not_say(space_file, text, words):
    with pytest.raises(ZooError, match=words) as error:
        read_space(space_file(text), resolved())
    assert "\n" not in str(error.value)


def test_a_space_file_that_is_not_there(tmp_path):
    with pytest.raises(ZooError, match="there is no space file"):
        read_space(tmp_path / "no.yaml", resolved())


def test_pins_are_typed_and_have_short_names():
    assert parse_overrides(
        ("lr=1e-3", "epochs=4", "batch_norm=off", "mix=cutmix", "unfreeze=3")
    ) == {
        "learning_rate": 1e-3,
        "epochs": 4,
        "batch_norm": False,
        "mix": "cutmix",
        "unfreeze": "3",
    }


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("lr", "must be setting=value"),
        ("lr=fast", "learning_rate in --set must be a number, not 'fast'"),
        ("lr=50", "learning_rate in --set must be 1e-08 to 10, not 50"),
        ("epochs=2.5", "epochs in --set must be a whole number"),
        ("epohcs=2", "did you mean 'epochs'"),
    ],
)
def test_what_cannot_be_pinned(pair, words):
    with pytest.raises(ZooError, match=words):
        parse_overrides((pair,))


def test_short_names_are_those_of_settings():
    assert known_setting("lr", "a file") == "learning_rate"
