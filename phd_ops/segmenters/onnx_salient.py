"""Salient-object models exported to ONNX, run by OpenCV's own `cv2.dnn`: no further package.

Preprocessing and input size are those of U²-Net and its small sister u2netp.
"""

import cv2
import numpy as np

# ImageNet statistics.
MEAN = np.float32([0.485, 0.456, 0.406])
STD = np.float32([0.229, 0.224, 0.225])
INPUT_SIDE = 320


class SalientModel:
    """A loaded salient-object network."""

    def __init__(self, path: str):
        try:
            self.net = cv2.dnn.readNetFromONNX(path)
        except cv2.error as error:
            raise ValueError(f"{path} is not an ONNX model that OpenCV can read: {error.err}") from error

    def predict(self, image: np.ndarray) -> np.ndarray:
        """The subject of a picture.

        Args:
            image: float [H,W,3] in 0..1, RGB.
        Returns:
            float32 [H,W] in 0..1, 1 = subject. A network that sees nothing gives values near 0 everywhere.
        """
        height, width = image.shape[:2]
        small = cv2.resize(image.astype(np.float32), (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_AREA)
        # U²-Net's own preprocessing divides by the picture's maximum before the ImageNet statistics.
        small = (small / max(float(small.max()), 1e-6) - MEAN) / STD
        self.net.setInput(np.ascontiguousarray(small.transpose(2, 0, 1)[None]))
        names = self.net.getUnconnectedOutLayersNames()
        saliency = self.net.forward(names[0])[0, 0]
        low, high = float(saliency.min()), float(saliency.max())
        # The published code stretches to 0..1. A flat, low answer means "nothing found" and must not be stretched.
        if high > 0.5:
            saliency = (saliency - low) / (high - low)
        saliency = cv2.resize(saliency, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(saliency, 0, 1).astype(np.float32)
