"""How much the light on a subject flickers, read from each frame by itself and made steady; and what a cut costs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.common.table import Section
from benchmarks.video.clips import Frame, frames_of
from phd_batch.clip_parts import Join, parts
from phd_ops.pixels.align import Aligned
from phd_ops.pixels.clip_light import Reading, read_frame, steady_readings, with_shared_reference
from phd_ops.pixels.finish import finish
from phd_ops.pixels.geometry import Box, Size, bounding_box
from phd_ops.pixels.layers import Layers
from phd_ops.pixels.shots import Look, find_clips
from phd_ops.pixels.stitch import PLAIN_STITCH, fades_in_window

EDGE_FADE = 12
# By how many stops a lamp raises the light, and for how many frames before and after that its error is measured.
LAMP, NEAR = 0.8, 4
# How frames are finished, as figures and rows name it.
WAYS = {"alone": "each frame by itself", "steady": "steady", "parts": "in parts"}


@dataclass(frozen=True)
class Lit:
    """A clip's light on the subject's box, in the scene's own frame: logarithms of gains [T,h,w,3].

    Attributes:
        given: as the frames were finished; true: as it is.
        inside: bool [h,w], the subject's pixels.
        image_error: mean squared error of the finished frames on the subject (sRGB).
        outside_equal: whether every pixel outside the masks used has the background's bits.
    """

    given: np.ndarray
    true: np.ndarray
    inside: np.ndarray
    image_error: float
    outside_equal: bool

    @property
    def flicker(self) -> float:
        """Mean absolute second difference over the subject's pixels and channels."""
        return float(np.abs(np.diff(self.given[:, self.inside], 2, axis=0)).mean())

    @property
    def largest_step(self) -> float:
        """The largest change of the mean over the subject from one frame to the next, natural logs."""
        return float(np.abs(np.diff(self.given[:, self.inside].mean(axis=1), axis=0)).max())

    @property
    def error(self) -> float:
        """Mean absolute error over the subject's pixels and channels, natural logs."""
        return float(np.abs((self.given - self.true)[:, self.inside]).mean())


def layers_of(frame: Frame) -> Layers:
    window = Box(0, 0, *Size.of(frame.truth))
    fades = fades_in_window(frame.change, window, EDGE_FADE)
    return Layers(frame.background, frame.composite, frame.matte, frame.change, *fades)


def readings_of(frames: Sequence[Frame], references: Mapping[int, np.ndarray] | None = None) -> list[Reading]:
    """What the frames tell, shared over each shot as Stitch shares it.

    references: what the model made of the light references of some frames, by their numbers.
    """
    given = {number: [reference] for number, reference in (references or {}).items()}
    read = [
        read_frame(layers_of(frame), aligned(frame), given.get(number), PLAIN_STITCH)
        for number, frame in enumerate(frames)
    ]
    for shot in find_clips(looks_of(frames)):
        own = with_shared_reference(read[shot.start : shot.stop])
        read[shot.start : shot.stop] = steady_readings(own)
    return read


def looks_of(frames: Sequence[Frame]) -> list[Look]:
    return [Look.of(frame.background, frame.composite, frame.matte) for frame in frames]


def aligned(frame: Frame) -> Aligned:
    return Aligned([frame.sampled], None, [])


def lit(frames: Sequence[Frame], readings: Sequence[Reading | None]) -> Lit:
    """The frames finished with what was read of them; None: each by itself."""
    box = bounding_box(frames[0].matte > 0.99)
    assert box is not None  # every scene has a subject
    x, y = frames[0].at
    given, true, errors, equal = [], [], [], True
    for frame, reading in zip(frames, readings, strict=True):
        done = finish(layers_of(frame), aligned(frame), reading=reading).stitched
        assert done.light is not None
        own = box.moved(x - frame.at[0], y - frame.at[1]).slices
        given.append(np.log(done.light.gain[own]))
        true.append(frame.log_ratio[own])
        inside = frame.matte > 0.99
        errors.append(float(np.square(done.image - frame.truth)[inside].mean()))
        equal &= np.array_equal(done.image[done.used == 0], frame.background[done.used == 0])
    inside = frames[0].matte[box.slices] > 0.99
    return Lit(np.stack(given), np.stack(true), inside, float(np.mean(errors)), equal)


def lit_in_parts(frames: Sequence[Frame], chunk: int) -> Lit:
    """The frames finished in parts, which fade into each other, as `dev.py batch` does with a video."""
    join, gains, true, found = Join(chunk), [], [], []
    for part in parts(frames, chunk, lambda *_: True):
        found.append(lit(part.frames, readings_of(part.frames)))
        gains += join.add(np.exp(found[-1].given), part.shared)
        true.append(found[-1].true[part.shared :])
    gains = np.log(np.stack([*gains, *join.end()]))
    error, equal = mean(one.image_error for one in found), all(one.outside_equal for one in found)
    return Lit(gains, np.concatenate(true), found[0].inside, error, equal)


def measure_parts(clips: int, frames: int, side: int, chunk: int) -> Section:
    """How much light flickers where a clip is run in parts, and the most that it changes from one frame to the next."""
    section = Section(f"{clips} clips of {frames} frames in parts of {chunk}")
    found = {"alone": [], "steady": [], "parts": []}
    for seed in range(clips):
        own = list(frames_of(seed, frames, side))
        found["alone"].append(lit(own, [None] * frames))
        found["steady"].append(lit(own, readings_of(own)))
        found["parts"].append(lit_in_parts(own, chunk))
    for way, clips_of in found.items():
        flicker, step = mean(one.flicker for one in clips_of), mean(one.largest_step for one in clips_of)
        section.row(WAYS[way], f"flicker {flicker:.4f}   largest step {step:.4f}")
        section.figures |= {f"parts_flicker_{way}": flicker, f"parts_step_{way}": step}
    figures = section.figures
    figures["parts_flicker_ratio"] = figures["parts_flicker_parts"] / figures["parts_flicker_alone"]
    figures["parts_outside_equal"] = all(one.outside_equal for one in found["parts"])
    return section


def measure_flicker(clips: int, frames: int, side: int) -> Section:
    section = Section(f"Light on the subject of {clips} RelitScenes clips, {frames} frames of {side}²")
    found, figures = {"alone": [], "steady": []}, section.figures
    for seed in range(clips):
        own = list(frames_of(seed, frames, side))
        found["alone"].append(lit(own, [None] * frames))
        found["steady"].append(lit(own, readings_of(own)))
    for way, clips_of in found.items():
        flicker, error, image = (
            mean(values) for values in zip(*((o.flicker, o.error, o.image_error) for o in clips_of), strict=True)
        )
        section.row(WAYS[way], f"flicker {flicker:.4f}   error of log gain {error:.4f}   squared error {image:.2e}")
        figures |= {f"flicker_{way}": flicker, f"light_error_{way}": error, f"image_error_{way}": image}
    for name in ("flicker", "light_error", "image_error"):
        figures[f"{name}_ratio"] = figures[f"{name}_steady"] / figures[f"{name}_alone"]
    figures["outside_equal"] = all(one.outside_equal for clips_of in found.values() for one in clips_of)
    return section


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def measure_lamp(clips: int, frames: int, side: int) -> Section:
    """The error near the frame at which a lamp is turned on, of frames by themselves, and steady."""
    section = Section(
        f"A lamp of {LAMP} stops turned on in the middle: error of the log gain in {2 * NEAR} frames there"
    )
    near, errors = slice(frames // 2 - NEAR, frames // 2 + NEAR), {"alone": [], "steady": []}
    for seed in range(clips):
        own = list(frames_of(seed, frames, side, lamp=LAMP))
        for found, readings in zip(errors.values(), ([None] * frames, readings_of(own)), strict=True):
            found.append(lit(own[near], readings[near]).error)
    for way, found in errors.items():
        section.figures[f"lamp_error_{way}"] = mean(found)
        section.row(WAYS[way], f"{mean(found):.4f}")
    section.figures["lamp_error_ratio"] = section.figures["lamp_error_steady"] / section.figures["lamp_error_alone"]
    return section


def measure_cut(frames: int, side: int) -> Section:
    """How many frames have another light where two clips follow one another."""
    section = Section(f"A cut between two clips of {frames} frames")
    one, other = (list(frames_of(seed, frames, side)) for seed in (0, 1))
    alone = [*readings_of(one), *readings_of(other)]
    pairs = zip(alone, readings_of([*one, *other]), strict=True)
    section.figures["cut_frames"] = sum(not np.array_equal(own.lattice, joined.lattice) for own, joined in pairs)
    section.row("frames whose light differs from that of the clip alone", f"{section.figures['cut_frames']}")
    return section
