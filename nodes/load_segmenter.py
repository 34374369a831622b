"""PhDLoadSegmenter: a way to find a subject, with its weights under ComfyUI's memory management."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops import interrupt
from ..phd_ops.segmenters import checkpoint
from ..phd_ops.segmenters.deeplab import DeepLab
from ..phd_ops.segmenters.grabcut import grabcut
from ..phd_ops.segmenters.onnx_salient import SalientModel
from ..phd_ops.segmenters.prompt import Prompt
from ..phd_ops.segmenters.sam import SamSegmenter
from ..phd_ops.sentence import sentence
from .checked import checked
from .model_files import add_folder, files_in, path_of
from .validate import check_choice

GRABCUT = "grabcut (no weights)"
FOLDERS = ("segmentation", "sams")
ENDINGS = (".onnx", ".safetensors", ".pth", ".pt", ".bin", ".ckpt")

for _folder in FOLDERS:
    add_folder(_folder)

Segmenter = io.Custom("PHD_SEGMENTER")


@dataclass(frozen=True)
class LoadedSegmenter:
    """A way to find a subject: what travels through the PHD_SEGMENTER socket.

    Attributes:
        name: for messages.
        find: from an image, float32 [H,W,3] in 0..1, and a prompt to a soft mask, float32 [H,W] in 0..1.
        needs_prompt: whether it needs a box, positive points or a rough mask.
        knows_classes: whether it finds a subject by its class's name.
    """

    name: str
    find: Callable[[np.ndarray, Prompt], np.ndarray]
    needs_prompt: bool
    knows_classes: bool = False


def segmenter_files() -> dict[str, str]:
    """The model files found: name -> folder. A name in both folders belongs to the first."""
    found = {}
    for folder in FOLDERS:
        for name in files_in(folder):
            if name.lower().endswith(ENDINGS):
                found.setdefault(name, folder)
    return found


def segmenters() -> list[str]:
    """The options of the node: GrabCut, and the model files found."""
    return [GRABCUT, *segmenter_files()]


def read_checkpoint(path: Path) -> SamSegmenter | DeepLab:
    """The network in a file. Raises ValueError with one sentence where the file holds none."""
    name = path.name
    try:
        # Of a pickle only tensors are read; anything that could run code is refused.
        weights, metadata = comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)
    # A damaged file raises a different error for each place where the damage can be.
    except Exception:
        raise ValueError(
            sentence(
                "{file} cannot be read: it is cut short or damaged, or it holds more than weights, which "
                "could run code and is not loaded. Download the file again, as .safetensors if there is "
                "one.",
                file=name,
            )
        ) from None
    try:
        return checkpoint.build(weights, metadata or {})
    except ValueError as error:
        raise ValueError(sentence("{name}: {error}", name=name, error=error)) from None


def managed(segmenter: SamSegmenter | DeepLab) -> Callable[[np.ndarray, Prompt], np.ndarray]:
    """A network's `predict` with the weights under ComfyUI's management: each call first loads them to the device."""
    device = comfy.model_management.get_torch_device()
    parameters = sum(value.numel() for value in segmenter.network.parameters())
    if comfy.model_management.should_use_fp16(device, model_params=parameters):
        segmenter.heavy_part.to(torch.float16)
    # An interrupt is heard between its layers.
    for module in segmenter.network.modules():
        module.register_forward_pre_hook(lambda *_: interrupt.check())
    # ComfyUI stores the device as an attribute of the module it manages, which some libraries' modules do not allow.
    held = torch.nn.ModuleList([segmenter.network])
    patcher = comfy.model_patcher.ModelPatcher(
        held, load_device=device, offload_device=comfy.model_management.unet_offload_device()
    )

    def find(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        # Loaded completely: these libraries' layers cannot use weights that are partly on another device.
        memory = segmenter.working_memory
        comfy.model_management.load_models_gpu([patcher], memory_required=memory, force_full_load=True)
        return segmenter.predict(image, prompt)

    return find


def load_segmenter(model: str) -> LoadedSegmenter:
    """A segmenter by its name among `segmenters()`. Raises ValueError for other names and unreadable files."""
    files = segmenter_files()
    check_choice("model", model, [GRABCUT, *files])
    if model == GRABCUT:

        def find(image: np.ndarray, prompt: Prompt) -> np.ndarray:
            return grabcut(image, prompt.box, prompt.positive, prompt.negative, prompt.rough)

        return LoadedSegmenter(model, find, needs_prompt=True)
    path = path_of("model", model, files[model])
    if path.suffix.lower() == ".onnx":
        network = SalientModel(str(path))
        return LoadedSegmenter(model, lambda image, _: network.predict(image), needs_prompt=False)
    found = read_checkpoint(path)
    return LoadedSegmenter(model, managed(found), needs_prompt=False, knows_classes=isinstance(found, DeepLab))


class PhDLoadSegmenter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDLoadSegmenter",
            display_name="Load Segmenter",
            category="PhD",
            description=(
                "Loads a segmenter, which finds the subject in an image. GrabCut needs no file. SAM, DeepLabV3+ and "
                "salient-object models are read from models/sams and models/segmentation."
            ),
            inputs=[
                io.Combo.Input(
                    "model",
                    options=segmenters(),
                    default=GRABCUT,
                    tooltip=(
                        "GrabCut, or a file from models/sams or models/segmentation: SAM, DeepLabV3+ "
                        "(.safetensors, .pth), or a salient-object model (.onnx, such as u2netp). A file is "
                        "recognized by its weights, not by its name."
                    ),
                ),
            ],
            outputs=[Segmenter.Output(display_name="segmenter", tooltip="Connect to Segment.")],
        )

    @classmethod
    @checked
    def execute(cls, model: str) -> io.NodeOutput:
        return io.NodeOutput(load_segmenter(model))
