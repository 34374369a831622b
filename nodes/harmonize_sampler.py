"""PhDHarmonizeSampler: gives the pasted subject the light of the scene."""

from comfy_api.latest import io

from ..phd_ops.latents.mask_grid import changed_cells
from .compat import newer
from .identity_anchor import anchor_input
from .latents import checked_like, checked_samples
from .sample import sample_latents
from .sampler_inputs import HARMONIZE_PRESETS, model_inputs, schedule_inputs


class PhDHarmonizeSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        rare = newer(io.Boolean.Input, advanced=True)
        return io.Schema(
            node_id="PhDHarmonizeSampler",
            display_name="Harmonize Sampler",
            category="PhD",
            description="Redraws the pasted subject in the scene's light: same model, own schedule, own mask.",
            inputs=[
                *model_inputs("1 = what may change: subject and ring. Without it the latent's own noise mask is used."),
                io.Latent.Input(
                    "reference",
                    optional=True,
                    tooltip="The encoded light reference. It is sampled beside the scene with the same noise.",
                ),
                *schedule_inputs(
                    steps=5,
                    cfg=4.0,
                    denoise=0.75,
                    inner_steps=3,
                    step_size=1.0,
                    presets=HARMONIZE_PRESETS,
                    sampler_name="dpmpp_2m",
                ),
                io.Mask.Input(
                    "subject_mask",
                    optional=True,
                    tooltip="1 = subject, in the latent's image: what identity holds on to (without it, nothing), "
                    "and all that subject_only lets change.",
                ),
                io.Latent.Input(
                    "original_latent",
                    optional=True,
                    tooltip="The encoded composite, before it was inpainted: what the output changed compares with.",
                ),
                io.Float.Input(
                    "identity",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="How firmly the subject's shape is held while noise is strong; light has the last word. "
                    "0: not at all. Stitch gives the subject its own detail back in any case.",
                ),
                anchor_input(optional=True),
                io.Boolean.Input(
                    "subject_only",
                    default=False,
                    optional=True,
                    tooltip="The order of the paper's summary to the letter: the subject alone may change, and the "
                    "ring stays as it was inpainted. Off: both may, which fits the light better.",
                    **rare,
                ),
                io.Int.Input(
                    "num_seeds",
                    default=1,
                    min=1,
                    max=16,
                    optional=True,
                    tooltip="Runs so many seeds in one batch. Set the same number in Stitch, which averages their "
                    "light, not their pixels.",
                    **rare,
                ),
                io.Conditioning.Input(
                    "reference_positive",
                    optional=True,
                    tooltip="What the exemplar shows: its own place and light. Without it, positive serves both.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The harmonized latent; equal outside the mask."),
                io.Latent.Output(
                    display_name="reference_latent",
                    tooltip="The reference after the same run (the latent again without one).",
                ),
                io.Mask.Output(
                    display_name="changed",
                    tooltip="1 = latent cells that differ from original_latent. For Stitch.",
                ),
            ],
            **newer(io.Schema, search_aliases=["harmonize", "relight", "blend in"]),
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        negative,
        latent,
        mask=None,
        reference=None,
        reference_positive=None,
        subject_mask=None,
        original_latent=None,
        identity=0.5,
        subject_only=False,
        **schedule,
    ) -> io.NodeOutput:
        start = checked_samples(model, latent, "latent")
        start = start if original_latent is None else checked_like(model, original_latent, start, "original_latent")
        if subject_only:
            if subject_mask is None:
                raise ValueError("subject_only lets the subject alone change: connect subject_mask, or switch it off.")
            mask = subject_mask
        done = sample_latents(
            model,
            positive,
            negative,
            latent,
            mask,
            reference,
            reference_positive=reference_positive,
            subject_mask=subject_mask,
            identity=identity,
            harmonizes=True,
            **schedule,
        )
        harmonized = done[0]["samples"][: len(start)]
        return io.NodeOutput(done[0], done[-1], changed_cells(start.to(harmonized), harmonized).cpu())
