"""The demo model as benchmarks use it: prompts, images and latents through ComfyUI's nodes."""

import numpy as np
import torch

from benchmarks.common.comfyui import call


class DemoModel:
    """The demo model's MODEL, CLIP and VAE; prediction: "flow" or "noise"."""

    def __init__(self, prediction: str = "flow"):
        self.model, self.clip, self.vae, _ = call("PhDLoadDemoModel", prediction=prediction)

    def conditioning(self, prompts: list[str]) -> list:
        """A CONDITIONING with one prompt for each item of a batch."""
        encoded = [call("CLIPTextEncode", clip=self.clip, text=prompt)[0][0][0] for prompt in prompts]
        return [[torch.cat(encoded), {}]]

    def encoded(self, images: np.ndarray) -> dict:
        return call("VAEEncode", pixels=torch.from_numpy(images), vae=self.vae)[0]

    def decoded(self, latent: dict) -> np.ndarray:
        """float32 [N,S,S,3] in 0..1."""
        return call("VAEDecode", samples=latent, vae=self.vae)[0].float().clamp(0, 1).numpy()
