"""What all tests share: a cache and runs of their own, fixed seeds, and folders of real photos."""

from __future__ import annotations

import functools
import http.server
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

DIGITS = {"one": 1, "four": 4, "seven": 7}

# the products are small, and threads would only wait for one another: four times slower
threadpool_limits(1)
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # of the processes that tests start
    os.environ.setdefault(name, "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side already
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

# ignored in what a shell starts in the background, or nohup: tests send them to commands
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

hypothesis.settings.register_profile("zoo", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("zoo")


@pytest.fixture(autouse=True)
def own_folders_and_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ZOO_WEIGHTS", str(tmp_path / "weights"))
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - what libraries draw from


def textured(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    """An RGB image of soft coloured blobs with a little grain, another one for each seed."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    soft = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-8, 9, soft.shape)
    return Image.fromarray(np.clip(soft + grain, 0, 255).astype(np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> Callable[..., Path]:
    """Maker of folders of image files: ``photos({"cat": 3, "test/dog": 2}) -> folder``.

    No two images of a test look alike, so none is taken for a copy of another.
    """
    made = 0

    def make(
        counts: Mapping[str, int],
        name: str = "photos",
        *,
        size: tuple[int, int] = (64, 48),
        suffix: str = ".png",
    ) -> Path:
        nonlocal made
        root = tmp_path / name
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                textured(made, *size).save(root / folder / f"{number:03d}{suffix}")
                made += 1
        return root

    return make


def write_digits(root: Path, per_class: int = 60) -> Path:
    """scikit-learn's ones, fours and sevens as 16 px PNG files, a folder a class."""
    digits = load_digits()
    for name, digit in DIGITS.items():
        folder = root / name
        folder.mkdir(parents=True)
        chosen = np.flatnonzero(digits.target == digit)[:per_class]
        for i in chosen:
            image = Image.fromarray(np.uint8(digits.images[i] * 255 / 16))
            image.resize((16, 16), Image.Resampling.BICUBIC).save(folder / f"{i:04d}.png")
    return root


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real data set that a small network learns in seconds."""
    return write_digits(tmp_path_factory.mktemp("data") / "digits")


def _write_module(
    folder: Path,
    *,
    size: int | None = None,
    dtype: str = "float32",
    gives: str = "features",
    seed: int = 0,
) -> Path:
    """A small Reusable SavedModel: convolutions, batch normalization and six features.

    Args:
        folder: where it is written.
        size: side of its images; any where None.
        dtype: of its images.
        gives: ``features`` (n, 6), ``map`` (n, h, w, 6), or ``dict`` of both.
        seed: of its weights.
    """
    import tensorflow as tf

    rng = np.random.default_rng(seed)

    def variable(name: str, value: np.ndarray, trainable: bool = True) -> tf.Variable:
        return tf.Variable(value.astype(np.float32), trainable=trainable, name=name)

    conv = variable("conv/kernel", rng.normal(0, 0.3, (3, 3, 3, 6)))
    depthwise = variable("block/depthwise/depthwise_weights", rng.normal(0, 0.3, (3, 3, 6, 1)))
    weights = variable("project/weights", rng.normal(0, 0.5, (6, 6)))
    gamma, beta = variable("bn/gamma", np.ones(6)), variable("bn/beta", np.zeros(6))
    mean = variable("bn/moving_mean", rng.normal(0, 0.1, 6), trainable=False)

    @tf.function
    def call(images, training=False):
        x = tf.cast(images, tf.float32) / 255 if dtype == "uint8" else images
        x = tf.nn.relu(tf.nn.conv2d(x, conv, 2, "SAME"))
        x = tf.nn.depthwise_conv2d(x, depthwise, (1, 1, 1, 1), "SAME")
        if training:
            mean.assign(0.9 * mean + 0.1 * tf.reduce_mean(x, (0, 1, 2)))
        x = tf.nn.elu(((x - mean) * gamma + beta) @ weights)
        pooled = tf.reduce_mean(x, (1, 2))
        return {"features": pooled, "map": x, "dict": {"pooled": pooled, "map": x}}[gives]

    images = tf.TensorSpec((None, size, size, 3), dtype, name="images")
    for training in (False, True):
        call.get_concrete_function(images, training=training)
    module = tf.train.Checkpoint()
    module.__call__ = call
    module.trainable_variables = [conv, depthwise, weights, gamma, beta]
    module.variables = [*module.trainable_variables, mean]
    module.regularization_losses = []
    tf.saved_model.save(module, str(folder))
    return folder


@pytest.fixture(scope="session")
def write_module() -> Callable[..., Path]:
    """Maker of small SavedModels: ``write_module(folder, size=None, ...) -> folder``."""
    return _write_module


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; ``/cut/NAME`` breaks off in the middle."""

    def __init__(self, *args, asked: list[str], **kwargs):
        self.asked = asked
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if not self.path.startswith("/cut/"):
            super().do_GET()
            return
        content = Path(self.directory, self.path.removeprefix("/cut/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Server:
    """A web server of a folder: where it is, and which paths it was asked for."""

    address: str
    asked: list[str]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of ``tmp_path / "served"``, asked directly even behind a proxy."""
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    asked: list[str] = []
    handler = functools.partial(_Handler, directory=tmp_path / "served", asked=asked)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield Server(f"http://127.0.0.1:{running.server_port}", asked)
        running.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    webdriver = pytest.importorskip("selenium.webdriver")
    found = [shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")]
    chrome, driver = next(filter(None, found), None), shutil.which("chromedriver")
    if not chrome or not driver:
        pytest.fail("chromium and chromedriver are needed: apt-get install chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chrome
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(driver)
    running = webdriver.Chrome(options=options, service=service)
    yield running
    running.quit()
