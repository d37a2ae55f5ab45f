"""What a network is: registered backbones from raw RGB to features.

A library of its own: it knows nothing of training, runs or the command line. Importing it does not
import Keras; building a backbone does, and so does asking for a ``hub:`` module.
"""

# importing an architecture registers its variants
from backbones import cnn, efficientnet, efficientnet_lite, mobilenet, resnet  # noqa: F401
from backbones._build import Backbone, build, check, upper_blocks, weights_digest
from backbones._declared import check_weights
from backbones._depths import VIEWS, deep_network, depth_columns, last_maps, seen_in_views, turned
from backbones._errors import BackboneError
from backbones._fold import folded
from backbones._hub_source import find_module, short_name
from backbones._macs import macs
from backbones._published import Published, digest_of, fetch, located, verify, weights_folder
from backbones._registry import families, get, names, plugin_problems, register
from backbones._spec import Spec
from backbones._weights import imagenet_file, source_identity, weights_file

__all__ = [
    "VIEWS",
    "Backbone",
    "BackboneError",
    "Published",
    "Spec",
    "build",
    "check",
    "check_weights",
    "deep_network",
    "depth_columns",
    "digest_of",
    "families",
    "fetch",
    "find_module",
    "folded",
    "get",
    "imagenet_file",
    "last_maps",
    "located",
    "macs",
    "names",
    "plugin_problems",
    "register",
    "seen_in_views",
    "short_name",
    "source_identity",
    "turned",
    "upper_blocks",
    "verify",
    "weights_digest",
    "weights_file",
    "weights_folder",
]
