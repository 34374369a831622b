"""What PhDStitch says of an image that did not lie where the composite lies, and of what the model changed."""

import math
from collections.abc import Sequence
from typing import Any

from ..phd_ops.pixels.finish import MODEL, Finished
from ..phd_ops.pixels.register import COVERED, MATCHED, PLAIN, UNLIKE, Registration
from .ui import Message

# Motions below this, in pixels, are not worth a sentence.
LEAST_MOVED = 0.05


def registration_report(done: Finished, registrations: Sequence[Registration]) -> dict[str, Any]:
    """Its part of an image's entry in the node's report; of several seeds, the first one's registration."""
    report: dict[str, Any] = {
        "registration": "not needed",
        "motion": "none",
        "moved_pixels": 0.0,
        "residual_pixels": None,
        "changed_share": round(float(done.changed.mean()), 4),
        "subject_fits": done.pose.fits,
        "subject_from": done.subject_from,
    }
    for found in registrations[:1]:
        residual = None if math.isnan(found.residual) else round(found.residual, 2)
        report["registration"] = found.status
        report["motion"] = found.motion if found.motion != "none" or found.is_plain_resize else found.how
        report |= {"moved_pixels": round(found.moved, 2), "residual_pixels": residual}
    return report


def registration_messages(done: Finished, registrations: Sequence[Registration]) -> list[Message]:
    """The same as messages on the node; nothing where the image lay as it should."""
    light, seeds = done.stitched.light, registrations
    if light is None:
        # Without a subject, or where the model changed nothing, it does not matter that nothing could be told.
        seeds = [found for found in seeds if found.status not in (PLAIN, COVERED)]
    messages = [message_of(found) for found in seeds]
    told = [message for message in dict.fromkeys(messages) if message is not None]
    if not done.pose.fits:
        text = "The model gave the subject another pose or place, so its own pixels no longer fit what is around it: "
        chosen = (
            "the model's are used, as subject_pixels says."
            if done.subject_from == MODEL
            else ("set subject_pixels to model or auto, or run the model again.")
        )
        told.append(Message(text + chosen, warning=done.subject_from != MODEL))
    return told


def message_of(found: Registration) -> Message | None:
    """About one image."""
    if found.status == UNLIKE:
        text = (
            "sampled shows another image than the composite: nothing of it was used. Connect the image that was made "
        )
        return Message(f"{text}from this composite.", warning=True)
    if found.status == COVERED:
        return Message("The mask covers everything, so nothing tells whether sampled moved: it is used as it lies.")
    if found.status == PLAIN:
        return Message("Too little texture outside the mask to tell whether sampled moved: it is used as it lies.")
    assert found.status == MATCHED
    if found.is_plain_resize:
        return None
    what = f"sampled came back {found.how}" if found.motion == "none" else f"sampled had moved ({found.motion})"
    far = f" by up to {found.moved:.1f} pixels" if found.moved > LEAST_MOVED else ""
    return Message(f"{what}{far}: it was moved back, to {found.residual:.2f} pixels.")
