"""Stand-in for `comfy.ldm.models.autoencoder`, for the packaged ComfyUI backend that was published without it.

Interface and state-dict names are those of Stability's generative-models autoencoders, so that checkpoints load.
"""

import torch
from comfy.ldm.util import instantiate_from_config


class DiagonalGaussianRegularizer(torch.nn.Module):
    """Splits moments into mean and log variance; samples, or gives the mean."""

    def __init__(self, sample: bool = False):
        super().__init__()
        self.sample = sample

    def forward(self, moments: torch.Tensor):
        mean, log_variance = moments.chunk(2, dim=1)
        if self.sample:
            deviation = torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))
            return mean + deviation * torch.randn_like(mean), {}
        return mean, {}


class EmptyRegularizer(torch.nn.Module):
    def forward(self, latent: torch.Tensor):
        return latent, {}


class AutoencodingEngine(torch.nn.Module):
    """Encoder, regularizer and decoder, each named by a config dict."""

    def __init__(self, *, encoder_config: dict, decoder_config: dict, regularizer_config: dict, **_):
        super().__init__()
        self.encoder = instantiate_from_config(encoder_config)
        self.decoder = instantiate_from_config(decoder_config)
        self.regularization = instantiate_from_config(regularizer_config)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        return self.regularization(self.encoder(image))[0]

    def decode(self, latent: torch.Tensor, **kwargs) -> torch.Tensor:
        return self.decoder(latent, **kwargs)


class AutoencoderKL(AutoencodingEngine):
    """The autoencoder of Stable Diffusion: 1×1 convolutions between the network and the moments."""

    def __init__(self, embed_dim: int, ddconfig: dict, **_):
        network = "comfy.ldm.modules.diffusionmodules.model."
        super().__init__(
            encoder_config={"target": network + "Encoder", "params": ddconfig},
            decoder_config={"target": network + "Decoder", "params": ddconfig},
            regularizer_config={"target": f"{__name__}.DiagonalGaussianRegularizer"},
        )
        factor = 2 if ddconfig["double_z"] else 1
        import comfy.ops

        conv = comfy.ops.disable_weight_init.Conv2d
        self.quant_conv = conv(factor * ddconfig["z_channels"], factor * embed_dim, 1)
        self.post_quant_conv = conv(embed_dim, ddconfig["z_channels"], 1)

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        return self.regularization(self.quant_conv(self.encoder(image)))[0]

    def decode(self, latent: torch.Tensor, **kwargs) -> torch.Tensor:
        return self.decoder(self.post_quant_conv(latent), **kwargs)
