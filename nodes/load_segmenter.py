"""PhDLoadSegmenter: ways of finding a subject, with the weights under ComfyUI's memory management."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

import comfy.model_management
import comfy.model_patcher
import comfy.utils
import folder_paths
import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.segmenters import checkpoint
from ..phd_ops.segmenters.deeplab import DeepLab
from ..phd_ops.segmenters.grabcut import grabcut
from ..phd_ops.segmenters.onnx_salient import SalientModel
from ..phd_ops.segmenters.prompt import Prompt
from ..phd_ops.segmenters.sam import SamSegmenter
from .compat import newer
from .validate import check_choice

GRABCUT = "grabcut (no weights)"
FOLDERS = ("segmentation", "sams")
ENDINGS = (".onnx", ".safetensors", ".pth", ".pt", ".bin", ".ckpt")

for folder in FOLDERS:
    if folder not in folder_paths.folder_names_and_paths:
        folder_paths.add_model_folder_path(folder, f"{folder_paths.models_dir}/{folder}")

Segmenter = io.Custom("PHD_SEGMENTER")


@dataclass(frozen=True)
class LoadedSegmenter:
    """A way to find a subject. `find` takes an image [H,W,3] and a prompt, and gives a soft mask [H,W]."""

    name: str
    find: Callable[[np.ndarray, Prompt], np.ndarray]
    needs_prompt: bool


def segmenter_files() -> dict[str, str]:
    """The model files found: name -> folder. A name that both folders have is that of the first."""
    found = {}
    for folder in FOLDERS:
        for name in folder_paths.get_filename_list(folder):
            if name.lower().endswith(ENDINGS):
                found.setdefault(name, folder)
    return found


def segmenters() -> list[str]:
    """What can be loaded: GrabCut, and the model files found."""
    return [GRABCUT, *segmenter_files()]


def read_checkpoint(path: str) -> SamSegmenter | DeepLab:
    """The network in a file. Raises ValueError with one sentence for what is none."""
    name = PurePath(path).name
    try:
        # Of a pickle only tensors are read: what would run code is refused.
        weights, metadata = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    # What a damaged file raises depends on where it is damaged.
    except Exception:
        raise ValueError(
            f"{name} cannot be read: it is cut short or damaged, or holds more than weights, which could run code and "
            "is not loaded. Get the file again, as .safetensors if there is one."
        ) from None
    try:
        return checkpoint.build(weights, metadata or {})
    except ValueError as error:
        raise ValueError(f"{name} {error}".removesuffix(".") + ".") from None


def managed(segmenter: SamSegmenter | DeepLab) -> Callable[[np.ndarray, Prompt], np.ndarray]:
    """A network's `predict` that has ComfyUI bring the weights to its device first."""
    device = comfy.model_management.get_torch_device()
    parameters = sum(value.numel() for value in segmenter.network.parameters())
    if comfy.model_management.should_use_fp16(device, model_params=parameters):
        segmenter.heavy_part.to(torch.float16)
    # ComfyUI notes the device on the module it manages, and some libraries' own modules do not let it.
    held = torch.nn.ModuleList([segmenter.network])
    patcher = comfy.model_patcher.ModelPatcher(
        held, load_device=device, offload_device=comfy.model_management.unet_offload_device()
    )

    def find(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        # Whole: these libraries' layers cannot work with weights that are partly elsewhere.
        memory = segmenter.working_memory
        comfy.model_management.load_models_gpu([patcher], memory_required=memory, force_full_load=True)
        return segmenter.predict(image, prompt)

    return find


def load_segmenter(model: str) -> LoadedSegmenter:
    """A segmenter by its name in the list. Raises ValueError for what is not in it, or cannot be read."""
    check_choice("model", model, segmenters())
    if model == GRABCUT:

        def find(image, prompt):
            return grabcut(image, prompt.box, prompt.positive, prompt.negative, prompt.rough)

        return LoadedSegmenter(model, find, needs_prompt=True)
    path = folder_paths.get_full_path_or_raise(segmenter_files()[model], model)
    if path.lower().endswith(".onnx"):
        network = SalientModel(path)
        return LoadedSegmenter(model, lambda image, _: network.predict(image), needs_prompt=False)
    return LoadedSegmenter(model, managed(read_checkpoint(path)), needs_prompt=False)


class PhDLoadSegmenter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDLoadSegmenter",
            display_name="Load Segmenter",
            category="PhD",
            description=(
                "Loads a way of finding the subject in an image: GrabCut needs no file; SAM, DeepLabV3+ and "
                "salient-object models are read from models/sams and models/segmentation."
            ),
            inputs=[
                io.Combo.Input(
                    "model",
                    options=segmenters(),
                    default=GRABCUT,
                    tooltip=(
                        "GrabCut, or a file from models/sams or models/segmentation: SAM, DeepLabV3+ "
                        "(.safetensors, .pth), or a salient-object model (.onnx, such as u2netp). What a file is is "
                        "read from its weights, not from its name."
                    ),
                ),
            ],
            outputs=[Segmenter.Output(display_name="segmenter", tooltip="Goes into Segment.")],
            **newer(io.Schema, search_aliases=["u2net", "grabcut", "background removal", "sam", "deeplab"]),
        )

    @classmethod
    def execute(cls, model: str) -> io.NodeOutput:
        return io.NodeOutput(load_segmenter(model))
