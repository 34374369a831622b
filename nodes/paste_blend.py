"""PhDPasteBlend: a subject into a scene, and the masks of what may change around it."""

import numpy as np
from comfy_api.latest import io

from ..phd_ops.geometry import Placement, Size, random_placement
from ..phd_ops.masks import ring as ring_around
from ..phd_ops.paste import paste, shadow_ellipse, subject_box
from .compat import check_choice, newer
from .pictures import as_masks, as_pictures, as_tensor, common_batch, item, outlined, shown


class PhDPasteBlend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        rare = newer(io.Float.Input, advanced=True)
        return io.Schema(
            node_id="PhDPasteBlend",
            display_name="Paste & Blend",
            category="PhD",
            description="Pastes a subject into a scene at a chosen or random place, with a softened boundary.",
            inputs=[
                io.Image.Input("background", tooltip="The scene that the subject goes into."),
                io.Image.Input("subject", tooltip="The exemplar picture, or a cut-out with alpha (RGBA)."),
                io.Combo.Input(
                    "placement",
                    options=["manual", "random"],
                    default="manual",
                    tooltip="Manual uses x, y and size; random draws them from the seed and reports what it drew.",
                ),
                io.Float.Input(
                    "x",
                    default=0.5,
                    min=-4.0,
                    max=5.0,
                    step=0.005,
                    round=False,
                    tooltip="Subject's centre as a fraction of the scene's width; may lie outside the scene.",
                ),
                io.Float.Input(
                    "y",
                    default=0.6,
                    min=-4.0,
                    max=5.0,
                    step=0.005,
                    round=False,
                    tooltip="Subject's centre as a fraction of the scene's height; may lie outside the scene.",
                ),
                io.Float.Input(
                    "size",
                    default=0.6,
                    min=0.01,
                    max=8.0,
                    step=0.01,
                    round=False,
                    tooltip="Subject's longer side as a fraction of the scene's shorter side.",
                ),
                io.Float.Input(
                    "rotation",
                    default=0.0,
                    min=-360.0,
                    max=360.0,
                    step=0.5,
                    round=False,
                    tooltip="Degrees, anti-clockwise.",
                ),
                io.Boolean.Input("flip", default=False, tooltip="Mirrors the subject left to right."),
                io.Float.Input(
                    "feather",
                    default=1.5,
                    min=0.0,
                    max=64.0,
                    step=0.5,
                    tooltip="Sigma of the Gaussian that softens the subject's boundary, in scene pixels.",
                ),
                io.Int.Input(
                    "ring",
                    default=24,
                    min=0,
                    max=512,
                    tooltip="Width in scene pixels of the band around the subject that is inpainted and harmonised.",
                ),
                io.Boolean.Input(
                    "shadow",
                    default=False,
                    tooltip="Adds an ellipse on the ground to the inpaint mask, as room for a contact shadow.",
                    **rare,
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Seed of the random placement; item i of a batch uses seed + i.",
                    **rare,
                ),
                io.Float.Input(
                    "size_min",
                    default=0.4,
                    min=0.01,
                    max=8.0,
                    step=0.01,
                    tooltip="Smallest size that random placement draws.",
                    **rare,
                ),
                io.Float.Input(
                    "size_max",
                    default=0.8,
                    min=0.01,
                    max=8.0,
                    step=0.01,
                    tooltip="Largest size that random placement draws.",
                    **rare,
                ),
                io.Mask.Input(
                    "subject_mask",
                    optional=True,
                    tooltip="1 = subject, in the subject picture's frame. Not needed when the subject has alpha.",
                ),
                io.Mask.Input(
                    "earlier_subjects",
                    optional=True,
                    tooltip="1 = subjects pasted before, in the scene's frame (subject_mask of the node before).",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="composite", tooltip="The scene with the subject in it."),
                io.Image.Output(
                    display_name="control",
                    tooltip="The exemplar moved so that its subject lies on the composite's: a control for its light.",
                ),
                io.Mask.Output(
                    display_name="subject_matte", tooltip="1 = subject, as composited, in the scene's frame."
                ),
                io.Mask.Output(display_name="inpaint_mask", tooltip="1 = the ring to inpaint around the subject."),
                io.Mask.Output(
                    display_name="harmonize_mask", tooltip="1 = what harmonising may change: subject and ring."
                ),
                io.String.Output(
                    display_name="placement_used", tooltip="The placement as JSON, also when it was random."
                ),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["composite", "collage", "insert object"]),
        )

    @classmethod
    def execute(
        cls,
        background,
        subject,
        placement="manual",
        x=0.5,
        y=0.6,
        size=0.6,
        rotation=0.0,
        flip=False,
        feather=1.5,
        ring=24,
        shadow=False,
        seed=0,
        size_min=0.4,
        size_max=0.8,
        subject_mask=None,
        earlier_subjects=None,
    ) -> io.NodeOutput:
        check_choice("placement", placement, ["manual", "random"])
        scenes = as_pictures(background, "background")[..., :3]
        exemplars = as_pictures(subject, "subject")
        if subject_mask is not None:
            mattes = as_masks(subject_mask, exemplars, "subject_mask")
        elif exemplars.shape[-1] == 4:
            mattes = exemplars[..., 3]
        else:
            raise ValueError("subject has no alpha and no subject_mask is connected: connect one, 1 = subject.")
        batches = {"background": scenes, "subject": exemplars, "subject_mask": mattes}
        earlier = None
        if earlier_subjects is not None:
            earlier = batches["earlier_subjects"] = as_masks(earlier_subjects, scenes, "earlier_subjects")
        columns, previews, messages = [], [], []
        for index in range(common_batch(**batches)):
            scene, exemplar, matte = (item(batch, index) for batch in (scenes, exemplars, mattes))
            box = subject_box(matte)
            if box is None:
                messages.append(f"The mask of subject {index + 1} is empty: the scene passes through unchanged.")
                empty = np.zeros(scene.shape[:2], np.float32)
                subjects = empty if earlier is None else item(earlier, index)
                columns.append((scene, scene, subjects, empty, empty, ""))
                previews.append(scene)
                continue
            where = Placement(x, y, size, rotation, flip)
            if placement == "random":
                sizes = Size(box.width, box.height), Size.of(scene)
                where = random_placement(seed + index, *sizes, (size_min, size_max), rotation, flip)
            pasted = paste(scene, exemplar[..., :3], matte, where, feather)
            if not pasted.matte.any():
                messages.append(f"Subject {index + 1} lies wholly outside the scene.")
            support = (pasted.matte > 0).astype(np.float32)
            inpaint = ring_around(support, ring)
            if shadow:
                inpaint = np.maximum(inpaint, shadow_ellipse(pasted.matte)) * (1 - support)
            subjects = pasted.matte if earlier is None else np.maximum(pasted.matte, item(earlier, index))
            harmonize = np.maximum(support, inpaint)
            columns.append((pasted.composite, pasted.control, subjects, inpaint, harmonize, where.to_text()))
            previews.append(outlined(pasted.composite, pasted.matte, harmonize))
        *pictures, placements = zip(*columns, strict=True)
        return io.NodeOutput(
            *(as_tensor(list(column)) for column in pictures),
            "\n".join(placements),
            ui=shown(cls, previews, *messages, *(text for text in placements if text)),
        )
