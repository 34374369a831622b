"""PhDLoadSegmenter and PhDSegment: a subject's mask from a picture."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import folder_paths
import numpy as np
from comfy_api.latest import io

from ..phd_ops.geometry import Box
from ..phd_ops.masks import drop_specks, fill_holes, grow, largest_component, stabilise
from ..phd_ops.paste import cut_out, subject_box
from ..phd_ops.segmenters.grabcut import grabcut
from ..phd_ops.segmenters.onnx_salient import SalientModel
from .compat import check_choice, newer
from .messages import warn
from .pictures import as_pictures, as_tensor, shown

GRABCUT = "grabcut (no weights)"
FOLDER = "segmentation"
# No picture is that wide; what is beyond, or no number at all, is a slip of the user's.
MOST_PIXELS = 1e6
# Of a picture: smaller parts of a mask are specks.
LEAST_SHARE = 0.0005

if FOLDER not in folder_paths.folder_names_and_paths:
    folder_paths.add_model_folder_path(FOLDER, f"{folder_paths.models_dir}/{FOLDER}")

Segmenter = io.Custom("PHD_SEGMENTER")
BoundingBox = io.Custom("BOUNDING_BOX")


@dataclass(frozen=True)
class LoadedSegmenter:
    """A way to find a subject. `find` takes a picture [H,W,3] and a prompt, and gives a soft mask [H,W]."""

    name: str
    find: Callable[[np.ndarray, "Prompt"], np.ndarray]
    needs_prompt: bool


@dataclass(frozen=True)
class Prompt:
    """What the user points at, in pixels of the picture. Points are [N,2] (x, y)."""

    box: tuple[float, float, float, float] | None
    positive: np.ndarray
    negative: np.ndarray

    @property
    def empty(self) -> bool:
        return self.box is None and len(self.positive) == 0


def parse_numbers(text: str, each: int, name: str) -> np.ndarray:
    """Groups of `each` numbers from "x, y; x, y", "[[x, y], ...]" or '[{"x": 1, "y": 2}, ...]' as float64 [N,each]."""
    text = text.strip()
    try:
        if text.startswith("[") and "{" in text:
            keys = ("x", "y", "width", "height")[:each]
            numbers = [float(point[key]) for point in json.loads(text) for key in keys]
        elif re.fullmatch(r"[\d\s.,;eE+\-\[\]()]*", text):
            numbers = [float(number) for number in re.split(r"[\s,;\[\]()]+", text) if number]
        else:
            raise ValueError
        groups = np.array(numbers, np.float64).reshape(-1, each)
        if not (abs(groups) < MOST_PIXELS).all():
            raise ValueError
        return groups
    except (ValueError, KeyError, TypeError):
        example = "120, 80; 200, 90" if each == 2 else "40, 30, 200, 260"
        raise ValueError(f'{name} is {text!r}; it must be {each} numbers each, such as "{example}".') from None


def segmenters() -> list[str]:
    """What can be loaded: GrabCut, and the model files found."""
    return [GRABCUT, *(name for name in folder_paths.get_filename_list(FOLDER) if name.lower().endswith(".onnx"))]


class PhDLoadSegmenter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDLoadSegmenter",
            display_name="Load Segmenter",
            category="PhD",
            description="Loads a way of finding the subject in a picture. GrabCut needs no file.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=segmenters(),
                    default=GRABCUT,
                    tooltip="GrabCut, or a salient-object model (.onnx, such as u2netp) from models/segmentation.",
                ),
            ],
            outputs=[Segmenter.Output(display_name="segmenter", tooltip="Goes into Segment.")],
            **newer(io.Schema, search_aliases=["u2net", "grabcut", "background removal"]),
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        check_choice("model", model, segmenters())
        if model == GRABCUT:

            def find(picture, prompt):
                return grabcut(picture, prompt.box, prompt.positive, prompt.negative)

            return io.NodeOutput(LoadedSegmenter(model, find, needs_prompt=True))
        network = SalientModel(folder_paths.get_full_path_or_raise(FOLDER, model))
        return io.NodeOutput(LoadedSegmenter(model, lambda picture, _: network.predict(picture), needs_prompt=False))


class PhDSegment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDSegment",
            display_name="Segment",
            category="PhD",
            description="Finds the subject in a picture: its mask, its cut-out and its box.",
            inputs=[
                io.Image.Input("image", tooltip="The exemplar: a picture that shows the subject."),
                Segmenter.Input("segmenter", tooltip="From Load Segmenter."),
                io.String.Input(
                    "box",
                    default="",
                    tooltip="Box around the subject in pixels: x, y, width, height. Empty: no box.",
                ),
                io.String.Input(
                    "positive_points", default="", tooltip="Points on the subject in pixels: x, y; x, y. Empty: none."
                ),
                io.String.Input(
                    "negative_points",
                    default="",
                    tooltip="Points on the background in pixels: x, y; x, y. Empty: none.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0 keeps the soft matte; above 0 everything from this value on is subject.",
                ),
                io.Combo.Input(
                    "keep",
                    options=["largest", "all"],
                    default="largest",
                    tooltip="Keep only the largest connected part of the mask, or all parts.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-256,
                    max=256,
                    tooltip="Moves the mask's edge outwards by this many pixels; negative moves it inwards.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="subject_mask", tooltip="1 = subject."),
                io.Image.Output(
                    display_name="cutout", tooltip="RGBA: the subject without its old background's colours."
                ),
                BoundingBox.Output(display_name="box", tooltip="The box around the subject, in pixels."),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["mask", "cut out", "remove background", "segmentation"]),
        )

    @classmethod
    def execute(
        cls, image, segmenter, box="", positive_points="", negative_points="", threshold=0.0, keep="largest", grow=0
    ) -> io.NodeOutput:
        check_choice("keep", keep, ["largest", "all"])
        boxes = parse_numbers(box, 4, "box")
        if len(boxes) > 1 or (boxes[:, 2:] <= 0).any():
            raise ValueError(f"box is {box!r}; it must be one box: x, y, width, height, the last two above 0.")
        prompt = Prompt(
            tuple(boxes[0]) if len(boxes) else None,
            parse_numbers(positive_points, 2, "positive_points"),
            parse_numbers(negative_points, 2, "negative_points"),
        )
        if segmenter.needs_prompt and prompt.empty:
            raise ValueError(f"{segmenter.name} needs a box or positive points around the subject; both are empty.")
        messages, masks, cutouts, found = [], [], [], None
        for index, picture in enumerate(as_pictures(image, "image")):
            picture = picture[..., :3]
            mask = refine(segmenter.find(picture, prompt), threshold, keep, grow)
            subject = subject_box(mask)
            if subject is None:
                messages.append(f"No subject found in picture {index + 1}: its mask is empty.")
                warn(messages[-1])
                mask = np.zeros_like(mask)
            elif found is None:
                found = subject
            masks.append(mask)
            cutouts.append(cut_out(picture, mask))
        box = (found or Box(0, 0, 0, 0))._asdict()
        return io.NodeOutput(as_tensor(masks), as_tensor(cutouts), box, ui=shown(cls, cutouts, *messages))


def refine(mask: np.ndarray, threshold: float, keep: str, pixels: int) -> np.ndarray:
    """From what a segmenter says to a mask worth pasting: near-opaque is opaque, no holes, no specks, moved edge."""
    if threshold > 0:
        mask = (mask >= threshold).astype(np.float32)
    mask = stabilise(mask, 0.05)
    mask = largest_component(mask) if keep == "largest" else drop_specks(mask, LEAST_SHARE * mask.size)
    mask = fill_holes(mask)
    return grow(mask, pixels) if pixels else mask
