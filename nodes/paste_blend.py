"""PhDPasteBlend: pastes subjects into scenes, and gives the masks of what may change around them."""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.interrupt import each
from ..phd_ops.pixels.geometry import Placement, Size
from ..phd_ops.pixels.masks import looks_inverted, stabilize
from ..phd_ops.pixels.paste import BLENDS, Canvas, PasteOptions, Subject
from ..phd_ops.pixels.pasted_scenes import PastedScenes
from ..phd_ops.pixels.shots import SCENE_SIDE, Look, find_clips, small
from ..phd_ops.sentence import sentence
from .checked import checked
from .clip_placement import moves, read_clip
from .images import as_given, as_images, as_masks, by_pairs, common_batch, in_range
from .paste_inputs import PLACEMENTS, START, paste_inputs, paste_outputs
from .paste_jobs import EARLIER, STILL, Job, blank_canvases, clip_jobs, make_jobs, paste_jobs, placements_by_subject
from .subject_places import NOT_PLACED, RandomPlacement, SubjectPlaces, placement_lines
from .ui import HAS_UI, Message, by_image, listening_page, outlined, preview, show, store_preview
from .validate import check_choice, check_socket

# So many frames of a clip the placement editor shows.
MOST_SHOWN = 16


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
        x: float = START.x,
        y: float = START.y,
        size: float = START.size,
        rotation: float = START.rotation,
        flip: bool = START.flip,
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
        if clip is None and placement == "manual" and placements is None and not paste_into_one:
            messages += fitted_apart([subject for job in jobs for subject in job.subjects.values()])
        drawn = RandomPlacement(seed, (size_min, size_max), min_visible) if placement == "random" else None
        where = SubjectPlaces(start, drawn, lines, clip)
        canvases, batch = blank_canvases(len(jobs), Size.of(jobs[0].scene))
        placed, found = paste_jobs(canvases, jobs, where, PasteOptions(feather, blend, color_match, ring), shadow)
        messages = notes + messages + of_clip + (moves(placements_by_subject(jobs, placed)) if clip else []) + found
        ui = show(map(canvas_preview, canvases), messages) | placement_ui(jobs, placed)
        composite, reference, matte, inpaint, harmonize = map(torch.from_numpy, batch)
        first = torch.from_numpy(of_scenes["background"]) if paste is None else paste.background
        used = placements_used(jobs, placed)
        one_exemplar = len(of_subjects["subject"]) == len(of_subjects["subject_mask"]) == 1 and paste is None
        pasted = PastedScenes(first, composite, reference, matte, inpaint, harmonize, one_exemplar)
        return io.NodeOutput(pasted, composite, used, matte, inpaint, reference, harmonize, ui=ui)


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


def fitted_apart(subjects: list[Subject]) -> list[Message]:
    """What to say of a subject's clip whose frames are placed like any images, each by the box of its own mask."""
    sizes = [None if one.box is None else one.box.size for one in subjects]
    if len({size for size in sizes if size is not None}) < 2:
        return []
    shots = find_clips(each(lambda one: Look(small(one.image, SCENE_SIDE)), subjects))
    if all(len(set(sizes[shot.start : shot.stop]) - {None}) < 2 for shot in shots):
        return []
    text = sentence(
        "subject looks like a clip, but each of its frames is placed by the box of its own mask, so that its scale "
        "changes from frame to frame. To keep its scale and its motion, write keyframes, such as {example}.",
        example=STILL,
    )
    return [Message(text, warning=True)]


def canvas_preview(canvas: Canvas) -> np.ndarray:
    return outlined(canvas.composite, canvas.masks.matte, canvas.masks.harmonize)


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
            common_batch(subject=exemplars, subject_mask=mattes)
            mattes = by_pairs(np.minimum, mattes, exemplars[..., 3])
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
