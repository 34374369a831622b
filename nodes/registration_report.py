"""What PhDStitch says of an image that did not lie where the composite lies, and of what the model changed."""

import math
from collections.abc import Sequence
from typing import Any

from ..phd_ops.pixels.finish import MODEL, Finished
from ..phd_ops.pixels.register import COVERED, PLAIN, SUBJECT_ONLY, UNLIKE, Registration
from ..phd_ops.sentence import sentence
from .ui import Message

# Motions below this, in pixels, are not worth a sentence.
LEAST_MOVED = 0.1
# The status where no image was connected, but a latent of the pack's own samplers.
NOT_NEEDED = "not needed"


def registration_report(done: Finished, registrations: Sequence[Registration]) -> dict[str, Any]:
    """How an image lay, for its entry in Stitch's report; of several seeds, the first one that is used."""
    report: dict[str, Any] = {
        "registration": NOT_NEEDED,
        "motion": "none",
        "moved_pixels": 0.0,
        "residual_pixels": None,
        "changed_share": round(float(done.changed.mean()), 4),
        "subject_fits": done.subject_fits,
        "subject_from": done.subject_from,
    }
    for found in sorted(registrations, key=lambda one: one.status == UNLIKE)[:1]:
        residual = None if math.isnan(found.residual) else round(found.residual, 2)
        report["registration"] = found.status
        report["motion"] = found.motion if found.motion != "none" or found.is_plain_resize else found.how
        report |= {"moved_pixels": round(found.moved, 2), "residual_pixels": residual}
    return report


def registration_messages(done: Finished, registrations: Sequence[Registration], *, subject: bool) -> list[Message]:
    """How an image lay, as messages on the node; nothing where it lay as it should.

    subject: whether there is one.
    """
    seeds = list(registrations)
    if done.stitched.light is None:
        # Without a subject, or where the model changed nothing, it does not matter where it lay.
        seeds = [found for found in seeds if found.status not in (PLAIN, COVERED)]
    found = (unlike_message(subject=subject) if one.status == UNLIKE else message_of(one) for one in seeds)
    messages = [message for message in dict.fromkeys(found) if message is not None]
    if not done.subject_fits:
        messages.append(pose_message(done.subject_from))
    return messages


def pose_message(subject_from: str) -> Message:
    if subject_from == MODEL:
        return Message(
            sentence(
                "The model gave the subject another pose or place: its pixels are the model's, since its own no longer "
                "fit."
            )
        )
    return Message(
        sentence(
            "The model gave the subject another pose or place, so its own pixels no longer fit: set subject_pixels to "
            "auto, or run the model again."
        ),
        warning=True,
    )


def unlike_message(*, subject: bool) -> Message:
    if subject:
        text = sentence(
            "sampled shows another image than the composite, so nothing of it was used: connect what was made of this "
            "composite."
        )
    else:
        text = sentence(
            "sampled shows another image around the mask, and the masked area shows it as it lies: connect what was "
            "made of this image."
        )
    return Message(text, warning=True)


def message_of(found: Registration) -> Message | None:
    """About one image that shows what the model was given."""
    if found.status == SUBJECT_ONLY:
        text = sentence("sampled shows the subject in other surroundings: only its light is used.")
        return Message(text)
    if found.status == COVERED:
        text = sentence("The mask covers everything, so nothing shows whether sampled moved: it is used as it is.")
        return Message(text)
    if found.status == PLAIN:
        text = sentence("Too little texture outside the mask to tell whether sampled moved: it is used as it is.")
        return Message(text)
    if found.is_plain_resize or (found.motion != "none" and found.moved < LEAST_MOVED):
        return None
    if found.motion == "none":
        text = sentence("sampled came back in another shape ({how}) and was put back in place.", how=found.how)
        return Message(text)
    return Message(
        sentence(
            "sampled had moved by up to {moved} pixels ({motion}) and was moved back, to {residual} pixels.",
            moved=f"{found.moved:.1f}",
            motion=found.motion,
            residual=f"{found.residual:.2f}",
        )
    )
