"""Salient-object models exported to ONNX: run by OpenCV's own `cv2.dnn`, or by onnxruntime where that cannot.

How an image is prepared is not written in such a file. Its input's side and the number of its answers tell the
family, and the families' own programs tell the rest:

    U²-Net, u2netp, silueta (320, seven answers)         brightest value to 1, ImageNet's mean and deviation
    BiRefNet, RMBG-2.0, other transformers (one answer)  ImageNet's mean and deviation; answers are logits or shares
    ISNet, RMBG-1.4 (several answers, 1024)              mean 0.5, deviation 1
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from .onnx_file import OnnxLayout, read_layout

# ImageNet statistics.
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])
# The side of a network that does not say one.
FREE_SIDE = 1024
# What U²-Net and its kin take.
U2NET_SIDE = 320
# A larger input is a slip of the file's: it would not fit into memory.
MOST_SIDE = 4096


class Preparation(NamedTuple):
    """How an image in 0..1 becomes a network's input: (image / brightest - mean) / std at (width, height)."""

    size: tuple[int, int]
    mean: np.ndarray
    std: np.ndarray
    stretch: bool


def preparation(layout: OnnxLayout) -> Preparation:
    """The family's, by the table above. Raises ValueError where the input is no single image."""
    shape = layout.inputs[0].shape
    if len(layout.inputs) != 1 or len(shape) != 4 or shape[1] not in (3, None) or shape[0] not in (1, None):
        told = " and ".join(str(tuple("free" if n is None else n for n in given.shape)) for given in layout.inputs)
        raise ValueError(f"takes {told}; a salient-object model takes one image [1,3,height,width]")
    height, width = (side or (U2NET_SIDE if layout.outputs == 7 else FREE_SIDE) for side in shape[2:])
    if max(height, width) > MOST_SIDE:
        raise ValueError(f"takes images of {width}×{height} pixels; a salient-object model takes at most {MOST_SIDE}")
    if max(height, width) <= 512 and layout.outputs > 1:
        return Preparation((width, height), MEAN, STD, stretch=True)
    if layout.outputs == 1:
        return Preparation((width, height), MEAN, STD, stretch=False)
    return Preparation((width, height), np.float32([0.5] * 3), np.float32([1] * 3), stretch=False)


class SalientModel:
    """A loaded salient-object network. Runs on the CPU."""

    def __init__(self, path: str):
        self.path, self.session = path, None
        layout = read_layout(path)
        try:
            self.preparation = preparation(layout)
        except ValueError as error:
            raise ValueError(f"{Path(path).name} {error}.") from None
        self.half = layout.inputs[0].half
        try:
            self.net = cv2.dnn.readNetFromONNX(path)
        except cv2.error as error:
            self.net = None
            self.fall_back(error)

    def fall_back(self, error: cv2.error) -> None:
        """Goes over to onnxruntime. Raises ValueError where that is not installed or cannot read the file either."""
        name = Path(self.path).name
        if importlib.util.find_spec("onnxruntime") is None:
            reason = " ".join(error.err.split())[:200]
            raise ValueError(
                f"{name}: OpenCV cannot run this model ({reason}); install the package onnxruntime, which may."
            ) from None
        import onnxruntime

        try:
            self.session = onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])
        # onnxruntime's errors share no base but Exception.
        except Exception as failed:
            reason = " ".join(str(failed).split())[:200]
            raise ValueError(f"{name}: neither OpenCV nor onnxruntime can run this model ({reason}).") from None

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The subject of an image.

        Args:
            image: float [H,W,3] in 0..1, RGB.
        Returns:
            float32 [H,W] in 0..1, 1 = subject. A network that sees nothing gives values near 0 everywhere.
        """
        size, mean, std, stretch = self.preparation
        height, width = image.shape[:2]
        small = cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        if stretch:
            small = small / max(float(small.max()), 1e-6)
        saliency = self.answer(np.ascontiguousarray(((small - mean) / std).transpose(2, 0, 1)[None]))
        if saliency.ndim < 2 or 0 in saliency.shape:
            raise ValueError(f"{Path(self.path).name} answers {saliency.shape}, which is no mask.")
        saliency = saliency.reshape(-1, *saliency.shape[-2:])[0].astype(np.float32)
        low, high = float(saliency.min()), float(saliency.max())
        if not (low > -0.01 and high < 1.01):
            # Logits. A NaN compares as false, and means nothing.
            saliency = 1 / (1 + np.exp(-np.clip(np.nan_to_num(saliency), -30, 30)))
            low, high = float(saliency.min()), float(saliency.max())
        # The published code stretches to 0..1. A flat, low answer means "nothing found" and must not be stretched.
        if high > 0.5 and high - low > 1e-3:
            saliency = (saliency - low) / max(high - low, 1e-6)
        saliency = cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(saliency, 0, 1).astype(np.float32)

    def answer(self, blob: np.ndarray) -> np.ndarray:
        """The network's first answer, which is its finest."""
        if self.session is None:
            try:
                self.net.setInput(blob)
                return self.net.forward(self.net.getUnconnectedOutLayersNames()[0])
            except cv2.error as error:
                # Some layers are refused only when they run.
                self.fall_back(error)
        blob = blob.astype(np.float16) if self.half else blob
        return self.session.run(None, {self.session.get_inputs()[0].name: blob})[0]
