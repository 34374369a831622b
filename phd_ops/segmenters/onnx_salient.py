"""Salient-object models exported to ONNX, run by OpenCV's `cv2.dnn`, or by onnxruntime where OpenCV cannot.

Such a file does not record how images are to be preprocessed. Its input size, its number of outputs, and the names of
input and output identify the family; the preprocessing is that of the family's published code:

    U²-Net, u2netp, silueta (320, seven outputs)   scaled to a maximum of 1, then ImageNet's mean and deviation
    BiRefNet, RMBG-2.0, transformers (one output)  ImageNet's mean and deviation; outputs logits or probabilities
    ISNet (several outputs, 1024)                  mean 0.5, deviation 1
    RMBG-1.4 (one output: input, output)           the same
    ISNet for anime (one output: img, mask)        mean 0, deviation 1
"""

import importlib.util
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..interrupt import PATIENCE, check, waiting
from ..pixels.resample import clip
from ..sentence import sentence
from .onnx_file import OnnxLayout, read_layout

# ImageNet statistics of RGB in 0..1.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
# The input side where the file leaves it open.
DEFAULT_SIDE = 1024
# The input side of the U²-Net family.
U2NET_SIDE = 320
# The mean that files of the ISNet family with one output take, by the names of their input and output.
ISNET_MEANS = {("input", "output"): 0.5, ("img", "mask"): 0.0}
# A larger input is an error in the file: it would not fit into memory.
MOST_SIDE = 4096


class Preprocessing(NamedTuple):
    """How an image in 0..1 becomes a network's input: resized to (width, height), then (image - mean) / std.

    With `stretch` the image is divided by its brightest value first.
    """

    size: tuple[int, int]
    mean: np.ndarray
    std: np.ndarray
    stretch: bool


def preprocessing_for(layout: OnnxLayout) -> Preprocessing:
    """A network's preprocessing, by the table above. Raises ValueError where it does not take one RGB image."""
    shape = layout.inputs[0].shape
    if len(layout.inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None) or shape[0] not in (1, None):
        shapes = ", ".join(str(tuple("any" if n is None else n for n in each.shape)) for each in layout.inputs)
        raise ValueError(
            sentence("it takes {shapes}; a salient-object model takes one image [1,3,height,width].", shapes=shapes)
        )
    height, width = (side or (U2NET_SIDE if layout.outputs == 7 else DEFAULT_SIDE) for side in shape[2:])
    if max(height, width) > MOST_SIDE:
        raise ValueError(
            sentence(
                "it takes images of {width}×{height} pixels; a salient-object model takes at most {most}.",
                width=width,
                height=height,
                most=MOST_SIDE,
            )
        )
    if max(height, width) <= 512 and layout.outputs > 1:
        return Preprocessing((width, height), MEAN, STD, stretch=True)
    mean = ISNET_MEANS.get(layout.names) if layout.outputs == 1 else 0.5
    if mean is None or max(height, width) <= 512:
        return Preprocessing((width, height), MEAN, STD, stretch=False)
    return Preprocessing((width, height), np.full(3, mean, np.float32), np.ones(3, np.float32), stretch=False)


class SalientModel:
    """A salient-object network in an ONNX file. It runs on the CPU.

    Raises ValueError with one sentence for a file that cannot be run.
    """

    def __init__(self, path: str):
        self.path = path
        self.net: Any = None
        # Where it is not None, it is used in place of `net`.
        self.session: Any = None
        # A pass that an interrupt left behind still uses them.
        self.lock = threading.Lock()
        layout = read_layout(path)
        try:
            self.preprocessing = preprocessing_for(layout)
        except ValueError as error:
            raise ValueError(sentence("{name}: {error}", name=Path(path).name, error=error)) from None
        self.half = layout.inputs[0].half
        try:
            # On Windows OpenCV opens no path with letters beyond ASCII.
            self.net = cv2.dnn.readNetFromONNX(path if path.isascii() else np.fromfile(path, np.uint8))
        except cv2.error as error:
            self.use_onnxruntime(error)

    def use_onnxruntime(self, error: cv2.error) -> None:
        """Switches to onnxruntime. Raises ValueError where it is not installed or cannot read the file either."""
        if importlib.util.find_spec("onnxruntime") is None:
            reason = " ".join(error.err.split())[:200]
            raise ValueError(
                sentence(
                    "{file}: OpenCV cannot run this model ({reason}); install the package onnxruntime, which may.",
                    file=Path(self.path).name,
                    reason=reason,
                )
            ) from None
        import onnxruntime

        # onnxruntime's errors have no common base but Exception.
        try:
            self.session = onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])
        except Exception as failed:
            raise self.refusal(failed) from None

    def refusal(self, failed: Exception) -> ValueError:
        """The error where neither library can run the network."""
        return ValueError(
            sentence(
                "{file}: neither OpenCV nor onnxruntime can run this model ({reason}).",
                file=Path(self.path).name,
                reason=" ".join(str(failed).split())[:200],
            )
        )

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The subject of an image.

        Args:
            image: float [H,W,3] in 0..1, RGB.
        Returns:
            float32 [H,W] in 0..1, 1 = subject; near 0 everywhere where the network finds no subject.
        """
        size, mean, std, stretch = self.preprocessing
        height, width = image.shape[:2]
        small = waiting(cv2.resize, np.asarray(image, np.float32), size, interpolation=cv2.INTER_AREA)
        if stretch:
            small = small / max(float(small.max()), 1e-6)
        # Neither library can be stopped in the middle of a pass, which may take minutes for a large network. What an
        # interrupt left behind holds one of few threads: its end is waited for before another thread is taken.
        while self.lock.locked():
            check()
            time.sleep(PATIENCE)
        saliency = waiting(self.run, np.ascontiguousarray(((small - mean) / std).transpose(2, 0, 1)[None]))
        # A mask may come as [1,1,h,w] or as [1,h,w,1]; of several channels the first may be the background.
        shape, saliency = saliency.shape, saliency.squeeze()
        if saliency.ndim != 2 or saliency.size == 0:
            raise ValueError(
                sentence(
                    "{file} gives an output of shape {shape}; a mask is needed.",
                    file=Path(self.path).name,
                    shape=shape,
                )
            )
        saliency = saliency.astype(np.float32)
        low, high = float(saliency.min()), float(saliency.max())
        if not (low > -0.01 and high < 1.01):
            # Logits, or NaN, which compares as false and becomes a logit of 0.
            saliency = 1 / (1 + np.exp(-np.clip(np.nan_to_num(saliency), -30, 30)))
            low, high = float(saliency.min()), float(saliency.max())
        # The published code stretches to 0..1. A flat or low output means that nothing was found, and is not stretched.
        if high > 0.5 and high - low > 1e-3:
            saliency = (saliency - low) / max(high - low, 1e-6)
        return clip(waiting(cv2.resize, saliency, (width, height), interpolation=cv2.INTER_LINEAR))

    def run(self, blob: np.ndarray) -> np.ndarray:
        """The network's first output, which is its finest, for a preprocessed image [1,3,h,w]."""
        with self.lock:
            if self.session is None:
                try:
                    self.net.setInput(blob)
                    # A copy: the next pass may write its own answer there.
                    return np.array(self.net.forward(self.net.getUnconnectedOutLayersNames()[0]))
                except cv2.error as error:
                    # OpenCV refuses some layers only when they run.
                    self.use_onnxruntime(error)
            return self.run_onnxruntime(blob)

    def run_onnxruntime(self, blob: np.ndarray) -> np.ndarray:
        blob = blob.astype(np.float16) if self.half else blob
        try:
            return self.session.run(None, {self.session.get_inputs()[0].name: blob})[0]
        except Exception as failed:
            raise self.refusal(failed) from None
