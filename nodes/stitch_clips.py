"""The clips among the images that PhDStitch is given: their frames are read one by one, and share what was read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import comfy.utils

from ..phd_ops.interrupt import each
from ..phd_ops.pixels.clip_light import Reading, flicker_of, read_frame, steady_readings, with_shared_reference
from ..phd_ops.pixels.register import Registration
from ..phd_ops.pixels.shots import LEAST_FRAMES, find_clips
from ..phd_ops.pixels.stitch import StitchOptions
from ..phd_ops.sentence import sentence
from .stitch_batch import Batch
from .ui import Message


@dataclass(frozen=True)
class Flicker:
    """How much the light of a shot flickers, see `steady_light.flicker`: as read from each frame, and as it is."""

    frames: range
    read: float
    steady: float


@dataclass(frozen=True)
class Clips:
    """What is known of the frames of clips, by their numbers: what was read of them, how their images lie, and how
    their shots flicker."""

    readings: dict[int, Reading] = field(default_factory=dict)
    registrations: dict[int, list[Registration]] = field(default_factory=dict)
    flickers: dict[int, Flicker] = field(default_factory=dict)

    def report(self, index: int) -> dict[str, Any]:
        """How an image's shot flickers, for its entry in Stitch's report; None where it is not a frame of a clip."""
        found = self.flickers.get(index)
        return {
            "flicker": None if found is None else round(found.steady, 5),
            "flicker_read": None if found is None else round(found.read, 5),
        }

    def messages(self, index: int) -> list[Message]:
        found = self.flickers.get(index)
        if found is None:
            return []
        text = sentence(
            "These are {frames} frames of a clip: their light is steadied over time. It flickers by {steady} (as read "
            "from each frame: {read}).",
            frames=len(found.frames),
            steady=f"{found.steady:.4f}",
            read=f"{found.read:.4f}",
        )
        return [Message(text)]


def read_clips(batch: Batch, options: StitchOptions) -> Clips:
    """Reads the frames of every shot of a clip. Other images are left out: each of them is read by itself."""
    clips = Clips()
    if batch.count < LEAST_FRAMES:
        return clips
    for shot in find_clips(each(batch.look, range(batch.count))):
        found = read_shot(batch, shot, options)
        read = [reading for reading, _ in found]
        clips.registrations.update((index, lay) for index, (_, lay) in zip(shot, found, strict=True))
        steady = steady_readings(with_shared_reference(read, options.strength))
        clips.readings.update(zip(shot, steady, strict=True))
        clips.flickers.update(dict.fromkeys(shot, Flicker(shot, flicker_of(read), flicker_of(steady))))
    return clips


def read_shot(batch: Batch, shot: Sequence[int], options: StitchOptions) -> list[tuple[Reading, list[Registration]]]:
    """What each frame of a shot tells, and how its images lie. How the color shift varies across the image is found in
    one frame for all."""
    progress, readings, orders = comfy.utils.ProgressBar(len(shot)), [], None

    def read(index: int) -> tuple[Reading, list[Registration]]:
        aligned, window, _ = batch.aligned(index)
        references, _ = batch.sampled_references(index, aligned)
        reading = read_frame(batch.hard_layers(index, window), aligned, references, options, orders)
        return reading, aligned.registrations

    while orders is None and len(readings) < len(shot):
        readings.append(read(shot[len(readings)]))
        progress.update(1)
        shift = readings[-1][0].shift
        orders = shift.orders if shift.pixels else None
    for reading in each(read, shot[len(readings) :]):
        readings.append(reading)
        progress.update(1)
    return readings
