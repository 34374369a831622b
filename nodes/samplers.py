"""PhDMaskedInpaintSampler, PhDHarmonizeSampler and PhDMaskedLangevin: masked sampling on ComfyUI's own stack."""

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy_api.latest import io

from ..phd_ops.differential import cover_softly
from ..phd_ops.masks import cover
from ..phd_ops.noise import item_seed
from ..phd_ops.sampling import STEPPERS
from .compat import check_choice, check_numbers, newer
from .masked_sampler import DIFFERENTIAL, LANGEVIN, PLAIN, REPAINT, MaskedSampler, Settings, redraws_known
from .messages import warn
from .pictures import named_mask

METHODS = [LANGEVIN, DIFFERENTIAL, REPAINT, PLAIN]
CUSTOM = "custom"
# steps and inner steps.
INPAINT_PRESETS = {"fast": (10, 2), "balanced": (15, 3), "best": (20, 5)}
HARMONIZE_PRESETS = {"fast": (6, 2), "balanced": (6, 5), "best": (10, 7)}
# At cfg 1, where distilled and guidance-embedded models run, a preset takes no more inner steps than this.
GENTLE_INNER_STEPS = 2


def checked_samples(model, latent: dict, name: str) -> torch.Tensor:
    """The tensor of a LATENT as the model takes it: [B,C,H,W], or [B,C,T,H,W] for video models."""
    samples = latent.get("samples")
    if samples is None:
        raise ValueError(f"{name} holds no samples: connect a latent, such as from VAE Encode.")
    if getattr(samples, "is_nested", False):
        raise ValueError(
            f"{name} holds several tensors (a joint audio and video latent), which this sampler cannot mask."
        )
    if samples.ndim not in (4, 5) or 0 in samples.shape:
        told = f"{name} must be a picture's [B,C,H,W] or a video's [B,C,T,H,W]"
        raise ValueError(f"{told}; this one is {tuple(samples.shape)}.")
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    wanted = model.get_model_object("latent_format")
    if samples.shape[1] != wanted.latent_channels:
        told = f"{name} has {samples.shape[1]} channels, but the model works on {wanted.latent_channels}"
        raise ValueError(f"{told}: encode the picture with the VAE that belongs to this model.")
    if samples.ndim != 2 + wanted.latent_dimensions:
        raise ValueError(f"{name} is of shape {tuple(samples.shape)}, a video; this model works on pictures.")
    return samples


def checked_control(model, control: dict, samples: torch.Tensor) -> torch.Tensor:
    reference = checked_samples(model, control, "control")
    if reference.shape != samples.shape:
        told = f"control must be a latent of the scene's shape {tuple(samples.shape)}"
        raise ValueError(f"{told}; this one is {tuple(reference.shape)}.")
    return reference.to(samples)


def latent_mask(mask: torch.Tensor | None, latent: dict, samples: torch.Tensor, *, soft: bool) -> torch.Tensor | None:
    """The mask on the latent's own grid, [B,1,h,w] or [B,1,T,h,w], from the input, else the latent's noise mask.

    Binary, and every cell that any pixel of the mask lies in belongs to it; a soft one keeps its strengths.
    """
    mask = mask if mask is not None else latent.get("noise_mask")
    if mask is None:
        return None
    count, frames, size = len(samples), samples.shape[2:-2], samples.shape[-2:]
    to_grid = cover_softly if soft else cover
    if mask.ndim == 5 and samples.ndim == 5 and mask.shape[1:3] == (1, *frames) and len(mask) in (1, count):
        # Video nodes of ComfyUI mask frame by frame.
        own = to_grid(named_mask(mask.flatten(0, 2), "mask"), *size).view(len(mask), 1, *frames, *size)
        return comfy.utils.repeat_to_batch_size(own, count)
    mask = named_mask(mask, "mask")
    if frames:
        return frame_mask(to_grid(mask, *size), count, *frames)
    if len(mask) not in (1, count):
        raise ValueError(f"mask has {len(mask)} items, but the latent has {count}: use one mask, or one for each.")
    return comfy.utils.repeat_to_batch_size(to_grid(mask, *size), count)[:, None]


def frame_mask(mask: torch.Tensor, count: int, frames: int) -> torch.Tensor:
    """A mask [N,h,w] for every frame of a batch of videos, [B,1,T,h,w]. As ComfyUI does, it is read as frames first."""
    size = mask.shape[-2:]
    if len(mask) in (1, frames):
        mask = mask.view(1, 1, -1, *size)
    elif len(mask) == count * frames:
        mask = mask.view(count, 1, frames, *size)
    elif len(mask) == count:
        mask = mask.view(count, 1, 1, *size)
    else:
        told = f"mask has {len(mask)} items, but the latent has {count} items of {frames} frames"
        raise ValueError(f"{told}: use one mask, one a frame, one an item, or one for every frame of every item.")
    return mask.expand(count, 1, frames, *size)


def checked_places(latent: dict, count: int) -> list[int]:
    """The items' places in the batch that they were taken from, such as by Latent From Batch."""
    places = latent.get("batch_index")
    if places is None:
        return list(range(count))
    if len(places) != count:
        told = f"latent's batch_index names {len(places)} items, but the latent has {count}"
        raise ValueError(f"{told}: take items out of a batch with Latent From Batch.")
    return [int(place) for place in places]


def initial_noise(samples: torch.Tensor, seeds: list[int]) -> torch.Tensor:
    """ComfyUI's noise, but every item's from its own seed: it does not depend on the items before it."""
    return torch.cat([comfy.sample.prepare_noise(item[None], seed) for item, seed in zip(samples, seeds, strict=True)])


def apply_preset(presets: dict, preset: str, cfg: float, steps: int, inner_steps: int) -> tuple[int, int]:
    """steps and inner_steps as a preset wants them."""
    if preset == CUSTOM:
        return steps, inner_steps
    steps, inner_steps = presets[preset]
    return steps, min(inner_steps, GENTLE_INNER_STEPS) if cfg == 1 else inner_steps


def within(calls: int, levels: int) -> tuple[float, int]:
    """The inner steps a level, and RePaint's jump count, that make at most so many calls: some schedulers return more
    levels than they were asked for."""
    return max(0, calls - levels) / max(1, levels - 1), max(1, calls // levels)


def sample_latents(
    presets: dict,
    model,
    positive,
    negative,
    latent: dict,
    mask: torch.Tensor | None,
    control: dict | None = None,
    *,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    denoise: float,
    method: str,
    inner_steps: int,
    step_size: float,
    guidance: float,
    preset: str = CUSTOM,
    jump_length: int = 1,
    jump_count: int = 5,
) -> list[dict]:
    """Runs one masked denoising loop as KSampler would, and gives the latent dict back with new samples.

    A control is run beside the latent, as more items of its batch, with the same masks and the same noise. Where
    ComfyUI's own sampler runs, which draws the noise of a whole batch at once, it is run after it.
    """
    check_choice("sampler_name", sampler_name, comfy.samplers.KSampler.SAMPLERS)
    check_choice("scheduler", scheduler, comfy.samplers.KSampler.SCHEDULERS)
    check_choice("method", method, METHODS)
    check_choice("preset", preset, [CUSTOM, *presets])
    check_numbers(cfg=cfg, denoise=denoise, step_size=step_size, guidance=guidance)
    if not positive:
        raise ValueError("positive is empty: connect a prompt, such as from CLIP Text Encode.")
    samples = checked_samples(model, latent, "latent")
    soft = method == DIFFERENTIAL or "denoise_mask_function" in model.model_options
    mask, count = latent_mask(mask, latent, samples, soft=soft), len(samples)
    places = checked_places(latent, count)
    reference = None if control is None else checked_control(model, control, samples)
    # Without an exemplar's surround the composite stands in for its control; the run is then one and the same.
    parts = [samples] if reference is None or torch.equal(reference, samples) else [samples, reference]

    def latents(samples: list[torch.Tensor]) -> list[dict]:
        kept = {name: value for name, value in latent.items() if name != "noise_mask"}
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
    runs = parts if own else [torch.cat(parts)]
    copies = len(parts) // len(runs)
    if method == PLAIN:
        # KSampler, down to its noise.
        noise = comfy.sample.prepare_noise(samples, seed, latent.get("batch_index"))
        sampler = comfy.samplers.sampler_object(sampler_name)
    else:
        seeds = [item_seed(seed, place) for place in places]
        noise = initial_noise(samples, seeds)
        settings = Settings(
            method, sampler_name, inner_steps, step_size, guidance, jump_length, jump_count, seeds=(*seeds * copies,)
        )
        sampler = MaskedSampler(settings)
    preview = latent_preview.prepare_callback(model, total)

    def run(place: int, samples: torch.Tensor) -> torch.Tensor:
        masks = None if mask is None else torch.cat([mask] * copies)
        sampled = comfy.sample.sample_custom(
            model,
            torch.cat([noise] * copies),
            cfg,
            sampler,
            sigmas,
            positive,
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


def model_inputs(mask_tooltip: str) -> list:
    """The sockets that both samplers share."""
    return [
        io.Model.Input("model", tooltip="Any image model: SD 1.5, SDXL, SD 3, Flux and others. It stays frozen."),
        io.Conditioning.Input("positive", tooltip="What the whole scene shows, the subject and its colour included."),
        io.Conditioning.Input("negative", tooltip="What it must not look like, such as: cut-out, sticker, halo."),
        io.Latent.Input("latent", tooltip="The encoded composite."),
        io.Mask.Input("mask", optional=True, tooltip=mask_tooltip),
    ]


def schedule_inputs(steps: int, cfg: float, denoise: float, inner_steps: int, step_size: float, presets: dict) -> list:
    """The widgets that both samplers share, each with its own defaults."""
    rare = newer(io.Float.Input, advanced=True)
    return [
        io.Int.Input(
            "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip="Seed of all noise."
        ),
        io.Int.Input("steps", default=steps, min=1, max=1000, tooltip="Outer denoising steps."),
        io.Float.Input("cfg", default=cfg, min=0.0, max=100.0, step=0.1, tooltip="How strongly the prompt guides."),
        io.Combo.Input(
            "sampler_name",
            options=comfy.samplers.KSampler.SAMPLERS,
            default="euler",
            tooltip=f"Base sampler. The masked methods have {', '.join(STEPPERS)}; plain, and no mask, take all.",
            **rare,
        ),
        io.Combo.Input(
            "scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="simple", tooltip="Noise schedule.", **rare
        ),
        io.Float.Input(
            "denoise",
            default=denoise,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Share of the noise schedule that is run: 1 starts from pure noise.",
        ),
        io.Combo.Input(
            "method",
            options=METHODS,
            default=LANGEVIN,
            tooltip="Masked Langevin lets known and new parts agree (no seam); differential does so with a soft mask "
            "as strength; RePaint jumps back and forth; plain is KSampler with a noise mask.",
        ),
        *inner_inputs(inner_steps, step_size),
        io.Combo.Input(
            "preset",
            options=[CUSTOM, *presets],
            default=CUSTOM,
            optional=True,
            tooltip=f"Sets steps, inner steps and jump count: {preset_costs(presets)}. At cfg 1 (distilled models) "
            f"there are at most {GENTLE_INNER_STEPS} inner steps.",
        ),
        *jump_inputs(optional=True),
    ]


def preset_costs(presets: dict) -> str:
    """Such as "fast 8 × 3 (29 model calls)"."""
    told = [f"{name} {n} × {k} ({n + (n - 1) * k} model calls)" for name, (n, k) in presets.items()]
    return ", ".join(told)


def inner_inputs(inner_steps: int, step_size: float) -> list:
    rare = newer(io.Float.Input, advanced=True)
    return [
        io.Int.Input(
            "inner_steps",
            default=inner_steps,
            min=0,
            max=100,
            tooltip="Langevin steps a step, made where they pay. Model calls: steps + (steps - 1) × inner steps.",
        ),
        io.Float.Input(
            "step_size",
            default=step_size,
            min=0.01,
            max=5.0,
            step=0.05,
            tooltip="Share of the noise that an inner step draws anew; 1 and above: all of it.",
            **rare,
        ),
        io.Float.Input(
            "guidance",
            default=5.0,
            min=0.0,
            max=50.0,
            step=0.5,
            tooltip="Lambda: how far the known part leans while sampling for both parts to agree; 0: not at all.",
            **rare,
        ),
    ]


def jump_inputs(optional: bool) -> list:
    rare = newer(io.Float.Input, advanced=True)
    return [
        io.Int.Input(
            "jump_length",
            default=1,
            min=1,
            max=100,
            optional=optional,
            tooltip="RePaint only: how many steps are taken back at a time.",
            **rare,
        ),
        io.Int.Input(
            "jump_count",
            default=5,
            min=1,
            max=100,
            optional=optional,
            tooltip="RePaint only: how often each stretch is run; the model calls grow by this factor.",
            **rare,
        ),
    ]


class PhDMaskedInpaintSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDMaskedInpaintSampler",
            display_name="Masked Inpaint Sampler",
            category="PhD",
            description="Inpaints the masked part of a latent so that it agrees with the rest, with any model.",
            inputs=[
                *model_inputs("1 = to be inpainted, in pixels. Without it the latent's own noise mask is used."),
                *schedule_inputs(steps=15, cfg=4.0, denoise=1.0, inner_steps=3, step_size=1.0, presets=INPAINT_PRESETS),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The inpainted latent; equal outside the mask.")],
            **newer(io.Schema, search_aliases=["inpaint", "langevin", "lanpaint", "repaint", "differential"]),
        )

    @classmethod
    def execute(cls, model, positive, negative, latent, mask=None, **schedule) -> io.NodeOutput:
        return io.NodeOutput(*sample_latents(INPAINT_PRESETS, model, positive, negative, latent, mask, **schedule))


class PhDHarmonizeSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDHarmonizeSampler",
            display_name="Harmonize Sampler",
            category="PhD",
            description="Redraws the pasted subject in the scene's light: same model, own schedule, own mask.",
            inputs=[
                *model_inputs("1 = what may change: subject and ring. Without it the latent's own noise mask is used."),
                io.Latent.Input(
                    "control",
                    optional=True,
                    tooltip="The encoded control, run beside the scene with the same noise, as its light's reference.",
                ),
                *schedule_inputs(
                    steps=6, cfg=4.0, denoise=0.6, inner_steps=5, step_size=1.0, presets=HARMONIZE_PRESETS
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The harmonised latent; equal outside the mask."),
                io.Latent.Output(
                    display_name="control_latent",
                    tooltip="The control after the same run (the latent again without one).",
                ),
            ],
            **newer(io.Schema, search_aliases=["harmonise", "relight", "blend in"]),
        )

    @classmethod
    def execute(cls, model, positive, negative, latent, mask=None, control=None, **schedule) -> io.NodeOutput:
        done = sample_latents(HARMONIZE_PRESETS, model, positive, negative, latent, mask, control, **schedule)
        return io.NodeOutput(done[0], done[-1])


class PhDMaskedLangevin(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDMaskedLangevin",
            display_name="Masked Langevin",
            category="PhD",
            description="The loop of Masked Inpaint Sampler as a sampler, for SamplerCustomAdvanced and any guider.",
            inputs=[
                io.Combo.Input(
                    "method",
                    options=[LANGEVIN, DIFFERENTIAL, REPAINT],
                    default=LANGEVIN,
                    tooltip="How the latent's noise mask is used. A latent without one is sampled plainly.",
                ),
                io.Combo.Input(
                    "sampler_name",
                    options=STEPPERS,
                    default=STEPPERS[0],
                    tooltip="The step from one noise level to the next.",
                ),
                *inner_inputs(inner_steps=3, step_size=1.0),
                *jump_inputs(optional=False),
            ],
            outputs=[io.Sampler.Output(display_name="sampler", tooltip="For SamplerCustomAdvanced or SamplerCustom.")],
            **newer(io.Schema, search_aliases=["inpaint", "langevin", "lanpaint", "repaint", "differential"]),
        )

    @classmethod
    def execute(cls, method, sampler_name, **settings) -> io.NodeOutput:
        check_choice("method", method, [LANGEVIN, DIFFERENTIAL, REPAINT])
        check_choice("sampler_name", sampler_name, STEPPERS)
        check_numbers(step_size=settings["step_size"], guidance=settings["guidance"])
        return io.NodeOutput(MaskedSampler(Settings(method, sampler_name, **settings)))
