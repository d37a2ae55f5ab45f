"""The finding that earlier layers hold what the last one has lost."""

from __future__ import annotations

import numpy as np
import pytest

import backbones
import zoo
from zoo.data.prepare import prepare
from zoo.diagnosis.depths import check_depths
from zoo.diagnosis.evidence import Evidence
from zoo.runs import Run


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Probes of strokes, which are unlike photos, by the depths that their heads see."""
    folder = tmp_path_factory.mktemp("depths")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder / "cache"))
        return {
            depths: zoo.finetune(
                "efficientnet",
                "digits",
                name=depths,
                runs_dir=folder / "runs",
                size=32,
                unfreeze="none",
                depths=depths,
                views="1",
            )
            for depths in ("last", "auto")
        }


def test_a_head_on_the_last_layer_is_told_of_earlier_ones(digits: dict[str, Run]) -> None:
    found = check_depths(Evidence(digits["last"]))
    assert found.state == "found"
    (finding,) = found.findings
    assert finding.command.endswith("--depths auto")
    assert "4 x 4" in finding.evidence[1]  # strokes are seen there
    before, after = (digits[name].metrics["test"]["accuracy"]["value"] for name in ("last", "auto"))
    assert after > before  # what it advises helps
    assert 0 < finding.cost <= 1


def test_a_head_that_sees_them_has_no_finding(digits: dict[str, Run]) -> None:
    assert digits["auto"].record["kept"][0]["depths"] == "all"
    found = check_depths(Evidence(digits["auto"]))
    assert found.state == "clear" and "sees all depths" in found.says


def test_columns_are_those_of_the_maps(digits: dict[str, Run]) -> None:
    evidence = Evidence(digits["last"])
    model = evidence.backbone.model
    columns = backbones.depth_columns(model)
    prepared = prepare(evidence.catalog, 32, "stretch", evidence.progress)
    batch = prepared.pixels[:2].astype(np.float32)
    deep = np.asarray(backbones.deep_network(model)(batch))
    assert [one.start for one in columns.values()] == sorted(c.start for c in columns.values())
    assert list(columns.values())[-1].stop == deep.shape[1]
    import keras

    for side, tensor in zip(columns, backbones.last_maps(model), strict=True):
        maps = np.asarray(keras.Model(model.inputs[0], tensor)(batch))
        most = deep[:, columns[side]][:, -maps.shape[-1] :]
        np.testing.assert_allclose(most, maps.max(axis=(1, 2)), rtol=1e-4, atol=1e-4)
