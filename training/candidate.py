"""Weights to be measured, as a MODEL and prompts for the pack's own nodes."""

from collections.abc import Callable

import comfy.model_patcher
import comfy.utils
import numpy as np
import torch
from torch import nn

from demo.codec import PatchCodec
from devtools.comfyui import load_pack, widget_defaults
from relit_scenes.render import Scene
from training.codec import codec_of
from training.networks import encode_text, initial_networks, tokenize, unet_input, word_tokenizer

SIDE = 128
# The noise levels at which losses are measured.
LEVELS = (0.3, 0.5, 0.7, 0.9)


def as_images(images: list[np.ndarray]) -> torch.Tensor:
    """Float images [H,W,3] in 0..1 as [B,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) * 2 - 1


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean of [B,C,h,w] where the mask [B,1,h,w] is 1."""
    return (values * mask).sum() / (values.shape[1] * mask.sum())


def mean_filled(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """An image [H,W,3] whose hole [H,W] (1 = missing) has the mean color of the rest."""
    return np.where(hole[..., None] > 0, image[hole == 0].mean(0), image).astype(np.float32)


class Candidate:
    """A UNet, a text encoder and a codec, run through PhDHarmonizeSampler and PhDMaskedInpaintSampler.

    All settings are the nodes' defaults unless a call changes them.
    """

    def __init__(self, modules: nn.ModuleDict, codec: PatchCodec, encode: Callable[[list[str]], torch.Tensor]):
        """
        Args:
            modules: {"unet", ...}; used as they are, so later changes of their weights count.
            encode: prompts to the text encoder's [B,77,W].
        """
        pack = load_pack().nodes
        comfy.utils.PROGRESS_BAR_ENABLED = False
        base = pack.demo_networks.build_model(torch.float32)
        base.diffusion_model = modules["unet"]
        cpu = torch.device("cpu")
        self.model = comfy.model_patcher.ModelPatcher(base.eval(), load_device=cpu, offload_device=cpu)
        self.unet, self.codec, self.encode = modules["unet"], codec, encode
        self.harmonize = pack.harmonize_sampler.PhDHarmonizeSampler
        self.inpaint = pack.inpaint_sampler.PhDMaskedInpaintSampler

    def conditioning(self, prompts: list[str]) -> list:
        return [[self.encode(prompts), {}]]

    def decoded(self, latent: dict) -> np.ndarray:
        """float32 [B,H,W,3] in 0..1."""
        return ((self.codec.decode(latent["samples"].float()) + 1) / 2).clamp(0, 1).movedim(1, -1).numpy()

    def sampled(self, node, latents: torch.Tensor, prompts: list[str], mask, **settings) -> tuple:
        """A node's outputs for latents [B,C,h,w] with one prompt each; the negative prompt is empty."""
        positive, negative = self.conditioning(prompts), self.conditioning([""] * len(prompts))
        settings = {**widget_defaults(node), "preset": "custom", **settings}
        return node.execute(self.model, positive, negative, {"samples": latents}, mask, **settings).result

    @torch.no_grad()
    def losses(self, clean: torch.Tensor, prompts: list[str], hidden: torch.Tensor | None = None) -> list[float]:
        """The velocity's mean squared error at each of LEVELS, with the same noise on every call.

        hidden: [B,1,h,w]; the error counts where it is 1, and the UNet sees the clean latent elsewhere. By default
            everything is hidden.
        """
        hidden = torch.ones_like(clean[:, :1]) if hidden is None else hidden
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        context, found = self.encode(prompts), []
        for sigma in LEVELS:
            level = torch.full((len(clean),), sigma * 1000)
            velocity = self.unet(unet_input(torch.lerp(clean, noise, sigma), clean, hidden), level, context=context)
            found.append(masked_mean((velocity - (noise - clean)).square(), hidden).item())
        return found

    @torch.no_grad()
    def harmonized(self, cases: list[Scene], prompts: list[str], reference_prompts=None, **changes) -> tuple:
        """Scenes and their light references after Harmonize Sampler, float32 [N,S,S,3] in 0..1 each.

        reference_prompts: prompts of the references; the scenes' own by default.
        """
        mask, subject = (
            torch.from_numpy(np.stack([getattr(case, name) for case in cases])) for name in ("harmonize_mask", "matte")
        )
        scene, reference = (
            self.codec.encode(as_images([getattr(case, name) for case in cases])) for name in ("composite", "reference")
        )
        settings = {"subject_matte": subject, **changes}
        if reference_prompts is None:
            samples = {"samples": reference}
            done = self.sampled(self.harmonize, scene, prompts, mask, reference_latent=samples, **settings)
        else:
            # Two runs with the same seed have the same noise.
            done = [
                self.sampled(self.harmonize, latents, own, mask, **settings)[0]
                for latents, own in ((scene, prompts), (reference, reference_prompts))
            ]
        return self.decoded(done[0]), self.decoded(done[1])

    @torch.no_grad()
    def inpainted(self, images: list[np.ndarray], holes: np.ndarray, prompts: list[str], **changes) -> np.ndarray:
        """Images with their holes [B,H,W] filled; the codec never sees what was in the holes."""
        emptied = [mean_filled(image, hole) for image, hole in zip(images, holes, strict=True)]
        latents, mask = self.codec.encode(as_images(emptied)), torch.from_numpy(holes)
        return self.decoded(self.sampled(self.inpaint, latents, prompts, mask, **changes)[0])

    @torch.no_grad()
    def drawn(self, prompts: list[str], side: int = SIDE) -> np.ndarray:
        """Images from noise alone, float32 [B,side,side,3] in 0..1."""
        empty = torch.zeros(len(prompts), self.codec.analysis.shape[0], side // 8, side // 8)
        settings = {"method": "plain", "steps": 20, "inner_steps": 0}
        return self.decoded(self.sampled(self.inpaint, empty, prompts, None, **settings)[0])


def candidate_of(codec: PatchCodec, weights: dict[str, torch.Tensor]) -> Candidate:
    """A candidate with a checkpoint's weights: the tensors themselves, not copies."""
    tokenizer = word_tokenizer()
    modules = initial_networks(tokenizer, fresh=True).requires_grad_(False)
    modules.load_state_dict(weights, assign=True)
    text = modules["text"].text_model
    return Candidate(modules, codec, lambda prompts: encode_text(text, tokenize(tokenizer, prompts)))


def published() -> Candidate:
    """The weights in demo/weights."""
    codec = codec_of(load_pack().nodes.demo_weights.read_weights("codec"))
    modules = initial_networks(word_tokenizer(), fresh=False)
    return candidate_of(codec, modules.requires_grad_(False).state_dict())
