"""PhDMaskedInpaintSampler, PhDHarmonizeSampler and PhDMaskedLangevin: masked sampling on ComfyUI's own stack."""

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from ..phd_ops.latents.identity_anchor import ANCHORS, RELIGHT
from ..phd_ops.latents.noise import item_seed, opposite_pairs
from .comfy_sampler import PLAIN, SEEDS, SOFT_MASK, MaskedSampler, Settings, redraws_known
from .identity_anchor import anchored_model
from .latents import checked_like, checked_places, checked_samples, latent_mask, repeated, subject_share
from .sampler_inputs import CUSTOM, HARMONIZE_PRESETS, INPAINT_PRESETS, METHODS, apply_preset
from .ui import warn
from .validate import check_choice, check_numbers

# How far apart the further seeds of one run are; no seed that a user types next is one of them.
NEXT_SEED = 0xD1B54A32D192ED03


def initial_noise(samples: torch.Tensor, seeds: list[int]) -> torch.Tensor:
    """ComfyUI's noise, but every item's from its own seed: it does not depend on the items before it."""
    return torch.cat([comfy.sample.prepare_noise(item[None], seed) for item, seed in zip(samples, seeds, strict=True)])


def within(calls: int, levels: int) -> tuple[float, int]:
    """The inner steps a level, and RePaint's jump count, that make at most so many calls: some schedulers return more
    levels than they were asked for."""
    return max(0, calls - levels) / max(1, levels - 1), max(1, calls // levels)


def sample_latents(
    model,
    positive,
    negative,
    latent: dict,
    mask: torch.Tensor | None,
    reference: dict | None = None,
    *,
    reference_positive=None,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    denoise: float,
    method: str,
    inner_steps: int,
    step_size: float,
    lambda_strength: float,
    preset: str = CUSTOM,
    jump_length: int = 1,
    jump_count: int = 5,
    num_seeds: int = 1,
    identity: float = 0.0,
    anchor: str = RELIGHT,
    subject_mask: torch.Tensor | None = None,
    harmonizes: bool = False,
) -> list[dict]:
    """Runs one masked denoising loop as KSampler would, and gives the latent dict back with new samples.

    A reference is run beside the latent, as more items of its batch, with the same masks and the same noise. Where it
    has a prompt of its own, or ComfyUI's own sampler runs, which draws the noise of a whole batch at once, it is run
    after it. With several seeds there are as many times as many items: first all of them with the first seed, then all
    with the next; harmonizing without inner steps gives every second of these the opposite noise of the one before.
    """
    check_choice("sampler_name", sampler_name, comfy.samplers.KSampler.SAMPLERS)
    check_choice("scheduler", scheduler, comfy.samplers.KSampler.SCHEDULERS)
    check_choice("method", method, METHODS)
    presets = HARMONIZE_PRESETS if harmonizes else INPAINT_PRESETS
    check_choice("preset", preset, [CUSTOM, *presets])
    check_choice("anchor", anchor, ANCHORS)
    check_numbers(cfg=cfg, denoise=denoise, step_size=step_size, lambda_strength=lambda_strength, identity=identity)
    own_prompt = reference_positive is not None
    for name, told in (("positive", positive), *([("reference_positive", reference_positive)] if own_prompt else [])):
        if not told:
            raise ValueError(f"{name} is empty: connect a prompt, such as from CLIP Text Encode.")
    samples = checked_samples(model, latent, "latent")
    soft = method == SOFT_MASK or "denoise_mask_function" in model.model_options
    mask = latent_mask(mask, latent, samples, soft=soft)
    checked_reference = None if reference is None else checked_like(model, reference, samples, "reference")
    # Without an exemplar's surround the composite stands in for its reference; the run is then one and the same.
    parts = (
        [samples]
        if checked_reference is None or torch.equal(checked_reference, samples)
        else [samples, checked_reference]
    )
    parts = [repeated(part, num_seeds) for part in parts]
    places = checked_places(latent, len(samples))

    def latents(samples: list[torch.Tensor]) -> list[dict]:
        dropped = ("noise_mask", "batch_index") if num_seeds > 1 else ("noise_mask",)
        kept = {name: value for name, value in latent.items() if name not in dropped}
        return [{**kept, "samples": part} for part in samples]

    if mask is not None and not mask.any():
        warn("The mask is empty: nothing may change, so the latent passes through and no model is run.")
        return latents(parts)
    steps, inner_steps = apply_preset(presets, preset, cfg, steps, inner_steps)
    sigmas = comfy.samplers.KSampler(
        model, steps, model.load_device, sampler_name, scheduler, denoise, model.model_options
    ).sigmas
    total = len(sigmas) - 1
    if total < 1:
        return latents(parts)
    if preset != CUSTOM:
        inner_steps, jump_count = within(steps + (steps - 1) * inner_steps, total)
    own = method == PLAIN or mask is None or bool((mask > 0).all()) or not redraws_known(model.model)
    runs = parts if own or own_prompt else [torch.cat(parts)]
    prompts = [positive, reference_positive if own_prompt else positive]
    copies = len(parts) // len(runs)
    each_seed = [(seed + further * NEXT_SEED) % SEEDS for further in range(num_seeds)]
    if method == PLAIN:
        # KSampler, down to its noise.
        noise = torch.cat([comfy.sample.prepare_noise(samples, one, latent.get("batch_index")) for one in each_seed])
        sampler = comfy.samplers.sampler_object(sampler_name)
    else:
        item_seeds = [item_seed(one, place) for one in each_seed for place in places]
        noise = initial_noise(parts[0], item_seeds)
        settings = Settings(
            method,
            sampler_name,
            inner_steps,
            step_size,
            lambda_strength,
            jump_length,
            jump_count,
            seeds=(*item_seeds * copies,),
            harmonizes=harmonizes,
        )
        sampler = MaskedSampler(settings)
    if harmonizes and inner_steps == 0:
        # Inner steps of harmonizing turn their noise around themselves.
        noise = opposite_pairs(noise, num_seeds)
    preview = latent_preview.prepare_callback(model, total)
    masks = None if mask is None else repeated(mask, num_seeds * copies)
    # All of the mask would hold the ring too, and with it the subject's old light.
    subject = subject_share(subject_mask, samples) if identity > 0 and subject_mask is not None else None

    def run(place: int, samples: torch.Tensor) -> torch.Tensor:
        sampled = comfy.sample.sample_custom(
            model if subject is None else anchored_model(model, samples, subject, identity, anchor, fades=True),
            repeated(noise, copies),
            cfg,
            sampler,
            sigmas,
            prompts[place],
            negative,
            samples,
            noise_mask=masks,
            callback=lambda call, x0, x, calls: preview(place * calls + call, x0, x, len(runs) * calls),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        if masks is None or method == PLAIN:
            return sampled
        # The model's latent scale rounds on the way in and out.
        return torch.where(masks.to(sampled) > 0, sampled, samples.to(sampled))

    sampled = torch.cat([run(place, part) for place, part in enumerate(runs)])
    return latents(list(sampled.chunk(len(parts))))
