"""The old name of :mod:`backbones.hub_layer`, for programs that load a ``model.keras`` with it."""

import warnings

from backbones.hub_layer import HubModule, HubPart

__all__ = ["HubModule", "HubPart"]

warnings.warn(
    "backbones.hub is now called backbones.hub_layer: the old name stops working in the next "
    "version",
    FutureWarning,
    stacklevel=2,
)
