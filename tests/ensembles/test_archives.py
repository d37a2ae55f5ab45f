"""Prediction tables of others that would take memory."""

import zipfile

import numpy as np
import pytest

from ensembles import EnsembleError, PredictionTable


@pytest.mark.parametrize("parts", [1, 3])
def test_a_table_that_declares_far_more_than_it_holds_is_refused(tmp_path, parts):
    path = tmp_path / "t.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(parts):
            archive.writestr(f"part{i}.npy", bytes((300 << 20) // parts))
    with pytest.raises(EnsembleError, match="declares 314,572,800 bytes"):
        PredictionTable.load(path)


def test_a_table_that_compresses_well_is_read(tmp_path):
    table = PredictionTable.of(np.tile(np.float32([1, 0]), (200_000, 1)), np.zeros(200_000, int))
    table.save(tmp_path / "t.npz")
    assert len(PredictionTable.load(tmp_path / "t.npz")) == 200_000
