"""What a network is: registered backbones from raw RGB to features.

A library of its own: it knows nothing of training, runs or the command line. Importing it does not
import Keras; building a backbone does, and so does asking for a ``hub:`` module.
"""

from backbones import cnn, efficientnet, mobilenet, resnet  # noqa: F401  (they register)
from backbones._build import Backbone, build, check, upper_blocks, weights_digest
from backbones._errors import BackboneError
from backbones._hub import short_name
from backbones._registry import Spec, families, get, names, plugin_problems, register

__all__ = [
    "Backbone",
    "BackboneError",
    "Spec",
    "build",
    "check",
    "families",
    "get",
    "names",
    "plugin_problems",
    "register",
    "short_name",
    "upper_blocks",
    "weights_digest",
]
