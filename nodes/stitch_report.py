"""What PhDStitch reports of a finished image: how the light changed, and whether the subject stayed itself."""

from typing import Any

import cv2
import numpy as np

from ..phd_ops.interrupt import bands, waiting
from ..phd_ops.pixels.color import threefold
from ..phd_ops.pixels.finish import MODEL, Finished
from ..phd_ops.pixels.geometry import bounding_box
from ..phd_ops.pixels.masks import above
from ..phd_ops.pixels.register import UNLIKE
from ..phd_ops.pixels.stitch import Stitched
from ..phd_ops.pixels.vae_color_shift import ColorShift
from ..phd_ops.sentence import sentence
from .registration_report import NOT_NEEDED
from .ui import Message

# A color shift by less, in 8-bit levels, changes no pixel of an 8-bit image.
LEAST_LEVELS = 0.5
# Where colors still differ by more once it is removed, it was more than a color shift.
MOST_LEFT = 3.0
# An edit model keeps more of a subject's fine structure, if it keeps the subject.
REPLACED = 0.2


def report_of(stitched: Stitched, matte: np.ndarray) -> dict[str, Any]:
    """One image's entry in the node's report, for callers over the API."""
    light, box = stitched.light, bounding_box(matte)
    pixels_seen = 0 if box is None else int(np.count_nonzero(above(matte[box.slices], 0.5)))
    gain = [1.0] * 3 if light is None or box is None else mean_gain(light.gain[box.slices], matte[box.slices])
    # Without a subject, identity is undefined.
    identity = stitched.identity if box is not None else None
    sampled = identity if light is None else light.identity
    return {
        "gain": [round(value, 3) for value in gain],
        "light_by": "none" if light is None else light.by,
        "eased": None if light is None or light.eased is None else [round(value, 3) for value in light.eased],
        "identity": None if identity is None else round(identity, 3),
        "identity_of_sampled": None if sampled is None else round(sampled, 3),
        "neglected": box is not None if light is None else light.neglected,
        "suppressed": light is not None and light.suppressed,
        "color_shift_pixels": stitched.shift.pixels,
        "color_shift_left": round(255 * stitched.shift.left, 2),
        "subject_pixels": pixels_seen,
        "visible": pixels_seen > 0,
        "empty": box is None,
    }


def mean_gain(gain: np.ndarray, matte: np.ndarray) -> list[float]:
    """The mean of each channel of a gain [H,W,3], weighted by a subject's matte [H,W]; not empty."""
    total = np.zeros(3)
    for rows in bands(*matte.shape):
        total += cv2.sumElems(gain[rows] * threefold(matte[rows]))[:3]
    return list(total / waiting(np.sum, matte, dtype=np.float64))


def messages_of(done: Finished, matte: np.ndarray, report: dict[str, Any], color_fix: float) -> list[Message]:
    """Light and identity of one finished image, as messages on the node."""
    stitched, unlike = done.stitched, report.get("registration") == UNLIKE
    if stitched.light is not None:
        messages = light_messages(report)
    elif unlike:
        # Registration says what was used of it, and why.
        return []
    elif matte.any():
        messages = [Message(sentence("The model did not change the composite, so it is returned as it is."))]
    elif stitched.used.any() and done.changed.any():
        messages = [Message(sentence("No subject: the masked area shows the model's own pixels."))]
    elif stitched.used.any():
        messages = [Message(sentence("The model changed nothing in the masked area, or too little to be seen."))]
    else:
        text = sentence("The subject's mask is empty: the background passes through unchanged.")
        messages = [Message(text, warning=True)]
    return messages + shift_messages(stitched.shift, color_fix)


def shift_messages(shift: ColorShift, color_fix: float) -> list[Message]:
    """What was removed of a color shift, by a strength in 0..1; nothing where that cannot be seen."""
    left = 255 * shift.left
    if left > MOST_LEFT and color_fix > 0:
        text = sentence(
            "The model changed the colors of the whole scene, and not by a color shift that can be removed: where "
            "nothing should change they still differ by {levels} levels. Its light and colors may not fit the scene: "
            "ask in the prompt that the scene keep its colors. If it became gray or sepia, luma_only takes only the "
            "brightness of a subject's light.",
            levels=f"{left:.0f}",
        )
        return [Message(text, warning=True)]
    messages = []
    if shift.saturation != 1 and color_fix > 0:
        factor = f"×{1 + color_fix * (shift.saturation - 1):.2f}"
        text = sentence("The model changed the saturation of the whole scene, and {factor} undoes it.", factor=factor)
        messages = [Message(text)]
    levels = 255 * color_fix * shift.largest
    if levels < LEAST_LEVELS:
        return messages
    if shift.field is not None:
        text = sentence(
            "Color shift removed: up to {levels} levels, more in some places than in others. Measured on {pixels} "
            "pixels that should not change.",
            levels=f"{levels:.1f}",
            pixels=shift.pixels,
        )
        return [*messages, Message(text)]
    text = sentence(
        "Color shift removed: {gain}; {offset} levels (red, green, blue). Measured on {pixels} pixels that should "
        "not change.",
        gain=", ".join(f"×{1 + color_fix * (value - 1):.3f}" for value in shift.gain),
        # Adding 0 makes a 0 of a -0, which would be shown with its sign.
        offset=", ".join(f"{round(255 * color_fix * float(value), 1) + 0:+.1f}" for value in shift.offset),
        pixels=shift.pixels,
    )
    return [*messages, Message(text)]


def light_messages(report: dict[str, Any]) -> list[Message]:
    """How the light moved, and whether the subject stayed itself: as far as its own pixels are shown."""
    from_model = report.get("subject_from") == MODEL
    messages = [] if from_model else relight_messages(report)
    # In another pose there is nothing to compare, which Registration says.
    if not from_model or report["subject_fits"]:
        text = sentence(
            "Identity, how far the subject kept its own fine detail (1 = all of it): {own:.2f}; in the sampled image "
            "{sampled:.2f}.",
            own=report["identity"],
            sampled=report["identity_of_sampled"],
        )
        messages.append(Message(text))
    by_image = report.get("registration", NOT_NEEDED) != NOT_NEEDED
    if report["neglected"]:
        messages.append(neglected_message(by_image=by_image))
    if by_image and is_replaced(report):
        text = sentence(
            "The model seems to have painted something else in the subject's place, so its light may be wrong: ask in "
            "the prompt that the subject stay as it is."
        )
        messages.append(Message(text, warning=True))
    if report["suppressed"]:
        text = sentence(
            "The model seems to have painted the subject away: name it in the prompt or, where the sampler has "
            "denoise, lower it."
        )
        messages.append(Message(text, warning=True))
    return messages


def is_replaced(report: dict[str, Any]) -> bool:
    """Whether an image shows something else in the subject's place: not another pose of it, or what was behind it."""
    unlike = report["identity_of_sampled"] < REPLACED
    return unlike and report["subject_fits"] and not report["suppressed"] and report["subject_from"] != MODEL


def relight_messages(report: dict[str, Any]) -> list[Message]:
    """The light that the subject's own pixels were given."""
    red, green, blue = (f"{value:.2f}" for value in report["gain"])
    text = sentence(
        "Light on the subject: red ×{red}, green ×{green}, blue ×{blue}, estimated from {source}.",
        red=red,
        green=green,
        blue=blue,
        source=report["light_by"],
    )
    messages = [Message(text)]
    estimated, applied = (f"×{value:.2f}" for value in report["eased"] or (1, 1))
    if estimated != applied:
        text = sentence(
            "The light was estimated to change by up to {estimated} and is eased there to {applied}.",
            estimated=estimated,
            applied=applied,
        )
        messages.append(Message(text))
    return messages


def neglected_message(*, by_image: bool) -> Message:
    """by_image: the model's image was connected, and an edit model has neither denoise nor inner steps."""
    if by_image:
        return Message(
            sentence(
                "The model left the subject as it was: ask in the prompt that its light match the scene's or, where "
                "the sampler has denoise, raise it."
            )
        )
    return Message(
        sentence(
            "The model left the subject as it was: raise denoise or inner steps, or check that the mask covers it."
        )
    )
