"""PhDPasteBlend: pastes subjects into scenes, and gives the masks of what may change around them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from comfy.utils import ProgressBar
from comfy_api.latest import io

from ..phd_ops.interrupt import bands, by_bands, copy
from ..phd_ops.pixels.foreground import is_photo, shows_surround
from ..phd_ops.pixels.geometry import Placement, Size, joined_box, random_placement, visible_share
from ..phd_ops.pixels.masks import looks_inverted, stabilize
from ..phd_ops.pixels.paste import BLENDS, Canvas, PasteOptions, SceneMasks, Subject, subject_box
from ..phd_ops.pixels.pasted_scenes import PastedScenes
from ..phd_ops.sentence import sentence
from .checked import checked
from .clip_placement import ClipPlacement, moves, read_clip
from .images import as_given, as_images, as_masks, as_tensor, common_batch, each_image, in_range, item
from .paste_inputs import PLACEMENTS, paste_inputs, paste_outputs
from .ui import HAS_UI, Message, by_image, listening_page, outlined, preview, show, store_preview
from .validate import check_choice, check_socket

EARLIER = ("earlier_subjects", "earlier_inpaint")
# In a list of placements, the line of a subject that has none.
NOT_PLACED = "-"
# So many frames of a clip the placement editor shows.
MOST_SHOWN = 16
# Below this coverage the mirrored part of the reference is visible.
COVERS_ALL = 0.995


@dataclass(frozen=True)
class RandomPlacement:
    """What random placement draws from; see the tooltips."""

    seed: int
    size_range: tuple[float, float]
    visible: float


@dataclass(frozen=True)
class PlacementWidgets:
    """Where each subject goes, by the widgets and the list of placements; see the tooltips.

    Attributes:
        drawn: random placement; None if placement is manual.
        lines: one for each subject, or one for all; NOT_PLACED where the widgets decide.
        clip: the places in the frames of a clip, which then decide alone.
    """

    x: float
    y: float
    size: float
    rotation: float
    flip: bool
    drawn: RandomPlacement | None
    lines: list[str]
    clip: ClipPlacement | None = None

    def place(self, number: int, subject: Size, scene: Size) -> Placement | None:
        """The placement of subject `number` of the batch, whose box has the size `subject`; None for nowhere."""
        if self.clip is not None:
            return self.clip.place(number, subject, scene)
        line = item(self.lines, number)
        if line != NOT_PLACED:
            try:
                return Placement.from_text(line)
            except ValueError as error:
                raise ValueError(
                    sentence("placements, line {number}: {error}", number=number + 1, error=error)
                ) from None
        if self.drawn is None:
            return Placement(self.x, self.y, self.size, self.rotation, self.flip)
        seed, sizes, visible = self.drawn.seed + number, self.drawn.size_range, self.drawn.visible
        return random_placement(seed, subject, scene, sizes, self.rotation, self.flip, visible)

    def least_visible(self, number: int) -> float:
        """The share of its box that subject `number` should show: random placement promises one."""
        return self.drawn.visible if self.drawn and item(self.lines, number) == NOT_PLACED else 0.0


class PhDPasteBlend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDPasteBlend",
            display_name="Paste & Blend",
            category="PhD",
            description="Pastes a subject into a scene at a chosen or random place, with a softened boundary.",
            inputs=paste_inputs(),
            outputs=paste_outputs(),
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(  # noqa: PLR0913
        cls,
        subject: torch.Tensor,
        placement: str = "manual",
        x: float = 0.5,
        y: float = 0.6,
        size: float = 0.6,
        rotation: float = 0.0,
        flip: bool = False,
        feather: float = 1.5,
        ring: int = 24,
        shadow: bool = False,
        seed: int = 0,
        size_min: float = 0.4,
        size_max: float = 0.8,
        blend: str = "alpha",
        color_match: float = 0.0,
        min_visible: float = 0.75,
        paste_into_one: bool = False,
        keyframes: str = "",
        background: torch.Tensor | None = None,
        paste: PastedScenes | None = None,
        earlier_subjects: torch.Tensor | None = None,
        earlier_inpaint: torch.Tensor | None = None,
        subject_mask: torch.Tensor | None = None,
        placements: str | None = None,
        track: Any = None,
    ) -> io.NodeOutput:
        check_choice("placement", placement, PLACEMENTS)
        check_choice("blend", blend, BLENDS)
        lines = placement_lines(placements)
        earlier = {"earlier_subjects": earlier_subjects, "earlier_inpaint": earlier_inpaint}
        if paste is not None:
            background, earlier = chained(paste, background, earlier)
        of_scenes, messages = read_scenes(background, earlier)
        if paste is not None:
            of_scenes["reference"] = paste.reference.numpy()
        of_subjects, notes = read_subjects(subject, subject_mask, lines)
        start = Placement(x, y, size, rotation, flip)
        clip, of_clip = read_clip(keyframes, track, of_scenes | of_subjects, start)
        if clip is not None:
            check_clip(placement, paste_into_one, placements)
        jobs = (
            clip_jobs(of_scenes, of_subjects, clip.frames)
            if clip
            else make_jobs(of_scenes, of_subjects, paste_into_one)
        )
        drawn = RandomPlacement(seed, (size_min, size_max), min_visible) if placement == "random" else None
        where = PlacementWidgets(x, y, size, rotation, flip, drawn, lines, clip)
        canvases, batch = blank_canvases(len(jobs), Size.of(jobs[0].scene))
        placed, found = paste_jobs(canvases, jobs, where, PasteOptions(feather, blend, color_match, ring), shadow)
        messages = notes + messages + of_clip + (moves(placements_by_subject(jobs, placed)) if clip else []) + found
        ui = show(map(canvas_preview, canvases), messages) | placement_ui(jobs, placed)
        composite, reference, matte, inpaint, harmonize = map(torch.from_numpy, batch)
        first = torch.from_numpy(of_scenes["background"]) if paste is None else paste.background
        used = placements_used(jobs, placed)
        pasted = PastedScenes(first, composite, reference, matte, inpaint, harmonize)
        return io.NodeOutput(pasted, composite, used, matte, inpaint, reference, harmonize, ui=ui)


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


def chained(
    paste: PastedScenes, background: torch.Tensor | None, earlier: dict[str, torch.Tensor | None]
) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    """The scene and the masks, by the names of their inputs, of an earlier paste that one more subject goes into."""
    check_socket("paste", paste, PastedScenes, sentence("the paste of an earlier Paste & Blend"))
    for name, given in {"background": background, **earlier}.items():
        if given is not None:
            raise ValueError(
                sentence("paste and {name} are both connected: paste brings its own, so disconnect {name}.", name=name)
            )
    return paste.composite, dict(zip(EARLIER, (paste.subject_matte, paste.inpaint_mask), strict=True))


def read_scenes(
    background: torch.Tensor | None, earlier: dict[str, torch.Tensor | None]
) -> tuple[dict[str, np.ndarray], list[Message]]:
    """The inputs that belong to a scene, as batches by their names."""
    if background is None:
        raise ValueError(
            sentence("background is not connected: connect a scene, or the paste of an earlier Paste & Blend.")
        )
    scenes = as_given(background, "background")[..., :3]
    masks, messages = earlier_masks(scenes, earlier)
    return {"background": scenes, **masks}, messages


def read_subjects(
    subject: torch.Tensor, subject_mask: torch.Tensor | None, lines: list[str]
) -> tuple[dict[str, Any], list[Message]]:
    """The inputs that belong to a subject, as batches by their names."""
    exemplars = as_images(subject, "subject")
    mattes, messages = subject_mattes(exemplars, subject_mask)
    return {"subject": exemplars, "subject_mask": mattes, "placements": lines}, messages


def make_jobs(of_scenes: dict, of_subjects: dict, paste_into_one: bool) -> list[Job]:
    """Pairs scenes with subjects: each scene with all of them, or item by item, where one item serves all."""
    exemplars, mattes = of_subjects["subject"], of_subjects["subject_mask"]
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
    # A few frames tell for all whether it is a cut-out and has a reference, so that neither flickers.
    few = [as_subject(item(exemplars, n), item(mattes, n)) for n in {used[0], used[len(used) // 2], used[-1]}]
    is_cutout, has_surround = any(one.is_cutout for one in few), all(one.has_surround for one in few)
    # A clip's subject keeps its place in its own frame while its outline changes.
    whole = joined_box([subject_box(item(mattes, n)) for n in used])
    subjects = [Subject(item(exemplars, n)[..., :3], item(mattes, n), is_cutout, has_surround, whole) for n in used]
    return [make_job(of_scenes, frame, {frame: subjects[min(frame, used[-1])]}) for frame in range(frames)]


def check_clip(placement: str, paste_into_one: bool, placements: str | None) -> None:
    """Refuses what cannot be together with keyframes or a track, which place one subject in each frame."""
    if placement == "random":
        raise ValueError(sentence("placement is random, but keyframes or track are given: set it to manual."))
    if paste_into_one:
        raise ValueError(
            sentence("paste_into_one is on, but keyframes or track place one subject in each frame: turn it off.")
        )
    if placements is not None:
        raise ValueError(sentence("placements is connected, but keyframes or track are given too: use one of the two."))


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
    canvases: list[Canvas], jobs: list[Job], where: PlacementWidgets, options: PasteOptions, shadow: bool
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


def canvas_preview(canvas: Canvas) -> np.ndarray:
    return outlined(canvas.composite, canvas.masks.matte, canvas.masks.harmonize)


def placed_at(placement: Placement) -> str:
    where = {name: f"{value:.3g}" for name, value in asdict(placement).items()}
    if placement.flip:
        return sentence("Placed at x {x}, y {y}, with size {size} and rotation {rotation}°, flipped.", **where)
    return sentence("Placed at x {x}, y {y}, with size {size} and rotation {rotation}°.", **where)


def paste_image(
    canvas: Canvas, job: Job, where: PlacementWidgets, options: PasteOptions, shadow: bool
) -> tuple[dict[int, Placement], list[Message]]:
    """Makes one composite on its canvas; returns the placements of the subjects that are not empty, and messages."""
    scene = in_range(job.scene)
    copy(scene, canvas.composite)
    if job.earlier:
        earlier_subjects, earlier_inpaint = (job.earlier.get(name) for name in EARLIER)
        canvas.masks.start(earlier_subjects, earlier_inpaint, options.ring)
    # A subject whose mask is empty is not pasted, and does not share the surround of another one.
    alone = sum(subject.box is not None for subject in job.subjects.values()) == 1 and not canvas.masks.matte.any()
    placed, messages, has_reference, seen = {}, [], False, False
    is_clip = where.clip is not None and where.clip.frames > 1
    untouched = None if scene is job.scene else np.ones(job.scene.shape[:2], bool)
    for number, subject in job.subjects.items():
        shown = 0 if where.clip else number
        if subject.box is None:
            text = sentence(
                "The mask of subject {number} is empty: the scene passes through unchanged.", number=shown + 1
            )
            messages.append(Message(text, warning=True))
            continue
        placement = where.place(number, subject.box.size, canvas.size)
        if placement is None:
            messages.append(Message(sentence("Nothing is tracked here: the scene passes through unchanged.")))
            continue
        placed[number] = placement
        pasted = canvas.paste(subject, placement, options, shadow)
        if untouched is not None:
            for rows in bands(*job.scene.shape[:2]):
                untouched[rows] &= pasted.matte[rows] == 0
        share = visible_share(placement, subject.box.size, canvas.size)
        messages += [] if is_clip else [Message(placed_at(placement))]
        is_seen = bool(pasted.matte.any())
        seen |= is_seen
        messages += hidden(shown, is_seen, share, where.least_visible(number))
        # Stitch compares what the model made of composite and reference: other colors would count as light.
        if alone and subject.has_surround and options.keeps_colors:
            has_reference = True
            covered = canvas.warp_reference(subject, placement)
            # A clip's frames would each have a message of their own.
            messages += [] if is_clip else mirrored(covered)
    if untouched is not None:
        # Blending needs 0..1. Pixels that it did not touch get their original values back, NaN included.
        for rows in bands(*job.scene.shape[:2]):
            canvas.composite[rows][untouched[rows]] = job.scene[rows][untouched[rows]]
    if not seen and job.reference is not None and where.clip is None:
        # Nothing was added to the earlier paste. (A clip has a reference in all frames or in none.)
        copy(job.reference, canvas.reference)
    elif not has_reference:
        copy(canvas.composite, canvas.reference)
        messages += [no_reference([job.subjects[number] for number in placed], alone)] if placed else []
    return placed, messages


def no_reference(placed: list[Subject], alone: bool) -> Message:
    """What to say of a composite without a light reference: with several subjects, or one `alone`."""
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
    """What to say of a subject of which `share` of its box is in the scene, and `wanted` should be."""
    if not seen:
        small = sentence("Subject {number} is too small to be seen.", number=number + 1)
        outside = sentence("Subject {number} is completely outside the scene.", number=number + 1)
        return [Message(small if share > 0 else outside, warning=True)]
    if share < wanted - 1e-6:
        text = sentence(
            "Subject {number} is too large to show {wanted:.0%} of its box: {share:.0%} is shown.",
            number=number + 1,
            wanted=wanted,
            share=share,
        )
        return [Message(text)]
    return []


def mirrored(covered: float) -> list[Message]:
    """What to say of a reference of which the exemplar covers the share `covered`."""
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


def placements_used(jobs: list[Job], placed: list[dict[int, Placement]]) -> str:
    """One line for each subject: its placement as JSON, or NOT_PLACED."""
    return "\n".join(NOT_PLACED if one is None else one.to_text() for one in placements_by_subject(jobs, placed))


def placements_as_data(jobs: list[Job], placed: list[dict[int, Placement]]) -> list[dict[str, Any] | None]:
    """Each subject's placement, or None, for callers over the API, in the history of a run."""
    return [None if one is None else asdict(one) for one in placements_by_subject(jobs, placed)]


def placement_ui(jobs: list[Job], placed: list[dict[int, Placement]]) -> dict[str, Any]:
    """Placements as data: for the editor in the browser, and for callers over the API."""
    shown = [] if listening_page() is None else on_canvas(jobs, placed)
    return {"phd_placement": shown, "phd_placement_used": placements_as_data(jobs, placed)}


def on_canvas(jobs: list[Job], placed: list[dict[int, Placement]]) -> list[dict[str, Any]]:
    """What the placement editor in the browser shows: of the first subject that is placed, the scene before the paste,
    the subject, and where it went. Empty where none is placed."""
    for job, placements in zip(jobs, placed, strict=True):
        for number, placement in placements.items():
            subject, box = job.subjects[number], job.subjects[number].box
            assert box is not None  # or it would not have been placed
            cutout = np.dstack([preview(part[box.slices]) for part in (subject.image, subject.matte)])
            return [
                {
                    "scene": store_preview(preview(in_range(job.scene))),
                    "scene_size": list(Size.of(job.scene)),
                    "subject": store_preview(cutout),
                    "subject_size": list(box.size),
                    "placement": asdict(placement),
                }
                | clip_on_canvas([each.scene for each in jobs])
            ]
    return []


def clip_on_canvas(scenes: list[np.ndarray]) -> dict[str, Any]:
    """Some of a clip's frames for the editor's timeline; nothing for one scene."""
    if len(scenes) == 1:
        return {}
    shown = sorted({round(place) for place in np.linspace(0, len(scenes) - 1, MOST_SHOWN)})
    stored = [[frame, store_preview(preview(in_range(scenes[frame])))] for frame in shown]
    return {"clip": {"frames": len(scenes), "scenes": stored}}


def inverted_mask() -> Message:
    text = sentence(
        "subject_mask looks inverted: it covers the border of its image, and not the middle. 1 (white) must be the "
        "subject: put Invert Mask before it."
    )
    return Message(text, warning=True)


def subject_mattes(exemplars: np.ndarray, mask: torch.Tensor | None) -> tuple[np.ndarray, list[Message]]:
    """The subjects' mattes [B,h,w]: mask or alpha, or the lesser of both, as what is transparent has no color."""
    has_alpha, messages = exemplars.shape[-1] == 4, []
    if mask is None and not has_alpha:
        raise ValueError(sentence("subject has no alpha and no subject_mask is connected: connect one, 1 = subject."))
    if mask is None:
        mattes = exemplars[..., 3]
    else:
        mattes, messages = as_masks(mask, exemplars, "subject_mask")
        messages += by_image([[inverted_mask()] if looks_inverted(matte) else [] for matte in mattes])
        if has_alpha:
            count = common_batch(subject=exemplars, subject_mask=mattes)
            pairs = ((item(mattes, index), item(exemplars, index)[..., 3]) for index in range(count))
            mattes = as_tensor([by_bands(np.minimum, *pair) for pair in pairs]).numpy()
    for index, matte in enumerate(mattes):
        if 0 < matte.max() < 0.5:
            text = sentence(
                "The mask of subject {number} is at most {most:.2f}, so the subject is pasted that faintly.",
                number=index + 1,
                most=matte.max(),
            )
            messages.append(Message(text))
    # Each pixel is judged by itself, so the batch may be one high mask.
    return stabilize(mattes.reshape(-1, mattes.shape[2])).reshape(mattes.shape), messages


def earlier_masks(
    scenes: np.ndarray, given: dict[str, torch.Tensor | None]
) -> tuple[dict[str, np.ndarray], list[Message]]:
    """The connected ones of EARLIER, [B,H,W] at the scenes' size, by the names of their inputs."""
    masks, messages = {}, []
    for name, mask in given.items():
        if mask is not None:
            masks[name], resized = as_masks(mask, scenes, name)
            messages += resized
    return masks, messages


def placement_lines(text: str | None) -> list[str]:
    """One line for each subject; a single NOT_PLACED where nothing was given."""
    if text is not None:
        check_socket("placements", text, str, sentence("a text, such as placements_used of a Paste & Blend,"))
    return [line.strip() or NOT_PLACED for line in (text or "").strip().splitlines()] or [NOT_PLACED]


def as_subject(exemplar: np.ndarray, matte: np.ndarray) -> Subject:
    """A subject of its exemplar [h,w,3 or 4]. With transparency it is a cut-out, which shows nothing around it, unless
    it is a photo all the same.
    """
    image, has_alpha = exemplar[..., :3], exemplar.shape[-1] == 4 and not exemplar[..., 3].min() > 0.99
    is_cutout = has_alpha and not is_photo(image, matte)
    # Load Image gives a cut-out's colors without its alpha.
    return Subject(image, matte, is_cutout, has_surround=not is_cutout and shows_surround(image, matte))
