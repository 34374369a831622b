"""PhDLoadModule and PhDApplyModule: the learned module, a ControlNet that reads the clean paste."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.controlnet
import comfy.latent_formats
import comfy.model_management
import comfy.ops
import comfy.utils
import torch
from comfy_api.latest import io

from ..phd_ops.latents.module_condition import module_condition
from ..phd_ops.quote import quoted
from ..phd_ops.sentence import sentence
from .checked import checked
from .companions import companions_of, given_mask, latent_or
from .demo_networks import DemoLatent
from .demo_weights import weights_file
from .latents import mask_on_grid, named_samples, subject_share
from .model_files import add_folder, files_in, path_of
from .module_network import FORMAT, ModuleNetwork
from .ui import HAS_UI, as_ui, gathered
from .validate import check_choice, check_conditioning, check_prompt, check_socket

FOLDER, ENDING = "phd", ".safetensors"
DEMO = "demo model's"
# In a conditioning with a module.
KEY = "phd"

add_folder(FOLDER)

Module = io.Custom("PHD_MODULE")


@dataclass(frozen=True, eq=False)
class LoadedModule:
    """What travels through the PHD_MODULE socket.

    Attributes:
        control: core's ControlNet around the network; its hint is a condition on the latent grid.
        latent_format: of the base that the module was trained for.
    """

    control: comfy.controlnet.ControlNet
    latent_format: comfy.latent_formats.LatentFormat


def latent_format_named(name: str) -> comfy.latent_formats.LatentFormat | None:
    """One of ComfyUI's latent formats, or the demo's, by its class's name."""
    found = DemoLatent if name == DemoLatent.__name__ else getattr(comfy.latent_formats, name, None)
    if isinstance(found, type) and issubclass(found, comfy.latent_formats.LatentFormat):
        return found()
    return None


def read_module(path: Path) -> LoadedModule:
    """The module in a file. Raises ValueError with one sentence where the file holds none."""
    name = path.name
    try:
        weights, metadata = comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)
    # A damaged file raises a different error for each place where the damage can be.
    except Exception:
        raise ValueError(
            sentence("{file} cannot be read: it is cut short or damaged. Copy or train it again.", file=name)
        ) from None
    try:
        config, latent_format = read_metadata(metadata)
        return LoadedModule(controlnet_with(weights, config, latent_format.latent_channels), latent_format)
    except ValueError as error:
        raise ValueError(sentence("{name}: {error}", name=name, error=error)) from None


def read_metadata(metadata: dict[str, str] | None) -> tuple[dict, comfy.latent_formats.LatentFormat]:
    """The UNet's configuration and the latent format. Raises ValueError for another file's metadata."""
    metadata = metadata or {}
    kind = metadata.get("format")
    if kind != FORMAT:
        raise ValueError(
            sentence(
                "this is not a PhD module: its metadata's format is {value}, not {format}.",
                value=quoted(kind),
                format=FORMAT,
            )
        )
    try:
        config, latent_format = json.loads(metadata["unet_config"]), latent_format_named(metadata["latent_format"])
    except (KeyError, ValueError):
        raise ValueError(sentence("its metadata is damaged: train or copy it again.")) from None
    if not isinstance(config, dict) or latent_format is None:
        raise ValueError(sentence("it was trained for a model that this ComfyUI does not know: update ComfyUI."))
    return config, latent_format


def controlnet_with(
    weights: dict[str, torch.Tensor], config: dict, latent_channels: int
) -> comfy.controlnet.ControlNet:
    """Core's ControlNet with these weights. Raises ValueError where they do not belong to the configuration."""
    load_device = comfy.model_management.get_torch_device()
    dtype = comfy.model_management.unet_dtype(model_params=sum(value.numel() for value in weights.values()))
    cast = comfy.model_management.unet_manual_cast(dtype, load_device)
    own = {} if cast is None else {"operations": comfy.ops.manual_cast}
    try:
        network = ModuleNetwork(latent_channels, **{**config, **own, "dtype": dtype})
        network.load_state_dict(weights)
    # A wrong configuration fails in many places, and torch lists every tensor that is missing or of another shape.
    except Exception:
        raise ValueError(
            sentence("it holds other tensors than its configuration needs: train or copy it again.")
        ) from None
    if not all(value.isfinite().all() for value in weights.values()):
        raise ValueError(sentence("it holds values that are not finite: train or copy it again."))
    # The hint is already on the latent grid.
    return comfy.controlnet.ControlNet(
        network.eval(), compression_ratio=1, load_device=load_device, manual_cast_dtype=cast
    )


def modules() -> list[str]:
    """The options of the node: the demo model's module, and the files found."""
    return [DEMO, *(name for name in files_in(FOLDER) if name.lower().endswith(ENDING))]


def load_module(name: str) -> LoadedModule:
    """A module by its name among `modules()`. Raises ValueError for other names and unreadable files."""
    check_choice("module", name, modules())
    if name == DEMO:
        return read_module(weights_file("module"))
    return read_module(path_of("module", name, FOLDER))


class PhDLoadModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDLoadModule",
            display_name="Load PhD Module",
            category="PhD",
            description=(
                "Loads a learned module, which shows a model the paste: the demo model's, or one that was trained "
                "for another checkpoint, from models/phd."
            ),
            inputs=[
                io.Combo.Input(
                    "module",
                    options=modules(),
                    default=DEMO,
                    tooltip="The demo model's module, or a file from models/phd. It belongs to the model that "
                    "it was trained for.",
                ),
            ],
            outputs=[Module.Output(display_name="module", tooltip="Connect to Apply PhD Module.")],
        )

    @classmethod
    @checked
    def execute(cls, module: str) -> io.NodeOutput:
        return io.NodeOutput(load_module(module))


def condition_of(
    latent_format: comfy.latent_formats.LatentFormat,
    composite: torch.Tensor,
    subject_matte: torch.Tensor,
    mask: torch.Tensor,
    reference: torch.Tensor | None,
) -> torch.Tensor:
    """The module's condition [B,2C+3,h,w] from a LATENT's samples and masks in pixels."""
    if composite.ndim != 4 or composite.shape[1] != latent_format.latent_channels:
        raise ValueError(
            sentence(
                "latent is of shape {found}, but the module reads images of {wanted} channels: encode "
                "with the VAE of the model that it was trained for.",
                found=tuple(composite.shape),
                wanted=latent_format.latent_channels,
            )
        )
    subject = subject_share(subject_matte, composite).expand(len(composite), -1, -1, -1)
    hidden = mask_on_grid(mask, composite)
    if reference is not None and reference.shape != composite.shape:
        raise ValueError(
            sentence(
                "reference_latent is {shape}, but latent is {found}: encode both at one size.",
                shape=tuple(reference.shape),
                found=tuple(composite.shape),
            )
        )
    scaled = latent_format.process_in
    reference = None if reference is None else scaled(reference.float())
    return module_condition(scaled(composite.float()), subject, hidden, reference)


def with_module(conditionings: Sequence[list], control: comfy.controlnet.ControlNet) -> list[list]:
    """The conditionings with one more ControlNet, as core's Apply ControlNet adds it.

    Entries with the same ControlNet before it, or none, share one copy: ComfyUI runs only such entries in one batch.
    """
    copies: dict[Any, comfy.controlnet.ControlNet] = {}

    def after(previous: Any) -> comfy.controlnet.ControlNet:
        if previous not in copies:
            copies[previous] = control.copy()
            if previous is not None:
                copies[previous].set_previous_controlnet(previous)
        return copies[previous]

    return [
        [
            [tensor, {**values, "control": after(values.get("control")), "control_apply_to_uncond": False, KEY: True}]
            for tensor, values in conditioning
        ]
        for conditioning in conditionings
    ]


def has_module(conditioning: list) -> bool:
    """Whether a CONDITIONING holds a module, which sees the light reference itself."""
    return any(KEY in values for _, values in conditioning)


class PhDApplyModule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDApplyModule",
            display_name="Apply PhD Module",
            category="PhD",
            description=(
                "Adds a learned module to the prompts, like a ControlNet that sees the paste and its light reference, "
                "so that the ring, the shadow and the subject's light fit. Works with every sampler, best at cfg 1."
            ),
            inputs=[
                Module.Input("module", tooltip="From Load PhD Module: one for the model that will sample."),
                io.Conditioning.Input("positive", tooltip="Describes the scene with the subject."),
                io.Conditioning.Input("negative", tooltip="Used only with cfg above 1."),
                io.Latent.Input("latent", tooltip="From Crop Around Subject: it brings masks and light reference."),
                io.Float.Input(
                    "strength", default=1.0, min=0.0, max=2.0, step=0.05, tooltip="How strongly it acts. 0 = off."
                ),
                io.Mask.Input("subject_matte", optional=True, tooltip="Instead of the latent's own: 1 = subject."),
                io.Mask.Input("mask", optional=True, tooltip="Instead of the latent's own: 1 = what may change."),
                io.Latent.Input(
                    "reference_latent",
                    optional=True,
                    tooltip="Instead of the latent's own: the encoded light reference.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="With the module."),
                io.Conditioning.Output(display_name="negative", tooltip="With the module."),
            ],
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(
        cls,
        module: LoadedModule,
        positive: list,
        negative: list,
        latent: dict,
        strength: float,
        subject_matte: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        reference_latent: dict | None = None,
    ) -> io.NodeOutput:
        check_socket("module", module, LoadedModule, sentence("the module of Load PhD Module"))
        check_prompt("positive", positive)
        check_conditioning("negative", negative)
        composite = named_samples(latent, "latent")
        if strength == 0:
            return io.NodeOutput(positive, negative)
        with gathered() as messages:
            held = companions_of(latent)
            mask = given_mask(mask, latent, held, "harmonize_mask")
            if held is not None:
                subject_matte = held.subject_matte if subject_matte is None else subject_matte
                reference_latent = latent_or(reference_latent, held.reference)
                if held.original is not None and held.original.shape == composite.shape:
                    # What was inpainted since is not part of the clean paste.
                    composite = held.original
            if subject_matte is None or mask is None:
                raise ValueError(
                    sentence(
                        "The module needs the subject's matte and the mask: connect the latent of Crop Around "
                        "Subject, or subject_matte and mask."
                    )
                )
            reference = None if reference_latent is None else named_samples(reference_latent, "reference_latent")
            seen = condition_of(module.latent_format, composite, subject_matte, mask, reference)
            control = module.control.copy().set_cond_hint(seen, strength)
        return io.NodeOutput(*with_module([positive, negative], control), ui=as_ui(messages))
