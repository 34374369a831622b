"""PhDIdentityAnchor: holds a band of a subject's latent while any sampler runs."""

import comfy.utils
import torch
from comfy_api.latest import io

from ..phd_ops.latents.identity_anchor import ANCHORS, RELIGHT, anchored
from ..phd_ops.latents.noise import signal
from .comfy_sampler import is_flow
from .compat import newer
from .latents import checked_samples, subject_share
from .ui import warn
from .validate import check_choice, check_numbers


def anchored_model(
    model, reference: torch.Tensor, subject: torch.Tensor, strength: float, anchor: str, *, fades: bool = False
):
    """A clone of a MODEL whose estimates are drawn to a latent, wherever `subject` is above 0.

    It works after guidance, so that it composes with any sampler and any other patch, and keeps nothing of a run.
    One that `fades` holds by noise's share of the mixture, sigma / (a + sigma): firmly while shapes are decided, and
    less and less towards the end, where the model has the last word on light.
    """

    def post_cfg(args: dict) -> torch.Tensor:
        denoised = args["denoised"]
        if denoised.shape[1:] != reference.shape[1:] or len(denoised) % len(reference):
            told = f"Identity Anchor holds a latent of {tuple(reference.shape)}, but {tuple(denoised.shape)} is sampled"
            raise ValueError(f"{told}: connect the latent that the sampler starts from.")
        own = args["model"].process_latent_in(reference.to(denoised))
        own, cells = (comfy.utils.repeat_to_batch_size(x.to(denoised), len(denoised)) for x in (own, subject))
        held = strength
        if fades:
            sigma = float(args["sigma"].flatten()[0])
            held *= sigma / (signal(sigma, is_flow(args["model"].model_sampling)) + sigma)
        return anchored(denoised, own, cells.expand(-1, -1, *denoised.shape[2:]), held, anchor)

    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(post_cfg)
    return patched


def anchor_input(**words):
    return io.Combo.Input(
        "anchor",
        options=list(ANCHORS),
        default=RELIGHT,
        tooltip="relight keeps the subject's fine structure and frees its light; restyle keeps its coarse colors and "
        "frees its texture.",
        **words,
        **newer(io.Combo.Input, advanced=True),
    )


class PhDIdentityAnchor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDIdentityAnchor",
            display_name="Identity Anchor",
            category="PhD",
            description="Keeps a subject itself while any sampler redraws it: a patch on the model, after guidance.",
            inputs=[
                io.Model.Input("model", tooltip="Any model. It is not changed; the output is a patched copy."),
                io.Latent.Input("latent", tooltip="The latent whose subject is to stay itself: the one to be sampled."),
                io.Mask.Input("subject_mask", tooltip="1 = subject, in the latent's image."),
                io.Float.Input(
                    "strength",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="0 does nothing, 1 lays the whole band over every estimate.",
                ),
                anchor_input(),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For any sampler, with any other patches.")],
            **newer(io.Schema, search_aliases=["ilvr", "detail", "relight", "keep subject"]),
        )

    @classmethod
    def execute(cls, model, latent, subject_mask, strength=0.5, anchor=RELIGHT) -> io.NodeOutput:
        check_numbers(strength=strength)
        check_choice("anchor", anchor, ANCHORS)
        samples = checked_samples(model, latent, "latent")
        subject = subject_share(subject_mask, samples)
        if strength == 0:
            return io.NodeOutput(model)
        if not subject.any():
            warn("The subject_mask is empty: there is nothing to hold on to, and the model is passed on as it is.")
            return io.NodeOutput(model)
        return io.NodeOutput(anchored_model(model, samples, subject, strength, anchor))
