"""The inputs of PhDCrop, by group. Their order is that of the node's widgets in saved workflows."""

from comfy_api.latest import io

from ..phd_ops.pixels.crop_window import AREA, SIZE_MODES
from ..phd_ops.pixels.resample import AUTO, RESAMPLERS
from .paste_inputs import Paste

LEAST_SIDE = 64


def window_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "side",
            default=0,
            min=0,
            max=4096,
            step=8,
            tooltip=(
                "Working size in pixels: 512 for SD 1.5, 1024 for SDXL and Flux, 256 for the demo model. 0: the "
                "connected model's own size."
            ),
        ),
        io.Float.Input(
            "context",
            default=1.6,
            min=1.0,
            max=8.0,
            step=0.05,
            tooltip=(
                "How much of the surroundings the window shows: 1.6 = 1.6 times the longer side of the masked area."
            ),
        ),
        io.Int.Input(
            "multiple",
            optional=True,
            default=8,
            min=1,
            max=128,
            tooltip="Rounds the working size to a multiple of this. A connected model may ask for a larger one.",
        ),
        *size_inputs(),
        *extension_inputs(),
        io.Boolean.Input(
            "window_per_frame",
            optional=True,
            default=False,
            tooltip=(
                "For clips: each frame gets its own window, all of one size, that follows the masked area. Off: one "
                "window around the masked areas of all frames."
            ),
        ),
    ]


def size_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "size_mode",
            optional=True,
            options=list(SIZE_MODES),
            default=AREA,
            tooltip=(
                "Which size the model gets. Area: side × side pixels in the window's own shape. Exact: width × "
                "height; the window takes that shape. Longest side: side. No resize: the image's own pixels."
            ),
        ),
        *(
            io.Int.Input(
                name,
                optional=True,
                default=1024,
                min=LEAST_SIDE,
                max=8192,
                step=8,
                tooltip=f"The {name} in pixels that the model gets, with size_mode exact.",
            )
            for name in ("width", "height")
        ),
        io.Combo.Input(
            "resampler",
            optional=True,
            options=list(RESAMPLERS),
            default=AUTO,
            tooltip=(
                "How the window is resized, here and back in Stitch. Auto: area averaging to shrink, bicubic to "
                "enlarge. Lanczos is sharper, bilinear softer. Nearest is for pixel art."
            ),
        ),
    ]


def extension_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            f"extend_{side}",
            optional=True,
            default=0,
            min=0,
            max=8192,
            tooltip=f"Outpainting: pixels added {where} the scene. They are part of the mask.",
        )
        for side, where in (
            ("left", "to the left of"), ("top", "above"), ("right", "to the right of"), ("bottom", "below")
        )
    ]  # fmt: skip


def scene_inputs() -> list[io.Input]:
    """Their order is that of the outputs, so that a bypassed node hands each of them on in its place."""
    return [
        Paste.Input("paste", optional=True, tooltip="From Paste & Blend. Without it, connect the next inputs."),
        io.Image.Input("composite", optional=True, tooltip="Instead of the paste's: the scene with the subject in it."),
        io.Mask.Input("inpaint_mask", optional=True, tooltip="Instead of the paste's: 1 = the ring to inpaint."),
        io.Mask.Input(
            "harmonize_mask",
            optional=True,
            tooltip="Instead of the paste's: 1 = what may change. The window is centered on it.",
        ),
        io.Image.Input(
            "reference",
            optional=True,
            tooltip="Instead of the paste's: the light reference, cut by the same window.",
        ),
        io.Mask.Input("subject_matte", optional=True, tooltip="Instead of the paste's: 1 = subject."),
    ]


def model_inputs() -> list[io.Input]:
    return [
        io.Model.Input(
            "model",
            optional=True,
            tooltip="The model that will sample the window. Its image size and latent grid are used.",
        ),
        io.Vae.Input("vae", optional=True, tooltip="Encodes the window: the output latent needs it."),
    ]


def plain_inputs() -> list[io.Input]:
    """Of inpainting without a subject. They stand last: a bypassed node then still hands on the others in their places,
    and these where there are no others."""
    return [
        io.Image.Input(
            "image", optional=True, tooltip="Without a paste: any image to inpaint. Stitch then needs only the crop."
        ),
        io.Mask.Input("mask", optional=True, tooltip="With image: 1 = what may change. The window goes around it."),
        io.Mask.Input("context_mask", optional=True, tooltip="1 = what else the window must show."),
    ]
