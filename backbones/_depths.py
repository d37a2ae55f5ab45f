"""What a head can see of a network: pooled maps of several depths, averaged over symmetries.

The last layer of a pretrained network has thrown away what did not matter for the classes that it
was trained on; earlier layers still have it (Head2Toe, Evci et al. 2022, arXiv 2201.03529).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

_FINEST = 6  # maps of at most a sixth of the input's side: finer ones hold little but edges
VIEWS = {
    1: ((0, False),),
    2: ((0, False), (0, True)),
    4: ((0, False), (0, True), (2, False), (2, True)),
    8: tuple((turns, mirrored) for turns in range(4) for mirrored in (False, True)),
}


def last_maps(model: keras.Model) -> list[Any]:
    """The output of the last layer at each resolution, from the coarsest to the finest.

    Args:
        model: functional, from images of shape (n, size, size, 3).

    Returns:
        Symbolic tensors of shape (n, side, side, channels); none of a module of TF Hub, whose
        inner layers are not there, nor of maps of one position.
    """
    size, found = model.input_shape[1], {}
    for layer in model.layers:
        shape: tuple[Any, ...] = tuple(getattr(layer.output, "shape", ()))
        if len(shape) != 4 or None in shape[1:] or shape[1] != shape[2]:
            continue
        if 1 < shape[1] <= size // _FINEST:
            found[shape[1]] = layer.output
    return [found[side] for side in sorted(found)]


def deep_network(model: keras.Model) -> keras.Model:
    """The network with pooled maps of all depths behind its own features.

    Args:
        model: a backbone's, from images to features of shape (n, d).

    Returns:
        From the same images to float32 of shape (n, d + e): the features, then mean and maximum
        of the last map at each resolution. It shares all layers; ``model`` itself if it has no
        maps.
    """
    import keras
    from keras import layers

    maps, parts = last_maps(model), [model.output]
    for tensor in maps:
        name = f"map{tensor.shape[1]}"
        if not _is_mean_of(model.layers[-1], tensor):
            mean = layers.GlobalAveragePooling2D(dtype="float32", name=f"{name}_mean")
            parts.append(mean(tensor))
        parts.append(layers.GlobalMaxPooling2D(dtype="float32", name=f"{name}_max")(tensor))
    if not maps:
        return model
    together = layers.Concatenate(dtype="float32", name="depths")(parts)
    return keras.Model(model.inputs[0], together, name=f"{model.name}_depths")


def depth_columns(model: keras.Model) -> dict[int, slice]:
    """Side of each map that :func:`deep_network` pools, to its columns there; coarsest first."""
    start, found = int(model.output_shape[1]), {}
    for tensor in last_maps(model):
        side, channels = int(tensor.shape[1]), int(tensor.shape[-1])
        width = channels if _is_mean_of(model.layers[-1], tensor) else 2 * channels
        found[side] = slice(start, start + width)
        start += width
    return found


def _is_mean_of(layer: Any, tensor: Any) -> bool:
    from keras import layers

    return isinstance(layer, layers.GlobalAveragePooling2D) and layer.input is tensor


def seen_in_views(network: keras.Model, views: int) -> keras.Model:
    """The network's outputs averaged over symmetries of the image.

    Args:
        network: from images of shape (n, size, size, 3) to features of shape (n, d).
        views: 1; 2, the image and its mirror image; 4, also both turned upside down; 8, all
            quarter turns and their mirror images.

    Returns:
        From the same images to float32 of shape (n, d), in layers of Keras alone.
    """
    import keras
    from keras import layers

    if views == 1:
        return network
    rgb = keras.Input(network.input_shape[1:], name="views_rgb")
    each = [network(turned(rgb, *view)) for view in VIEWS[views]]
    mean = layers.Average(dtype="float32", name="views")(each)
    return keras.Model(rgb, mean, name=f"{network.name}_views")


def turned(images: Any, turns: int, mirrored: bool) -> Any:
    """Images of shape (n, size, size, 3), mirrored if so, then turned by quarter turns."""
    from keras import ops

    x = ops.flip(images, axis=2) if mirrored else images
    if turns == 2:
        return ops.flip(ops.flip(x, axis=1), axis=2)
    if turns:
        return ops.flip(ops.transpose(x, (0, 2, 1, 3)), axis=1 if turns == 1 else 2)
    return x
