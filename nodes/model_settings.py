"""PhDModelSettings: what a model wants of the pack's nodes, as values for their widgets."""

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..phd_ops.sentence import sentence
from .checked import checked
from .crop import PhDCrop
from .demo_networks import DemoConfig
from .harmonize_sampler import PhDHarmonizeSampler
from .inpaint_sampler import PhDMaskedInpaintSampler
from .sampler_inputs import BALANCED, CUSTOM, HARMONIZE_PRESETS
from .validate import check_choice, check_socket

SAMPLERS = (PhDMaskedInpaintSampler, PhDHarmonizeSampler)
# The nodes whose widget of that name each output is for. A model wants the same of all of them.
TAKEN_BY: dict[str, tuple[type[io.ComfyNode], ...]] = {
    "context": (PhDCrop,),
    "cfg": SAMPLERS,
    "scheduler": SAMPLERS,
    "denoise": (PhDHarmonizeSampler,),
    "anchor_strength": (PhDHarmonizeSampler,),
    "preset": (PhDHarmonizeSampler,),
    "steps": (PhDHarmonizeSampler,),
    "inner_steps": (PhDHarmonizeSampler,),
    "num_seeds": (PhDHarmonizeSampler,),
}
QUALITIES = tuple(HARMONIZE_PRESETS)
# How many seeds harmonizing with the demo model takes the mean light of, by quality.
DEMO_SEEDS = {"fast": 1, "balanced": 4, "best": 12}
# A module draws ring, shadow and light from noise alone, and knows without guidance what it should draw.
WITH_MODULE = {"cfg": 1.0, "denoise": 1.0, "anchor_strength": 0.0}


def settings_of(model: Any, quality: str = BALANCED, with_module: bool = False) -> dict[str, dict[str, Any]]:
    """What a model wants of the pack's nodes, by their ids: the demo model's settings, or cfg 1 for distilled guidance.

    Args:
        quality: one of QUALITIES.
        with_module: whether a learned module goes with it.
    """
    config, settings = model.model.model_config, {}
    if isinstance(config, DemoConfig):
        settings = demo_settings(quality, with_module)
    elif config.unet_config.get("guidance_embed"):
        settings = {id_of(node): {"cfg": 1.0} for node in SAMPLERS}
    if not with_module:
        return settings
    harmonize = id_of(PhDHarmonizeSampler)
    return settings | {harmonize: settings.get(harmonize, {}) | WITH_MODULE}


def demo_settings(quality: str, with_module: bool) -> dict[str, dict[str, Any]]:
    """What suits the demo model, as in `settings_of`.

    Inner steps add up its errors while it harmonizes, so more quality is more seeds. With its module one step from
    noise is enough.
    """
    sampling = {"cfg": 1.0, "scheduler": "beta"}
    steps = {"preset": CUSTOM, "steps": 1 if with_module else 4, "inner_steps": 0, "num_seeds": DEMO_SEEDS[quality]}
    return {
        id_of(PhDCrop): {"context": 1.35},
        id_of(PhDMaskedInpaintSampler): sampling,
        id_of(PhDHarmonizeSampler): sampling | steps,
    }


def id_of(node: type[io.ComfyNode]) -> str:
    return node.GET_SCHEMA().node_id


def wanted(model: Any, name: str, quality: str) -> Any:
    """The value of one of TAKEN_BY: what suits the model, or else the default of the first node that takes it."""
    schema = TAKEN_BY[name][0].GET_SCHEMA()
    (default,) = (item.default for item in schema.inputs if item.id == name)
    return settings_of(model, quality).get(schema.node_id, {}).get(name, quality if name == "preset" else default)


def linked_settings(settings: Any) -> dict[str, dict[str, Any]]:
    """As `settings_of`, with links to the outputs of a Model Settings in a graph that is being built."""
    links: dict[str, dict[str, Any]] = {}
    for slot, (name, nodes) in enumerate(TAKEN_BY.items()):
        for node in nodes:
            links.setdefault(id_of(node), {})[name] = settings.out(slot)
    return links


class PhDModelSettings(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDModelSettings",
            display_name="Model Settings",
            category="PhD",
            description=(
                "Gives the values that suit a model, for the widgets of the PhD nodes: with these linked, one graph "
                "works with any model. Insert Subject does this by itself."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The model that the graph runs."),
                io.Combo.Input(
                    "quality",
                    options=list(QUALITIES),
                    default=BALANCED,
                    optional=True,
                    tooltip="The preset of Harmonize Sampler, for a model without steps of its own. Higher quality "
                    "takes more model calls.",
                ),
            ],
            outputs=[
                io.Float.Output(display_name="context", tooltip="For Crop Around Subject."),
                io.Float.Output(display_name="cfg", tooltip="For both samplers."),
                # A plain name of the type: a combo's own output would have to list the same options.
                io.Custom("COMBO").Output(display_name="scheduler", tooltip="For both samplers."),
                io.Float.Output(display_name="denoise", tooltip="For Harmonize Sampler."),
                io.Float.Output(display_name="anchor_strength", tooltip="For Harmonize Sampler."),
                io.Custom("COMBO").Output(display_name="preset", tooltip="For Harmonize Sampler."),
                io.Int.Output(display_name="steps", tooltip="For Harmonize Sampler, with preset custom."),
                io.Int.Output(display_name="inner_steps", tooltip="For Harmonize Sampler, with preset custom."),
                io.Int.Output(display_name="num_seeds", tooltip="For Harmonize Sampler."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, model: Any, quality: str = BALANCED) -> io.NodeOutput:
        check_choice("quality", quality, QUALITIES)
        check_socket("model", model, ModelPatcher, sentence("a MODEL"))
        return io.NodeOutput(*(wanted(model, name, quality) for name in TAKEN_BY))
