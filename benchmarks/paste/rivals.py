"""Other tools for the tasks of pasting: core nodes, OpenCV, Pillow, and corrections of tone shifts."""

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter

from benchmarks.common.comfyui import call
from benchmarks.common.images import eight_bits, tensor
from phd_ops.pixels.geometry import Placement, Size
from phd_ops.pixels.paste import exemplar_matrix, subject_box


def corner(placement: Placement, size: Size, scene: Size) -> tuple[int, int]:
    """The upper left pixel of a placed image of `size`, for tools that place by whole pixels only."""
    return round(placement.x * scene.width - size.width / 2), round(placement.y * scene.height - size.height / 2)


def opencv_matrix(matte: np.ndarray, placement: Placement, scene: Size) -> np.ndarray:
    """A placement as the matrix of `cv2.warpAffine`, whose pixel centers are at whole numbers."""
    matrix = exemplar_matrix(subject_box(matte), placement, scene)
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    return matrix


def straight_alpha(scene, exemplar, matte, matrix, softness=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Bare OpenCV: image and matte warped with default flags, straight alpha; composite and matte."""
    size = Size.of(scene)
    colors, alpha = (cv2.warpAffine(array, matrix, size) for array in (exemplar, matte))
    if softness > 0:
        alpha = cv2.GaussianBlur(alpha, (0, 0), softness)
    over = alpha[..., None]
    return over * colors + (1 - over) * scene, alpha


def scaled(exemplar, matte, placement, scene) -> tuple[np.ndarray, np.ndarray]:
    """Image and matte cropped to the subject and resized for the scene, by ComfyUI's bicubic scaling."""
    import comfy.utils

    box = subject_box(matte).grown(16).inside(Size.of(matte))
    scale = placement.scale(subject_box(matte).size, Size.of(scene))
    size = round(box.width * scale), round(box.height * scale)
    both = torch.from_numpy(np.dstack([exemplar, matte])[box.slices]).movedim(-1, 0)[None]
    both = comfy.utils.common_upscale(both, *size, "bicubic", "disabled")[0].movedim(0, -1).numpy().clip(0, 1)
    return both[..., :3], np.ascontiguousarray(both[..., 3])


def core(scene, exemplar, matte, placement, softness=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Core's nodes: image and mask scaled, the mask blurred, ImageCompositeMasked. They cannot rotate."""
    colors, alpha = scaled(exemplar, matte, placement, scene)
    if softness > 0:
        alpha = cv2.GaussianBlur(alpha, (0, 0), softness)
    x, y = corner(placement, Size.of(alpha), Size.of(scene))
    inputs = {"x": x, "y": y, "resize_source": False, "mask": tensor(alpha)}
    (composite,) = call("ImageCompositeMasked", destination=tensor(scene), source=tensor(colors), **inputs)
    placed = np.zeros(scene.shape[:2], np.float32)
    placed[y : y + alpha.shape[0], x : x + alpha.shape[1]] = alpha
    return composite[0].numpy(), placed


def pillow_layer(exemplar, matte, placement, scene, softness=0.0) -> Image.Image:
    """The cut-out as Pillow places it, in 8 bits: resized, rotated, alpha blurred; of the scene's size."""
    image = Image.fromarray(eight_bits(np.dstack([exemplar, matte])))
    scale = placement.scale(subject_box(matte).size, Size.of(scene))
    size = round(image.width * scale), round(image.height * scale)
    image = image.resize(size, Image.Resampling.LANCZOS)
    image = image.rotate(placement.rotation, Image.Resampling.BICUBIC, expand=True)
    if softness > 0:
        image.putalpha(image.getchannel("A").filter(ImageFilter.GaussianBlur(softness)))
    layer = Image.new("RGBA", Size.of(scene))
    layer.paste(image, corner(placement, Size(*image.size), Size.of(scene)))
    return layer


def pillow(scene, exemplar, matte, placement, softness=0.0) -> tuple[np.ndarray, np.ndarray]:
    """Pillow's `alpha_composite`, in 8 bits."""
    layer = pillow_layer(exemplar, matte, placement, scene, softness)
    base = Image.fromarray(eight_bits(scene)).convert("RGBA")
    composite = np.asarray(Image.alpha_composite(base, layer))[..., :3]
    return np.float32(composite) / 255, np.float32(layer.getchannel("A")) / 255


def least_squares(shifted, original, untouched) -> np.ndarray:
    """A tone shift undone by plain least squares for each channel."""
    inside, corrected = untouched > 0, np.empty_like(shifted)
    for channel in range(3):
        gain, offset = np.polyfit(shifted[inside][:, channel], original[inside][:, channel], 1)
        corrected[..., channel] = gain * shifted[..., channel] + offset
    return corrected


def reinhard(shifted, original, untouched) -> np.ndarray:
    """A tone shift undone as color match nodes do: mean and deviation of the whole images."""
    del untouched
    gain = original.std((0, 1)) / shifted.std((0, 1))
    return (shifted - shifted.mean((0, 1))) * gain + original.mean((0, 1))
