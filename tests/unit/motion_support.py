"""Images with a known motion between them: drawn from a formula at exact places, so that no resampling blurs them."""

import cv2
import numpy as np

from phd_ops.pixels.geometry import Box, mapped
from phd_ops.pixels.register import inverted


def about_center(size, zoom=1.0, degrees=0.0, shift=(0.0, 0.0)):
    """The matrix [2,3] from a given image's coordinates to a returned one's: zoomed, turned, then shifted."""
    angle, center = np.radians(degrees), np.array(size) / 2
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, center - linear @ center + shift])


def drawn(size, to_scene=None, seed=0, waves=80):
    """Waves in all directions, from 5 pixels long up to 120, at each pixel's place in the scene; [H,W,3]."""
    rng = np.random.default_rng(seed)
    length, angle = 5 * 24 ** rng.random(waves) ** 2, rng.uniform(0, 2 * np.pi, waves)
    phase, color = rng.uniform(0, 2 * np.pi, waves), rng.uniform(0.4, 1, (waves, 3))
    v, u = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    at = np.column_stack([u.ravel(), v.ravel()])
    at = at if to_scene is None else mapped(to_scene, at)
    image = np.zeros((len(at), 3))
    for number in range(waves):
        across = at @ [np.cos(angle[number]), np.sin(angle[number])]
        image += np.sin(2 * np.pi * across / length[number] + phase[number])[:, None] * color[number]
    return np.clip(0.5 + 0.18 * image / np.sqrt(waves / 2), 0, 1).reshape(size[1], size[0], 3).astype(np.float32)


def pair(size=(256, 192), seed=0, **motion):
    """A given image, the returned one, and the matrix from the returned one's coordinates to the given one's."""
    matrix = inverted(about_center(size, **motion))
    return drawn(size, seed=seed), drawn(size, matrix, seed=seed), matrix


def error(registration, truth, size):
    """Largest error of a registration over the given image, in pixels."""
    corners = Box(0, 0, *size).corners
    return float(np.abs(mapped(registration.matrix, mapped(inverted(truth), corners)) - corners).max())


def middle(size, share=0.4):
    """1 but for a box in the middle that may have changed."""
    unchanged = np.ones(size[::-1], np.float32)
    width, height = (round(share * side) for side in size)
    box = Box((size[0] - width) // 2, (size[1] - height) // 2, width, height)
    unchanged[box.slices] = 0
    return unchanged


def jpeg(image, quality=85):
    encoded = cv2.imencode(".jpg", np.round(image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.float32(cv2.imdecode(encoded, cv2.IMREAD_COLOR)) / 255
