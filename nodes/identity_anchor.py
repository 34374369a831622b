"""PhDIdentityAnchor: holds a band of a subject's latent while any sampler runs."""

from typing import Any

import comfy.utils
import torch
from comfy_api.latest import io

from ..phd_ops.latents.identity_anchor import ANCHORS, RELIGHT, anchored, noise_share
from ..phd_ops.sentence import sentence
from .checked import checked
from .comfy_sampler import is_flow
from .latents import checked_samples, subject_share
from .ui import HAS_UI, Message, show_text
from .validate import check_choice

STRENGTH = 0.5


def anchored_model(
    model: Any, reference: torch.Tensor, subject: torch.Tensor, strength: float, anchor: str, *, fades: bool = False
) -> Any:
    """A clone of a MODEL whose estimates are pulled to a latent, wherever `subject` is above 0.

    It acts after CFG, so that it works with any sampler and any other patch, and keeps no state of a run. With `fades`
    its strength follows `noise_share`: firm while shapes form, and less and less toward the end.
    """

    def post_cfg(args: dict[str, Any]) -> torch.Tensor:
        denoised = args["denoised"]
        check_fits(denoised, reference)
        own = args["model"].process_latent_in(reference.to(denoised))
        own, cells = (comfy.utils.repeat_to_batch_size(x.to(denoised), len(denoised)) for x in (own, subject))
        held = strength
        if fades:
            held *= noise_share(float(args["sigma"].flatten()[0]), is_flow(args["model"].model_sampling))
        return anchored(denoised, own, cells.expand(-1, -1, *denoised.shape[2:]), held, anchor)

    patched = model.clone()
    patched.set_model_sampler_post_cfg_function(post_cfg)
    return patched


def check_fits(denoised: torch.Tensor, reference: torch.Tensor) -> None:
    """Refuses a sampled latent of another shape than the anchor's; it may be a batch of it."""
    if denoised.shape[1:] != reference.shape[1:] or len(denoised) % len(reference):
        raise ValueError(
            sentence(
                "Identity Anchor holds a latent of {shape}, but {found} is sampled: connect the latent "
                "that the sampler starts from.",
                shape=tuple(reference.shape),
                found=tuple(denoised.shape),
            )
        )


def anchor_input(**options: Any) -> io.Combo.Input:
    return io.Combo.Input(
        "anchor",
        options=list(ANCHORS),
        default=RELIGHT,
        tooltip="relight keeps the subject's fine structure and lets its light change. restyle keeps its coarse colors "
        "and lets its texture change.",
        **options,
    )


class PhDIdentityAnchor(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDIdentityAnchor",
            display_name="Identity Anchor",
            category="PhD",
            description="Keeps a subject recognizable while any sampler redraws it. It patches the model.",
            inputs=[
                io.Model.Input("model", tooltip="Any model. It is not changed; the output is a patched copy."),
                io.Latent.Input("latent", tooltip="The latent to be sampled, whose subject should stay the same."),
                io.Mask.Input("subject_matte", tooltip="1 = subject, in the latent's image."),
                io.Float.Input(
                    "strength",
                    default=STRENGTH,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How firmly the subject is preserved. 0 = off. 1 = fully, in every step.",
                ),
                anchor_input(),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="For any sampler, with any other patches.")],
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(
        cls, model: Any, latent: dict, subject_matte: torch.Tensor, strength: float = STRENGTH, anchor: str = RELIGHT
    ) -> io.NodeOutput:
        check_choice("anchor", anchor, list(ANCHORS))
        samples = checked_samples(model, latent, "latent")
        subject = subject_share(subject_matte, samples)
        if strength == 0:
            return io.NodeOutput(model)
        if not subject.any():
            text = sentence(
                "The subject_matte is empty, so there is nothing to hold: the model passes through unchanged."
            )
            return io.NodeOutput(model, ui=show_text([Message(text, warning=True)]))
        return io.NodeOutput(anchored_model(model, samples, subject, strength, anchor))
