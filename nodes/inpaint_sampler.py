"""PhDMaskedInpaintSampler: inpaints the masked region of a latent."""

from typing import Any

import torch
from comfy_api.latest import io

from .checked import checked
from .companions import companions_of, given_mask
from .sample import Prompts, sample_latents, with_samples
from .sampler_inputs import INPAINT_PRESETS, SamplerWidgets, sampler_sockets, schedule_inputs
from .ui import HAS_UI, as_ui, gathered
from .window_prompts import warn_of_whole_image


class PhDMaskedInpaintSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDMaskedInpaintSampler",
            display_name="Masked Inpaint Sampler",
            category="PhD",
            description="Inpaints the masked region of a latent so that it agrees with the rest, with any model.",
            inputs=[
                *sampler_sockets(
                    "1 = to be inpainted, in pixels. Without it: the latent's noise mask, or that of its crop."
                ),
                *schedule_inputs(denoise=1.0, presets=INPAINT_PRESETS, sampler_name="euler"),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The inpainted latent; unchanged outside the mask.")
            ],
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(
        cls,
        model: Any,
        positive: list,
        negative: list,
        latent: dict,
        mask: torch.Tensor | None = None,
        **widgets: Any,
    ) -> io.NodeOutput:
        prompts = Prompts(positive, negative)
        with gathered() as messages:
            held = companions_of(latent)
            mask = given_mask(mask, latent, held, "inpaint_mask")
            prompts.check()
            warn_of_whole_image(held, positive=positive, negative=negative)
            ((samples,),) = sample_latents(model, prompts, latent, mask, SamplerWidgets(**widgets))
        return io.NodeOutput(with_samples(latent, samples), ui=as_ui(messages))
