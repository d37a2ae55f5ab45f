"""Import TensorFlow quietly, pick the precision, load models: what everything with Keras needs."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    import keras


def import_keras() -> None:
    """Import TensorFlow and Keras without their chatter on standard error.

    Sets the environment before the first import; values that the user set are kept.
    """
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        return
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings(), quiet_stderr():
        warnings.simplefilter("ignore")
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for a GPU, and complains if there is none
    if keras.backend.backend() != "tensorflow":
        raise ZooError(
            f"zoo needs the TensorFlow backend of Keras, not {keras.backend.backend()}: "
            f"unset KERAS_BACKEND"
        )
    tf.get_logger().setLevel("ERROR")
    keras.config.disable_interactive_logging()  # downloads would be told on standard output


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what compiled code writes to standard error, and show it if the block fails.

    TensorFlow writes before its own log level is in force, so only the file descriptor helps.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU."""
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def set_precision(precision: str) -> str:
    """Set Keras's global policy; returns its name.

    Args:
        precision: ``float32``, ``mixed``, or ``auto``: mixed on a GPU, where it is faster, and
            float32 on a CPU, where bfloat16 was measured a third slower for these networks.
    """
    import keras

    mixed = precision == "mixed" or (precision == "auto" and has_gpu())
    policy = "mixed_bfloat16" if mixed else "float32"
    keras.mixed_precision.set_global_policy(policy)
    return policy


def load_model(path: Path) -> keras.Model:
    """Load a ``.keras`` file in safe mode: no Python code that it brings is run.

    The graph of a ``hub:`` module runs, if it touches neither files nor the network.

    Raises:
        ZooError: missing, damaged, or not loadable safely.
    """
    import_keras()
    import keras

    import backbones.hub_layer  # noqa: F401  (Keras finds its layer by this)
    from backbones import check_weights

    if not path.is_file():
        raise ZooError(f"{path} is missing: the run is damaged; train it again")
    try:
        check_weights(path)
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py and keras raise their own
        lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
        reason = lines[1] if lines[0].endswith(":") and lines[1:] else lines[0]
        raise ZooError(f"{path} cannot be loaded as a Keras model ({reason[:300]})") from error
