"""PhDMaskedLangevin: the masked loop as a SAMPLER."""

from comfy_api.latest import io

from ..phd_ops.latents.solvers import STEPPERS
from .comfy_sampler import LANGEVIN, REPAINT, SOFT_MASK, MaskedSampler, Settings
from .compat import newer
from .sampler_inputs import inner_inputs, jump_inputs
from .validate import check_choice, check_numbers


class PhDMaskedLangevin(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDMaskedLangevin",
            display_name="Masked Langevin",
            category="PhD",
            description="The loop of Masked Inpaint Sampler as a sampler, for SamplerCustomAdvanced and any guider.",
            inputs=[
                io.Combo.Input(
                    "method",
                    options=[LANGEVIN, SOFT_MASK, REPAINT],
                    default=LANGEVIN,
                    tooltip="How the latent's noise mask is used. A latent without one is sampled plainly.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=STEPPERS,
                    default=STEPPERS[0],
                    tooltip="The step from one noise level to the next.",
                ),
                *inner_inputs(inner_steps=3, step_size=1.0),
                *jump_inputs(optional=False),
            ],
            outputs=[io.Sampler.Output(display_name="sampler", tooltip="For SamplerCustomAdvanced or SamplerCustom.")],
            **newer(io.Schema, search_aliases=["inpaint", "langevin", "lanpaint", "repaint", "differential"]),
        )

    @classmethod
    def execute(cls, method, sampler_name, **settings) -> io.NodeOutput:
        check_choice("method", method, [LANGEVIN, SOFT_MASK, REPAINT])
        check_choice("sampler_name", sampler_name, STEPPERS)
        check_numbers(step_size=settings["step_size"], lambda_strength=settings["lambda_strength"])
        return io.NodeOutput(MaskedSampler(Settings(method, sampler_name, **settings)))
