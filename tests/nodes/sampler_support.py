"""What the sampler tests share: both sampler nodes and ComfyUI's own KSampler, called with a short schedule."""

import functools

import torch
from node_support import block, module, prompt, tiny_model

import nodes as core

FAMILIES = ["EPS", "V_PREDICTION", "FLOW"]
SCHEDULE = {"seed": 3, "steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
INNER = {"inner_steps": 2, "step_size": 1.0, "lambda_strength": 5.0}
METHODS = ["masked Langevin", "soft mask", "RePaint", "plain"]
# Two thirds of an 8×8 latent, on cell borders.
MASK = block(64, 64, 8, 8, 56, 48)


@functools.cache
def model(family, in_channels=4):
    return tiny_model(family, in_channels)


class HalfTheInput(torch.nn.Module):
    """Stands in for a network where only the number of its calls counts."""

    dtype = torch.float32

    def forward(self, x, *args, **kwargs):
        return 0.5 * x


@functools.cache
def quick_model(family):
    """The model of a family with hardly any network in it."""
    quick = model(family).clone()
    quick.add_object_patch("diffusion_model", HalfTheInput())
    return quick


def cells(mask):
    return mask[:, None, ::8, ::8] > 0


def inpaint(model, latent, mask=None, method="masked Langevin", positive=None, negative=None, **changes):
    node = module("nodes.inpaint_sampler").PhDMaskedInpaintSampler
    latent = latent if isinstance(latent, dict) else {"samples": latent}
    settings = {**SCHEDULE, **INNER, **changes}
    prompts = [positive or prompt(1), negative or prompt(2)]
    return node.execute(model, *prompts, latent, method=method, mask=mask, **settings).args[0]["samples"]


def harmonize(model, latent, mask=None, reference=None, method="masked Langevin", **changes):
    node = module("nodes.harmonize_sampler").PhDHarmonizeSampler
    settings = {**SCHEDULE, **INNER, "anchor_strength": 0.0, **changes}
    reference = None if reference is None else {"samples": reference}
    out = node.execute(
        model,
        prompt(1),
        prompt(2),
        {"samples": latent},
        method=method,
        mask=mask,
        reference_latent=reference,
        **settings,
    )
    return [latent["samples"] for latent in out.args if isinstance(latent, dict)]


def ksampler(model, latent, mask=None, positive=None, negative=None, **changes):
    latent = {"samples": latent}
    if mask is not None:
        (latent,) = core.SetLatentNoiseMask().set_mask(latent, mask)
    settings = {**SCHEDULE, **changes}
    denoise = settings.pop("denoise")
    prompts = {"positive": positive or prompt(1), "negative": negative or prompt(2)}
    (out,) = core.common_ksampler(model, **settings, **prompts, latent=latent, denoise=denoise)
    return out["samples"]
