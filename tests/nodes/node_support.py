"""What the graph tests share: any value into any node, through ComfyUI's real executor; and a tiny real model."""

import importlib
import itertools
from dataclasses import dataclass
from pathlib import Path

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models
import numpy as np
import torch

import nodes as core
from devtools.any_value import Given, Taken
from devtools.comfyui import PACK, ROOT, load_pack
from devtools.executor import Execution, WorkflowError, run_workflow
from devtools.tiny_networks import UNET as UNET
from devtools.tiny_networks import patcher
from devtools.tiny_networks import tiny_model as tiny_model
from devtools.tiny_networks import tiny_wan_vae as tiny_wan_vae


@dataclass(frozen=True)
class Ran:
    """A node's values, the sentences it showed, and the whole run."""

    values: list
    text: list[str]
    execution: Execution


def run_node(kind: str, *, on_progress=None, **inputs) -> Ran:
    """Runs one node through the real executor. Numbers, strings and truth values are widgets, all else is linked.

    Widgets that are not given have their defaults, as in the browser.
    """
    core.NODE_CLASS_MAPPINGS.update(PhDTestGiven=Given, PhDTestTaken=Taken)
    schema = getattr(core.NODE_CLASS_MAPPINGS[kind], "GET_SCHEMA", None)
    widgets = [item for item in schema().inputs if hasattr(item, "default")] if schema else []
    inputs = {item.id: item.default for item in widgets if not item.optional} | inputs
    workflow, numbers = {}, itertools.count(1)
    Given.values = {}
    for name, value in inputs.items():
        if not isinstance(value, (int, float, str, bool)):
            node_id = f"given {next(numbers)}"
            Given.values[name] = value
            workflow[node_id] = {"class_type": "PhDTestGiven", "inputs": {"name": name}}
            inputs[name] = [node_id, 0]
    workflow["node"] = {"class_type": kind, "inputs": inputs}
    if not getattr(core.NODE_CLASS_MAPPINGS[kind], "OUTPUT_NODE", False):
        workflow["taken"] = {"class_type": "PhDTestTaken", "inputs": {"value": ["node", 0]}}
    execution = run_workflow(workflow, on_progress=on_progress)
    return Ran(execution.results["node"], list(execution.outputs.get("node", {}).get("text", [])), execution)


def to_save(kind: str) -> dict:
    """A workflow of one node with all its required inputs, and its first output taken by an output node."""
    core.NODE_CLASS_MAPPINGS.update(PhDTestGiven=Given, PhDTestTaken=Taken)
    required = [item for item in core.NODE_CLASS_MAPPINGS[kind].GET_SCHEMA().inputs if not item.optional]
    inputs = {item.id: getattr(item, "default", None) for item in required}
    inputs |= {name: ["given", 0] for name, value in inputs.items() if value is None}
    return {
        "given": {"class_type": "PhDTestGiven", "inputs": {"name": "anything"}},
        "node": {"class_type": kind, "inputs": inputs},
        "taken": {"class_type": "PhDTestTaken", "inputs": {"value": ["node", 0]}},
    }


def refused(kind: str, **inputs) -> str:
    """The sentence with which a node refuses its inputs. It was raised by the pack itself, not from deep inside."""
    try:
        run_node(kind, **inputs)
    except WorkflowError as error:
        assert error.node_id == "node" or error.node_type == kind
        if error.traceback:
            frames = [line for line in error.traceback.splitlines() if line.strip().startswith("File ")]
            assert str(ROOT) in frames[-1], error.traceback
            last = error.traceback.splitlines()[error.traceback.splitlines().index(frames[-1]) + 1]
            assert last.strip().startswith("raise "), error.traceback
        assert "\n" not in error.message
        return error.message
    raise AssertionError(f"{kind} took its inputs.")


def pasted_parts(values: list) -> tuple:
    """Of Paste & Blend's outputs: composite, reference, subject matte, inpaint and harmonize mask, and placements."""
    _, composite, placements, matte, inpaint, reference, harmonize = values
    return composite, reference, matte, inpaint, harmonize, placements


def module(name: str):
    """One of the pack's own modules, such as "nodes.stitch"."""
    load_pack()
    return importlib.import_module(f"{PACK}.{name}")


def make_image(height: int, width: int, channels: int = 3, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """A smooth image with some texture."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    base = np.stack([x, y, 1 - x, np.ones_like(x)][:channels], axis=-1)
    return torch.from_numpy((0.2 + 0.6 * base + 0.1 * rng.uniform(size=(batch, height, width, channels))).astype("f4"))


def block(height: int, width: int, top: int, left: int, bottom: int, right: int, batch: int = 1) -> torch.Tensor:
    """A mask [B,H,W] that is 1 in a rectangle."""
    mask = torch.zeros(batch, height, width)
    mask[:, top:bottom, left:right] = 1
    return mask


def tiny_flux(in_channels: int = 16) -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's own Flux, a transformer on 16 channels; with 96 it is an inpaint model as Flux Fill is."""
    config = comfy.supported_models.Flux({
        "image_model": "flux", "in_channels": in_channels, "out_channels": 16, "vec_in_dim": 8, "context_in_dim": 32,
        "hidden_size": 32, "mlp_ratio": 2.0, "num_heads": 2, "depth": 1, "depth_single_blocks": 1,
        "axes_dim": [4, 6, 6], "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True,
        "dtype": torch.float32, **module("nodes.compat").newer(comfy.ldm.flux.model.FluxParams, txt_ids_dims=[]),
    })  # fmt: skip
    return patcher(comfy.model_base.Flux(config, device=torch.device("cpu")))


def tiny_wan() -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's own Wan 2.1: video latents [B,16,T,H,W]."""
    config = comfy.supported_models.WAN21_T2V({
        "image_model": "wan2.1", "model_type": "t2v", "in_dim": 16, "out_dim": 16, "dim": 24, "ffn_dim": 32,
        "freq_dim": 16, "text_dim": 32, "num_heads": 2, "num_layers": 1, "dtype": torch.float32,
    })  # fmt: skip
    return patcher(comfy.model_base.WAN21(config, device=torch.device("cpu")))


def tiny_qwen() -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's own Qwen-Image: single images as video latents of one frame, [B,16,1,H,W]."""
    config = comfy.supported_models.QwenImage({
        "image_model": "qwen_image", "in_channels": 64, "out_channels": 16, "num_layers": 1, "attention_head_dim": 16,
        "num_attention_heads": 2, "joint_attention_dim": 32, "axes_dims_rope": (4, 6, 6), "dtype": torch.float32,
    })  # fmt: skip
    return patcher(comfy.model_base.QwenImage(config, device=torch.device("cpu")))


def prompt(seed: int) -> list:
    words, pooled = (torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed)) for shape in ((4, 32), (8,)))
    return [[words, {"pooled_output": pooled}]]


def random_latent(batch: int = 1, height: int = 8, width: int = 8, seed: int = 7, channels: int = 4) -> torch.Tensor:
    return 5 * torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


EXPECTED_IDS = [
    "PhDLoadSegmenter", "PhDSegment", "PhDPasteBlend", "PhDCrop", "PhDMaskedInpaintSampler", "PhDHarmonizeSampler",
    "PhDMaskedLangevin", "PhDIdentityAnchor", "PhDStitch", "PhDLoadDemoModel", "PhDLoadDemoImages", "PhDInsertSubject",
    "PhDLoadModule", "PhDApplyModule", "PhDMask", "PhDModelSettings",
]  # fmt: skip

NODE_TESTS = Path(__file__).resolve().parent
