"""The model families that the kit knows: their files as a ComfyUI lists them, and the template that runs each.

A file is recognized by its name, as ComfyUI's own templates name it or as users commonly do.
"""

import copy
import json
import re
from dataclasses import dataclass, field

from benchmarks.common.titled_workflow import WorkflowInputError
from benchmarks.common.workflow_runners import choices
from devtools.paths import ROOT

TEMPLATES = ROOT / "example_workflows" / "api"
CHECKPOINT, RELIGHT = "Insert a subject (your checkpoint)", "Finish an edit model ({})"
# The node of the template CHECKPOINT that loads MODEL, CLIP and VAE.
LOADER = "2"
# Ids of the nodes that the kit puts into a template.
BACKGROUND, SUBJECT, MASK, RESULT, RETURNED = (
    f"kit_{name}" for name in ("background", "subject", "mask", "result", "returned")
)
GIVEN = (BACKGROUND, SUBJECT, MASK)


@dataclass(frozen=True)
class Needed:
    """A file that a family needs.

    Attributes:
        kind, widget: the loader's node type, and its widget.
        pattern: a regular expression for the file's name in lower case, without its folder.
        example: a name, for messages.
        folder: in ComfyUI's models.
    """

    kind: str
    widget: str
    pattern: str
    example: str
    folder: str


def checkpoint(pattern: str, example: str) -> Needed:
    return Needed("CheckpointLoaderSimple", "ckpt_name", pattern, example, "checkpoints")


def diffusion_model(pattern: str, example: str) -> Needed:
    return Needed("UNETLoader", "unet_name", pattern, example, "diffusion_models")


def text_encoder(pattern: str, example: str, kind: str = "CLIPLoader", widget: str = "clip_name") -> Needed:
    return Needed(kind, widget, pattern, example, "text_encoders")


def vae(pattern: str, example: str) -> Needed:
    return Needed("VAELoader", "vae_name", pattern, example, "vae")


CLIP_L = text_encoder(r"^clip_l\b", "clip_l.safetensors", "DualCLIPLoader", "clip_name1")
T5 = text_encoder(r"t5.?xxl", "t5xxl_fp8_e4m3fn_scaled.safetensors", "DualCLIPLoader", "clip_name2")
QWEN_VL = text_encoder(r"qwen_?2\.5_vl_7b", "qwen_2.5_vl_7b_fp8_scaled.safetensors")
FLUX_VAE, QWEN_VAE = vae(r"^ae\.", "ae.safetensors"), vae(r"qwen_?image_?vae", "qwen_image_vae.safetensors")

MODEL_NODE = {"class_type": "UNETLoader", "inputs": {"unet_name": "", "weight_dtype": "default"}}
VAE_NODE = {"class_type": "VAELoader", "inputs": {"vae_name": ""}}
# Loaders in the place of Load Checkpoint: what gives MODEL, CLIP and VAE is named so.
FLUX_LOADERS = {
    "model": MODEL_NODE,
    "clip": {
        "class_type": "DualCLIPLoader",
        "inputs": {"clip_name1": "", "clip_name2": "", "type": "flux", "device": "default"},
    },
    "vae": VAE_NODE,
}
QWEN_LOADERS = {
    "unet": MODEL_NODE,
    "model": {"class_type": "ModelSamplingAuraFlow", "inputs": {"model": ["unet", 0], "shift": 3.1}},
    "clip": {"class_type": "CLIPLoader", "inputs": {"clip_name": "", "type": "qwen_image", "device": "default"}},
    "vae": VAE_NODE,
}


@dataclass(frozen=True)
class Family:
    """A way to run one family of models.

    Attributes:
        name: in --families and in the JSON; two entries may share it, for two kinds of files.
        template: of example_workflows.
        side: of the scenes, in pixels.
        needs: its files; the first is the model itself.
        loaders: take the place of the template's Load Checkpoint.
    """

    name: str
    title: str
    template: str
    side: int = 1024
    needs: tuple[Needed, ...] = ()
    loaders: dict[str, dict] = field(default_factory=dict)

    @property
    def edits(self) -> bool:
        """Whether it edits the paste by an instruction."""
        return self.template.startswith("Finish")


# Other models and parts whose names hold those of the families.
OTHERS = (
    r"^(?!.*(inpaint|refiner|lora|vae|controlnet|kontext|fill|canny|depth|redux|turbo|lightning|schnell|edit|layered))"
)
FAMILIES = (
    Family("demo", "Demo model", "Insert a subject (CPU demo)", 256),
    Family(
        "sd15", "SD 1.5", CHECKPOINT, 512,
        (checkpoint(OTHERS + r".*(v1-5|sd.?v?1[._-]?5)", "v1-5-pruned-emaonly-fp16.safetensors"),),
    ),
    Family(
        "sdxl", "SDXL", CHECKPOINT, 1024,
        (checkpoint(OTHERS + r".*(sd_?xl|xl_base|xl[._-]?v?\d)", "sd_xl_base_1.0.safetensors"),),
    ),
    Family(
        "flux", "Flux dev", CHECKPOINT, 1024,
        (diffusion_model(OTHERS + r".*flux\.?1?[._-]?dev", "flux1-dev.safetensors"), CLIP_L, T5, FLUX_VAE),
        FLUX_LOADERS,
    ),
    Family(
        "flux", "Flux dev", CHECKPOINT, 1024,
        (checkpoint(OTHERS + r".*flux\.?1?[._-]?dev", "flux1-dev-fp8.safetensors"),),
    ),
    Family(
        "qwen_image", "Qwen-Image", CHECKPOINT, 1024,
        (diffusion_model(OTHERS + r".*qwen.?image", "qwen_image_fp8_e4m3fn.safetensors"), QWEN_VL, QWEN_VAE),
        QWEN_LOADERS,
    ),
    Family(
        "kontext", "FLUX Kontext", RELIGHT.format("FLUX Kontext"), 1024,
        (diffusion_model(r"kontext", "flux1-dev-kontext_fp8_scaled.safetensors"), CLIP_L, T5, FLUX_VAE),
    ),
    Family(
        "qwen_edit", "Qwen-Image-Edit", RELIGHT.format("Qwen-Image-Edit"), 1024,
        (
            diffusion_model(r"^(?!.*lightning).*qwen.?image.?edit", "qwen_image_edit_2509_fp8_e4m3fn.safetensors"),
            QWEN_VL,
            QWEN_VAE,
        ),
    ),
    Family(
        "klein", "FLUX.2 Klein", RELIGHT.format("FLUX.2 Klein"), 1024,
        (
            diffusion_model(r"^(?!.*base).*flux.?2.?klein.?4b", "flux-2-klein-4b.safetensors"),
            text_encoder(r"qwen_?3_4b", "qwen_3_4b.safetensors"),
            vae(r"flux.?2.?vae", "flux2-vae.safetensors"),
        ),
    ),
)  # fmt: skip
NAMES = tuple(dict.fromkeys(family.name for family in FAMILIES))


@dataclass(frozen=True)
class Found:
    """A family that a server can run, with the names of its files there, in the order of `needs`."""

    family: Family
    files: tuple[str, ...]


def own_name(file: str) -> str:
    """A file's name in lower case, without its folder."""
    return re.split(r"[/\\]", file)[-1].lower()


def matching(needed: Needed, info: dict) -> str | None:
    """The first of a server's files that fits; the shortest name first, as variants have longer ones."""
    known = choices(info, needed.kind, needed.widget) or []
    fitting = [file for file in known if re.search(needed.pattern, own_name(file))]
    return min(fitting, key=lambda file: (len(own_name(file)), file), default=None)


def find(info: dict, named: dict[str, str], wanted: list[str]) -> tuple[list[Found], dict[str, str]]:
    """The families that a server can run, and for each of the others one sentence.

    Args:
        info: the server's /object_info.
        named: the model's file by family, as the user gave it.
        wanted: names of families; empty for all that are found, and the demo model only where there is no other.
    Raises WorkflowInputError for a name that is no family's, a named file that the server does not have, and a wanted
    family that it cannot run, or where it can run none.
    """
    for name in (*named, *wanted):
        if name not in NAMES:
            raise WorkflowInputError(f"There is no family {name!r}; there are {', '.join(NAMES)}.")
    found, reasons = {}, {}
    for family in FAMILIES:
        if family.name in found:
            continue
        match = located(family, info, named.get(family.name))
        if isinstance(match, Found):
            found[family.name] = match
            reasons.pop(family.name, None)
        else:
            reasons.setdefault(family.name, match)
    for name in (*named, *wanted):
        if name not in found:
            raise WorkflowInputError(f"--server: {reasons[name]}")
    if not found:
        raise WorkflowInputError(f"--server: {reasons['demo']}")
    chosen = wanted or [name for name in found if name != "demo"] or list(found)
    return [found[name] for name in chosen], reasons


def located(family: Family, info: dict, named: str | None) -> Found | str:
    """A family with its files; a sentence where the server lacks something."""
    files = []
    for i, needed in enumerate(family.needs):
        known = choices(info, needed.kind, needed.widget) or []
        file = named if named and i == 0 else matching(needed, info)
        if file is None or file not in known:
            like = f"{named!r}" if named and i == 0 else f"such as {needed.example}"
            return f"{family.title}: the server has no file {like} in models/{needed.folder}."
        files.append(file)
    kinds = {node["class_type"] for node in template(family).values()}
    if missing := sorted(kind for kind in kinds if kind not in info and kind != "PhDLoadDemoImages"):
        which = "the PhD pack, or not its newest version" if missing[0].startswith("PhD") else f"the node {missing[0]}"
        return f"{family.title}: the server has not {which}; install or update it and start the server again."
    return Found(family, tuple(files))


def template(family: Family) -> dict:
    """A family's template with its own loaders, without files."""
    workflow = json.loads((TEMPLATES / f"{family.template}.json").read_text(encoding="utf-8"))
    if not family.loaders:
        return workflow
    del workflow[LOADER]
    for node in workflow.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == LOADER:
                node["inputs"][name] = [("model", "clip", "vae")[value[1]], 0]
    return copy.deepcopy(family.loaders) | workflow


def graph(found: Found) -> dict:
    """A family's template with its files, with Load Image nodes in the place of the demo's images.

    The nodes BACKGROUND, SUBJECT and MASK have no file yet. RESULT shows the finished image, and RETURNED what an edit
    model gave.
    """
    workflow = template(found.family)
    for needed, file in zip(found.family.needs, found.files, strict=True):
        for node in workflow.values():
            if node["class_type"] == needed.kind:
                node["inputs"][needed.widget] = file
    (demo,) = (name for name, node in workflow.items() if node["class_type"] == "PhDLoadDemoImages")
    del workflow[demo]
    for node in workflow.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == demo:
                node["inputs"][name] = [GIVEN[value[1]], 0]
        if node["class_type"] == "PhDStitch" and found.family.edits:
            returned = node["inputs"]["sampled"]
    (saved,) = (name for name, node in workflow.items() if node["class_type"] == "SaveImage")
    # Nothing is left in the server's output folder.
    workflow[RESULT] = preview(workflow.pop(saved)["inputs"]["images"])
    if found.family.edits:
        workflow[RETURNED] = preview(returned)
    workflow[BACKGROUND] = {"class_type": "LoadImage", "inputs": {"image": ""}}
    workflow[SUBJECT] = {"class_type": "LoadImage", "inputs": {"image": ""}}
    workflow[MASK] = {"class_type": "LoadImageMask", "inputs": {"image": "", "channel": "red"}}
    return workflow


def preview(images: list) -> dict:
    return {"class_type": "PreviewImage", "inputs": {"images": images}}
