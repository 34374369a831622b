"""PhDSegment: a subject's mask from an image."""

import dataclasses
import json
import re

import comfy.model_management
import comfy.utils
import numpy as np
from comfy_api.latest import io

from ..phd_ops.pixels.edge_matting import refine_edge
from ..phd_ops.pixels.foreground import cut_out
from ..phd_ops.pixels.geometry import Box, Size
from ..phd_ops.pixels.masks import LEAST_ALPHA, drop_specks, fill_holes, grow, largest_component, stabilize
from ..phd_ops.pixels.paste import subject_box
from ..phd_ops.segmenters.parts import parts_of, prompted_parts
from ..phd_ops.segmenters.prompt import AUTO, Prompt
from .compat import newer
from .images import as_images, as_masks, as_tensor, common_batch, item, pixels
from .load_segmenter import LoadedSegmenter, Segmenter
from .ui import Message, show
from .validate import check_choice, check_numbers

# No image is that wide; what is beyond, or no number at all, is a slip of the user's.
MOST_PIXELS = 1e6
# Of an image: smaller parts of a mask are specks.
LEAST_SHARE = 0.0005
KEEP = ["largest", "all", "prompted"]
CANDIDATES = ["best", "largest"]

BoundingBox = io.Custom("BOUNDING_BOX")


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
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        example = "120, 80; 200, 90" if each == 2 else "40, 30, 200, 260"
        raise ValueError(f'{name} is {text[:120]!r}; it must be {each} numbers each, such as "{example}".') from None


def as_boxes(given, count: int) -> list[np.ndarray]:
    """What core's nodes give as BOUNDING_BOX, as float64 [N,4] (x, y, width, height) for each of `count` images.

    One box, a list of boxes for every image, or a list of such lists, one for each image.
    """
    try:
        given = [given] if isinstance(given, dict) else list(given)
        each = given if given and all(isinstance(boxes, (list, tuple)) for boxes in given) else [given] * count
        keys = ("x", "y", "width", "height")
        boxes = [np.array([[float(box[key]) for key in keys] for box in one]).reshape(-1, 4) for one in each]
        if not all((abs(one) < MOST_PIXELS).all() and (one[:, 2:] > 0).all() for one in boxes):
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        problem = "must be boxes with x, y, width and height in pixels, width and height above 0"
        raise ValueError(f"boxes is {str(given)[:120]}; these {problem}.") from None
    if len(boxes) not in (1, count):
        raise ValueError(f"boxes has lists for {len(boxes)} images, and image has {count}; both must be as many.")
    return boxes if len(boxes) == count else boxes * count


def on_image(prompt: Prompt, size: Size, messages: list[Message]) -> Prompt | None:
    """A prompt without points outside the image, with a message for those; None where nothing is left of it."""
    kept = {}
    for name in ("positive", "negative"):
        points = getattr(prompt, name)
        inside = ((points >= 0) & (points < size)).all(1)
        kept[name] = points[inside]
        if not inside.all():
            left_out = f"{len(points) - inside.sum()} of {len(points)}"
            text = f"{name}_points: {left_out} lie outside the image of {pixels(size)} and are left out."
            messages.append(Message(text))
    clipped = dataclasses.replace(prompt, **kept)
    if prompt.box is not None:
        x, y, width, height = prompt.box
        if not (x < size.width and y < size.height and x + width > 0 and y + height > 0):
            messages.append(Message(f"box: it lies outside the image of {pixels(size)}."))
            return None
    return None if clipped.empty and not prompt.empty else clipped


class PhDSegment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDSegment",
            display_name="Segment",
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
                    tooltip="0 keeps the soft matte; above 0 everything from this value on is subject.",
                ),
                io.Combo.Input(
                    "keep",
                    options=KEEP,
                    default=KEEP[0],
                    tooltip=(
                        "Of the mask's connected parts keep the largest, all, or those that the points or the box mean."
                    ),
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-256,
                    max=256,
                    tooltip="Moves the mask's edge outwards by this many pixels; negative moves it inwards.",
                ),
                io.String.Input(
                    "class_name",
                    default=AUTO,
                    optional=True,
                    tooltip=(
                        "For DeepLab models: what the subject is, such as dog or car. auto takes the class that most "
                        "of the box, of the points or else of the image has."
                    ),
                ),
                io.Int.Input(
                    "refine_edge",
                    default=3,
                    min=0,
                    max=32,
                    optional=True,
                    tooltip=(
                        "Draws the mask's edge again after the image, up to so many pixels from where it was. "
                        "0 leaves it as the segmenter gave it."
                    ),
                ),
                io.Combo.Input(
                    "candidate",
                    options=CANDIDATES,
                    default=CANDIDATES[0],
                    optional=True,
                    tooltip="For SAM, which proposes three masks: the one it believes in most, or the largest.",
                    **newer(io.Combo.Input, advanced=True),
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
                    tooltip="A mask that is about right, from any node: it points at the subject. 1 = subject.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="subject_mask", tooltip="1 = subject."),
                io.Image.Output(
                    display_name="cutout", tooltip="RGBA: the subject without its old background's colors."
                ),
                BoundingBox.Output(display_name="box", tooltip="The box around the subject, in pixels."),
                io.Mask.Output(
                    display_name="subjects",
                    is_output_list=True,
                    tooltip=(
                        "A list of masks, one for each subject: of each box, or of each part that is kept. 1 = subject."
                    ),
                ),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["mask", "cut out", "remove background", "segmentation"]),
        )

    @classmethod
    def execute(
        cls,
        image,
        segmenter,
        box="",
        positive_points="",
        negative_points="",
        threshold=0.0,
        keep="largest",
        grow=0,
        class_name=AUTO,
        # Workflows saved before these two existed keep their masks.
        refine_edge=0,
        candidate="best",
        boxes=None,
        rough_mask=None,
    ) -> io.NodeOutput:
        check_choice("keep", keep, KEEP)
        check_choice("candidate", candidate, CANDIDATES)
        check_numbers(threshold=threshold)
        written = parse_numbers(box, 4, "box")
        if len(written) > 1 or (written[:, 2:] <= 0).any():
            raise ValueError(f"box is {box!r}; it must be one box: x, y, width, height, the last two above 0.")
        asked = Prompt(
            positive=parse_numbers(positive_points, 2, "positive_points"),
            negative=parse_numbers(negative_points, 2, "negative_points"),
            class_name=class_name,
            candidate=candidate,
        )
        images, messages = as_images(image, "image"), []
        each = [written] * len(images) if boxes is None else as_boxes(boxes, len(images))
        rough = None
        if rough_mask is not None:
            rough, messages = as_masks(rough_mask, images, "rough_mask")
            common_batch(image=images, rough_mask=rough)
            images = np.repeat(images, len(rough), axis=0) if len(images) == 1 else images
            each = each * len(rough) if len(each) == 1 else each
        boxed = any(len(one) for one in each)
        if segmenter.needs_prompt and rough is None and not len(asked.positive) and not boxed:
            raise ValueError(f"{segmenter.name} needs a box or positive points around the subject; both are empty.")
        progress = comfy.utils.ProgressBar(len(images))
        masks, cutouts, subjects, found = [], [], [], None
        for index, given in enumerate(images):
            comfy.model_management.throw_exception_if_processing_interrupted()
            prompt = dataclasses.replace(asked, rough=None if rough is None else item(rough, index))
            # Where others have boxes and this image none, a detector found nothing in it.
            nothing = boxed and not len(each[index]) and rough is None and not len(asked.positive)
            prompts = [] if nothing else prompts_of(prompt, each[index])
            mask, several = search(segmenter, given, prompts, messages, threshold, keep, grow, refine_edge)
            if not several:
                text = f"No subject found in image {index + 1}: its mask is empty."
                messages.append(Message(text, warning=True))
            elif found is None:
                found = subject_box(mask)
            masks.append(mask)
            cutouts.append(cut_out(given[..., :3], mask))
            subjects += several
            progress.update(1)
        box = (found or Box(0, 0, 0, 0))._asdict()
        # A list without items would stop the graph.
        separate = [as_tensor([mask]) for mask in subjects or masks[:1]]
        return io.NodeOutput(as_tensor(masks), as_tensor(cutouts), box, separate, ui=show(cls, cutouts, messages))


def prompts_of(prompt: Prompt, boxes: np.ndarray) -> list[Prompt]:
    """A prompt for each box, [N,4], with the points in it; of one box, or none, with all points."""
    if len(boxes) < 2:
        return [dataclasses.replace(prompt, box=tuple(boxes[0]) if len(boxes) else None)]
    prompts = []
    for box in boxes:
        points = {}
        for name in ("positive", "negative"):
            all_points = getattr(prompt, name)
            points[name] = all_points[((all_points >= box[:2]) & (all_points < box[:2] + box[2:])).all(1)]
        prompts.append(dataclasses.replace(prompt, box=tuple(box), **points))
    return prompts


def search(
    segmenter: LoadedSegmenter,
    image: np.ndarray,
    prompts: list[Prompt],
    messages: list[Message],
    threshold: float,
    keep: str,
    pixels: int,
    edge: int,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The subject in an image [H,W,3 or 4], and a mask for each prompt or, of a single one, for each part kept."""
    colors, alpha = image[..., :3], None
    if image.shape[2] == 4 and image[..., 3].max() >= LEAST_ALPHA:
        # What is transparent shows nothing, whatever color it has.
        alpha = image[..., 3]
        colors = colors * alpha[..., None] + 0.5 * (1 - alpha[..., None])
    whole, found = np.zeros(image.shape[:2], np.float32), []
    for prompt in prompts:
        comfy.model_management.throw_exception_if_processing_interrupted()
        prompt = on_image(prompt, Size.of(image), messages)
        if prompt is None:
            continue
        # In 16 bits a network may overflow; what it cannot say is no subject.
        mask = np.nan_to_num(segmenter.find(colors, prompt), nan=0.0).clip(0, 1)
        mask = mask if alpha is None else np.minimum(mask, alpha)
        mask = refine(mask, colors, prompt, threshold, keep, pixels, edge)
        mask = mask if alpha is None else np.minimum(mask, alpha)
        if subject_box(mask) is not None:
            whole = np.maximum(whole, mask)
            # More parts than anyone wants, and those too faint to be told apart, are in the whole mask all the same.
            found += (parts_of(mask) or [mask]) if len(prompts) == 1 and keep == "all" else [mask]
    return whole, found


def refine(
    mask: np.ndarray, image: np.ndarray, prompt: Prompt, threshold: float, keep: str, pixels: int, edge: int
) -> np.ndarray:
    """From what a segmenter says to a mask worth pasting: near-opaque is opaque, no holes, no specks, a true edge."""
    if threshold > 0:
        mask = (mask >= threshold).astype(np.float32)
    mask = stabilize(mask, 0.05)
    if keep == "all":
        mask = drop_specks(mask, LEAST_SHARE * mask.size)
    else:
        mask = largest_component(mask) if keep == "largest" else prompted_parts(mask, prompt)
    mask = fill_holes(mask)
    if edge:
        heed = comfy.model_management.throw_exception_if_processing_interrupted
        mask = stabilize(refine_edge(image, mask, edge, between=heed))
        mask = (mask > 0.5).astype(np.float32) if threshold > 0 else mask
    return grow(mask, pixels) if pixels else mask
