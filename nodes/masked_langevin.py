"""PhDMaskedLangevin: the masked samplers as a SAMPLER."""

from typing import Any

from comfy_api.latest import io

from ..phd_ops.latents.solvers import SOLVERS
from .checked import checked
from .comfy_sampler import MASKED_METHODS, LoopWidgets, MaskedSampler
from .sampler_inputs import inner_inputs, jump_inputs
from .validate import check_choice


class PhDMaskedLangevin(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDMaskedLangevin",
            display_name="Masked Langevin",
            category="PhD",
            description="The sampler inside Masked Inpaint Sampler, for SamplerCustomAdvanced and any guider.",
            inputs=[
                io.Combo.Input(
                    "method",
                    options=MASKED_METHODS,
                    default=MASKED_METHODS[0],
                    tooltip="How the latent's noise mask is used. A latent without one is sampled as by KSampler.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=list(SOLVERS),
                    default=SOLVERS[0],
                    tooltip="The step from one noise level to the next.",
                ),
                *inner_inputs(inner_steps=3),
                *jump_inputs(optional=False),
            ],
            outputs=[io.Sampler.Output(display_name="sampler", tooltip="For SamplerCustomAdvanced or SamplerCustom.")],
        )

    @classmethod
    @checked
    def execute(cls, **widgets: Any) -> io.NodeOutput:
        loop = LoopWidgets(**widgets)
        check_choice("method", loop.method, MASKED_METHODS)
        check_choice("sampler_name", loop.sampler_name, list(SOLVERS))
        return io.NodeOutput(MaskedSampler(loop.settings()))
