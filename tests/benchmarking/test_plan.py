"""What a benchmark trains, and what it refuses."""

import pytest

import zoo
from zoo.benchmarking.plan import METHODS, Request, candidates, cells
from zoo.combine.decide import CHOICES
from zoo.data.dataset import load
from zoo.overrides import parse_scoped_overrides
from zoo.progress import Progress


def planned(seeds=2, **about):
    request = Request(about.pop("backbones", ("efficientnet", "cnn")), "digits", seeds, **about)
    found = candidates(request, Progress())
    return cells(found, seeds, load(found[0].any.settings, Progress()))


def test_every_method_of_zoo_ensemble_is_in_the_table():
    assert set(METHODS) == set(CHOICES)


def test_the_variants_differ_in_what_they_are_named_after():
    by_name = {(c.backbone, c.variant, c.seed): c.settings for c in planned()}
    assert len(by_name) == 1 + 3 * 2 + 3 * 2  # one probe, none from scratch
    lite = {v: by_name["efficientnet-lite0", v, 0] for v in ("probe", "plain", "augmented", "full")}
    assert [s.unfreeze == "none" for s in lite.values()] == [True, False, False, False]
    assert [s.augment for s in lite.values()][1:] == ["none", "light", "light"]
    for variant in ("plain", "augmented"):
        assert (lite[variant].l1, lite[variant].head_penalties) == (0.0, (0.0, 0.0))
    assert lite["full"].l1 > 0
    assert lite["full"].head_penalties == lite["probe"].head_penalties == (0.0, None)
    scratch = by_name["cnn", "full", 1]
    assert (scratch.l1 > 0, scratch.l2 > 0, scratch.seed) == (True, True, 1)


def test_other_settings_are_other_cells_and_more_seeds_add_some():
    def names(**about):
        return {c.name for c in planned(**about)}

    usual = names()
    assert usual < names(seeds=3)
    assert not usual & names(settings={"epochs": 3})
    assert not usual & names(settings={"split_seed": 3})
    own = names(each={"cnn": {"filters": 8}})
    assert {n for n in usual if n.startswith("eff")} == {n for n in own if n.startswith("eff")}
    assert not {n for n in usual & own if n.startswith("cnn")}


def test_weights_are_told_by_their_content(tmp_path):
    file = tmp_path / "w.h5"
    about = {"backbones": ("mobilenet",), "each": {"mobilenet": {"weights": str(file)}}}
    file.write_bytes(b"one")
    first = {c.name for c in planned(**about)}
    file.write_bytes(b"two")
    assert not first & {c.name for c in planned(**about)}


def test_pins_are_of_all_backbones_or_of_one():
    shared, each = parse_scoped_overrides(
        ["lr=1e-3", "cnn.size=64", "hub:./m.1/.size = 32", "cnn.weights=a=b.h5"]
    )
    assert shared == {"learning_rate": 1e-3}
    assert each == {"cnn": {"size": 64, "weights": "a=b.h5"}, "hub:./m.1/": {"size": 32}}


def test_the_command_asks_for_the_same():
    request = Request(
        ("mobilenet", "cnn"),
        "my photos",
        2,
        ("soft", "auto"),
        {"batch_norm": False},
        {"cnn": {"size": 64}},
    )
    assert request.command("x") == (
        "zoo benchmark --data 'my photos' --backbones mobilenet,cnn --seeds 2 --set batch_norm=off "
        "--set cnn.size=64 --methods soft,auto --name x"
    )


def test_where_no_backbone_is_named_all_may_have_settings_of_their_own():
    each = {"cnn": {"size": 64}, "mobilenet": {"weights": "m.h5"}}
    assert Request((), "photos", each=each).each == each
    with pytest.raises(zoo.ZooError, match="did you mean 'mobilenet'"):
        Request((), "photos", each={"mobilenets": {"size": 64}})


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"methods": ("soft", "soft")}, "name one twice"),
        ({"seeds": 0}, "seeds must be 1 to 1000, not 0"),
        ({"each": {"resnt20": {"size": 32}}}, "not among the backbones: did you mean 'resnet20'?"),
        ({"settings": {"mix": "both"}}, "with and without augmentation"),
        ({"each": {"cnn": {"head_l2": 1.0}}}, "cnn.head_l2 cannot be set"),
        ({"settings": {"data": "elpv"}}, "give --data"),
        ({"backend": "dask", "address": "tcp://a:1", "jobs": 2}, "--jobs is for this machine"),
    ],
)
def test_what_is_refused(about, words):
    about = {"backbones": ("cnn", "resnet20"), "data": "digits", **about}
    with pytest.raises(zoo.ZooError, match=words) as error:
        Request(**about)
    assert "\n" not in str(error.value)
