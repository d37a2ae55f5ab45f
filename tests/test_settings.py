"""Settings: what each takes, what is refused and how, and the files they come from."""

import json
import math
from pathlib import Path

import pytest

from zoo.config_files import read_config
from zoo.errors import ZooError
from zoo.settings import Settings, describe

OPTIONS = describe()
NUMBERS = [o for o in OPTIONS.values() if o.type in (int, float)]
RANGED = [o for o in NUMBERS if o.low is not None]
BOUNDED = [o for o in NUMBERS if o.high is not None]
CHOICES = [o for o in OPTIONS.values() if o.choices]
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def named(options: list) -> dict:
    return {"argvalues": options, "ids": [o.name for o in options]}


def of(**values) -> Settings:
    return Settings.of({"backbone": "cnn", **values})


def refused(**values) -> str:
    with pytest.raises(ZooError) as raised:
        of(**values)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_all_that_is_missing_has_its_default():
    settings = of()
    assert settings.backbone == "cnn"
    for name, option in OPTIONS.items():
        assert getattr(settings, name) == option.default


def test_every_default_is_itself_allowed_and_told_of():
    defaults = {name: option.default for name, option in OPTIONS.items()}
    assert of(**defaults) == of()
    for option in OPTIONS.values():
        assert option.help
        assert option.group
        assert option.auto or option.default is not None, "None means something"


@pytest.mark.parametrize("option", **named(RANGED))
def test_the_ends_of_a_range_are_allowed_and_what_is_below_is_not(option):
    assert getattr(of(**{option.name: option.low}), option.name) == option.low
    sentence = refused(**{option.name: option.low - 1})
    assert option.name in sentence
    assert option.range() in sentence
    assert f"not {option.low - 1:g}" in sentence


@pytest.mark.parametrize("option", **named(BOUNDED))
def test_what_is_above_a_range_is_refused(option):
    assert getattr(of(**{option.name: option.high}), option.name) == option.high
    sentence = refused(**{option.name: option.high + 1})
    assert f"{option.name} must be {option.range()}, not" in sentence


@pytest.mark.parametrize("option", **named(CHOICES))
def test_a_choice_is_one_of_those_or_answered_with_the_nearest(option):
    for choice in option.choices:
        assert getattr(of(**{option.name: choice}), option.name) == choice
    sentence = refused(**{option.name: f"{option.choices[0]}x"})
    assert f"{option.name} must be one of {', '.join(option.choices)}" in sentence
    assert f"did you mean {option.choices[0]!r}?" in sentence


@pytest.mark.parametrize("option", **named(NUMBERS))
@pytest.mark.parametrize("value", ["7", True, [1], {}, 1 + 2j])
def test_a_number_is_not_taken_from_anything_else(option, value):
    sentence = refused(**{option.name: value})
    assert f"{option.name} must be {KINDS[option.type]}, not {value!r}" in sentence


@pytest.mark.parametrize("option", **named([o for o in OPTIONS.values() if o.type is bool]))
@pytest.mark.parametrize("value", [0, 1, "yes", "true", 1.0])
def test_a_switch_is_not_taken_from_anything_else(option, value):
    assert f"{option.name} must be true or false, not {value!r}" in refused(**{option.name: value})


@pytest.mark.parametrize("option", **named([o for o in OPTIONS.values() if o.type is int]))
def test_a_whole_number_is_not_taken_from_a_fraction(option):
    assert f"{option.name} must be a whole number, not 8.0" in refused(**{option.name: 8.0})


@pytest.mark.parametrize("option", **named([o for o in BOUNDED if o.type is float]))
def test_a_fraction_is_taken_from_a_whole_number_and_becomes_one(option):
    whole = math.ceil(option.low)
    if whole > option.high:
        assert option.range() in refused(**{option.name: whole})
        return
    value = getattr(of(**{option.name: whole}), option.name)
    assert value == whole
    assert type(value) is float


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("option", **named([o for o in NUMBERS if o.type is float]))
def test_what_is_no_finite_number_is_refused(option, value):
    assert f"{option.name} must be {option.range()}, not {value:g}" in refused(
        **{option.name: value}
    )


@pytest.mark.parametrize("option", **named(list(OPTIONS.values())))
def test_none_is_allowed_exactly_where_something_else_decides(option):
    if option.default is None or option.default == "":
        assert getattr(of(**{option.name: None}), option.name) == option.default
    else:
        assert "not None" in refused(**{option.name: None})


def test_text_where_numbers_and_paths_are_natural_too():
    settings = of(unfreeze=3, weights=Path("w.h5"), data=Path("photos"))
    assert (settings.unfreeze, settings.weights, settings.data) == ("3", "w.h5", "photos")


REFUSED = {
    "unknown, near": ({"lable_smoothing": 0.1}, ["'lable_smoothing'", "did you mean 'label_sm"]),
    "unknown, near the backbone": ({"backbon": "cnn"}, ["did you mean 'backbone'?"]),
    "unknown, far": ({"qqq": 1}, ["'qqq'", "there is backbone, data, resize"]),
    "one fold": ({"folds": 1}, ["folds must be 0 (off) or at least 2, not 1"]),
    "text for text": ({"data": 1.5}, ["data must be text, not 1.5"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_the_rule_and_the_way_out(case):
    values, content = REFUSED[case]
    sentence = refused(**values)
    assert all(part in sentence for part in content), sentence


def test_the_place_is_named_in_every_kind_of_message():
    for values in ({"qqq": 1}, {"epochs": "a"}, {"epochs": 0}, {"augment": "x"}, {"folds": 1}):
        with pytest.raises(ZooError, match=" in the/file"):
            Settings.of({"backbone": "cnn", **values}, where="the/file")


def test_a_changed_copy_is_checked_and_leaves_the_first():
    settings = of(epochs=3)
    assert settings.changed(epochs=5, l2=1).as_dict() == {
        **settings.as_dict(),
        "epochs": 5,
        "l2": 1.0,
    }
    assert settings.epochs == 3
    with pytest.raises(ZooError, match="epochs must be 1 to 1000, not 0"):
        settings.changed(epochs=0)


def test_options_of_the_network_are_those_that_are_given():
    assert of().network_options() == {}
    assert of(filters=8, batch_norm=False).network_options() == {"filters": 8, "batch_norm": False}


VALUES = {"backbone": "cnn", "epochs": 3, "l2": 1, "near_duplicates": False, "augment": "light"}
FILES = {
    "c.toml": 'backbone = "cnn"\nepochs = 3\nl2 = 1\nnear_duplicates = false\naugment = "light"\n',
    "c.yaml": "backbone: cnn\nepochs: 3\nl2: 1\nnear_duplicates: no\naugment: light\n",
    "c.YML": "{backbone: cnn, epochs: 3, l2: 1, near_duplicates: false, augment: light}",
    "c.json": json.dumps(VALUES),
    "run.json": json.dumps({"status": "finished", "versions": {}, "settings": VALUES}),
    "section.toml": '[settings]\nbackbone = "cnn"\nepochs = 3\nl2 = 1\nnear_duplicates = false\n'
    'augment = "light"\n',
}


@pytest.mark.parametrize("name", FILES)
def test_a_config_file_of_any_kind_gives_the_same_settings(name, tmp_path):
    (tmp_path / name).write_text(FILES[name])
    values = read_config(tmp_path / name)
    assert values == VALUES
    assert type(values["l2"]) is float
    assert Settings.of(values) == of(**VALUES)


def test_all_settings_survive_a_run_json(tmp_path):
    settings = of(epochs=3, weights="none", unfreeze="block2", l1=0.5, batch_norm=True)
    (tmp_path / "run.json").write_text(json.dumps({"settings": settings.as_dict()}))
    assert Settings.of(read_config(tmp_path / "run.json")) == settings


@pytest.mark.parametrize("name", ["empty.yaml", "empty.toml"])
def test_an_empty_file_sets_nothing(name, tmp_path):
    (tmp_path / name).write_text("# nothing\n")
    assert read_config(tmp_path / name) == {}


# name of the file, content, what the sentence says
BROKEN = {
    "no toml": ("c.toml", b"epochs 3", "is not valid toml"),
    "no yaml": ("c.yaml", b"epochs: [3\nl2: {", "is not valid yaml"),
    "yaml that makes objects": ("c.yaml", b"!!python/object/apply:os.system ['x']", "valid yaml"),
    "no json": ("c.json", b"{'epochs': 3}", "is not valid json"),
    "empty json": ("c.json", b"", "is not valid json"),
    "a list": ("c.json", b"[1, 2]", "must hold settings by name"),
    "one text": ("c.yaml", b"epochs 3", "must hold settings by name"),
    "another kind": ("c.ini", b"[zoo]\nepochs = 3", "must end in .toml, .yaml or .json"),
    "no kind": ("config", b"epochs = 3", "must end in .toml, .yaml or .json"),
    "no text": ("c.toml", b"\xff\xfe\x00", "cannot be read"),
    "unknown setting": ("c.toml", b"epohcs = 3", "did you mean 'epochs'?"),
    "unknown number": ("c.yaml", b"3: 4", "there is no setting 3"),
    "out of range": ("c.toml", b"epochs = 0", "epochs"),
    "wrong type": ("c.yaml", b"epochs: '3'", "must be a whole number, not '3'"),
    "yes for text": ("c.yaml", b"augment: no", "must be text, not False"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_config_file_that_cannot_be_used_is_refused_by_its_path(case, tmp_path):
    name, content, says = BROKEN[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ZooError) as raised:
        read_config(tmp_path / name)
    assert says in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_config_file_that_is_not_there_or_a_folder_is_refused_by_its_path(tmp_path):
    with pytest.raises(ZooError, match=r"there is no config file .*no\.toml: check the path"):
        read_config(tmp_path / "no.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ZooError, match=r"folder\.toml cannot be read"):
        read_config(tmp_path / "folder.toml")


@pytest.mark.parametrize(
    "text",
    [
        "epochs: &a 3\nfolds: *a\n",
        "settings: &a {epochs: 1}\nother: {<<: *a}\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "a: &a [*a]\n",
    ],
)
def test_aliases_of_yaml_are_refused_by_line(tmp_path, text):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(ZooError, match=r"line \d has the alias \*\w: write its value"):
        read_config(file)
