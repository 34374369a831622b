"""PhDSegment: a subject's mask from an image."""

import dataclasses
from typing import Any

import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.pixels.foreground import cut_out
from ..phd_ops.pixels.geometry import Box, Size
from ..phd_ops.pixels.paste import subject_box
from ..phd_ops.quote import quoted
from ..phd_ops.segmenters.deeplab import is_auto
from ..phd_ops.segmenters.find_subjects import Subjects, find_subjects, opaque
from ..phd_ops.segmenters.prompt import AUTO, CANDIDATES, Prompt
from ..phd_ops.segmenters.refine_mask import KEEP, MaskRefinement
from ..phd_ops.sentence import sentence
from .checked import checked
from .images import as_images, as_masks, as_tensor, common_batch, stacked
from .load_segmenter import LoadedSegmenter, Segmenter
from .prompt_inputs import BoundingBox, in_pixels, linked_boxes, parse_box, parse_numbers, prompts_per_image
from .ui import HAS_UI, Message, by_image, preview, show
from .validate import check_choice, check_socket


class PhDSegment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDSegment",
            display_name="Segment / Cut Out Subject",
            category="PhD",
            description="Finds the subject in an image: its mask, its cut-out and its box.",
            inputs=[
                io.Image.Input("image", tooltip="The exemplar: an image that shows the subject."),
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
                    tooltip=(
                        "0 keeps the soft matte. Above 0, values at or above it become subject, and the mask becomes "
                        "hard."
                    ),
                ),
                io.Combo.Input(
                    "keep",
                    options=KEEP,
                    default=KEEP[0],
                    tooltip=(
                        "Which connected parts of the mask stay: the largest, all except specks, or those that the "
                        "points or the box select."
                    ),
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-256,
                    max=256,
                    tooltip=(
                        "Moves the mask's edge outward by this many pixels, inward if negative. The edge becomes hard."
                    ),
                ),
                io.String.Input(
                    "class_name",
                    default=AUTO,
                    optional=True,
                    tooltip=(
                        "For DeepLab models: what the subject is, such as dog or car. auto takes the class that covers "
                        "most of the points, the box, the rough mask, or else the image."
                    ),
                ),
                io.Int.Input(
                    "refine_edge",
                    default=3,
                    min=0,
                    max=32,
                    optional=True,
                    tooltip=(
                        "Re-estimates the mask's edge from the image, up to this many pixels from where it was. "
                        "0 keeps the segmenter's edge."
                    ),
                ),
                io.Combo.Input(
                    "candidate",
                    options=CANDIDATES,
                    default=CANDIDATES[0],
                    optional=True,
                    tooltip="For SAM, which proposes three masks: the one with the best score, or the largest.",
                ),
                BoundingBox.Input(
                    "boxes",
                    optional=True,
                    tooltip="Boxes from other nodes, in pixels, instead of the box above: one subject for each box.",
                    extra_dict={"forceInput": True},
                ),
                io.Mask.Input(
                    "rough_mask",
                    optional=True,
                    tooltip="An approximate mask of the subject, from any node. 1 = subject.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="subject_mask", tooltip="1 = subject."),
                io.Image.Output(
                    display_name="cutout", tooltip="RGBA: the subject without its old background's colors."
                ),
                BoundingBox.Output(display_name="subject_box", tooltip="The box around the subject, in pixels."),
                io.Mask.Output(
                    display_name="subjects",
                    is_output_list=True,
                    tooltip=(
                        "A list of masks, one for each subject: for each box, or for each part that is kept. "
                        "1 = subject."
                    ),
                ),
            ],
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(  # noqa: PLR0913
        cls,
        image: torch.Tensor,
        segmenter: LoadedSegmenter,
        box: str = "",
        positive_points: str = "",
        negative_points: str = "",
        threshold: float = 0.0,
        keep: str = "largest",
        grow: int = 0,
        class_name: str = AUTO,
        # API workflows without this input keep the segmenter's own edge.
        refine_edge: int = 0,
        candidate: str = "best",
        boxes: Any = None,
        rough_mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        check_choice("keep", keep, KEEP)
        check_choice("candidate", candidate, CANDIDATES)
        check_socket("segmenter", segmenter, LoadedSegmenter, sentence("the segmenter of Load Segmenter"))
        images, rough, messages = with_rough_masks(as_images(image, "image"), rough_mask)
        size = Size.of(images[0])
        prompt, scaled = written_prompt(box, positive_points, negative_points, size)
        prompt = dataclasses.replace(prompt, class_name=class_name, candidate=candidate)
        image_boxes, scaled_boxes = linked_boxes(boxes, len(images), size)
        prompts, pointless = prompts_per_image(prompt, image_boxes, rough, len(images))
        messages += scaled + scaled_boxes + pointless
        if segmenter.needs_prompt and any(each.empty for own in prompts for each in own):
            raise ValueError(
                sentence(
                    "{segmenter} needs a box or positive points around the subject; both are empty.",
                    segmenter=segmenter.name,
                )
            )
        if not (segmenter.knows_classes or is_auto(class_name)):
            messages.append(without_classes(segmenter, class_name))
        subjects = segment_images(segmenter, images, prompts, MaskRefinement(threshold, keep, grow, refine_edge))
        messages += messages_of(subjects)
        masks = [found.mask for found in subjects]
        cutouts = [cut_out(opaque(one), mask) for one, mask in zip(images, masks, strict=True)]
        # A list without items would stop the graph.
        separate = [as_tensor([mask]) for found in subjects for mask in found.separate] or [as_tensor(masks[:1])]
        found_boxes = [subject_box(mask) for mask in masks]
        ui = show(map(preview, cutouts), messages)
        ui |= {"phd_box": [None if one is None else one._asdict() for one in found_boxes]}
        return io.NodeOutput(as_tensor(masks), stacked(cutouts), first_box(found_boxes), separate, ui=ui)


def written_prompt(box: str, positive: str, negative: str, size: Size) -> tuple[Prompt, list[Message]]:
    """The prompt that the node's widgets give, in pixels of an image of that size."""
    boxes, messages = in_pixels(parse_box(box), box, "box", size)
    points = []
    for name, text in (("positive_points", positive), ("negative_points", negative)):
        found, scaled = in_pixels(parse_numbers(text, 2, name), text, name, size)
        points.append(found)
        messages += scaled
    return Prompt(tuple(boxes[0]) if len(boxes) else None, *points), messages


def without_classes(segmenter: LoadedSegmenter, class_name: str) -> Message:
    text = sentence(
        "class_name is {value}, but {segmenter} knows no classes: point at the subject with a box or points.",
        value=quoted(class_name),
        segmenter=segmenter.name,
    )
    return Message(text)


def with_rough_masks(
    images: np.ndarray, rough_mask: torch.Tensor | None
) -> tuple[np.ndarray, np.ndarray | None, list[Message]]:
    """Images [B,H,W,C] and rough masks [B or 1,H,W] of their size. A single image is repeated for several masks."""
    if rough_mask is None:
        return images, None, []
    rough, messages = as_masks(rough_mask, images, "rough_mask")
    count = common_batch(image=images, rough_mask=rough)
    return images if len(images) == count else np.repeat(images, count, axis=0), rough, messages


def segment_images(
    segmenter: LoadedSegmenter, images: np.ndarray, prompts: list[list[Prompt]], refinement: MaskRefinement
) -> list[Subjects]:
    """The subjects of each image, with progress in the browser."""
    progress = comfy.utils.ProgressBar(len(images))
    subjects = []
    for image, own in zip(images, prompts, strict=True):
        subjects.append(find_subjects(segmenter.find, image, own, refinement))
        progress.update(1)
    return subjects


def messages_of(subjects: list[Subjects]) -> list[Message]:
    """The messages about all images."""
    nothing = Message(sentence("No subject found: the mask is empty."), warning=True)
    return by_image([[*map(Message, found.messages), *([] if found.separate else [nothing])] for found in subjects])


def first_box(boxes: list[Box | None]) -> dict[str, int]:
    """The first box that is one, as BOUNDING_BOX; all 0 where none is."""
    return next((box for box in boxes if box is not None), Box(0, 0, 0, 0))._asdict()
