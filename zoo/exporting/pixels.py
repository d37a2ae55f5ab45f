"""From an image to the pixels that a network takes, as operations of a graph.

Pillow resizes in two passes, across and down, each a linear map of the pixels of a line, rounded to
8 bits. Here each pass is a product with the matrix of that map, which is made from the image's
size; of images of six times the size and more that it stretches, Pillow first averages boxes of
pixels. That gives Pillow's pixels, bit by bit. In OpenVINO, which computes the weights in float32
where float64 is asked for, a pixel may differ by 1 of 255.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

_BITS = 22  # of Pillow's weights
_SHIFT = 24  # bits, of its means
REDUCING_GAP = 3  # what zoo.data.decode gives Pillow where it stretches
_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112  # the header, and the tag
_EXIF_WITHIN = 1 << 16  # bytes of a JPEG in which its EXIF data begin
_ENTRIES = 64  # of a directory, those that are looked at


def resized(images: Any, size: int, resize: str) -> tf.Tensor:
    """RGB as :func:`zoo.data.decode` resizes it.

    Args:
        images: of shape (n, h, w, 3), values 0..255.
        size: side of the result.
        resize: ``stretch``, ``crop`` or ``pad``.

    Returns:
        float32 of shape (n, size, size, 3), whole numbers.
    """
    import tensorflow as tf

    x = tf.cast(images, tf.float32)
    whole = tf.shape(x)
    if resize == "stretch":
        x = _boxed(x, size)
    shape = tf.shape(x)
    down = _lines(shape[1], whole[1], whole[2], size, resize)
    across = _lines(shape[2], whole[2], whole[1], size, resize)
    x = _product("nhwc,xw->nhxc", x, across)
    x = _product("nhxc,yh->nyxc", x, down)
    return tf.ensure_shape(x, (None, size, size, 3))


def _product(equation: str, x: Any, weights: Any) -> tf.Tensor:
    """One pass, in Pillow's whole numbers: weights of 22 bits, halves rounded up.

    Where a length is a simple fraction of another, sums are often exactly a half, and what the 22
    bits leave out decides. The weights are split into halves of 11 bits, since float32 adds up
    products of 11 bits and 8 without an error.

    Args:
        equation: of ``tf.einsum``.
        x: whole numbers in 0..255.
        weights: float64 of shape (size, n), see :func:`_map`.
    """
    import tensorflow as tf

    whole = tf.floor(weights * 2.0**_BITS + 0.5)
    coarse = tf.floor(whole / 2.0 ** (_BITS // 2))
    fine = whole - coarse * 2.0 ** (_BITS // 2)
    much = tf.einsum(equation, x, tf.cast(coarse, tf.float32)) / 2.0 ** (_BITS // 2)
    little = tf.einsum(equation, x, tf.cast(fine, tf.float32)) / 2.0**_BITS
    units = tf.floor(much)
    return tf.clip_by_value(units + tf.floor((much - units) + little + 0.5), 0.0, 255.0)


def _box(n: Any, size: int) -> tf.Tensor:
    """How many pixels of n Pillow averages before it stretches: three are left for each one."""
    import tensorflow as tf

    return tf.maximum(n // (size * REDUCING_GAP), 1)


def _boxed(x: Any, size: int) -> tf.Tensor:
    """Means of boxes of pixels, in Pillow's whole numbers; those at the edges may be smaller.

    Args:
        x: of shape (n, h, w, 3), whole numbers in 0..255.
        size: side that it is stretched to.
    """
    import tensorflow as tf

    shape = tf.shape(x)
    height, width = shape[1], shape[2]
    tall, wide = _box(height, size), _box(width, size)
    rows, columns = -(-height // tall), -(-width // wide)
    x = tf.pad(x, [[0, 0], [0, rows * tall - height], [0, columns * wide - width], [0, 0]])
    x = tf.reduce_sum(tf.reshape(x, [shape[0], rows, tall, columns, wide, 3]), axis=[2, 4])
    in_row = tf.minimum(tall, height - tall * tf.range(rows))
    in_column = tf.minimum(wide, width - wide * tf.range(columns))
    count = tf.cast(in_row[:, None] * in_column[None, :], tf.float64)[None, :, :, None]
    # a product and a shift in the place of a division
    factor = tf.floor(2.0**_SHIFT / count)
    mean = tf.floor((tf.cast(x, tf.float64) + tf.floor(count / 2)) * factor / 2.0**_SHIFT)
    return tf.cast(mean, tf.float32)


def _lines(n: Any, length: Any, other: Any, size: int, resize: str) -> tf.Tensor:
    """The map of one pass, from lines of n pixels to lines of ``size``: of shape (size, n).

    Args:
        n: number of pixels this way, or of boxes of them.
        length: number of pixels this way.
        other: number of pixels the other way.
        size: side of the result.
        resize: resize mode.
    """
    import tensorflow as tf

    own, across = tf.cast(length, tf.float64), tf.cast(other, tf.float64)
    if resize == "crop":  # the middle square
        cut = tf.maximum(own - across, 0.0) / 2
        return _map(n, cut, own - cut, float(size), 0.0, size)
    if resize == "pad":  # the shorter way gets borders; Pillow rounds to whole pixels
        inner = tf.where(own < across, tf.round(own / across * size), tf.cast(size, tf.float64))
        inner = tf.maximum(inner, 1.0)
        first = tf.round((size - inner) / 2)
        return _map(n, 0.0, own, inner, first, size)
    # the last box may be smaller; Pillow takes the end in float32
    end = tf.cast(own / tf.cast(_box(length, size), tf.float64), tf.float32)
    return _map(n, 0.0, tf.cast(end, tf.float64), float(size), 0.0, size)


def _map(n: Any, start: Any, stop: Any, inner: Any, first: Any, size: int) -> tf.Tensor:
    """Weights of a triangle filter that is as wide as a pixel of the result, at least two pixels.

    Args:
        n: number of pixels of a line.
        start, stop: the part of it that is resized.
        inner: number of pixels that it becomes.
        first: place of the first of these in the result.
        size: number of pixels of the result.
    """
    import tensorflow as tf

    pixel = tf.cast(tf.range(n), tf.float64)
    last = tf.cast(n, tf.float64)
    place = tf.cast(tf.range(size), tf.float64) - first
    scale = (stop - start) / inner
    wide = tf.maximum(scale, 1.0)
    centre = start + (place + 0.5) * scale
    low = tf.maximum(tf.floor(centre - wide + 0.5), 0.0)
    high = tf.minimum(tf.floor(centre + wide + 0.5), last)
    distance = tf.abs(pixel[None, :] + 0.5 - centre[:, None]) / wide
    inside = (pixel[None, :] >= low[:, None]) & (pixel[None, :] < high[:, None])
    weights = tf.where(inside, tf.maximum(1.0 - distance, 0.0), 0.0)
    total = tf.reduce_sum(weights, axis=1, keepdims=True)
    weights = weights / tf.maximum(total, 1e-9)
    shown = (place >= 0.0) & (place < inner)
    return tf.where(shown[:, None], weights, 0.0)


def decoded(content: Any, size: int) -> tf.Tensor:
    """Upright RGB of an image file, as :func:`zoo.data.decode` reads it before it resizes.

    A JPEG is decoded at the smallest scale of libjpeg that leaves twice ``size``; transparency is
    laid over white; what EXIF says of the orientation is done.

    Args:
        content: scalar string, the content of a JPEG, PNG, WebP, BMP or GIF file.
        size: side of what it is resized to.

    Returns:
        float32 of shape (h, w, 3), values 0..255.
    """
    import tensorflow as tf

    head = tf.io.decode_raw(tf.strings.substr(content, 0, 3, unit="BYTE"), tf.uint8)
    is_jpeg = tf.reduce_all(head == tf.constant([0xFF, 0xD8, 0xFF], tf.uint8))
    is_png = tf.reduce_all(head == tf.constant([0x89, 0x50, 0x4E], tf.uint8))

    def other() -> tf.Tensor:
        rgb = tf.io.decode_image(content, channels=3, expand_animations=False)
        return tf.cast(rgb, tf.float32)

    return tf.case(
        [
            (is_jpeg, lambda: _jpeg(content, size)),
            (is_png, lambda: _over_white(tf.io.decode_png(content, channels=4))),
        ],
        default=other,
    )


def _jpeg(content: Any, size: int) -> tf.Tensor:
    import tensorflow as tf

    def at_scale(ratio: int) -> Any:
        def decode() -> tf.Tensor:
            # as Pillow asks libjpeg; the default is a faster, coarser transform
            how = {"channels": 3, "ratio": ratio, "dct_method": "INTEGER_ACCURATE"}
            return tf.cast(tf.io.decode_jpeg(content, **how), tf.float32)

        return decode

    times = tf.reduce_min(tf.io.extract_jpeg_shape(content)[:2]) // (2 * size)
    rgb = tf.case([(times >= r, at_scale(r)) for r in (8, 4, 2)], default=at_scale(1))
    return _upright(rgb, _orientation(content))


def _over_white(rgba: Any) -> tf.Tensor:
    import tensorflow as tf

    rgba = tf.cast(rgba, tf.float32)
    alpha = rgba[..., 3:] / 255.0
    return tf.round(rgba[..., :3] * alpha + 255.0 * (1.0 - alpha))


def _orientation(content: Any) -> tf.Tensor:
    """1..8: what the EXIF data of a JPEG say of its orientation; 1 if they say nothing."""
    import tensorflow as tf

    head = tf.strings.substr(content, 0, _EXIF_WITHIN, unit="BYTE")
    data = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)
    count = tf.maximum(tf.size(data) - len(_EXIF), 0)
    here = tf.ones([count], tf.bool)
    for i, byte in enumerate(_EXIF):
        here &= data[i : i + count] == byte
    found = tf.cast(tf.where(here)[:, 0], tf.int32)
    # zeros behind it, so that there is something wherever a damaged header points
    data = tf.concat([data, tf.zeros([2 * _EXIF_WITHIN], tf.int32)], 0)
    return tf.cond(
        tf.size(found) > 0,
        lambda: _orientation_of(data[found[0] + len(_EXIF) :]),
        lambda: tf.constant(1),
    )


def _orientation_of(tiff: Any) -> tf.Tensor:
    """The orientation in the first directory of a TIFF header, given byte by byte."""
    import tensorflow as tf

    def number(at: Any, count: int) -> tf.Tensor:
        parts = tf.stack([tf.gather(tiff, at + i) for i in range(count)], axis=-1)
        ordered = tf.where(tiff[0] == ord("M"), parts, tf.reverse(parts, [-1]))
        weights = tf.constant([256**i for i in reversed(range(count))], tf.int32)
        return tf.reduce_sum(ordered * weights, axis=-1)

    start = tf.clip_by_value(number(4, 4), 0, _EXIF_WITHIN)
    entries = start + 2 + 12 * tf.range(_ENTRIES)
    chosen = (tf.range(_ENTRIES) < number(start, 2)) & (number(entries, 2) == _ORIENTATION)
    values = tf.boolean_mask(number(entries + 8, 2), chosen)
    value = tf.cond(tf.size(values) > 0, lambda: values[0], lambda: tf.constant(1))
    return tf.where((value >= 1) & (value <= 8), value, 1)


def _upright(rgb: Any, orientation: Any) -> tf.Tensor:
    import tensorflow as tf

    def among(*values: int) -> tf.Tensor:
        return tf.reduce_any(orientation == tf.constant(values))

    rgb = tf.cond(orientation > 4, lambda: tf.transpose(rgb, (1, 0, 2)), lambda: rgb)
    rgb = tf.cond(among(2, 3, 6, 7), lambda: tf.reverse(rgb, [1]), lambda: rgb)
    return tf.cond(among(3, 4, 7, 8), lambda: tf.reverse(rgb, [0]), lambda: rgb)
