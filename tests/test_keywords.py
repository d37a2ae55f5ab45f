"""The types of settings as keyword arguments agree with the one table of settings."""

import types
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

import zoo
from zoo.keywords import SharedSettings, TrainingSettings
from zoo.settings import check, describe

HINTS = get_type_hints(TrainingSettings)


def test_every_setting_is_a_keyword_and_every_keyword_a_setting():
    assert set(HINTS) == set(describe()) - {"data"}  # it is a parameter of its own
    assert set(HINTS) - set(get_type_hints(SharedSettings)) == {
        "refit",
        "teacher",
        "teacher_weight",
    }
    assert not TrainingSettings.__required_keys__


@pytest.mark.parametrize("name", HINTS)
def test_a_keyword_has_the_type_of_its_setting(name):
    option, hint = describe()[name], HINTS[name]
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    assert (type(None) in kinds) == (option.default is None)
    for kind in kinds:
        if get_origin(kind) is Literal:
            assert get_args(kind) == option.choices
        elif kind is not type(None):
            assert kind == option.type or (name, kind) == ("unfreeze", int)
    if int in kinds and option.type is str:
        assert check({name: 1})[name] == "1"


@pytest.mark.parametrize("name", ["finetune", "tune", "sweep", "benchmark"])
def test_functions_name_their_settings(name):
    hint = get_type_hints(getattr(zoo, name))["settings"]
    assert get_args(hint)[0] in (SharedSettings, TrainingSettings)


@pytest.mark.parametrize("call", [zoo.finetune, zoo.tune, zoo.benchmark])
def test_a_misspelt_setting_gets_the_nearest_name_at_run_time(call, tmp_path):
    first = ["cnn"] if call is zoo.benchmark else "cnn"
    with pytest.raises(zoo.ZooError, match="did you mean 'dropout'"):
        call(first, data="digits", runs_dir=tmp_path, dropuot=0.1)
