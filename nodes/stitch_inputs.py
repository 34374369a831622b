"""The sockets of PhDStitch: what each of them brings, and whether they belong together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import comfy.sd
import torch
from comfy_api.latest import io

from ..phd_ops.pixels.pasted_scenes import PasteCrop, PastedScenes
from ..phd_ops.sentence import sentence
from .companions import Companions, companions_of
from .crop import Crop
from .paste_inputs import Paste
from .sampled_seeds import SampledSeeds, joined, run_of, seeds_of
from .validate import check_socket

SCENE_PARTS = ("background", "composite", "subject_matte", "harmonize_mask")
SAMPLED_PARTS = ("sampled", "sampled_reference", "changed")


def stitch_sockets() -> list[io.Input]:
    """Their order is such that a bypassed node hands on the sampled image and the mask of what may change."""
    return [
        Crop.Input("crop", optional=True, tooltip="From Crop Around Subject: the window, and what it was cut from."),
        io.Latent.Input(
            "latent", optional=True, tooltip="From the last sampler. It brings the sampled light reference along."
        ),
        io.Vae.Input(
            "vae",
            optional=True,
            tooltip="Decodes the latent. Not needed with a latent of Crop Around Subject, which brings its own.",
        ),
        Paste.Input(
            "paste", optional=True, tooltip="Without a crop: the paste whose whole composite was sampled or edited."
        ),
        io.Image.Input(
            "sampled", optional=True, tooltip="Instead of latent: the image that a model made from the composite."
        ),
        io.Image.Input("background", optional=True, tooltip="Instead of the paste's: the scene itself."),
        io.Image.Input("composite", optional=True, tooltip="Instead of the paste's: the whole composite."),
        io.Mask.Input(
            "harmonize_mask",
            optional=True,
            tooltip="Instead of the paste's: 1 = what may change, in the whole image.",
        ),
        io.Mask.Input(
            "subject_matte", optional=True, tooltip="Instead of the paste's: 1 = subject, in the whole image."
        ),
        io.Image.Input(
            "sampled_reference",
            optional=True,
            tooltip=(
                "Instead of the latent's: the decoded light reference. The light is estimated from the difference "
                "between the two results."
            ),
        ),
        io.Mask.Input(
            "changed",
            optional=True,
            tooltip=(
                "Instead of the latent's: 1 = takes the model's pixels around the subject. Without it: all of "
                "harmonize_mask."
            ),
        ),
        io.Latent.Input(
            "latent_2",
            optional=True,
            tooltip="Another run, such as one without the module of latent's: the light is the mean over the seeds of "
            "both. Around the subject, latent's own pixels are shown.",
        ),
    ]


@dataclass(frozen=True, eq=False)
class StitchGiven:
    """What is stitched, wherever it came from.

    Attributes:
        background, composite: IMAGEs of the whole scenes.
        subject_matte, harmonize_mask: MASKs of the whole scenes.
        sampled, sampled_reference: IMAGEs, of the window if there is a crop.
        reference_items: the scenes that sampled_reference is of, where the latent brings those of some, see
            `shared_items`.
        changed: a MASK of the same.
        crop: None for the whole scene.
        num_seeds: how many runs of the scenes the sampled images are: first all scenes of one, then of the next.
        may_have_moved: whether `sampled` was connected as an image, which any model or service may have made.
        own: the names of what is the paste's own, whose masks need no check.
    """

    background: torch.Tensor
    composite: torch.Tensor
    subject_matte: torch.Tensor
    harmonize_mask: torch.Tensor
    sampled: torch.Tensor
    sampled_reference: torch.Tensor | None
    changed: torch.Tensor | None
    crop: PasteCrop | None
    num_seeds: int
    may_have_moved: bool
    own: frozenset[str]
    reference_items: tuple[int, ...] | None = None


def read_sockets(sockets: Mapping[str, Any], num_seeds: int) -> StitchGiven:
    """What is connected, by the sockets' names; what the latent, the crop and the paste bring where they are not."""
    crop, paste, latent = (sockets.get(name) for name in ("crop", "paste", "latent"))
    if crop is not None:
        check_socket("crop", crop, PasteCrop, sentence("the crop of Crop Around Subject"))
    if paste is not None:
        check_socket("paste", paste, PastedScenes, sentence("the paste of Paste & Blend"))
    sampled: dict[str, Any] = {name: sockets.get(name) for name in SAMPLED_PARTS}
    may_have_moved, reference_items = sampled["sampled"] is not None, None
    if sockets.get("vae") is not None:
        check_socket("vae", sockets["vae"], comfy.sd.VAE, sentence("a VAE"))
    if latent is not None:
        held = checked_companions("latent", latent, crop)
        vae = held.vae if held is not None and sockets.get("vae") is None else sockets.get("vae")
        if held is not None:
            # Of a batch that was split, the latent knows which scenes are its own.
            crop = held.crop
        seeds, other = None, sockets.get("latent_2")
        if sampled["sampled"] is sampled["sampled_reference"] is None:
            seeds = seeds_of(latent)
            if other is not None:
                second = run_of(other, checked_companions("latent_2", other, crop))
                seeds = joined(run_of(latent, held), second)
        if seeds is not None:
            num_seeds = len(seeds.scene)
        bringing = held if seeds is None else seeds
        if bringing is not None and sampled["sampled_reference"] is None:
            reference_items = bringing.reference_items
        own = decoded(latent, held, seeds, vae, {name for name in SAMPLED_PARTS if sampled[name] is None})
        sampled = {name: own[name] if value is None else value for name, value in sampled.items()}
    elif sockets.get("latent_2") is not None:
        raise ValueError(sentence("latent_2 is connected, but latent is not: connect the first run to latent."))
    if sampled["sampled"] is None:
        raise ValueError(sentence("sampled is not connected: connect latent and vae, or an image to sampled."))
    scene = scene_parts(sockets, crop, paste)
    own = frozenset(name for name in SCENE_PARTS if sockets.get(name) is None)
    return StitchGiven(**scene, **sampled, crop=crop, num_seeds=num_seeds, may_have_moved=may_have_moved, own=own,
                       reference_items=reference_items)  # fmt: skip


def checked_companions(name: str, latent: Any, crop: PasteCrop | None) -> Companions | None:
    """The companions of a socket's LATENT; refuses what is none, and one of another crop."""
    check_socket(name, latent, dict, sentence("a LATENT"))
    if not isinstance(latent.get("samples"), torch.Tensor):
        raise ValueError(sentence("{name} holds no samples: connect the latent of a sampler.", name=name))
    held = companions_of(latent)
    check_window(held, crop)
    return held


def decoded(
    latent: dict, held: Companions | None, seeds: SampledSeeds | None, vae: Any, missing: set[str]
) -> dict[str, torch.Tensor | None]:
    """What a latent brings of SAMPLED_PARTS: its image and its reference's, as VAE Decode gives them, where they are
    `missing`, and its mask of what changed. With seeds: the images of every one."""
    found: dict[str, torch.Tensor | None] = dict.fromkeys(SAMPLED_PARTS)
    if held is not None:
        found["changed"] = held.changed
    if vae is None and "sampled" in missing:
        raise ValueError(sentence("latent is connected, but vae is not: connect the VAE of the model that sampled it."))
    samples, reference = latent["samples"], None if held is None else held.sampled_reference
    if seeds is not None:
        samples = seeds.scene.flatten(0, 1)
        reference = None if seeds.reference is None else seeds.reference.flatten(0, 1)
    if "sampled" in missing:
        found["sampled"] = decode(vae, samples)
    if vae is not None and reference is not None and "sampled_reference" in missing:
        found["sampled_reference"] = decode(vae, reference)
    return found


def decode(vae: Any, samples: torch.Tensor) -> torch.Tensor:
    """IMAGEs [B,H,W,3]; the frames of videos one after another."""
    try:
        images = vae.decode(samples)
    except RuntimeError:
        if samples.ndim > 1 and samples.shape[1] != vae.latent_channels:
            raise ValueError(
                sentence(
                    "latent has {channels} channels, but the VAE works on {wanted}: connect the VAE of the "
                    "model that sampled it.",
                    channels=samples.shape[1],
                    wanted=vae.latent_channels,
                )
            ) from None
        raise
    return images.flatten(0, 1) if images.ndim == 5 else images


def check_window(held: Companions | None, crop: PasteCrop | None) -> None:
    """Refuses a latent's window without its crop, and with the crop of another window or paste."""
    if held is None:
        return
    if crop is None:
        raise ValueError(
            sentence(
                "crop is not connected, but latent shows the window of a crop: connect the crop of the "
                "Crop Around Subject that made the latent."
            )
        )
    if not held.crop.is_of(crop) or not are_of_one_paste(held.crop.pasted, crop.pasted):
        raise ValueError(
            sentence("crop and latent come from different crops: connect both of the same Crop Around Subject.")
        )


def are_of_one_paste(own: PastedScenes | None, whole: PastedScenes | None) -> bool:
    """Whether a latent's scenes are the crop's, or some of them in another order."""
    if own is None or whole is None:
        return own is whole
    return len(own.composite) != len(whole.composite) or own.is_same(whole)


def scene_parts(
    sockets: Mapping[str, Any], crop: PasteCrop | None, paste: PastedScenes | None
) -> dict[str, torch.Tensor]:
    """The whole scenes' images and masks by their sockets' names."""
    held = None if crop is None else crop.pasted
    found: dict[str, Any] = {}
    if paste is not None and held is not None and not are_of_one_paste(held, paste):
        raise ValueError(
            sentence("crop was cut from another paste than the connected one: disconnect paste, or cut this one.")
        )
    source = held or paste
    for name in SCENE_PARTS:
        value = sockets.get(name)
        found[name] = value if value is not None or source is None else getattr(source, name)
        if found[name] is None:
            raise ValueError(
                sentence("{name} is not connected: connect the crop of a paste, a paste, or {name} itself.", name=name)
            )
    return found
