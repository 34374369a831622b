"""PhDMask: cleans a mask, moves its edge by exact pixels, and softens it."""

import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.pixels.masks import MaskEdit, edited
from ..phd_ops.pixels.paste import subject_box
from ..phd_ops.sentence import sentence
from .checked import checked
from .images import named_mask, stacked
from .ui import HAS_UI, Message, by_image, outlined, show


class PhDMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDMask",
            display_name="Edit Mask",
            category="PhD",
            description=(
                "Inverts, cleans, grows and feathers a mask, in this order from top to bottom. "
                "Edges move by exact distances in pixels."
            ),
            inputs=[
                io.Mask.Input("mask", tooltip="Any mask; 1 = the named thing."),
                io.Boolean.Input("invert", default=False, tooltip="Swaps 0 and 1, before everything else."),
                io.Int.Input(
                    "remove_specks",
                    default=0,
                    min=0,
                    max=1_000_000,
                    tooltip="Removes connected parts with fewer pixels than this.",
                ),
                io.Boolean.Input(
                    "fill_holes", default=False, tooltip="Fills holes that the mask encloses, of any size."
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-2048,
                    max=2048,
                    tooltip="Moves the edge outward by this many pixels, inward if negative. The edge becomes hard.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=512.0,
                    step=0.5,
                    tooltip="Sigma in pixels of the Gaussian that softens the edge. Not along the image's border.",
                ),
            ],
            outputs=[io.Mask.Output(display_name="mask", tooltip="The edited mask, of the same size.")],
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(
        cls,
        mask: torch.Tensor,
        invert: bool = False,
        remove_specks: int = 0,
        fill_holes: bool = False,
        grow: int = 0,
        feather: float = 0.0,
    ) -> io.NodeOutput:
        edit = MaskEdit(invert, remove_specks, fill_holes, grow, feather)
        masks = [edited(each, edit) for each in named_mask(mask, "mask").numpy()]
        ui = show(map(outlined, masks), messages_of(masks))
        return io.NodeOutput(stacked(masks), ui=ui)


def messages_of(masks: list[np.ndarray]) -> list[Message]:
    """How much of the image is covered, and which masks are empty. All of a faint mask counts, as when it is pasted."""
    shares = [(np.count_nonzero(mask > 0.5) or np.count_nonzero(mask)) / mask.size for mask in masks]
    box = subject_box(masks[0])
    if len(masks) > 1:
        text = sentence(
            "The masks cover {least:.1%} to {most:.1%} of their images.", least=min(shares), most=max(shares)
        )
        covered = [Message(text)]
    elif box is not None:
        text = sentence(
            "The mask covers {share:.1%} of the image, in a box of {width}×{height} at ({x}, {y}).",
            share=shares[0],
            **box._asdict(),
        )
        covered = [Message(text)]
    else:
        covered = []
    empty = Message(sentence("The mask is empty."), warning=True)
    return covered + by_image([[] if share else [empty] for share in shares])
