"""The composites of PhDPasteBlend: what goes into each of them, and how it is made."""

from dataclasses import asdict, dataclass

import numpy as np
from comfy.utils import ProgressBar

from ..phd_ops.interrupt import bands, copy
from ..phd_ops.pixels.foreground import is_photo, shows_surround
from ..phd_ops.pixels.geometry import Placement, Size, joined_box, visible_share
from ..phd_ops.pixels.paste import Canvas, PasteOptions, SceneMasks, Subject, subject_box
from ..phd_ops.sentence import sentence
from .images import common_batch, each_image, in_range, item, named_sizes
from .paste_inputs import START
from .subject_places import SubjectPlaces
from .ui import Message, by_image

# The masks of an earlier paste, by the names of their inputs.
EARLIER = ("earlier_subjects", "earlier_inpaint")
# A keyframe that leaves the subject where the widgets of a new node have it.
STILL = f"0: x {START.x:g}"
# Below this coverage the mirrored part of the reference is visible.
COVERS_ALL = 0.995


@dataclass(frozen=True, eq=False)
class Job:
    """One composite to make.

    Attributes:
        scene: [H,W,3], of the given values, which may lie outside 0..1.
        earlier: the masks of an earlier paste, by the names of their inputs; both, one or none.
        subjects: what is pasted, the first one at the back, by its number in the batch.
        reference: the earlier paste's light reference, [H,W,3].
    """

    scene: np.ndarray
    earlier: dict[str, np.ndarray]
    subjects: dict[int, Subject]
    reference: np.ndarray | None = None


def make_jobs(of_scenes: dict, of_subjects: dict, paste_into_one: bool) -> list[Job]:
    """Pairs scenes with subjects: each scene with all of them, or item by item, where one item serves all."""
    exemplars, mattes = of_subjects["subject"], of_subjects["subject_mask"]
    scenes, frames = len(of_scenes["background"]), max(len(exemplars), len(mattes))
    if not paste_into_one and 1 not in (scenes, frames) and scenes != frames:
        found = named_sizes(of_scenes | of_subjects)
        raise ValueError(
            sentence(
                "Batch sizes must match or be 1; they are {found}. For clips of two lengths write keyframes, such as "
                "{example}.",
                found=found,
                example=STILL,
            )
        )
    if paste_into_one:
        numbers = range(common_batch(**of_subjects))
        pairs = [(scene, numbers) for scene in range(common_batch(**of_scenes))]
    else:
        pairs = [(number, [number]) for number in range(common_batch(**of_scenes, **of_subjects))]
    subjects = [as_subject(item(exemplars, n), item(mattes, n)) for n in range(max(len(exemplars), len(mattes)))]
    return [
        make_job(of_scenes, scene, {number: item(subjects, number) for number in numbers}) for scene, numbers in pairs
    ]


def make_job(of_scenes: dict, scene: int, subjects: dict[int, Subject]) -> Job:
    """The job of pasting subjects into the scene of that number."""
    own = {name: item(batch, scene) for name, batch in of_scenes.items()}
    earlier = {name: own[name] for name in EARLIER if name in own}
    return Job(own["background"], earlier, subjects, own.get("reference"))


def clip_jobs(of_scenes: dict, of_subjects: dict, frames: int) -> list[Job]:
    """A job for each frame of a clip. A shorter clip of the subject holds its last frame."""
    common_batch(**of_scenes)
    exemplars, mattes = of_subjects["subject"], of_subjects["subject_mask"]
    used = range(min(frames, max(len(exemplars), len(mattes))))
    # A few frames decide for all whether it is a cut-out and has a reference, so that neither flickers.
    few = [as_subject(item(exemplars, n), item(mattes, n)) for n in {used[0], used[len(used) // 2], used[-1]}]
    is_cutout, has_surround = any(one.is_cutout for one in few), all(one.has_surround for one in few)
    # A clip's subject keeps its place in its own frame while its outline changes.
    whole = joined_box([subject_box(item(mattes, n)) for n in used])
    subjects = [Subject(item(exemplars, n)[..., :3], item(mattes, n), is_cutout, has_surround, whole) for n in used]
    return [make_job(of_scenes, frame, {frame: subjects[min(frame, used[-1])]}) for frame in range(frames)]


def as_subject(exemplar: np.ndarray, matte: np.ndarray) -> Subject:
    """A subject of its exemplar [h,w,3 or 4]. With transparency it is a cut-out, which shows nothing around it, unless
    it is a photo all the same.
    """
    image, has_alpha = exemplar[..., :3], exemplar.shape[-1] == 4 and not exemplar[..., 3].min() > 0.99
    is_cutout = has_alpha and not is_photo(image, matte)
    # Load Image gives a cut-out's colors without its alpha.
    return Subject(image, matte, is_cutout, has_surround=not is_cutout and shows_surround(image, matte))


def blank_canvases(count: int, size: Size) -> tuple[list[Canvas], list[np.ndarray]]:
    """Canvases, and the arrays [B,H,W,...] that they are views of: composites, references, and the three masks.

    One array of each kind serves the whole batch: no image is copied to be stacked.
    """
    shape = count, size.height, size.width
    composites, references = (np.empty((*shape, 3), np.float32) for _ in range(2))
    mattes, inpaints, harmonizes = masks = [np.zeros(shape, np.float32) for _ in range(3)]
    canvases = [
        Canvas(composites[n], references[n], SceneMasks(mattes[n], inpaints[n], harmonizes[n])) for n in range(count)
    ]
    return canvases, [composites, references, *masks]


def paste_jobs(
    canvases: list[Canvas], jobs: list[Job], where: SubjectPlaces, options: PasteOptions, shadow: bool
) -> tuple[list[dict[int, Placement]], list[Message]]:
    """Makes every composite on its canvas; returns the placements in each, and messages."""
    made = list(
        each_image(
            lambda index: paste_image(canvases[index], jobs[index], where, options, shadow),
            len(jobs),
            ProgressBar(len(jobs)),
        )
    )
    return [placements for placements, _ in made], by_image([messages for _, messages in made])


def paste_image(
    canvas: Canvas, job: Job, where: SubjectPlaces, options: PasteOptions, shadow: bool
) -> tuple[dict[int, Placement], list[Message]]:
    """Makes one composite on its canvas; returns the placements of the subjects that are pasted, and messages."""
    scene = in_range(job.scene)
    copy(scene, canvas.composite)
    if job.earlier:
        earlier_subjects, earlier_inpaint = (job.earlier.get(name) for name in EARLIER)
        canvas.masks.start(earlier_subjects, earlier_inpaint, options.ring)
    # A subject whose mask is empty is not pasted, and does not share the surround of another one.
    alone = sum(subject.box is not None for subject in job.subjects.values()) == 1 and not canvas.masks.matte.any()
    placed, messages = placements_in(job, where, canvas.size)
    has_reference = seen = False
    is_clip = where.clip is not None and where.clip.frames > 1
    untouched = None if scene is job.scene else np.ones(job.scene.shape[:2], bool)
    for number, placement in placed.items():
        subject = job.subjects[number]
        pasted = canvas.paste(subject, placement, options, shadow)
        if untouched is not None:
            for rows in bands(*job.scene.shape[:2]):
                untouched[rows] &= pasted.matte[rows] == 0
        # A clip's frames would each have a message of their own.
        messages += [] if is_clip else [placed_at(placement)]
        assert subject.box is not None  # or it would not have been placed
        share = visible_share(placement, subject.box.size, canvas.size)
        is_seen = bool(pasted.matte.any())
        seen |= is_seen
        messages += hidden(shown_number(number, where), is_seen, share, where.least_visible(number))
        # Stitch compares what the model made of composite and reference: other colors would count as light.
        if alone and subject.has_surround and options.keeps_colors:
            has_reference = True
            covered = canvas.warp_reference(subject, placement)
            messages += [] if is_clip else mirrored(covered)
    if untouched is not None:
        restore(canvas.composite, job.scene, untouched)
    if not seen and job.reference is not None and where.clip is None:
        # Nothing was added to the earlier paste. (A clip has a reference in all frames or in none.)
        copy(job.reference, canvas.reference)
    elif not has_reference:
        copy(canvas.composite, canvas.reference)
        messages += [no_reference([job.subjects[number] for number in placed], alone)] if placed else []
    return placed, messages


def placements_in(job: Job, where: SubjectPlaces, scene: Size) -> tuple[dict[int, Placement], list[Message]]:
    """Where a job's subjects go, by their numbers; and messages about those that go nowhere."""
    placed, messages = {}, []
    for number, subject in job.subjects.items():
        if subject.box is None:
            text = sentence(
                "The mask of subject {number} is empty: the scene passes through unchanged.",
                number=shown_number(number, where),
            )
            messages.append(Message(text, warning=True))
            continue
        placement = where.place(number, subject.box.size, scene)
        if placement is None:
            messages.append(Message(sentence("Nothing is tracked here: the scene passes through unchanged.")))
        else:
            placed[number] = placement
    return placed, messages


def shown_number(number: int, where: SubjectPlaces) -> int:
    """A subject's number in messages. In a clip each frame has the same subject."""
    return 1 if where.clip else number + 1


def restore(composite: np.ndarray, scene: np.ndarray, untouched: np.ndarray) -> None:
    """Gives the pixels [H,W,3] that no paste touched, bool [H,W], their original values back, NaN included: blending
    needs 0..1."""
    for rows in bands(*untouched.shape[:2]):
        composite[rows][untouched[rows]] = scene[rows][untouched[rows]]


def placed_at(placement: Placement) -> Message:
    where = {name: f"{value:.3g}" for name, value in asdict(placement).items()}
    if placement.flip:
        return Message(sentence("Placed at x {x}, y {y}, with size {size} and rotation {rotation}°, flipped.", **where))
    return Message(sentence("Placed at x {x}, y {y}, with size {size} and rotation {rotation}°.", **where))


def no_reference(placed: list[Subject], alone: bool) -> Message:
    """About a composite without a light reference: with several subjects, or one `alone`."""
    if not alone:
        text = sentence(
            "With several subjects there is no light reference, so the light is estimated from the result alone."
        )
    elif any(subject.is_cutout for subject in placed):
        text = sentence(
            "A cut-out has no surroundings, so there is no light reference: the light is estimated from the result "
            "alone."
        )
    elif not all(subject.has_surround for subject in placed):
        text = sentence(
            "Around the subject there is nothing, or one plain color, as in a cut-out, so there is no light reference: "
            "the light is estimated from the result alone."
        )
    else:
        text = sentence(
            "color_match or a Poisson blend gives the subject other colors than the exemplar has, so there is no light "
            "reference: the light is estimated from the result alone."
        )
    return Message(text)


def hidden(number: int, seen: bool, share: float, wanted: float) -> list[Message]:
    """About a subject of which `share` of its box is in the scene, and `wanted` should be."""
    if not seen:
        small = sentence("Subject {number} is too small to be seen.", number=number)
        outside = sentence("Subject {number} is completely outside the scene.", number=number)
        return [Message(small if share > 0 else outside, warning=True)]
    if share < wanted - 1e-6:
        text = sentence(
            "Subject {number} is too large to show {wanted:.0%} of its box: {share:.0%} is shown.",
            number=number,
            wanted=wanted,
            share=share,
        )
        return [Message(text)]
    return []


def mirrored(covered: float) -> list[Message]:
    """About a reference of which the exemplar covers the share `covered`."""
    if covered >= COVERS_ALL:
        return []
    return [
        Message(
            sentence(
                "The exemplar covers {covered:.0%} of the light reference; its mirror image fills the rest.",
                covered=covered,
            )
        )
    ]


def placements_by_subject(jobs: list[Job], placed: list[dict[int, Placement]]) -> list[Placement | None]:
    """The placement of each subject of the batch; None where its mask is empty."""
    found = {}
    for job, placements in zip(jobs, placed, strict=True):
        found |= {number: placements.get(number) for number in job.subjects}
    return list(found.values())
