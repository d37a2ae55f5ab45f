"""What the tests of modules of TF Hub share."""

from pathlib import Path

import pytest


def _write_function(folder: Path, function, *signature, keep=()) -> Path:
    import tensorflow as tf

    module = tf.train.Checkpoint(variables=list(keep))
    module.__call__ = tf.function(function)
    module.__call__.get_concrete_function(*signature)
    tf.saved_model.save(module, str(folder))
    return folder


@pytest.fixture(scope="session")
def write_function():
    """``write_function(folder, function, *signature, keep=()) -> folder`` of a SavedModel."""
    return _write_function
