"""Old names of settings, parameters, options and records keep working for one version."""

import json

import click
import pytest
from click.testing import CliRunner

import zoo
from zoo.cli import cli
from zoo.config_files import read_config
from zoo.deprecated import (
    OPTIONS,
    PARAMETERS,
    SETTINGS,
    RenamedWarning,
    current_settings,
    renamed_parameters,
)
from zoo.settings import Settings, describe


def test_new_names_exist_and_old_ones_do_not():
    assert set(SETTINGS.values()) <= set(describe())
    assert not set(SETTINGS) & set(describe())
    options = {o for c in _commands() for p in c.params for o in p.opts}
    assert set(OPTIONS.values()) <= options
    assert not set(OPTIONS) & options


def _commands():
    context = click.Context(cli)
    return [cli.get_command(context, name) for name in cli.list_commands(context)]


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        ({"fit": "pad"}, {"resize": "pad"}, "fit is now called resize"),
        ({"resize": "squash"}, {"resize": "stretch"}, "resize squash is now called resize stretch"),
        ({"fit": "squash"}, {"resize": "stretch"}, "resize squash is now called resize stretch"),
    ],
)
def test_old_settings_warn_and_work(given, expected, words):
    with pytest.warns(RenamedWarning, match=words):
        found = Settings.of({"backbone": "cnn", **given})
    assert found == Settings.of({"backbone": "cnn", **expected})


@pytest.mark.parametrize("ending", ["yaml", "json", "toml"])
def test_old_settings_in_files(tmp_path, ending):
    file = tmp_path / f"a.{ending}"
    file.write_text(
        {"yaml": "fit: crop", "json": '{"fit": "crop"}', "toml": 'fit = "crop"'}[ending]
    )
    with pytest.warns(RenamedWarning, match=rf"fit in .*a\.{ending} is now called resize"):
        assert read_config(file) == {"resize": "crop"}


@pytest.mark.filterwarnings("error")
def test_what_zoo_wrote_itself_is_read_in_silence(tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"settings": {"backbone": "cnn", "fit": "squash"}}))
    assert read_config(file) == {"backbone": "cnn", "resize": "stretch"}
    assert Settings.of_record({"backbone": "cnn", "fit": "pad"}).resize == "pad"


def test_both_names_are_refused():
    with pytest.raises(zoo.ZooError, match="fit and resize are the same"):
        current_settings({"fit": "pad", "resize": "crop"})


@pytest.mark.parametrize("old", PARAMETERS)
def test_old_parameters_warn_and_work(old):
    new = PARAMETERS[old]

    @renamed_parameters(*PARAMETERS)
    def function(**given):
        return given

    with pytest.warns(RenamedWarning, match=f"{old}= is now called {new}="):
        assert function(**{old: 5}) == {new: 5}
    with pytest.raises(zoo.ZooError, match=f"{old} and {new} are the same"):
        function(**{old: 5, new: 6})


def test_the_warning_names_the_line_of_the_caller(tmp_path):
    with pytest.warns(RenamedWarning) as found, pytest.raises(zoo.ZooError):
        zoo.predict("nothing", "x.png", runs=tmp_path)
    assert found[0].filename == __file__


@pytest.mark.parametrize(
    ("line", "old"),
    [
        ("finetune nothing --fit pad", "--fit"),
        ("finetune nothing --fit=pad", "--fit"),
        ("ensemble --members a,b --min-gain 0.1", "--min-gain"),
        ("tune nothing --probes 3", "--probes"),
    ],
)
def test_old_options_warn_and_work(line, old, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path))
    with pytest.warns(RenamedWarning, match=f"{old} is now called {OPTIONS[old]}"):
        result = CliRunner().invoke(cli, line.split())
    assert isinstance(result.exception, ValueError)  # of the name that does not exist
    assert "No such option" not in result.output


@pytest.mark.filterwarnings("error")
def test_runs_is_short_for_the_folder_of_the_runs(tmp_path):
    assert (
        f"no runs in {tmp_path}"
        in CliRunner().invoke(cli, ["runs", "--runs", str(tmp_path)]).output
    )
