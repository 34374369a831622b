"""A bare crop and paste-back, as the nodes that are used for clips do it: no light, no color shift, no registration.

Written from what ComfyUI-Inpaint-CropAndStitch does to a frame: the window is cut and resized with Lanczos; the result
is resized back and composited by a blurred mask into a copy of the frame.
"""

import cv2
import numpy as np
import torch
from PIL import Image

from phd_ops.pixels.geometry import Box, Size

# Sigma in pixels of the blurred mask.
BLUR = 8


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """With Lanczos in 8 bits, as Pillow does."""
    made = Image.fromarray((image * 255).astype(np.uint8)).resize(size, Image.Resampling.LANCZOS)
    return np.float32(made) / 255


def crop(frames: torch.Tensor, window: Box, size: Size) -> torch.Tensor:
    cut = [resized(frame.numpy()[window.slices], size) for frame in frames]
    return torch.from_numpy(np.stack(cut))


def paste_back(frames: torch.Tensor, masks: torch.Tensor, window: Box, sampled: torch.Tensor) -> torch.Tensor:
    done = []
    for frame, mask, made in zip(frames, masks, sampled, strict=True):
        whole, at = frame.clone(), window.slices
        soft = torch.from_numpy(cv2.GaussianBlur(mask.numpy()[at], (0, 0), BLUR))[..., None]
        whole[at] = soft * torch.from_numpy(resized(made.numpy(), window.size)) + (1 - soft) * whole[at]
        done.append(whole)
    return torch.stack(done)
