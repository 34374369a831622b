"""The demo model's autoencoder: principal components of 8×8 patches, decoded by a small convolutional network.

Encoding is linear: one strided convolution, fitted in closed form. Decoding adds the output of a few convolutions,
which restore edges across patches, to the exact linear inverse. Pure torch; the interface (`encode` and `decode` of
images in [-1,1]) is that of ComfyUI's first-stage models.
"""

import torch
import torch.nn.functional as F
from torch import nn

PATCH = 8
CHANNELS = 32


def left_by_mask(latent: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What an inpainting model sees beside the noisy latent: [B,1+C,h,w], the mask and the latent outside it.

    Each cell encodes its own 8×8 patch only, so this hides the masked part of the image completely.

    Args:
        latent: [B,C,h,w], the clean latent.
        mask: [B,1,h,w], 1 = masked.
    """
    return torch.cat([mask, (1 - mask) * latent], 1)


class Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class PatchCodec(nn.Module):
    """Images [B,3,H,W] in [-1,1] to latents [B,CHANNELS,H/8,W/8] of about unit mean square, and back."""

    analysis: torch.Tensor
    synthesis: torch.Tensor
    mean: torch.Tensor

    def __init__(self, width: int = 128):
        super().__init__()
        self.register_buffer("analysis", torch.zeros(CHANNELS, 3, PATCH, PATCH))
        self.register_buffer("synthesis", torch.zeros(CHANNELS, 3, PATCH, PATCH))
        self.register_buffer("mean", torch.zeros(3, PATCH, PATCH))
        self.refine = nn.Sequential(
            nn.Conv2d(CHANNELS, width, 3, padding=1),
            Residual(width),
            Residual(width),
            Residual(width),
            nn.SiLU(),
            nn.Conv2d(width, 16 * PATCH * PATCH // 4, 3, padding=1),
            nn.PixelShuffle(PATCH // 2),
        )
        # Smooths the borders of the patches, at half and then at full resolution.
        self.smooth = nn.Sequential(Residual(16), nn.SiLU(), nn.Conv2d(16, 12, 3, padding=1), nn.PixelShuffle(2))

    def fit(self, images: torch.Tensor) -> None:
        """Sets analysis and synthesis from the principal components of images [N,3,H,W] in [-1,1].

        Each component is divided by the square root of its standard deviation. This is halfway between the orthonormal
        transform, in which fine detail hardly counts, and whitening, in which it counts as much as color and light.
        """
        patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2).flatten(0, 1).double()
        mean = patches.mean(0)
        variance, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
        variance, vectors = variance.flip(0)[:CHANNELS], vectors.flip(1)[:, :CHANNELS]
        scale = variance.sqrt().rsqrt()
        scale = scale / (variance * scale.square()).mean().sqrt()
        shape = (CHANNELS, 3, PATCH, PATCH)
        self.analysis.copy_((vectors * scale).T.reshape(shape))
        self.synthesis.copy_((vectors / scale).T.reshape(shape))
        self.mean.copy_(mean.reshape(3, PATCH, PATCH))

    def mean_colors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean color of a patch, in [-1,1], as a linear function of its latent: factors [CHANNELS,3] and bias [3].

        Exact for the linear inverse, which the refinement only sharpens.
        """
        return self.synthesis.mean((2, 3)), self.mean.mean((1, 2))

    def encode(self, image: torch.Tensor) -> torch.Tensor:
        offset = (self.analysis * self.mean).sum((1, 2, 3))
        return F.conv2d(image, self.analysis, -offset, stride=PATCH)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        linear = F.conv_transpose2d(latent, self.synthesis, stride=PATCH)
        linear = linear + self.mean.tile(1, latent.shape[-2], latent.shape[-1])
        return linear + self.smooth(self.refine(latent))
