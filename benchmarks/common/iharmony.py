"""The figures that papers print for iHarmony4 (arXiv 1911.13239), as its own `evaluation.py` computes them.

Both images are resized to 256×256 by Pillow's bicubic filter and compared in 8 bits: the whole image, and the subject
alone. One difference: PSNR is relative to 255 for every image, as in later papers; the first script took the range of
the image.
"""

import math

import numpy as np
from PIL import Image

SIDE = 256
# PSNR of an equal image is not infinite but 108 dB, as with PCT-Net's code.
LEAST = 1e-6


def resized(image: np.ndarray) -> np.ndarray:
    """float32 [S,S,3] in 0..1 to whole levels, float32 [256,256,3] in 0..255."""
    levels = Image.fromarray((image * 255 + 0.5).clip(0, 255).astype(np.uint8))
    return np.asarray(levels.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)


def squares(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared error of each pixel, [256,256,3] in 0..255²."""
    return np.square(resized(image) - resized(truth))


def mse(image: np.ndarray, truth: np.ndarray, subject: np.ndarray) -> float:
    """Mean square error over the whole image."""
    del subject
    return float(squares(image, truth).mean())


def fmse(image: np.ndarray, truth: np.ndarray, subject: np.ndarray) -> float:
    """Mean square error over the subject, bool [S,S]: 65,025 times that of images in 0..1."""
    inside = np.asarray(Image.fromarray(subject).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    return float(squares(image, truth)[inside].mean())


def psnr(image: np.ndarray, truth: np.ndarray, subject: np.ndarray) -> float:
    """Of the whole image, in dB."""
    return 10 * math.log10(255**2 / (mse(image, truth, subject) + LEAST))


MEASURES = {"mse_255": mse, "fmse_255": fmse, "psnr": psnr}
