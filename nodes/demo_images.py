"""PhDLoadDemoImages: images that come with the pack, so that its templates run at once."""

from pathlib import Path

import cv2
import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.sentence import sentence

# The page shows them too, before a run (web/js/input_images.mjs).
FOLDER = Path(__file__).resolve().parent.parent / "web" / "demo_images"


def read_image(name: str) -> np.ndarray:
    """A file of web/demo_images as float32 [H,W,3] RGB, or [H,W] of a gray file, in 0..1."""
    file = FOLDER / name
    # Read by Python, as OpenCV cannot open every path on Windows.
    data = np.frombuffer(file.read_bytes(), np.uint8) if file.is_file() else np.zeros(0, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise FileNotFoundError(
            sentence("web/demo_images/{file} is missing or damaged; reinstall the pack.", file=file.name)
        )
    return (image[..., ::-1] if image.ndim == 3 else image).astype(np.float32) / 255


class PhDLoadDemoImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDLoadDemoImages",
            display_name="Load Demo Images",
            category="PhD",
            description=(
                "Two photographs that come with the pack, to try the nodes: a rocket on its launch pad, and an "
                "astronaut with her mask, also as a cut-out. For your own images use Load Image."
            ),
            inputs=[],
            outputs=[
                io.Image.Output(display_name="background", tooltip="A launch pad at dusk (SpaceX, CC0)."),
                io.Image.Output(display_name="subject", tooltip="An astronaut (NASA, public domain)."),
                io.Mask.Output(display_name="subject_mask", tooltip="1 = the astronaut."),
                io.Image.Output(
                    display_name="cutout", tooltip="The astronaut with nothing around her, as a PNG with alpha (RGBA)."
                ),
                io.Image.Output(
                    display_name="returned",
                    tooltip=(
                        "The astronaut pasted at the launch pad, as an edit model might return it: in another light "
                        "and tint, larger, and moved by a few pixels. No model made it."
                    ),
                ),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        background, subject, mask = map(read_image, ("background.png", "subject.png", "subject_mask.png"))
        # Transparent pixels are black, as programs that cut out save them.
        cutout = np.dstack([subject * (mask[..., None] > 0), mask])
        images = (background, subject, mask, cutout, read_image("returned.jpg"))
        return io.NodeOutput(*(torch.from_numpy(np.ascontiguousarray(image))[None] for image in images))
