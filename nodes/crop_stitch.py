"""PhDCrop and PhDStitch: the window that the model works in, and the way back into the untouched picture."""

import cv2
import numpy as np
from comfy_api.latest import io

from ..phd_ops import light
from ..phd_ops.geometry import Box, CropWindow, Size, bounding_box, crop_window
from ..phd_ops.masks import ramp_inside, resize_mask
from .compat import newer
from .pictures import as_masks, as_pictures, as_tensor, common_batch, item, outlined, shown

Crop = io.Custom("PHD_CROP")


def pixels(size: Size) -> str:
    return f"{size.width}×{size.height} pixels"


def resize_picture(picture: np.ndarray, size: Size) -> np.ndarray:
    """In float; antialiased when it shrinks, cubic when it grows, a copy when neither."""
    if Size.of(picture) == size:
        return picture
    shrinks = size.width * size.height < picture.shape[0] * picture.shape[1]
    return np.clip(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), 0, 1)


class PhDCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDCrop",
            display_name="Crop Around Subject",
            category="PhD",
            description="Cuts the window that the model works in. It slides inside the picture and never pads.",
            inputs=[
                io.Image.Input("composite", tooltip="The scene with the subject in it, from Paste & Blend."),
                io.Mask.Input("inpaint_mask", tooltip="1 = the ring to inpaint, from Paste & Blend."),
                io.Mask.Input(
                    "harmonize_mask", tooltip="1 = what may change, from Paste & Blend. The window is around it."
                ),
                io.Int.Input(
                    "side",
                    default=512,
                    min=64,
                    max=4096,
                    step=8,
                    tooltip="The model's picture size: 512 for SD 1.5, 1024 for SDXL and Flux, 256 for the demo model.",
                ),
                io.Float.Input(
                    "context",
                    default=1.6,
                    min=1.0,
                    max=8.0,
                    step=0.05,
                    tooltip="The window's side over the longer side of what may change: how much scene the model sees.",
                ),
                io.Image.Input(
                    "control", optional=True, tooltip="The control from Paste & Blend, cut by the same window."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="composite", tooltip="The window of the composite, at the model's size."),
                io.Mask.Output(display_name="inpaint_mask", tooltip="1 = the ring to inpaint, in the window."),
                io.Mask.Output(display_name="harmonize_mask", tooltip="1 = what may change, in the window."),
                Crop.Output(display_name="crop", tooltip="Where the window lies; goes into Stitch."),
                io.Image.Output(
                    display_name="control", tooltip="The window of the control (of the composite without one)."
                ),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["crop and stitch", "inpaint crop"]),
        )

    @classmethod
    def execute(cls, composite, inpaint_mask, harmonize_mask, side=512, context=1.6, control=None) -> io.NodeOutput:
        composites = as_pictures(composite, "composite")[..., :3]
        inpaints = as_masks(inpaint_mask, composites, "inpaint_mask")
        harmonizes = as_masks(harmonize_mask, composites, "harmonize_mask")
        controls = composites if control is None else as_pictures(control, "control")[..., :3]
        if controls.shape[1:] != composites.shape[1:]:
            raise ValueError(
                f"control is {pixels(Size.of(controls[0]))}, but composite is {pixels(Size.of(composites[0]))}: "
                "connect both from the same Paste & Blend."
            )
        count = common_batch(composite=composites, inpaint_mask=inpaints, harmonize_mask=harmonizes, control=controls)
        scene = Size.of(composites[0])
        # One window for the whole batch, around all of it, so that the crops stack.
        subject = bounding_box(harmonizes.max(axis=0)) or Box(0, 0, *scene)
        window = crop_window(subject, scene, side, context)

        def cut(batch: np.ndarray, resize) -> list[np.ndarray]:
            return [resize(item(batch, index)[window.box.slices]) for index in range(count)]

        pictures = cut(composites, lambda part: resize_picture(part, window.target))
        masks = cut(harmonizes, lambda part: resize_mask(part, *window.target))
        told = [
            f"Window {window.box.width}×{window.box.height} at ({window.box.x}, {window.box.y}), "
            f"worked on at {window.target.width}×{window.target.height}."
        ]
        if not harmonizes.any():
            told.append("The harmonize_mask is empty: the window is the whole picture.")
        return io.NodeOutput(
            as_tensor(pictures),
            as_tensor(cut(inpaints, lambda part: resize_mask(part, *window.target))),
            as_tensor(masks),
            window,
            as_tensor(cut(controls, lambda part: resize_picture(part, window.target))),
            ui=shown(cls, [outlined(*pair) for pair in zip(pictures, masks, strict=True)], *told),
        )


class PhDStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDStitch",
            display_name="Stitch",
            category="PhD",
            description=(
                "Puts the harmonised picture back. The subject keeps its own detail under the model's light; "
                "every pixel outside the returned mask is the background's, bit for bit."
            ),
            inputs=[
                io.Image.Input("background", tooltip="The scene before anything was pasted."),
                io.Image.Input("composite", tooltip="The whole composite from Paste & Blend."),
                io.Image.Input("sampled", tooltip="What VAE Decode made of the harmonised latent."),
                io.Mask.Input("subject_mask", tooltip="1 = subject, the matte from Paste & Blend."),
                io.Mask.Input("harmonize_mask", tooltip="1 = what may change, from Paste & Blend."),
                io.Float.Input(
                    "detail",
                    default=0.9,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0: the model's own pixels on the subject. 1: the subject's texture under the new light.",
                ),
                io.Float.Input(
                    "keep_surround",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "0: the model's own pixels around the subject. 1: the background's, darker where the model "
                        "painted a shadow; for weak models, or when nothing there needs inpainting."
                    ),
                ),
                io.Int.Input(
                    "blend",
                    default=12,
                    min=0,
                    max=256,
                    tooltip="Width in pixels over which the new surround fades into the background, inside the mask.",
                ),
                io.Boolean.Input(
                    "luma_only",
                    default=False,
                    tooltip="Takes brightness from the model but not colour.",
                    **newer(io.Boolean.Input, advanced=True),
                ),
                Crop.Input(
                    "crop", optional=True, tooltip="From Crop Around Subject, if the sampled picture is its window."
                ),
                io.Image.Input(
                    "sampled_control",
                    optional=True,
                    tooltip="The decoded control, if one was harmonised: light is then the two results' difference.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The finished picture, at the background's size."),
                io.Mask.Output(display_name="mask", tooltip="The composite mask used: 0 = the background's own pixel."),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["uncrop", "relight", "detail transfer"]),
        )

    @classmethod
    def execute(
        cls,
        background,
        composite,
        sampled,
        subject_mask,
        harmonize_mask,
        detail=0.9,
        keep_surround=0.0,
        blend=12,
        luma_only=False,
        crop: CropWindow | None = None,
        sampled_control=None,
    ) -> io.NodeOutput:
        scenes = as_pictures(background, "background")[..., :3]
        composites = as_pictures(composite, "composite")[..., :3]
        samples = as_pictures(sampled, "sampled")[..., :3]
        mattes = as_masks(subject_mask, scenes, "subject_mask")
        changes = as_masks(harmonize_mask, scenes, "harmonize_mask")
        batches = {"background": scenes, "composite": composites, "sampled": samples, "subject_mask": mattes}
        batches["harmonize_mask"] = changes
        if sampled_control is not None:
            batches["sampled_control"] = as_pictures(sampled_control, "sampled_control")[..., :3]
        size = Size.of(scenes[0])
        if Size.of(composites[0]) != size:
            told = f"composite is {pixels(Size.of(composites[0]))}, but background is {pixels(size)}"
            raise ValueError(f"{told}: connect the composite that was made from this background.")
        if crop is not None and crop.scene != size:
            told = f"crop was cut from a picture of {pixels(crop.scene)}, but background is {pixels(size)}"
            raise ValueError(f"{told}: connect the crop that was cut from this background's composite.")
        window = crop.box if crop is not None else Box(0, 0, *size)
        pictures, masks, messages = [], [], []
        for index in range(common_batch(**batches)):
            scene = item(scenes, index)
            part, pasted, matte, change = (
                item(batch, index)[window.slices] for batch in (scenes, composites, mattes, changes)
            )
            harmonised = item(samples, index)
            # Light is smooth: it is read at the model's own size, whatever the picture's.
            worked = Size.of(harmonised)
            control = item(batches["sampled_control"], index) if sampled_control is not None else None
            given, worked_matte = resize_picture(pasted, worked), resize_mask(matte, *worked)
            before = given if control is None else resize_picture(control, worked)
            gain = light.relight_gain(harmonised, before, worked_matte, luma_only)
            gain = cv2.resize(gain, Size.of(part), interpolation=cv2.INTER_LINEAR)
            shadow = 1.0
            if keep_surround > 0:
                shadow = light.shadow_gain(harmonised, given, worked_matte)
                shadow = cv2.resize(shadow, Size.of(part), interpolation=cv2.INTER_LINEAR)[..., None]
            stitched, used = light.stitch(
                part,
                pasted,
                resize_picture(harmonised, Size.of(part)),
                matte,
                ramp_inside(change, blend),
                detail,
                gain,
                keep_surround,
                shadow,
            )
            picture, mask = scene.copy(), np.zeros(scene.shape[:2], np.float32)
            picture[window.slices], mask[window.slices] = stitched, used
            pictures.append(picture)
            masks.append(mask)
            if matte.any():
                red, green, blue = np.average(gain.reshape(-1, 3), axis=0, weights=matte.ravel())
                messages.append(f"Light on the subject: red ×{red:.2f}, green ×{green:.2f}, blue ×{blue:.2f}.")
            elif used.any():
                messages.append("The subject's mask is empty: only its surround is taken from the sampled picture.")
            else:
                messages.append("The subject's mask is empty: the background passes through unchanged.")
        return io.NodeOutput(as_tensor(pictures), as_tensor(masks), ui=shown(cls, pictures, *messages))
