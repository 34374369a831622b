"""PhDMaskedInpaintSampler and PhDHarmonizeSampler: the masked Langevin loop on ComfyUI's own sampling stack."""

import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy_api.latest import io

from ..phd_ops.langevin import count_calls, sample_masked_langevin
from ..phd_ops.masks import cover
from .compat import check_choice, newer
from .messages import warn
from .pictures import named_mask

LANGEVIN, PLAIN = "masked Langevin", "plain"
# Inner noise must not repeat the initial noise, which ComfyUI draws from the bare seed.
INNER_SEED = 0x9E3779B9


def is_flow(model_sampling) -> bool:
    """Whether a model mixes signal and noise as rectified flow does, or only adds noise."""
    return isinstance(model_sampling, comfy.model_sampling.CONST)


def langevin_sampler(model, x, sigmas, extra_args=None, callback=None, disable=None, *, seeds, **options):
    """`sample_masked_langevin` as a k-diffusion sampling function, for `comfy.samplers.KSAMPLER`.

    ComfyUI's own replacement around the model is stepped past: the loop does its own, and needs the estimate of the
    whole picture.
    """
    guider = model.inner_model
    mask = extra_args.get("denoise_mask")

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        level = sigma * x.new_ones([x.shape[0]])
        return guider(x, level, model_options=extra_args["model_options"], seed=extra_args["seed"])

    def report(call: int, denoised: torch.Tensor, x: torch.Tensor) -> None:
        callback({"x": x, "i": call, "sigma": sigmas[0], "sigma_hat": sigmas[0], "denoised": denoised})

    return sample_masked_langevin(
        denoise,
        x,
        sigmas,
        known=model.latent_image,
        mask=torch.ones_like(x) if mask is None else mask,
        noise=model.noise,
        generators=[torch.Generator().manual_seed((seed + INNER_SEED) % 2**64) for seed in seeds],
        flow=is_flow(guider.inner_model.model_sampling),
        callback=report if callback is not None else None,
        **options,
    )


def latent_mask(mask: torch.Tensor | None, latent: dict) -> torch.Tensor | None:
    """The mask [B,h,w] on the latent's own grid, from the input, else from the latent's noise mask."""
    mask = mask if mask is not None else latent.get("noise_mask")
    if mask is None:
        return None
    mask = named_mask(mask, "mask")
    count = latent["samples"].shape[0]
    if len(mask) not in (1, count):
        raise ValueError(f"mask has {len(mask)} items, but the latent has {count}: use one mask, or one for each.")
    return comfy.utils.repeat_to_batch_size(cover(mask, *latent["samples"].shape[-2:]), count)


def redraws_known(model) -> bool:
    """Whether the model noises its known region as the formulas say. Some video models hand it over clean instead."""
    return type(model.model).scale_latent_inpaint is comfy.model_base.BaseModel.scale_latent_inpaint


def sample_latent(
    model,
    positive,
    negative,
    latent: dict,
    mask: torch.Tensor | None,
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
    pairs: int = 1,
) -> dict:
    """Runs one masked denoising loop as KSampler would, and gives the latent dict back with new samples.

    `pairs` says how many times the latent's items repeat: repeats share their noise.
    """
    check_choice("sampler_name", sampler_name, comfy.samplers.KSampler.SAMPLERS)
    check_choice("scheduler", scheduler, comfy.samplers.KSampler.SCHEDULERS)
    check_choice("method", method, [LANGEVIN, PLAIN])
    samples = latent["samples"]
    if getattr(samples, "is_nested", False):
        raise ValueError(
            "latent holds several tensors (a joint audio and video latent), which this sampler cannot mask."
        )
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    channels = model.get_model_object("latent_format").latent_channels
    if samples.shape[1] != channels:
        told = f"latent has {samples.shape[1]} channels, but the model works on {channels}"
        raise ValueError(f"{told}: encode the picture with the VAE that belongs to this model.")
    latent = {**latent, "samples": samples}
    mask = latent_mask(mask, latent)
    out = {name: value for name, value in latent.items() if name != "noise_mask"}
    if mask is not None and not mask.any():
        warn("The mask is empty: nothing may change, so the latent passes through and no model is run.")
        return out
    sigmas = comfy.samplers.KSampler(
        model, steps, model.load_device, sampler_name, scheduler, denoise, model.model_options
    ).sigmas
    if len(sigmas) < 2:
        return out
    count = samples.shape[0] // pairs
    noise = comfy.sample.prepare_noise(samples[:count], seed, latent.get("batch_index"))
    noise = torch.cat([noise] * pairs)
    if method == LANGEVIN and not redraws_known(model):
        warn("This model takes its known region without noise; masked Langevin runs as plain sampling.")
        method = PLAIN
    if method == LANGEVIN:
        # No seam, nothing to heal: without a mask the inner steps would only cost calls.
        inner_steps = inner_steps if mask is not None else 0
        calls = count_calls(sigmas, inner_steps, is_flow(model.get_model_object("model_sampling")))
        seeds = [seed + index for index in range(count)] * pairs
        options = {"inner_steps": inner_steps, "step_size": step_size, "guidance": guidance, "seeds": seeds}
        sampler = comfy.samplers.KSAMPLER(langevin_sampler, options)
    else:
        calls, sampler = len(sigmas) - 1, comfy.samplers.sampler_object(sampler_name)
    preview = latent_preview.prepare_callback(model, calls)
    out["samples"] = comfy.sample.sample_custom(
        model,
        noise,
        cfg,
        sampler,
        sigmas,
        positive,
        negative,
        samples,
        noise_mask=None if mask is None else mask[:, None],
        callback=lambda call, x0, x, _: preview(call, x0, x, calls),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=seed,
    )
    return out


def model_inputs(mask_tooltip: str) -> list:
    """The sockets that both samplers share."""
    return [
        io.Model.Input("model", tooltip="Any image model: SD 1.5, SDXL, SD 3, Flux and others. It stays frozen."),
        io.Conditioning.Input("positive", tooltip="What the whole scene shows, the subject and its colour included."),
        io.Conditioning.Input("negative", tooltip="What it must not look like, such as: cut-out, sticker, halo."),
        io.Latent.Input("latent", tooltip="The encoded composite."),
        io.Mask.Input("mask", optional=True, tooltip=mask_tooltip),
    ]


def schedule_inputs(steps: int, cfg: float, denoise: float, inner_steps: int, step_size: float) -> list:
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
            tooltip="Base sampler of the plain method. Masked Langevin always steps with euler.",
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
            options=[LANGEVIN, PLAIN],
            default=LANGEVIN,
            tooltip="Masked Langevin lets known and new parts agree (no seam); plain is KSampler with a noise mask.",
        ),
        io.Int.Input(
            "inner_steps",
            default=inner_steps,
            min=0,
            max=100,
            tooltip="Langevin steps at each noise level. Model calls: steps + (steps - 1) × inner steps.",
        ),
        io.Float.Input(
            "step_size",
            default=step_size,
            min=0.01,
            max=5.0,
            step=0.05,
            tooltip="How far one inner step goes; lower it for distilled models.",
            **rare,
        ),
        io.Float.Input(
            "guidance",
            default=5.0,
            min=0.0,
            max=50.0,
            step=0.5,
            tooltip="Lambda: how firmly the known part holds its value while both parts are brought to agree.",
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
                *schedule_inputs(steps=10, cfg=4.0, denoise=1.0, inner_steps=5, step_size=1.0),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="The inpainted latent; equal outside the mask.")],
            **newer(io.Schema, search_aliases=["inpaint", "langevin", "lanpaint"]),
        )

    @classmethod
    def execute(cls, model, positive, negative, latent, mask=None, **schedule) -> io.NodeOutput:
        return io.NodeOutput(sample_latent(model, positive, negative, latent, mask, **schedule))


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
                *schedule_inputs(steps=6, cfg=4.0, denoise=0.6, inner_steps=5, step_size=1.5),
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
        if control is None:
            done = sample_latent(model, positive, negative, latent, mask, **schedule)
            return io.NodeOutput(done, done)
        shape, reference = latent["samples"].shape, control["samples"].shape
        if shape != reference:
            raise ValueError(
                f"control must be a latent of the scene's shape {tuple(shape)}; this one is {tuple(reference)}."
            )
        mask = latent_mask(mask, latent)
        both = {**latent, "samples": torch.cat([latent["samples"], control["samples"]])}
        both.pop("noise_mask", None)
        mask = None if mask is None else torch.cat([mask, mask])
        done = sample_latent(model, positive, negative, both, mask, **schedule, pairs=2)
        scene, other = done["samples"].chunk(2)
        return io.NodeOutput({**done, "samples": scene}, {**done, "samples": other})
