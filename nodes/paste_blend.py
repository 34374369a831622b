"""PhDPasteBlend: a subject into a scene, and the masks of what may change around it."""

from dataclasses import asdict

import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.pixels.geometry import Box, Placement, Size, random_placement, visible_share
from ..phd_ops.pixels.masks import stabilize
from ..phd_ops.pixels.paste import BLENDS, SceneMasks, paste, subject_box, warp_exemplar
from .compat import newer
from .images import as_images, as_masks, common_batch, item
from .ui import Message, outlined, show, store_preview
from .validate import check_choice, check_numbers

EARLIER = ("earlier_subjects", "earlier_inpaint")
# In a list of placements, the line of a subject that has none.
NOT_PLACED = "-"


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
                io.Image.Input("subject", tooltip="The exemplar image, or a cut-out with alpha (RGBA)."),
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
                    tooltip="Subject's center as a fraction of the scene's width; may lie outside the scene.",
                ),
                io.Float.Input(
                    "y",
                    default=0.6,
                    min=-4.0,
                    max=5.0,
                    step=0.005,
                    round=False,
                    tooltip="Subject's center as a fraction of the scene's height; may lie outside the scene.",
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
                    tooltip="Degrees, counterclockwise.",
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
                    tooltip="Width in scene pixels of the band around the subject that is inpainted and harmonized.",
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
                io.Combo.Input(
                    "blend",
                    optional=True,
                    options=list(BLENDS),
                    default="alpha",
                    tooltip=(
                        "Alpha keeps the subject's colors. Multi-band fades coarse colors over a seam of the "
                        "feather's width; Poisson gives the subject the scene's colors at its edge: both are for "
                        "subjects cut with some of a like surround."
                    ),
                    **rare,
                ),
                io.Float.Input(
                    "light_match",
                    optional=True,
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Moves the subject's color statistics towards the scene's around it; 0 leaves them alone.",
                    **rare,
                ),
                io.Float.Input(
                    "visible",
                    optional=True,
                    default=0.75,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="Share of the subject's box that random placement keeps inside the scene, at least.",
                    **rare,
                ),
                io.Boolean.Input(
                    "paste_into_one",
                    optional=True,
                    default=False,
                    tooltip=(
                        "Pastes a batch of subjects (or placements) into the same image, the first at the back; "
                        "otherwise each gets an image of its own."
                    ),
                    **rare,
                ),
                io.Mask.Input(
                    "subject_mask",
                    optional=True,
                    tooltip="1 = subject, in the subject image's frame. Not needed when the subject has alpha.",
                ),
                io.Mask.Input(
                    "earlier_subjects",
                    optional=True,
                    tooltip="1 = subjects pasted before, in the scene's frame (subject_matte of the node before).",
                ),
                io.Mask.Input(
                    "earlier_inpaint",
                    optional=True,
                    tooltip="1 = what the node before wants inpainted (its inpaint_mask). It stays so.",
                ),
                io.String.Input(
                    "placements",
                    optional=True,
                    force_input=True,
                    tooltip=(
                        "Placements as placement_used gives them, one line for each subject; x, y, size, rotation and "
                        "flip are taken from here then."
                    ),
                ),
            ],
            outputs=[
                io.Image.Output(display_name="composite", tooltip="The scene with the subject in it."),
                io.Image.Output(
                    display_name="reference",
                    tooltip="The light reference: the exemplar in its own light, moved as the subject is.",
                ),
                io.Mask.Output(
                    display_name="subject_matte", tooltip="1 = subject, as composited, in the scene's frame."
                ),
                io.Mask.Output(display_name="inpaint_mask", tooltip="1 = the ring to inpaint around the subject."),
                io.Mask.Output(
                    display_name="harmonize_mask", tooltip="1 = what harmonizing may change: subject and ring."
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
        blend="alpha",
        light_match=0.0,
        visible=0.75,
        paste_into_one=False,
        subject_mask=None,
        earlier_subjects=None,
        earlier_inpaint=None,
        placements=None,
    ) -> io.NodeOutput:
        check_choice("placement", placement, ["manual", "random"])
        check_choice("blend", blend, list(BLENDS))
        check_numbers(feather=feather, size_min=size_min, size_max=size_max, light_match=light_match, visible=visible)
        scenes = as_images(background, "background")[..., :3]
        exemplars = as_images(subject, "subject")
        mattes, messages = subject_mattes(exemplars, subject_mask)
        lines = placement_lines(placements)
        of_scene = {"background": scenes}
        for name, mask in zip(EARLIER, (earlier_subjects, earlier_inpaint), strict=True):
            if mask is not None:
                of_scene[name], resized = as_masks(mask, scenes, name)
                messages += resized
        of_subject = {"subject": exemplars, "subject_mask": mattes, "placements": lines}
        if paste_into_one:
            subjects = range(common_batch(**of_subject))
            images = [(index, subjects) for index in range(common_batch(**of_scene))]
        else:
            images = [(index, [index]) for index in range(common_batch(**of_scene, **of_subject))]

        def place(index: int, box: Box, scene: Size) -> Placement:
            if item(lines, index) != NOT_PLACED:
                try:
                    return Placement.from_text(item(lines, index))
                except ValueError as error:
                    raise ValueError(f"placements, line {index + 1}: {error}") from None
            if placement == "manual":
                return Placement(x, y, size, rotation, flip)
            return random_placement(
                seed + index, Size(box.width, box.height), scene, (size_min, size_max), rotation, flip, visible
            )

        shape = (len(images), *scenes.shape[1:3])
        # One of each for the whole batch: no image is copied to be stacked.
        composites, references = (np.empty((*shape, 3), np.float32) for _ in range(2))
        taken, inpaints, harmonizes = (np.zeros(shape, np.float32) for _ in range(3))
        used, previews, seen = {}, [], []
        for number, (scene_index, subject_indices) in enumerate(images):
            composite, masks = composites[number], SceneMasks(taken[number], inpaints[number], harmonizes[number])
            composite[...] = item(scenes, scene_index)
            if any(name in of_scene for name in EARLIER):
                masks.start(
                    *(item(of_scene[name], scene_index) if name in of_scene else None for name in EARLIER), ring
                )
            alone, has_reference = len(subject_indices) == 1 and not masks.matte.any(), False
            for index in subject_indices:
                exemplar, own = item(exemplars, index), item(mattes, index)
                surround = has_surround(exemplar)
                box = subject_box(own)
                if box is None:
                    text = f"The mask of subject {index + 1} is empty: the scene passes through unchanged."
                    messages.append(Message(text, warning=True))
                    used[index] = NOT_PLACED
                    continue
                where = place(index, box, Size.of(composite))
                used[index] = where.to_text()
                messages.append(Message(where.to_text()))
                seen = seen or [on_canvas(cls, composite, exemplar, own, box, where)]
                pasted = paste(
                    composite,
                    exemplar[..., :3],
                    own,
                    where,
                    feather,
                    blend,
                    light_match,
                    ring,
                    not surround,
                    out=composite,
                )
                drawn = placement == "random" and item(lines, index) == NOT_PLACED
                share = visible_share(where, box.size, Size.of(composite))
                messages += hidden(index, bool(pasted.matte.any()), share, visible if drawn else 0.0)
                masks.add(pasted, ring, shadow)
                if alone and surround:
                    has_reference = True
                    _, covered = warp_exemplar(
                        exemplar[..., :3], own, where, Size.of(composite), out=references[number]
                    )
                    if covered < 0.995:
                        text = f"The exemplar covers {covered:.0%} of the reference; the rest is its mirror image."
                        messages.append(Message(text))
            if not has_reference:
                references[number] = composite
                if any(line != NOT_PLACED for line in used.values()):
                    why = "A cut-out has" if alone else "Several subjects share"
                    text = f"{why} no surround, so there is no reference: the composite stands in for it."
                    messages.append(Message(text))
            previews.append(outlined(composite, masks.matte, masks.harmonize))
        arrays = (torch.from_numpy(array) for array in (composites, references, taken, inpaints, harmonizes))
        return io.NodeOutput(
            *arrays, "\n".join(used.values()), ui=show(cls, previews, messages) | {"phd_placement": seen}
        )


def on_canvas(
    cls: type[io.ComfyNode], scene: np.ndarray, exemplar: np.ndarray, matte: np.ndarray, box: Box, where: Placement
) -> dict:
    """What the placement editor in the browser shows: the scene ahead of a paste, the subject, and where it went."""
    subject = np.dstack([exemplar[box.slices][..., :3], matte[box.slices]])
    return {
        "scene": store_preview(cls, scene),
        "scene_size": list(Size.of(scene)),
        "subject": store_preview(cls, subject),
        "subject_size": list(box.size),
        "placement": asdict(where),
    }


def subject_mattes(exemplars: np.ndarray, mask: torch.Tensor | None) -> tuple[np.ndarray, list[Message]]:
    """The subjects' mattes [B,h,w]: mask or alpha, or the lesser of both, as what is transparent has no color."""
    alphas = exemplars[..., 3] if exemplars.shape[-1] == 4 else None
    if mask is None and alphas is None:
        raise ValueError("subject has no alpha and no subject_mask is connected: connect one, 1 = subject.")
    mattes, messages = (alphas, []) if mask is None else as_masks(mask, exemplars, "subject_mask")
    if mask is not None and alphas is not None:
        common_batch(subject=exemplars, subject_mask=mattes)
        mattes = np.minimum(mattes, alphas)
    for index, matte in enumerate(mattes):
        if 0 < matte.max() < 0.5:
            text = f"The mask of subject {index + 1} is {matte.max():.2f} at most: it is pasted that faintly."
            messages.append(Message(text))
    return np.stack([stabilize(matte) for matte in mattes]), messages


def placement_lines(text: str | None) -> list[str]:
    """One line for each subject; a single NOT_PLACED where nothing was given."""
    return [line.strip() or NOT_PLACED for line in (text or "").strip().splitlines()] or [NOT_PLACED]


def hidden(index: int, seen: bool, share: float, wanted: float) -> list[Message]:
    """What to say of a subject of which `share` of its box is in the scene, and `wanted` should be."""
    if not seen:
        why = "is too small to be seen" if share > 0 else "lies wholly outside the scene"
        return [Message(f"Subject {index + 1} {why}.", warning=True)]
    if share < wanted - 1e-6:
        return [Message(f"Subject {index + 1} is too large for {wanted:.0%} of its box: {share:.0%} is shown.")]
    return []


def has_surround(exemplar: np.ndarray) -> bool:
    """Whether an exemplar shows what was around its subject: a cut-out does not."""
    return exemplar.shape[-1] == 3 or bool(exemplar[..., 3].min() > 0.99)
