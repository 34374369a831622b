"""The inputs and outputs of PhDPasteBlend, by group. Their order is that of the node's widgets in saved workflows."""

from comfy_api.latest import io

from ..phd_ops.latents.seeds import SEEDS
from ..phd_ops.pixels.geometry import Placement
from ..phd_ops.pixels.keyframes import EXAMPLE
from ..phd_ops.pixels.paste import BLENDS
from .prompt_inputs import BoundingBox

Paste = io.Custom("PHD_PASTE")
PLACEMENTS = ("manual", "random")
# Where the widgets of a new node place a subject.
START = Placement(x=0.5, y=0.6, size=0.6)


def paste_inputs() -> list[io.Input]:
    return [
        io.Image.Input("subject", tooltip="The exemplar image, or a cut-out with alpha (RGBA)."),
        *placement_inputs(),
        *edge_inputs(),
        *random_inputs(),
        *advanced_inputs(),
        *optional_sockets(),
    ]


def placement_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "placement",
            options=list(PLACEMENTS),
            default="manual",
            tooltip="Manual uses x, y and size; random draws them from the seed and reports what it drew.",
        ),
        io.Float.Input(
            "x",
            default=START.x,
            min=-4.0,
            max=5.0,
            step=0.005,
            round=False,
            tooltip="Subject's center as a fraction of the scene's width; may be outside the scene.",
        ),
        io.Float.Input(
            "y",
            default=START.y,
            min=-4.0,
            max=5.0,
            step=0.005,
            round=False,
            tooltip="Subject's center as a fraction of the scene's height; may be outside the scene.",
        ),
        io.Float.Input(
            "size",
            default=START.size,
            min=0.01,
            max=8.0,
            step=0.01,
            round=False,
            tooltip="Subject's longer side as a fraction of the scene's shorter side.",
        ),
        io.Float.Input(
            "rotation",
            default=START.rotation,
            min=-360.0,
            max=360.0,
            step=0.5,
            round=False,
            tooltip="Degrees, counterclockwise.",
        ),
        io.Boolean.Input("flip", default=START.flip, tooltip="Mirrors the subject left to right."),
    ]


def edge_inputs() -> list[io.Input]:
    return [
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
            tooltip="Adds an ellipse on the ground to the inpaint mask: room for a contact shadow.",
        ),
    ]


def random_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=SEEDS - 1,
            control_after_generate=True,
            tooltip="Seed of the random placement; item i of a batch uses seed + i.",
        ),
        io.Float.Input(
            "size_min",
            default=0.4,
            min=0.01,
            max=8.0,
            step=0.01,
            tooltip="Smallest size that random placement draws.",
        ),
        io.Float.Input(
            "size_max",
            default=0.8,
            min=0.01,
            max=8.0,
            step=0.01,
            tooltip="Largest size that random placement draws.",
        ),
    ]


def advanced_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "blend",
            optional=True,
            options=list(BLENDS),
            default="alpha",
            tooltip=(
                "Alpha keeps the subject's colors. Multi-band blends coarse structure over a wide seam and fine "
                "structure over a narrow one. Poisson takes the scene's colors at the subject's edge. Use the last "
                "two when the cut-out includes a margin of similar background."
            ),
        ),
        io.Float.Input(
            "color_match",
            optional=True,
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="Moves the subject's color statistics toward those of the scene around it; 0 leaves them alone.",
        ),
        io.Float.Input(
            "min_visible",
            optional=True,
            default=0.75,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="Smallest share of the subject's box that random placement keeps inside the scene.",
        ),
        io.Boolean.Input(
            "paste_into_one",
            optional=True,
            default=False,
            tooltip=(
                "Pastes a batch of subjects (or placements) into the same image, the first one at the back. "
                "Otherwise each gets an image of its own."
            ),
        ),
        keyframes_input(),
    ]


def keyframes_input() -> io.Input:
    return io.String.Input(
        "keyframes",
        optional=True,
        default="",
        multiline=True,
        tooltip=(
            "For a clip, one keyframe per line: a frame (the first is 0), and any of x, y, size, rotation, flip, "
            f"ease, as in {EXAMPLE}. The subject moves smoothly in between."
        ),
    )


def optional_sockets() -> list[io.Input]:
    """Their order is such that a bypassed node hands on the scene, or the paste, that it was given."""
    return [
        io.Image.Input(
            "background",
            optional=True,
            tooltip="The scene that the subject is pasted into. Not needed with paste.",
        ),
        Paste.Input(
            "paste",
            optional=True,
            tooltip="From an earlier Paste & Blend, instead of background: one more subject goes into its scene.",
        ),
        io.Mask.Input(
            "earlier_subjects",
            optional=True,
            tooltip="Without paste: 1 = subjects already in the background.",
        ),
        io.Mask.Input(
            "earlier_inpaint",
            optional=True,
            tooltip="Without paste: 1 = still to be inpainted, from an earlier paste. It is kept.",
        ),
        io.Mask.Input(
            "subject_mask",
            optional=True,
            tooltip="1 = subject, at the subject image's size. Not needed when the subject has alpha.",
        ),
        io.String.Input(
            "placements",
            optional=True,
            force_input=True,
            tooltip=(
                "One placement per line for each subject, as placements_used gives them. They replace x, y, size, "
                "rotation and flip."
            ),
        ),
        io.MultiType.Input(
            "track",
            types=[io.Mask, BoundingBox],
            optional=True,
            tooltip=(
                "A box or mask (1 = tracked) for each frame of a clip, from any node: the subject gets its smoothed "
                "place and size. Keyframes can replace single values."
            ),
            extra_dict={"forceInput": True},
        ),
    ]


def paste_outputs() -> list[io.Output]:
    """Their order is such that a bypassed node hands on what it was given in their places."""
    return [
        Paste.Output(
            display_name="paste",
            tooltip="The composite with all that belongs to it, for Crop Around Subject, Stitch, or one more paste.",
        ),
        io.Image.Output(display_name="composite", tooltip="The scene with the subject in it."),
        io.String.Output(display_name="placements_used", tooltip="The placement as JSON, also when it was random."),
        io.Mask.Output(display_name="subject_matte", tooltip="1 = subject, as composited, at the scene's size."),
        io.Mask.Output(display_name="inpaint_mask", tooltip="1 = the ring to inpaint around the subject."),
        io.Image.Output(
            display_name="reference",
            tooltip="The light reference: the exemplar in its own light, moved as the subject is.",
        ),
        io.Mask.Output(display_name="harmonize_mask", tooltip="1 = what harmonizing may change: subject and ring."),
    ]
