"""PhDModelSettings: what a model wants of the pack's nodes, as values for their widgets."""

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..phd_ops.sentence import sentence
from .checked import checked
from .crop import PhDCrop
from .harmonize_sampler import PhDHarmonizeSampler
from .inpaint_sampler import PhDMaskedInpaintSampler
from .validate import check_socket

SAMPLERS = (PhDMaskedInpaintSampler, PhDHarmonizeSampler)
# The nodes whose widget of that name each output is for. A model wants the same of all of them.
TAKEN_BY: dict[str, tuple[type[io.ComfyNode], ...]] = {
    "context": (PhDCrop,),
    "cfg": SAMPLERS,
    "scheduler": SAMPLERS,
    "denoise": (PhDHarmonizeSampler,),
    "anchor_strength": (PhDHarmonizeSampler,),
}


def settings_of(model: Any) -> dict[str, dict[str, Any]]:
    """What a model wants of the pack's nodes, by their ids: its own wish, or cfg 1 for distilled guidance."""
    config = model.model.model_config
    own = getattr(config, "node_settings", None)
    if own is not None:
        return own
    distilled = config.unet_config.get("guidance_embed")
    return {node.GET_SCHEMA().node_id: {"cfg": 1.0} for node in SAMPLERS} if distilled else {}


def wanted(model: Any, name: str) -> Any:
    """The value of one of TAKEN_BY: the model's wish, or else the default of the first node that takes it."""
    schema = TAKEN_BY[name][0].GET_SCHEMA()
    (default,) = (item.default for item in schema.inputs if item.id == name)
    return settings_of(model).get(schema.node_id, {}).get(name, default)


def linked_settings(settings: Any) -> dict[str, dict[str, Any]]:
    """As `settings_of`, with links to the outputs of a Model Settings in a graph that is being built."""
    links: dict[str, dict[str, Any]] = {}
    for slot, (name, nodes) in enumerate(TAKEN_BY.items()):
        for node in nodes:
            links.setdefault(node.GET_SCHEMA().node_id, {})[name] = settings.out(slot)
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
            inputs=[io.Model.Input("model", tooltip="The model that the graph runs.")],
            outputs=[
                io.Float.Output(display_name="context", tooltip="For Crop Around Subject."),
                io.Float.Output(display_name="cfg", tooltip="For both samplers."),
                # A plain name of the type: a combo's own output would have to list the same options.
                io.Custom("COMBO").Output(display_name="scheduler", tooltip="For both samplers."),
                io.Float.Output(display_name="denoise", tooltip="For Harmonize Sampler."),
                io.Float.Output(display_name="anchor_strength", tooltip="For Harmonize Sampler."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, model: Any) -> io.NodeOutput:
        check_socket("model", model, ModelPatcher, sentence("a MODEL"))
        return io.NodeOutput(*(wanted(model, name) for name in TAKEN_BY))
