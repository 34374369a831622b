"""Two trained harmonizers, built as their papers describe them, at a size that a CPU can train.

`PixelwiseTransform` is built like PCT-Net (Guerreiro, Nakazawa and Stenger, CVPR 2023): a convolutional encoder and
decoder predict a field of color transforms, one affine map of RGB for each pixel. `FilterPredictor` is built like
Harmonizer (Ke, Sun, Zhu, Xu and Lau, ECCV 2022): an encoder and a cascade of regressors predict the arguments of six
image filters. Both see a small composite and its matte; what they predict is applied at full resolution.

Images are [B,3,H,W] sRGB in 0..1, mattes [B,1,H,W] in 0..1.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# The networks' input is resized to this square, in pixels.
SIDE = 128
# Pixels of such squares are the channels of the first layer: light is smooth, and a CPU can train no finer.
PATCH = 8
WIDTHS = (48, 96, 192, 288)
# Rec. 709, on sRGB values, as image editors' filters use it.
LUMA = (0.2126, 0.7152, 0.0722)
FILTERS = ("temperature", "brightness", "contrast", "saturation", "highlights", "shadows")
# The factor of the two tone curves: at argument ±1 they are still monotonic.
TONE = 3.0


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.body(x))


def joined(before: int, after: int, size: int = 1, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


class Encoder(nn.Module):
    """Composite and matte to features at 1/8, 1/16, 1/32 and 1/64 of the side."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(PATCH), joined(4 * PATCH**2, WIDTHS[0]))
        pairs = zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
        self.steps = nn.ModuleList([nn.Identity(), *(joined(before, after, 3, 2) for before, after in pairs)])
        self.blocks = nn.ModuleList(Block(width) for width in WIDTHS)

    def forward(self, composite: torch.Tensor, matte: torch.Tensor) -> list[torch.Tensor]:
        x, found = self.stem(torch.cat([composite * 2 - 1, matte], 1)), []
        for step, block in zip(self.steps, self.blocks, strict=True):
            x = block(step(x))
            found.append(x)
        return found


def pooled(features: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """Means of the features [B,C,h,w] over the subject and over the rest, [B,2C]."""
    inside = F.adaptive_avg_pool2d(matte, features.shape[-2:])
    parts = [(features * weight).sum((2, 3)) / (weight.sum((2, 3)) + 1e-3) for weight in (inside, 1 - inside)]
    return torch.cat(parts, 1)


class PixelwiseTransform(nn.Module):
    """A field of affine maps of RGB, at 1/PATCH of the side: [B,12,h,w], relative to the identity."""

    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.surround = nn.Linear(2 * WIDTHS[-1], WIDTHS[-1])
        pairs = [*zip(WIDTHS[:-1], WIDTHS[1:], strict=True)][::-1]
        self.merges = nn.ModuleList(joined(fine + coarse, fine) for fine, coarse in pairs)
        self.blocks = nn.ModuleList(Block(fine) for fine, _ in pairs)
        self.head = nn.Conv2d(WIDTHS[0], 12, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, composite: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
        *fine, x = self.encoder(composite, matte)
        x = x + self.surround(pooled(x, matte))[..., None, None]
        for skip, merge, block in zip(fine[::-1], self.merges, self.blocks, strict=True):
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(merge(torch.cat([x, skip], 1)))
        return self.head(x)

    @staticmethod
    def applied(field: torch.Tensor, image: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
        """The image with every pixel mapped by the field, which is resized to the image."""
        del matte
        field = F.interpolate(field.float(), image.shape[-2:], mode="bilinear", align_corners=False)
        matrix, offset = field[:, :9].unflatten(1, (3, 3)), field[:, 9:]
        return image + (matrix * image[:, None]).sum(2) + offset


class FilterPredictor(nn.Module):
    """The arguments of FILTERS, [B,6] in -1..1; each is predicted with those before it known."""

    def __init__(self, hidden: int = 128):
        super().__init__()
        self.encoder = Encoder()
        self.shared = nn.Sequential(nn.Linear(2 * (WIDTHS[-1] + WIDTHS[-2]), 256), nn.ReLU())
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(256 + known, hidden), nn.ReLU(), nn.Linear(hidden, 1))
            for known in range(len(FILTERS))
        )
        for head in self.heads:
            nn.init.zeros_(head[-1].weight)
            nn.init.zeros_(head[-1].bias)

    def forward(self, composite: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
        features = self.encoder(composite, matte)[-2:]
        shared, known = self.shared(torch.cat([pooled(level, matte) for level in features], 1)), []
        for head in self.heads:
            known.append(torch.tanh(head(torch.cat([shared, *known], 1))))
        return torch.cat(known, 1)

    @staticmethod
    def applied(arguments: torch.Tensor, image: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
        """The image after all filters, one after the other."""
        values = arguments.float()[..., None, None]
        luma = torch.tensor(LUMA).view(1, 3, 1, 1)
        warm = torch.tensor([0.5, 0.0, -0.5]).view(1, 3, 1, 1)
        temperature, brightness, contrast, saturation, highlights, shadows = values.split(1, 1)
        image = image * torch.exp(temperature * warm)
        image = image * torch.exp(brightness)
        gray = (image * luma).sum(1, keepdim=True)
        middle = (gray * matte).sum((2, 3), keepdim=True) / (matte.sum((2, 3), keepdim=True) + 1e-3)
        image = middle + (1 + contrast) * (image - middle)
        gray = (image * luma).sum(1, keepdim=True)
        image = gray + (1 + saturation) * (image - gray)
        image = image + highlights / TONE * curve(image)
        return image + shadows / TONE * curve(1 - image)


def curve(image: torch.Tensor) -> torch.Tensor:
    """A tone curve that changes bright values most; 0 at 0 and at 1."""
    image = image.clamp(0, 1)
    return TONE * image.square() * (1 - image)


NETWORKS = {"pctnet": PixelwiseTransform, "harmonizer": FilterPredictor}


def resized(images: torch.Tensor) -> torch.Tensor:
    """At the networks' own size."""
    if images.shape[-2:] == (SIDE, SIDE):
        return images
    return F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def merged(network: nn.Module, composite: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """The composite with its subject harmonized, [B,3,H,W], at any size; not clipped."""
    parameters = network(resized(composite), resized(matte))
    return composite + matte * (network.applied(parameters, composite, matte) - composite)


@torch.no_grad()
def harmonized(network: nn.Module, composite: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """One image float32 [H,W,3] in 0..1 with its subject harmonized; pixels without matte stay as they are."""
    image, alpha = torch.from_numpy(composite).movedim(-1, 0)[None], torch.from_numpy(matte)[None, None]
    found = merged(network, image, alpha).clamp(0, 1)[0].movedim(0, -1).numpy()
    return np.where(matte[..., None] > 0, found, composite)
