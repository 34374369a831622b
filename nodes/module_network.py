"""The learned module's network: a trainable copy of a UNet's encoder that reads the clean paste."""

import json
from typing import Any

import torch
from comfy.cldm.cldm import ControlNet
from comfy.ldm.modules.diffusionmodules.util import timestep_embedding
from comfy.model_base import BaseModel

from ..phd_ops.latents.module_condition import condition_channels
from ..phd_ops.sentence import sentence

FORMAT = "phd-module-1"
# Of a UNet's configuration, what its encoder does not have.
DECODER_ONLY = ("out_channels", "transformer_depth_output", "in_channels", "dtype")


class ModuleNetwork(ControlNet):
    """ComfyUI's ControlNet without its hint convolutions: the condition itself is the encoder's input, at timestep 0.

    It sees neither the noisy latent nor the noise level; the UNet's decoder, which adds its outputs, knows both.
    """

    def __init__(self, latent_channels: int, **unet_config: Any):
        config = {name: value for name, value in unet_config.items() if name not in DECODER_ONLY}
        super().__init__(hint_channels=1, in_channels=condition_channels(latent_channels), **config)
        del self.input_hint_block
        self.latent_channels, self.context_width = latent_channels, unet_config["context_dim"]

    def forward(
        self,
        x: torch.Tensor | None,
        hint: torch.Tensor,
        timesteps: torch.Tensor,
        context: torch.Tensor,
        y: torch.Tensor | None = None,
        **_: Any,
    ) -> dict[str, list[torch.Tensor]]:
        """What is added to the UNet's skip connections ("output") and its middle block, as core's ControlNet gives it.

        Args:
            x: [B,C,h,w], the noisy latent; only its channels are looked at.
            hint: [B,2C+3,h,w], see `module_condition`.
            timesteps: [B]; not used.
        """
        if x is not None:
            self.check_base(x.shape[1], context.shape[-1])
        embedding = self.time_embed(timestep_embedding(torch.zeros_like(timesteps), self.model_channels).to(hint.dtype))
        if self.num_classes is not None:
            embedding = embedding + self.label_emb(y)
        hidden, outputs = hint, []
        for block, zero_convolution in zip(self.input_blocks, self.zero_convs, strict=True):
            hidden = block(hidden, embedding, context)
            outputs.append(zero_convolution(hidden, embedding, context))
        hidden = self.middle_block(hidden, embedding, context)
        return {"middle": [self.middle_block_out(hidden, embedding, context)], "output": outputs}

    def check_base(self, latent_channels: int, context_width: int) -> None:
        """Refuses a base of another family, whose latents or text are of another size.

        ComfyUI's UNet leaves out what does not fit, with nothing but a line in the log.
        """
        own = (self.latent_channels, self.context_width)
        if (latent_channels, context_width) != own:
            raise ValueError(
                sentence(
                    "The PhD module belongs to a model of {own_channels} latent channels and text of width "
                    "{own_width}, but this one has {channels} and {width}: load the module that was trained "
                    "for it.",
                    own_channels=own[0],
                    own_width=own[1],
                    channels=latent_channels,
                    width=context_width,
                )
            )


def copy_encoder(network: ModuleNetwork, unet: torch.nn.Module) -> None:
    """Starts the network as a copy of the UNet's encoder whose outputs are zero.

    The first layer's weights for the paste's latents are those for the noisy latent; all others are zero.
    """
    first = "input_blocks.0.0.weight"
    own, copied = network.state_dict(), unet.state_dict()
    weights = {name: value for name, value in copied.items() if name in own and own[name].shape == value.shape}
    channels = network.latent_channels
    weights[first] = torch.zeros_like(own[first])
    weights[first][:, :channels] = copied[first][:, :channels]
    missing = [
        name for name in own if name not in weights and not name.startswith(("zero_convs.", "middle_block_out."))
    ]
    if missing:
        raise ValueError(
            sentence(
                "The base's encoder has no {layer}; its architecture is not one the module can copy.", layer=missing[0]
            )
        )
    network.load_state_dict(weights, strict=False)
    for layer in (*network.zero_convs, network.middle_block_out):
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)


def metadata(model: BaseModel) -> dict[str, str]:
    """What a module's file has to say of the base that it was trained for, for safetensors."""
    config = {name: value for name, value in model.model_config.unet_config.items() if is_plain(value)}
    return {"format": FORMAT, "unet_config": json.dumps(config), "latent_format": type(model.latent_format).__name__}


def is_plain(value: Any) -> bool:
    """Whether JSON keeps a value of a UNet's configuration."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
