"""PhDMaskedInpaintSampler, PhDHarmonizeSampler and PhDMaskedLangevin: masked sampling on ComfyUI's own stack."""

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy_api.latest import io

from ..phd_ops.anchor import ANCHORS, RELIGHT
from ..phd_ops.masks import changed_cells
from ..phd_ops.noise import item_seed, opposite_pairs
from ..phd_ops.sampling import STEPPERS
from .compat import check_choice, check_numbers, newer
from .identity_anchor import anchor_input, anchored_model
from .latents import (
    checked_like,
    checked_places,
    checked_samples,
    latent_mask,
    repeated,
    subject_share,
)
from .masked_sampler import DIFFERENTIAL, LANGEVIN, PLAIN, REPAINT, SEEDS, MaskedSampler, Settings, redraws_known
from .messages import warn

METHODS = [LANGEVIN, DIFFERENTIAL, REPAINT, PLAIN]
CUSTOM = "custom"
# steps and inner steps.
INPAINT_PRESETS = {"fast": (10, 2), "balanced": (15, 3), "best": (20, 5)}
HARMONIZE_PRESETS = {"fast": (4, 2), "balanced": (5, 3), "best": (6, 6)}
# At cfg 1, where distilled and guidance-embedded models run, a preset takes no more inner steps than this.
GENTLE_INNER_STEPS = 2
# How far apart the further seeds of one run are; no seed that a user types next is one of them.
NEXT_SEED = 0xD1B54A32D192ED03


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
    model,
    positive,
    negative,
    latent: dict,
    mask: torch.Tensor | None,
    control: dict | None = None,
    *,
    control_positive=None,
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
    seeds: int = 1,
    identity: float = 0.0,
    anchor: str = RELIGHT,
    subject_mask: torch.Tensor | None = None,
    harmonizes: bool = False,
) -> list[dict]:
    """Runs one masked denoising loop as KSampler would, and gives the latent dict back with new samples.

    A control is run beside the latent, as more items of its batch, with the same masks and the same noise. Where it
    has a prompt of its own, or ComfyUI's own sampler runs, which draws the noise of a whole batch at once, it is run
    after it. With several seeds there are as many times as many items: first all of them with the first seed, then all
    with the next; harmonising without inner steps gives every second of these the opposite noise of the one before.
    """
    check_choice("sampler_name", sampler_name, comfy.samplers.KSampler.SAMPLERS)
    check_choice("scheduler", scheduler, comfy.samplers.KSampler.SCHEDULERS)
    check_choice("method", method, METHODS)
    presets = HARMONIZE_PRESETS if harmonizes else INPAINT_PRESETS
    check_choice("preset", preset, [CUSTOM, *presets])
    check_choice("anchor", anchor, ANCHORS)
    check_numbers(cfg=cfg, denoise=denoise, step_size=step_size, guidance=guidance, identity=identity)
    own_prompt = control_positive is not None
    for name, told in (("positive", positive), *([("control_positive", control_positive)] if own_prompt else [])):
        if not told:
            raise ValueError(f"{name} is empty: connect a prompt, such as from CLIP Text Encode.")
    samples = checked_samples(model, latent, "latent")
    soft = method == DIFFERENTIAL or "denoise_mask_function" in model.model_options
    mask = latent_mask(mask, latent, samples, soft=soft)
    reference = None if control is None else checked_like(model, control, samples, "control")
    # Without an exemplar's surround the composite stands in for its control; the run is then one and the same.
    parts = [samples] if reference is None or torch.equal(reference, samples) else [samples, reference]
    parts = [repeated(part, seeds) for part in parts]
    places = checked_places(latent, len(samples))

    def latents(samples: list[torch.Tensor]) -> list[dict]:
        dropped = ("noise_mask", "batch_index") if seeds > 1 else ("noise_mask",)
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
    prompts = [positive, control_positive if own_prompt else positive]
    copies = len(parts) // len(runs)
    each_seed = [(seed + further * NEXT_SEED) % SEEDS for further in range(seeds)]
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
            guidance,
            jump_length,
            jump_count,
            seeds=(*item_seeds * copies,),
            harmonizes=harmonizes,
        )
        sampler = MaskedSampler(settings)
    if harmonizes and inner_steps == 0:
        # Inner steps of harmonising turn their noise around themselves.
        noise = opposite_pairs(noise, seeds)
    preview = latent_preview.prepare_callback(model, total)
    masks = None if mask is None else repeated(mask, seeds * copies)
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


def model_inputs(mask_tooltip: str) -> list:
    """The sockets that both samplers share."""
    return [
        io.Model.Input("model", tooltip="Any image model: SD 1.5, SDXL, SD 3, Flux and others. It stays frozen."),
        io.Conditioning.Input("positive", tooltip="What the whole scene shows, the subject and its colour included."),
        io.Conditioning.Input("negative", tooltip="What it must not look like, such as: cut-out, sticker, halo."),
        io.Latent.Input("latent", tooltip="The encoded composite."),
        io.Mask.Input("mask", optional=True, tooltip=mask_tooltip),
    ]


def schedule_inputs(
    steps: int, cfg: float, denoise: float, inner_steps: int, step_size: float, presets: dict, sampler_name: str
) -> list:
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
            default=sampler_name,
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
                *schedule_inputs(
                    steps=15,
                    cfg=4.0,
                    denoise=1.0,
                    inner_steps=3,
                    step_size=1.0,
                    presets=INPAINT_PRESETS,
                    sampler_name="euler",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The inpainted latent; equal outside the mask.")],
            **newer(io.Schema, search_aliases=["inpaint", "langevin", "lanpaint", "repaint", "differential"]),
        )

    @classmethod
    def execute(cls, model, positive, negative, latent, mask=None, **schedule) -> io.NodeOutput:
        return io.NodeOutput(*sample_latents(model, positive, negative, latent, mask, **schedule))


class PhDHarmonizeSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        rare = newer(io.Boolean.Input, advanced=True)
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
                    steps=5,
                    cfg=4.0,
                    denoise=0.75,
                    inner_steps=3,
                    step_size=1.0,
                    presets=HARMONIZE_PRESETS,
                    sampler_name="dpmpp_2m",
                ),
                io.Mask.Input(
                    "subject_mask",
                    optional=True,
                    tooltip="1 = subject, in the latent's picture: what identity holds on to (without it, nothing), "
                    "and all that literal lets change.",
                ),
                io.Latent.Input(
                    "before",
                    optional=True,
                    tooltip="The encoded composite, before it was inpainted: what the output changed compares with.",
                ),
                io.Float.Input(
                    "identity",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="How firmly the subject's shape is held while noise is strong; light has the last word. "
                    "0: not at all. Stitch gives the subject its own detail back in any case.",
                ),
                anchor_input(optional=True),
                io.Boolean.Input(
                    "literal",
                    default=False,
                    optional=True,
                    tooltip="The order of the paper's summary to the letter: the subject alone may change, and the "
                    "ring stays as it was inpainted. Off: both may, which fits the light better.",
                    **rare,
                ),
                io.Int.Input(
                    "seeds",
                    default=1,
                    min=1,
                    max=16,
                    optional=True,
                    tooltip="Runs so many seeds in one batch. Set the same number in Stitch, which averages their "
                    "light, not their pixels.",
                    **rare,
                ),
                io.Conditioning.Input(
                    "control_positive",
                    optional=True,
                    tooltip="What the exemplar shows: its own place and light. Without it, positive serves both.",
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="The harmonised latent; equal outside the mask."),
                io.Latent.Output(
                    display_name="control_latent",
                    tooltip="The control after the same run (the latent again without one).",
                ),
                io.Mask.Output(
                    display_name="changed",
                    tooltip="1 = latent cells that differ from before. Into Stitch: elsewhere the background stays.",
                ),
            ],
            **newer(io.Schema, search_aliases=["harmonise", "relight", "blend in"]),
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        negative,
        latent,
        mask=None,
        control=None,
        control_positive=None,
        subject_mask=None,
        before=None,
        identity=0.5,
        literal=False,
        **schedule,
    ) -> io.NodeOutput:
        start = checked_samples(model, latent, "latent")
        start = start if before is None else checked_like(model, before, start, "before")
        if literal:
            if subject_mask is None:
                raise ValueError("literal lets the subject alone change: connect subject_mask, or switch it off.")
            mask = subject_mask
        done = sample_latents(
            model,
            positive,
            negative,
            latent,
            mask,
            control,
            control_positive=control_positive,
            subject_mask=subject_mask,
            identity=identity,
            harmonizes=True,
            **schedule,
        )
        harmonised = done[0]["samples"][: len(start)]
        return io.NodeOutput(done[0], done[-1], changed_cells(start.to(harmonised), harmonised).cpu())


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
