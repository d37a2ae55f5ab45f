"""Frozen features: written as they come, kept, and nothing left of what was interrupted."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

import backbones
from zoo.data.dataset import load
from zoo.data.prepare import Prepared, prepare
from zoo.evaluate.inference import Inference
from zoo.progress import Progress
from zoo.settings import Settings
from zoo.train.choice import FeatureSet
from zoo.train.features import feature_tables, features_file, frozen_features, stored_features

OPTIONS = {"blocks": 2, "filters": 4, "dense_units": 8}


@pytest.fixture(scope="module")
def backbone() -> backbones.Backbone:
    return backbones.build("cnn", size=16, weights="none", options=OPTIONS)


@pytest.fixture
def prepared(digits_folder: Path) -> Prepared:
    settings = Settings.of({"backbone": "cnn", "data": str(digits_folder)})
    return prepare(load(settings, Progress()).catalog, 16, "stretch", Progress())


def test_the_file_is_that_of_all_features_saved_at_once(backbone, prepared, tmp_path):
    file = features_file(backbone, prepared, Progress())
    rows = np.arange(len(prepared.pixels))
    whole = Inference(backbone.model).run(prepared.pixels, rows)
    assert (whole.dtype, whole.shape) == (np.float32, (180, 8))
    np.save(tmp_path / "whole.npy", whole)
    saved = (tmp_path / "whole.npy").read_bytes()
    assert file.read_bytes()[: len(saved)] == saved  # then checksums
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_features_are_given_in_the_order_of_the_catalogue(backbone, prepared):
    digest, dtype = str(backbone.digest), backbone.model.compute_dtype
    assert stored_features(prepared, "cnn", digest, dtype) is None
    features = frozen_features(backbone, prepared, Progress())
    whole = Inference(backbone.model).run(prepared.pixels, prepared.rows)
    np.testing.assert_allclose(features[:], whole, atol=1e-5)
    found = stored_features(prepared, "cnn", digest, dtype)
    np.testing.assert_array_equal(found[:], features[:])


def test_an_interrupted_pass_leaves_nothing_and_a_killed_ones_file_goes_in_time(
    backbone, prepared, tmp_path
):
    class Interrupting(Progress):
        def step(self, name, total):
            raise KeyboardInterrupt

    folder = tmp_path / "cache" / "features"
    folder.mkdir(parents=True)
    for name, age in ((".zoo-killed.npy", 90_000), (".zoo-running.npy", 60)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    with pytest.raises(KeyboardInterrupt):
        features_file(backbone, prepared, Interrupting())
    assert [p.name for p in folder.iterdir()] == [".zoo-running.npy"]


def test_depths_and_views_are_those_of_the_network_and_the_last_layer_stays_available(
    prepared, monkeypatch
):
    lite0 = backbones.build("efficientnet-lite0", size=32)
    small = Prepared(np.repeat(np.repeat(prepared.pixels[:12], 2, 1), 2, 2), np.arange(12), "key")
    sets = [FeatureSet(), FeatureSet("all", 1), FeatureSet("last", 2), FeatureSet("all", 2)]
    tables = feature_tables(lite0, small, sets, Progress())
    for one in sets:
        network = backbones.deep_network(lite0.model) if one.depths == "all" else lite0.model
        whole = Inference(backbones.seen_in_views(network, one.views)).run(small.pixels, small.rows)
        np.testing.assert_allclose(tables[one][:], whole, atol=1e-4)
    found = stored_features(small, "efficientnet-lite0", str(lite0.digest), "float32")
    np.testing.assert_array_equal(found[:], tables[FeatureSet()][:])

    def computed(*_):
        raise AssertionError("computed anew")

    monkeypatch.setattr(Inference, "batches", computed)
    again = feature_tables(lite0, small, sets[:3], Progress())
    np.testing.assert_array_equal(again[sets[2]][:], tables[sets[2]][:])
