"""PhDInsertSubject: the whole way from two images to the finished one, as one node.

It runs nothing itself: it expands into the pack's own nodes, and ComfyUI caches, reports and interrupts each of them.
"""

from collections.abc import Mapping
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from comfy_execution.graph import DynamicPrompt
from comfy_execution.graph_utils import GraphBuilder, Node, is_link

from nodes import NODE_CLASS_MAPPINGS  # type: ignore[attr-defined]  # of ComfyUI

from ..phd_ops.latents.seeds import SEEDS
from ..phd_ops.quote import quoted
from ..phd_ops.sentence import sentence
from .checked import checked
from .crop import PhDCrop
from .harmonize_sampler import PhDHarmonizeSampler
from .inpaint_sampler import PhDMaskedInpaintSampler
from .learned_module import Module, PhDApplyModule
from .load_segmenter import Segmenter
from .model_settings import QUALITIES, SAMPLERS, id_of, settings_of
from .paste_blend import PhDPasteBlend
from .paste_inputs import PLACEMENTS, START, keyframes_input, placement_inputs
from .sampler_inputs import BALANCED
from .segment import PhDSegment
from .stitch import PhDStitch
from .validate import check_choice, check_socket

# The sockets that must be connected.
REQUIRED = ("background", "subject", "model", "vae")


class PhDInsertSubject(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDInsertSubject",
            display_name="Insert Subject",
            category="PhD",
            description=(
                "Puts the subject of one image into another, in the scene's light: pastes, inpaints, harmonizes and "
                "stitches. Every pixel outside the returned mask is the background's, bit for bit."
            ),
            inputs=[*image_inputs(), *model_inputs(), *setting_inputs()],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The finished image, at the background's size."),
                io.Mask.Output(display_name="mask", tooltip="The composite mask used: 0 = the background's own pixel."),
                io.Image.Output(display_name="before", tooltip="The subject as pasted, before the model worked."),
                io.String.Output(display_name="report", tooltip="The report of Stitch, as JSON: light and identity."),
            ],
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
            enable_expand=True,
        )

    @classmethod
    @checked
    def execute(  # noqa: PLR0913
        cls,
        background: Any,
        subject: Any,
        model: Any,
        vae: Any,
        prompt: str = "",
        quality: str = BALANCED,
        light: float = 1.0,
        seed: int = 0,
        placement: str = "manual",
        x: float = START.x,
        y: float = START.y,
        size: float = START.size,
        rotation: float = START.rotation,
        flip: bool = START.flip,
        keyframes: str = "",
        cfg: float = 0.0,
        subject_mask: Any = None,
        segmenter: Any = None,
        clip: Any = None,
        positive: Any = None,
        negative: Any = None,
        module: Any = None,
    ) -> io.NodeOutput:
        check_choice("quality", quality, QUALITIES)
        check_choice("placement", placement, PLACEMENTS)
        check_socket("model", model, ModelPatcher, sentence("a MODEL"))
        given = {
            "background": (background, sentence("an IMAGE")),
            "subject": (subject, sentence("an IMAGE")),
            "model": (model, sentence("a MODEL")),
            "vae": (vae, sentence("a VAE")),
            "subject_mask": (subject_mask, sentence("a MASK")),
            "segmenter": (segmenter, sentence("the segmenter of Load Segmenter")),
            "clip": (clip, sentence("a CLIP")),
            "positive": (positive, sentence("a prompt")),
            "negative": (negative, sentence("a prompt")),
            "module": (module, sentence("the module of Load PhD Module")),
        }
        graph = GraphBuilder()
        linked = {
            name: cls.handed_on(name, *one) for name, one in given.items() if name in REQUIRED or one[0] is not None
        }
        widgets = {"prompt": prompt, "quality": quality, "light": light, "seed": seed, "placement": placement}
        widgets |= {"x": x, "y": y, "size": size, "rotation": rotation, "flip": flip, "keyframes": keyframes}
        widgets |= {"harmonize_seed": (seed + 1) % SEEDS}
        own = settings_of(model, quality, module is not None)
        if cfg > 0:
            own = own | {id_of(node): own.get(id_of(node), {}) | {"cfg": cfg} for node in SAMPLERS}
        return io.NodeOutput(*chain(graph, own, linked, widgets), expand=graph.finalize())

    @classmethod
    def handed_on(cls, name: str, value: Any, wanted: str) -> Any:
        """What the nodes inside get of an input: its link, as they are cached by where a value comes from.

        Of a list the value: ComfyUI runs this node for each item, but by the link each run would get all of them.
        """
        # Without a prompt, as where a program calls the node, the values are links already, but for the model.
        hidden = cls.hidden
        link = value if hidden is None else hidden.dynprompt.get_node(hidden.unique_id)["inputs"][name]
        if not (is_link(link) or isinstance(link, ModelPatcher)):
            raise ValueError(
                sentence("{name} is {value}; connect {wanted} to it.", name=name, value=quoted(link), wanted=wanted)
            )
        return value if hidden is not None and may_be_list(hidden.dynprompt, link) else link


def may_be_list(prompt: DynamicPrompt, link: list) -> bool:
    """Whether an output may be a list: where a node gives lists by itself, or is run for each item of one."""
    pending, known = [link], set()
    while pending:
        node_id, slot = pending.pop()
        node = prompt.get_node(node_id)
        kind = NODE_CLASS_MAPPINGS[node["class_type"]]
        # Some packs name fewer outputs than there are.
        if any((getattr(kind, "OUTPUT_IS_LIST", None) or ())[slot : slot + 1]):
            return True
        if node_id not in known and not getattr(kind, "INPUT_IS_LIST", False):
            pending += filter(is_link, node["inputs"].values())
        known.add(node_id)
    return False


def image_inputs() -> list[io.Input]:
    return [
        io.Image.Input("background", tooltip="The scene that the subject goes into."),
        io.Image.Input("subject", tooltip="An image that shows the subject, or a cut-out with alpha (RGBA)."),
        io.Mask.Input(
            "subject_mask",
            optional=True,
            tooltip="1 = subject, at the subject image's size. Not needed with alpha, or with a segmenter.",
        ),
        Segmenter.Input(
            "segmenter",
            optional=True,
            tooltip="From Load Segmenter: finds the subject where no subject_mask is connected.",
        ),
    ]


def model_inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="Any image model: SD 1.5, SDXL, SD 3, Flux and others. It is not changed."),
        io.Vae.Input("vae", tooltip="The model's VAE."),
        io.Clip.Input("clip", optional=True, tooltip="Encodes the prompt."),
        io.Conditioning.Input("positive", optional=True, tooltip="Instead of the prompt: an encoded one."),
        io.Conditioning.Input("negative", optional=True, tooltip="What to avoid. Without it, an empty prompt."),
        Module.Input(
            "module",
            optional=True,
            tooltip="A learned module for the model: it draws ring, shadow and light in one run. Without it, the model "
            "inpaints and harmonizes by itself.",
        ),
    ]


def setting_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "prompt",
            default="",
            multiline=True,
            tooltip="Describes the finished image: the whole scene, the subject and its color included.",
        ),
        io.Combo.Input(
            "quality",
            options=list(QUALITIES),
            default=BALANCED,
            tooltip="The preset of both samplers. Higher quality takes more model calls.",
        ),
        io.Float.Input(
            "light",
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip="How far the subject's light changes toward the scene's: 0 not at all, 1 as estimated.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=SEEDS - 1,
            control_after_generate=True,
            tooltip="Seed of all noise, and of a random placement.",
        ),
        *placement_inputs(),
        keyframes_input(),
        io.Float.Input(
            "cfg",
            optional=True,
            default=0.0,
            min=0.0,
            max=30.0,
            step=0.1,
            tooltip="How closely the image follows the prompt. 0: what suits the model, which is 4 for most and 1 for "
            "Flux dev. Set 1 for a turbo, lightning or LCM checkpoint, which cannot be recognized.",
        ),
    ]


def chain(
    graph: GraphBuilder, own: dict[str, dict[str, Any]], linked: Mapping[str, Any], widgets: Mapping[str, Any]
) -> tuple[Any, Any, Any, Any]:
    """Adds the nodes from the two images to the finished one.

    Args:
        own: what the model wants of them, see `settings_of`.
        linked: what is connected to each socket; None, or left out, where nothing is.
        widgets: the widgets' values, or links in their places; `harmonize_seed` is the second sampler's seed. Of a clip
            `keyframes`, a text.

    Returns:
        Links to the image, the mask, the composite and the report.
    """
    model, vae, subject, mask = (linked.get(name) for name in ("model", "vae", "subject", "subject_mask"))
    if mask is None and linked.get("segmenter") is not None:
        mask = add(graph, PhDSegment, image=subject, segmenter=linked["segmenter"]).out(0)
    connected = (linked.get(name) for name in ("clip", "positive", "negative"))
    positive, negative = prompts(graph, widgets["prompt"], *connected)
    seed, where = widgets["seed"], {item.id: widgets[item.id] for item in placement_inputs()}
    images = {"background": linked["background"], "subject": subject, "subject_mask": mask}
    clip = widgets.get("keyframes", "")
    paste = add(graph, PhDPasteBlend, own, **images, seed=seed, **where, keyframes=clip)
    # Where a subject moves, the window moves with it.
    crop = add(graph, PhDCrop, own, paste=paste.out(0), model=model, vae=vae, window_per_frame=bool(clip.strip()))
    sampling = {"model": model, "positive": positive, "negative": negative, "preset": widgets["quality"]}
    latent, module = crop.out(6), linked.get("module")
    if module is None:
        latent = add(graph, PhDMaskedInpaintSampler, own, latent=latent, seed=seed, **sampling).out(0)
    else:
        # It draws the ring as well, so nothing has to be inpainted before.
        applied = add(graph, PhDApplyModule, module=module, positive=positive, negative=negative, latent=latent)
        sampling |= {"positive": applied.out(0), "negative": applied.out(1)}
    # A model may want steps of its own to harmonize.
    preset = own.get(id_of(PhDHarmonizeSampler), {}).get("preset", widgets["quality"])
    sampling |= {"seed": widgets["harmonize_seed"], "preset": preset}
    harmonized = add(graph, PhDHarmonizeSampler, own, latent=latent, **sampling)
    sampled = {"crop": crop.out(0), "latent": harmonized.out(0), "vae": vae}
    stitch = add(graph, PhDStitch, own, **sampled, relight_strength=widgets["light"])
    image, mask_used, report = (stitch.out(slot) for slot in range(3))
    return image, mask_used, paste.out(1), report


def add(
    graph: GraphBuilder, node: type[io.ComfyNode], own: dict[str, dict[str, Any]] | None = None, **inputs: Any
) -> Node:
    """Adds one of the pack's nodes: its defaults, what the model wants of it, and its inputs that are not None."""
    schema = node.GET_SCHEMA()
    defaults = {item.id: item.default for item in schema.inputs if getattr(item, "default", None) is not None}
    given = {name: value for name, value in inputs.items() if value is not None}
    return graph.node(schema.node_id, **defaults | (own or {}).get(schema.node_id, {}) | given)


def prompts(graph: GraphBuilder, text: str, clip: Any, positive: Any, negative: Any) -> tuple[Any, Any]:
    """Both prompts: the connected ones, or encoded by clip."""
    if clip is None and (positive is None or negative is None):
        raise ValueError(sentence("clip is not connected: connect one, or both positive and negative."))
    if positive is None:
        positive = graph.node("CLIPTextEncode", clip=clip, text=text).out(0)
    if negative is None:
        negative = graph.node("CLIPTextEncode", clip=clip, text="").out(0)
    return positive, negative
