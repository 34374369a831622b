"""PhDHarmonizeSampler: gives the pasted subject the light of the scene."""

from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io

from ..phd_ops.latents.mask_grid import changed_cells
from ..phd_ops.latents.noise import append_dims
from ..phd_ops.latents.seeds import merge_seeds
from ..phd_ops.sentence import sentence
from .checked import checked
from .companions import Companions, companions_of, given_mask, latent_or, with_companions, without_companions
from .identity_anchor import anchor_input
from .latents import checked_like, checked_places, checked_samples
from .learned_module import has_module
from .sample import Options, Prompts, sample_latents, with_samples
from .sampled_seeds import SampledSeeds, with_seeds
from .sampler_inputs import HARMONIZE_PRESETS, SamplerWidgets, sampler_sockets, schedule_inputs
from .shared_reference import shared_items
from .ui import HAS_UI, as_ui, gathered, tell
from .window_prompts import warn_of_whole_image


class PhDHarmonizeSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDHarmonizeSampler",
            display_name="Harmonize Sampler",
            category="PhD",
            description="Redraws the pasted subject in the scene's light, with the same model and a short schedule.",
            inputs=[
                *sampler_sockets(
                    "1 = what may change: subject and ring. Without it: the latent's noise mask, or that of its crop."
                ),
                io.Latent.Input(
                    "reference_latent",
                    optional=True,
                    tooltip="Instead of the latent's own: the encoded light reference. It is sampled along with the "
                    "scene, with the same noise.",
                ),
                *schedule_inputs(denoise=0.75, presets=HARMONIZE_PRESETS, sampler_name="dpmpp_2m"),
                io.Mask.Input(
                    "subject_matte",
                    optional=True,
                    tooltip="Instead of the latent's own: 1 = subject, in the latent's image. anchor_strength "
                    "preserves it, and subject_only changes nothing else.",
                ),
                io.Latent.Input(
                    "original_latent",
                    optional=True,
                    tooltip="Instead of the latent's own: the encoded composite from before inpainting. Used only for "
                    "the output `changed`.",
                ),
                io.Float.Input(
                    "anchor_strength",
                    default=Options.anchor_strength,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="Preserves the subject's shape in early steps; its lighting can still change. 0 = off. "
                    "Stitch restores the subject's own detail in any case.",
                ),
                anchor_input(optional=True),
                io.Boolean.Input(
                    "subject_only",
                    default=False,
                    optional=True,
                    tooltip="Change the subject only, as in the paper, and keep the ring as it was inpainted. Off is "
                    "recommended: light then fits better.",
                ),
                io.Int.Input(
                    "num_seeds",
                    default=Options.num_seeds,
                    min=1,
                    max=16,
                    optional=True,
                    tooltip="Runs this many seeds, one after another. The image has the first one's detail and the "
                    "mean light of all.",
                ),
                io.Conditioning.Input(
                    "reference_positive",
                    optional=True,
                    tooltip="Describes the exemplar: its own place and light. Without it, positive is used for both.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The harmonized latent; unchanged outside the mask."),
                io.Latent.Output(
                    display_name="reference_latent",
                    tooltip="The reference after the same run. Without a reference: the harmonized latent.",
                ),
                io.Mask.Output(
                    display_name="changed",
                    tooltip="1 = latent cells that visibly differ from original_latent. For Stitch.",
                ),
            ],
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(  # noqa: PLR0913
        cls,
        model: Any,
        positive: list,
        negative: list,
        latent: dict,
        mask: torch.Tensor | None = None,
        reference_latent: dict | None = None,
        reference_positive: list | None = None,
        subject_matte: torch.Tensor | None = None,
        original_latent: dict | None = None,
        anchor_strength: float = Options.anchor_strength,
        anchor: str = Options.anchor,
        subject_only: bool = False,
        num_seeds: int = Options.num_seeds,
        **widgets: Any,
    ) -> io.NodeOutput:
        scene, own_reference = checked_samples(model, latent, "latent"), reference_latent is None
        with gathered() as messages:
            held = companions_of(latent)
            if held is not None:
                subject_matte = held.subject_matte if subject_matte is None else subject_matte
                reference_latent = latent_or(reference_latent, held.reference)
                if held.original is not None and held.original.shape == scene.shape:
                    original_latent = latent_or(original_latent, held.original)
            prompts = Prompts(positive, negative, reference_positive)
            prompts.check()
            warn_of_whole_image(held, positive=positive, negative=negative, reference_positive=reference_positive)
            if has_module(positive):
                # The module sees the light reference itself.
                reference_latent = None
            original = scene
            if original_latent is not None:
                original = checked_like(model, original_latent, scene, "original_latent")
            if subject_only and subject_matte is None:
                raise ValueError(
                    sentence("subject_only changes nothing but the subject: connect subject_matte, or switch it off.")
                )
            lacking, items = torch.zeros(len(scene), dtype=torch.bool), None
            if reference_latent is not None:
                lacking = without_reference(checked_like(model, reference_latent, scene, "reference_latent"), original)
            if lacking.all():
                reference_latent = None
            elif reference_latent is not None and held is not None and own_reference:
                # Of a latent that was harmonized before, the reference goes on from there as well.
                reference_latent = {"samples": with_sampled(reference_latent["samples"], held)}
                items = shared_items(held.crop.pasted, len(scene))
            mask = subject_matte if subject_only else given_mask(mask, latent, held, "harmonize_mask")
            options = Options(True, reference_latent, subject_matte, anchor_strength, anchor, num_seeds, items)
            runs = sample_latents(model, prompts, latent, mask, SamplerWidgets(**widgets), options)
            if len(runs) == 1 or runs[1].shape[1] == len(scene):
                items = None
            if items is not None:
                text = sentence(
                    "These are {frames} frames of a clip: the light reference is sampled in {count} of them and "
                    "serves all.",
                    frames=len(scene),
                    count=len(items),
                )
                tell(text)
        if len(runs) > 1:
            rows = slice(None) if items is None else list(items)
            runs[1] = torch.where(append_dims(lacking[rows], scene).to(runs[0].device), runs[0][:, rows], runs[1])
        harmonized, reference, changed = as_latents(latent, held, runs, original, items)
        return io.NodeOutput(harmonized, reference, changed, ui=as_ui(messages))


def as_latents(
    latent: dict,
    held: Companions | None,
    runs: list[torch.Tensor],
    original: torch.Tensor,
    items: tuple[int, ...] | None,
) -> tuple[dict, dict, torch.Tensor]:
    """The harmonized latent with what it brings along, the reference's, and the cells that `changed_cells` finds.

    Args:
        held: the latent's companions.
        runs: see `sample_latents`.
        original: the composite's samples from before inpainting, [B,C,...].
        items: those whose reference was sampled; None: all.
    """
    samples, *references = map(merge_seeds, runs)
    changed = changed_cells(original.to(samples), samples).cpu()
    harmonized = with_samples(latent, samples)
    if len(runs[0]) > 1:
        seeds = SampledSeeds(samples, runs[0], runs[1] if references else None, original, items)
        harmonized = with_seeds(harmonized, seeds)
    if held is not None:
        sampled_reference = references[0] if references else None
        sampled = {"sampled_reference": sampled_reference, "reference_items": items, "changed": changed}
        harmonized = with_companions(harmonized, replace(held, **sampled))
    reference = with_samples(without_companions(latent), references[0]) if references else harmonized
    if items is not None:
        places = checked_places(latent, len(samples))
        reference["batch_index"] = [places[item] for item in items]
    return harmonized, reference, changed


def with_sampled(reference: torch.Tensor, held: Companions) -> torch.Tensor:
    """The references [B,C,...] of a latent, as far as they were sampled before in that state."""
    if held.sampled_reference is None or held.reference_items is None:
        return reference if held.sampled_reference is None else held.sampled_reference
    sampled = reference.clone()
    sampled[list(held.reference_items)] = held.sampled_reference.to(sampled)
    return sampled


def without_reference(reference: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Which items of a batch have no light reference, as bool [B]: a cut-out, and several subjects. Their composite
    stands in for it, and its light would be taken for the exemplar's."""
    return (reference == original.to(reference)).flatten(1).all(1)
