"""An automatic search keeps to its time, combines what it trained, and continues after a kill."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import zoo
from zoo.automatic.cost import Costs, Speed
from zoo.automatic.journal import Step, open_journal
from zoo.automatic.plan import FOLDS, SYMMETRIES, cheaper, probe_of, proposals, symmetric_probe
from zoo.automatic.request import Candidate, candidates, seconds
from zoo.automatic.words import time_in_words
from zoo.errors import ZooError
from zoo.train.deadline import current_deadline, deadline
from zoo.train.plan import collect_settings, resolve

LITE = Candidate("efficientnet-lite0")
MOBILE = Candidate("mobilenet-v2")
CNN = Candidate("cnn")


@pytest.mark.parametrize(("text", "found"), [("90s", 90), ("30m", 1800), ("1h", 3600), (45, 45)])
def test_a_time_is_read(text, found):
    assert seconds(text, "good") == found


@pytest.mark.parametrize(
    ("time", "quality", "says"),
    [
        ("soon", "good", "--time must be a time"),
        ("", "good", "--time must be a time"),
        ("5s", "good", "too short"),
        (None, "bset", "did you mean 'best'"),
    ],
)
def test_a_wrong_time_or_quality_is_refused(time, quality, says):
    with pytest.raises(ZooError, match=says):
        seconds(time, quality)


def test_all_backbones_with_weights_are_candidates_and_a_network_from_scratch_for_small_images():
    assert candidates([], 500) == [LITE]
    assert candidates([], 28) == [LITE, CNN]
    assert candidates(["cnn", "efficientnet"], 500) == [CNN, LITE]


def test_no_time_is_spent_on_clearly_worse_backbones():
    losses = {LITE: 0.3, MOBILE: 0.9}
    found = list(proposals(losses, 1000, {LITE: 224, MOBILE: 224}, 500))
    assert {p.candidate for p in found} == {LITE}
    assert len({p.key for p in found}) == len(found)
    close = list(proposals({LITE: 0.31, MOBILE: 0.3}, 1000, {LITE: 224, MOBILE: 224}, 500))
    assert [p.candidate for p in close[:2]] == [MOBILE, LITE]


def test_runs_are_named_in_words():
    first, *others = proposals({LITE: 0.3}, 500, {LITE: 224}, 400)
    assert first.words == "efficientnet-lite0, fine-tuned, 5 folds"
    assert "efficientnet-lite0, fine-tuned, 288 px, 5 folds" in {p.words for p in others}
    assert probe_of(LITE, 50_000).words == "efficientnet-lite0, probe"
    assert probe_of(CNN, 500).words == "cnn, from scratch"


@pytest.mark.parametrize(("images", "folds"), [(500, FOLDS), (10_000, 0)])
def test_few_images_are_cross_validated(images, folds):
    first = next(proposals({LITE: 0.3}, images, {LITE: 224}, 500))
    assert first.settings["folds"] == folds
    assert all(p.settings["folds"] == 0 for p in cheaper(first))


def test_runs_share_what_was_found_of_symmetries():
    asked = symmetric_probe(LITE, 500)
    assert asked.words == "efficientnet-lite0, probe, 8 views, 5 folds"
    assert asked.settings["flip"] == "both" and asked.settings["unfreeze"] == "none"
    shared = list(proposals({LITE: 0.3}, 500, {LITE: 224}, 400, SYMMETRIES))
    assert all(p.settings["views"] == "8" and p.settings["flip"] == "both" for p in shared)
    assert len(shared) == len(list(proposals({LITE: 0.3}, 500, {LITE: 224}, 400)))


def texture(rng, grain):
    """Blurred noise, lit from somewhere: it looks alike from all sides."""
    noise = Image.fromarray(np.uint8(np.clip(rng.normal(128, 60, (48, 48)), 0, 255)))
    pixels = np.asarray(noise.filter(ImageFilter.GaussianBlur(grain)), float)
    light = np.linspace(-1, 1, 48) * rng.uniform(10, 40)
    pixels = (
        (pixels - pixels.mean()) / pixels.std() * 40
        + 128
        + np.rot90(np.tile(light, (48, 1)), rng.integers(4))
    )
    return Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))


@pytest.mark.slow
def test_textures_are_found_to_have_no_up_and_down(tmp_path):
    rng = np.random.default_rng(0)
    for name, grain in {"fine": 1.0, "middle": 1.25, "coarse": 1.5}.items():
        (tmp_path / "textures" / name).mkdir(parents=True)
        for i in range(80):
            texture(rng, grain).save(tmp_path / "textures" / name / f"{i}.png")
    asked = {"time": "4m", "backbones": ["efficientnet"], "size": 48, "epochs": 1}
    result = zoo.auto(tmp_path / "textures", runs_dir=tmp_path / "runs", **asked)
    runs = [row.run for row in result.rows]
    flips = [zoo.load(name, tmp_path / "runs").settings["flip"] for name in runs]
    assert flips.count("both") >= 2


def test_images_that_hold_no_more_detail_are_not_enlarged():
    small = list(proposals({LITE: 0.3}, 500, {LITE: 224}, 200))
    large = list(proposals({LITE: 0.3}, 500, {LITE: 224}, 400))
    assert not any("size" in p.settings for p in small)
    assert {p.settings.get("size") for p in large} == {None, 288}


def plan_of(**settings):
    from zoo.progress import Progress

    return resolve(collect_settings(None, "elpv", None, settings, Progress()))


def test_predictions_learn_from_what_runs_took():
    costs, speed = Costs(2000, 1400, 300), Speed(0.01, 3.0, 224, 1280)
    probe = plan_of(backbone="efficientnet", unfreeze="none")
    tuned = plan_of(backbone="efficientnet")
    first = costs.predict(speed, tuned)
    assert costs.predict(speed, probe) < first
    assert costs.predict(speed, plan_of(backbone="efficientnet", folds=5)) > 3 * first
    assert costs.predict(speed, plan_of(backbone="efficientnet", size=112)) < 0.5 * first
    assert costs.predict(speed, plan_of(backbone="efficientnet", views="1")) < first
    costs.observe("finetune", first, 2 * first)
    assert costs.predict(speed, tuned) == pytest.approx(2 * first)
    costs.observe("finetune", 2 * first, 2 * first)
    assert costs.predict(speed, tuned) == pytest.approx(2 * first, rel=0.01)


def test_a_journal_is_continued_only_for_the_same_request(tmp_path):
    journal = open_journal(tmp_path / "a", {"seconds": 60.0})
    journal.steps.append(Step("a-1", "backbone=cnn", "cnn", "why", "probe", 3.0, 0.0, 2.0, "done"))
    journal.write()
    again = open_journal(tmp_path / "a", {"seconds": 60.0})
    assert again.steps == journal.steps
    with pytest.raises(ZooError, match=r"begun with seconds 60\.0, not 90\.0"):
        open_journal(tmp_path / "a", {"seconds": 90.0})
    again.final = "a"
    again.write()
    with pytest.raises(ZooError, match="is finished"):
        open_journal(tmp_path / "a", {"seconds": 60.0})


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"steps": 3}', '{"request": {}, "steps": [1]}']
)
def test_a_damaged_journal_is_told(content, tmp_path):
    open_journal(tmp_path / "a", {}).write()
    (tmp_path / "a" / "auto.json").write_text(content)
    with pytest.raises(ZooError, match="damaged"):
        open_journal(tmp_path / "a", {})


def test_a_deadline_is_remembered_when_it_is_reached():
    assert current_deadline().leaves(1e9)
    with deadline(time.monotonic() + 60) as limit:
        assert current_deadline().leaves(1)
        assert not limit.reached
        assert not current_deadline().leaves(100)
        assert limit.reached
    assert current_deadline().leaves(1e9)


@pytest.mark.parametrize(
    ("number", "words"),
    [(45, "45 s"), (200, "3 min 20 s"), (180, "3 min"), (3900, "1 h 5 min"), (7200, "2 h")],
)
def test_time_in_words(number, words):
    assert time_in_words(number) == words


SMALL = {"size": 16, "blocks": 1, "filters": 4, "dense_units": 16, "epochs": 3}


def test_runs_are_trained_combined_and_shown(digits_folder, tmp_path):
    asked = {"time": "60s", "backbones": ["cnn"], "runs_dir": tmp_path, "folds": 2}
    result = zoo.auto(digits_folder, **asked, **SMALL)
    done = [step for step in result.steps if step.state == "done"]
    assert len(done) >= 2
    assert result.seconds < 1.1 * 60 + 30
    assert result.run.name == f"auto-{digits_folder.name}"
    assert [row.run for row in result.rows].count(result.run.name) == 1
    losses = [row.judged["log_loss"]["value"] for row in result.rows]
    assert losses == sorted(losses)
    assert (result.folder / "auto.html").read_text("utf-8").count("<tr>") >= len(result.rows)
    record = json.loads(json.dumps(result.as_record()))
    assert {row["run"] for row in record["rows"]} >= {step.run for step in done}
    image = next(Path(digits_folder).rglob("*.png"))
    assert np.isclose(zoo.predict(result.run, [image]).probabilities.sum(), 1, atol=1e-5)
    with pytest.raises(ZooError, match="already"):
        zoo.auto(digits_folder, **asked, **SMALL)


def test_an_interrupted_search_continues_with_the_runs_that_are_done(
    digits_folder, tmp_path, monkeypatch
):
    from zoo.automatic import job

    class Killed(BaseException):
        pass

    trained, real = [], job.finetune

    def second_is_killed(**settings):
        if len(trained) == 1:
            raise Killed
        trained.append(settings["name"])
        return real(**settings)

    monkeypatch.setattr(job, "finetune", second_is_killed)
    asked = {"time": "60s", "backbones": ["cnn"], "runs_dir": tmp_path, "name": "a"}
    with pytest.raises(Killed):
        zoo.auto(digits_folder, **asked, **SMALL, folds=0)
    monkeypatch.setattr(job, "finetune", real)
    result = zoo.auto(digits_folder, **asked, **SMALL, folds=0)
    assert result.steps[0].run == trained[0]
    assert sum(step.state == "done" for step in result.steps) >= 2


def test_a_run_that_fails_does_not_end_the_search(digits_folder, tmp_path, monkeypatch):
    from zoo.automatic import job

    real = job.finetune

    def fails_with_mixing(**settings):
        if settings.get("augment") == "strong":
            raise ZooError("the training loss became nan")
        return real(**settings)

    monkeypatch.setattr(job, "finetune", fails_with_mixing)
    asked = {"time": "60s", "backbones": ["cnn"], "runs_dir": tmp_path, "folds": 0}
    result = zoo.auto(digits_folder, **asked, **SMALL)
    assert [step.reason for step in result.steps if step.state == "failed"] == [
        "the training loss became nan"
    ]
    assert any(step.state == "done" for step in result.steps[2:])


def test_a_training_ends_at_its_deadline_with_the_best_so_far(digits_folder, tmp_path):
    small = {**SMALL, "epochs": 1000, "patience": 0}
    with deadline(time.monotonic() + 10) as limit:
        run = zoo.finetune("cnn", digits_folder, name="a", runs_dir=tmp_path, **small)
    assert limit.reached
    assert 0 < len(run.epochs[0]) < 1000
    assert run.trained[0]["best_epoch"] <= len(run.epochs[0])
