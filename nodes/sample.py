"""Masked sampling on ComfyUI's own stack, for both sampler nodes: prepare, run, collect."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch

from ..phd_ops.latents.identity_anchor import ANCHORS, RELIGHT
from ..phd_ops.latents.noise import opposite_pairs
from ..phd_ops.latents.seeds import item_seed, run_seed
from ..phd_ops.sentence import sentence
from .comfy_sampler import PLAIN, MaskedSampler, is_graded, noises_known, runs_plain
from .demo_networks import DemoModel
from .identity_anchor import anchored_model
from .latents import checked_like, checked_places, checked_samples, latent_mask, repeated, subject_share
from .sampled_seeds import without_seeds
from .sampler_inputs import CUSTOM, HARMONIZE_PRESETS, INPAINT_PRESETS, Presets, SamplerWidgets, apply_preset, within
from .step_caches import step_caches
from .ui import tell, warn
from .validate import check_choice, check_conditioning, check_prompt

NO_IMAGE = sentence(
    "This model takes an image along with the prompt, and positive brings none: connect both prompts through Inpaint "
    "Model Conditioning, with cropped_image, the cropped mask and vae."
)
# The model options that hold other packs' functions around the network and around cfg.
FUNCTIONS = (
    "model_function_wrapper", "sampler_calc_cond_batch_function", "sampler_pre_cfg_function", "sampler_cfg_function",
    "sampler_post_cfg_function",
)  # fmt: skip

# What a conditioning shows the model beside its words, by Apply ControlNet, Inpaint Model Conditioning and
# ReferenceLatent.
IMAGES = ("control", "concat_latent_image", "concat_mask", "reference_latents")


@dataclass(frozen=True)
class Prompts:
    """CONDITIONINGs. Without reference_positive, positive is used for both scene and reference."""

    positive: list
    negative: list
    reference_positive: list | None = None

    @property
    def both(self) -> list[list]:
        """Of the scene and of its reference."""
        return [self.positive, self.reference_positive or self.positive]

    @property
    def both_negative(self) -> list[list]:
        """Of the scene and of its reference, which is not compared with the scene's images."""
        own = self.reference_positive
        return [self.negative, self.negative if own is None else with_images_of(self.negative, own[0][1])]

    def check(self) -> None:
        """Raises ValueError for what is no prompt."""
        check_prompt("positive", self.positive)
        check_conditioning("negative", self.negative)
        if self.reference_positive is not None:
            check_prompt("reference_positive", self.reference_positive)


def with_images_of(conditioning: list, shown: dict[str, Any]) -> list:
    """A conditioning that shows the model, in place of each of its own IMAGES, that of other values."""

    def changed(values: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in values.items() if name not in IMAGES}
        return kept | {name: shown[name] for name in IMAGES if name in values and name in shown}

    return [[words, changed(values)] for words, values in conditioning]


@dataclass(frozen=True)
class Options:
    """What Harmonize Sampler adds to a run, and the defaults of its widgets.

    Attributes:
        harmonizes: the mean light is wanted, not one sample; the presets are Harmonize Sampler's.
        reference: a LATENT that is sampled beside the scene, with the same masks and the same noise.
        subject_matte, anchor_strength, anchor: hold the subject with an identity anchor; nothing without a mask.
        num_seeds: how many times the items are run.
        reference_items: the items whose reference is sampled; None: all. All are, too, where items cannot be run apart.
    """

    harmonizes: bool = False
    reference: dict | None = None
    subject_matte: torch.Tensor | None = None
    anchor_strength: float = 0.5
    anchor: str = RELIGHT
    num_seeds: int = 1
    reference_items: tuple[int, ...] | None = None

    def check(self) -> None:
        check_choice("anchor", self.anchor, list(ANCHORS))

    @property
    def presets(self) -> Presets:
        return HARMONIZE_PRESETS if self.harmonizes else INPAINT_PRESETS


INPAINT = Options()


@dataclass(frozen=True)
class SamplerRun:
    """A run that is ready to start: what `sample_latents` was given, checked, with the preset applied.

    Attributes:
        scene: [N,C,...].
        mask: on the latent grid, [N,1,...].
        subject: the share of each cell that an identity anchor holds, [N,1,...]; None: there is no anchor.
        places: the items' places in the batch that they were taken from.
        reference_items: those whose reference is sampled; None: all.
    """

    model: Any
    prompts: Prompts
    latent: dict
    widgets: SamplerWidgets
    options: Options
    scene: torch.Tensor
    mask: torch.Tensor | None
    subject: torch.Tensor | None
    places: list[int]
    sigmas: torch.Tensor
    reference_items: tuple[int, ...] | None = None

    def is_plain(self, mask: torch.Tensor | None) -> bool:
        """Whether ComfyUI's own sampler runs for items with this mask, see `runs_plain`."""
        return runs_plain(self.widgets.method, mask, self.model.model, self.model.model_options)

    def of(self, items: torch.Tensor) -> "SamplerRun":
        """The run of some items alone, by their numbers."""
        scene, mask, subject = (None if one is None else one[items] for one in (self.scene, self.mask, self.subject))
        return dataclasses.replace(
            self, scene=scene, mask=mask, subject=subject, places=[self.places[item] for item in items]
        )


def sample_latents(
    model: Any,
    prompts: Prompts,
    latent: dict,
    mask: torch.Tensor | None,
    widgets: SamplerWidgets,
    options: Options = INPAINT,
) -> list[torch.Tensor]:
    """Runs one masked denoising loop as KSampler would. Returns new samples, and those of the reference if it differs,
    each [seeds,B,C,...]; of the reference, only the items that were sampled.

    Harmonizing without inner steps gives every second seed the opposite noise of the one before.
    """
    widgets.check(options.presets)
    options.check()
    prompts.check()
    scene = checked_samples(model, latent, "latent")
    # Of a model that takes the known region without noise, the mask's values are strengths to ComfyUI's own sampler.
    soft = is_graded(widgets.method, model.model_options) or not noises_known(model.model)
    mask = latent_mask(mask, latent, scene, soft=soft)
    warn_without_image(model, prompts.positive, scene)
    batches, places = batches_of(model, scene, options), checked_places(latent, len(scene))
    if mask is not None and not mask.any():
        warn(sentence("The mask is empty, so nothing may change: the latent passes through and no model is run."))
        return [batch[None] for batch in batches]
    sigmas, widgets = schedule(model, widgets, options.presets)
    if len(sigmas) < 2:
        return [batch[None] for batch in batches]
    subject = held_subject(options, scene)
    run = SamplerRun(model, prompts, latent, widgets, options, scene, mask, subject, places, sigmas)
    plain = [run.is_plain(item) for item in (mask.split(1) if mask is not None else [None])]
    held = holds_items(model, prompts.both, prompts.negative)
    if len(set(plain)) > 1 and not held:
        return sample_apart(run, batches, torch.tensor(plain))
    if len(batches) > 1 and options.reference_items is not None and not held and not any(plain):
        run = dataclasses.replace(run, reference_items=options.reference_items)
        batches = [batches[0], batches[1][list(options.reference_items)]]
    return sample_batches(run, batches)


def warn_without_image(model: Any, positive: list, scene: torch.Tensor) -> None:
    """Warns where a network takes an image beside the noisy latent, as those for inpainting do, and gets a substitute:
    blank, or with what lies under the mask. The demo model hides that by itself."""
    if isinstance(model.model, DemoModel) or not noises_known(model.model):
        return
    noise = scene[:1].float().cpu()
    shown = model.model.concat_cond(noise=noise, latent_image=noise, device=noise.device)
    # Some take a mask alone, which every noise mask gives them.
    takes_image = shown is not None and shown.shape[1] >= noise.shape[1]
    if takes_image and any(values.get("concat_latent_image") is None for _, values in positive):
        warn(NO_IMAGE)


def without_step_cache(model: Any) -> Any:
    """The model without ComfyUI's EasyCache and LazyCache, whose old estimates the loop would correct toward.

    Their threshold counts the change from step to step, and inner steps stay at one level.
    """
    cached = step_caches(model)
    if not cached:
        return model
    warn(
        sentence("The model's step cache (EasyCache or LazyCache) is not used here: this method needs every estimate.")
    )
    model = model.clone()
    for kind, key in cached:
        model.remove_wrappers_with_key(kind, key)
    return model


def batches_of(model: Any, scene: torch.Tensor, options: Options) -> list[torch.Tensor]:
    """The scene's items, and the reference's if it differs."""
    batches = [scene]
    if options.reference is not None:
        reference = checked_like(model, options.reference, scene, "reference_latent")
        # Without an exemplar's surroundings the composite stands in for its reference; both runs would be the same.
        if not torch.equal(reference, scene):
            batches.append(reference)
    return batches


def schedule(model: Any, widgets: SamplerWidgets, presets: Presets) -> tuple[torch.Tensor, SamplerWidgets]:
    """The noise levels, and the widgets after the preset."""
    steps, inner_steps = apply_preset(presets, widgets.preset, widgets.steps, widgets.inner_steps)
    widgets = dataclasses.replace(widgets, steps=steps, inner_steps=inner_steps)
    sigmas = comfy.samplers.KSampler(
        model, steps, model.load_device, widgets.sampler_name, widgets.scheduler, widgets.denoise, model.model_options
    ).sigmas
    if not sigmas.isfinite().all():
        raise ValueError(
            sentence(
                "scheduler {scheduler} gives no finite noise levels for steps {steps}: raise steps, or "
                "choose another scheduler.",
                scheduler=widgets.scheduler,
                steps=steps,
            )
        )
    if widgets.preset != CUSTOM and len(sigmas) > 1:
        inner_steps, jump_count = within(steps + (steps - 1) * int(inner_steps), len(sigmas) - 1)
        widgets = dataclasses.replace(widgets, inner_steps=inner_steps, jump_count=jump_count)
    return sigmas, widgets


@dataclass(frozen=True)
class Part:
    """A batch that is run at once.

    Attributes:
        items: the numbers of the scene's items that it holds, or the references of.
        seed: of ComfyUI's own samplers.
    """

    samples: torch.Tensor
    items: list[int]
    positive: list
    negative: list
    noise: torch.Tensor
    sampler: comfy.samplers.KSAMPLER
    seed: int


def sample_apart(run: SamplerRun, batches: list[torch.Tensor], plain: torch.Tensor) -> list[torch.Tensor]:
    """`sample_batches` of a batch in which ComfyUI's own sampler runs for some items, bool [B], but not for all: what
    an item gives must not depend on the others."""
    groups = [chosen.nonzero().ravel() for chosen in (plain, ~plain)]
    sampled = [sample_batches(run.of(items), [batch[items] for batch in batches]) for items in groups]
    order = torch.cat(groups).argsort()
    return [torch.cat(parts, 1)[:, order] for parts in zip(*sampled, strict=True)]


def sample_batches(run: SamplerRun, batches: list[torch.Tensor]) -> list[torch.Tensor]:
    """Samples scene and reference with every seed. Returns their results, each [seeds,B,C,...], as the batches are."""
    if not run.is_plain(run.mask):
        run = dataclasses.replace(run, model=without_step_cache(run.model))
    parts = parts_of(run, batches)
    preview = latent_preview.prepare_callback(run.model, len(run.sigmas) - 1)
    made: list[int] = []
    sampled = [
        sample_part(run, part, part_callback(preview, place, len(parts), made)) for place, part in enumerate(parts)
    ]
    if run.options.num_seeds > 1:
        tell_calls(run, len(made))
    sizes = [len(batch) for batch in batches]
    return list(torch.cat(sampled).unflatten(0, (run.options.num_seeds, sum(sizes))).split(sizes, 1))


def parts_of(run: SamplerRun, batches: list[torch.Tensor]) -> list[Part]:
    """What is run at once: scene and reference, if possible. Every seed runs alone, so that more need no more memory.

    One after another where the reference has a prompt of its own, where ComfyUI's own sampler runs, whose noise
    depends on the batch, or where anything belongs to single items: ComfyUI fits it to the batch.
    """
    prompts = list(zip(run.prompts.both, run.prompts.both_negative, strict=True))
    apart = (
        run.prompts.reference_positive is not None
        or run.is_plain(run.mask)
        or holds_items(run.model, run.prompts.both, run.prompts.negative)
    )
    every = range(len(run.scene))
    items = [list(every), list(every if run.reference_items is None else run.reference_items)][: len(batches)]
    groups = list(zip(batches, items, strict=True)) if apart else [(torch.cat(batches), list(chain(*items)))]
    seeds = [run_seed(run.widgets.seed, further) for further in range(run.options.num_seeds)]
    return [
        Part(group, numbers, *prompt, noise[numbers], masked_sampler(run, seed, numbers), seed)
        for seed, noise in zip(seeds, noise_of(run, seeds).split(len(run.scene)), strict=True)
        for (group, numbers), prompt in zip(groups, prompts, strict=False)
    ]


def holds_items(model: Any, prompts: list[list], negative: list) -> bool:
    """Whether a conditioning or a patch of the model may hold something for single items, or a cache of the batch.

    A ControlNet, a wrapper (such as a step cache), a patch of the network or a function around cfg may: what they hold
    or compute over a batch cannot be seen.
    """
    transformer = model.model_options.get("transformer_options", {})
    patched = [transformer.get(name) for name in ("patches", "patches_replace", "wrappers")]
    patched += [model.model_options.get(name) for name in FUNCTIONS]
    if any(map(has_content, [*patched, model.wrappers])):
        return True
    return any(is_per_item(conditioning) for conditioning in (*prompts, negative))


def has_content(patches: Any) -> bool:
    """Whether nested dicts hold anything."""
    return any(has_content(patch) for patch in patches.values()) if isinstance(patches, dict) else bool(patches)


def is_per_item(value: Any) -> bool:
    """Whether a value of a conditioning holds a ControlNet, or a tensor of more than one item."""
    if isinstance(value, torch.Tensor):
        return value.ndim > 1 and len(value) > 1
    if isinstance(value, dict):
        return value.get("control") is not None or any(is_per_item(held) for held in value.values())
    return isinstance(value, (list, tuple)) and any(is_per_item(held) for held in value)


def part_callback(preview: Callable, place: int, parts: int, made: list[int]) -> Callable:
    """A callback of one of several runs, for progress over all of them. `made` gets an entry with every call."""

    def called(call: int, x0: torch.Tensor, x: torch.Tensor, calls: int) -> None:
        made.append(call)
        preview(place * calls + call, x0, x, parts * calls)

    return called


def tell_calls(run: SamplerRun, made: int) -> None:
    """Says what all seeds took: every run says only its own plan."""
    count = run.options.num_seeds
    if run.is_plain(run.mask):
        # ComfyUI's samplers make one model call or more in a step.
        tell(sentence("{count} seeds, one after another: {made} steps in all.", count=count, made=made))
    else:
        tell(sentence("{count} seeds, one after another: {made} model calls in all.", count=count, made=made))


def noise_of(run: SamplerRun, seeds: list[int]) -> torch.Tensor:
    """The initial noise of every item, for each of the run's seeds."""
    widgets, options = run.widgets, run.options
    if widgets.method == PLAIN:
        # KSampler's, including its noise.
        index = run.latent.get("batch_index")
        noise = torch.cat([comfy.sample.prepare_noise(run.scene, seed, index) for seed in seeds])
    else:
        each = [seed for run_seed in seeds for seed in item_seeds(run, run_seed)]
        noise = initial_noise(repeated(run.scene, options.num_seeds), each)
    if options.harmonizes and widgets.inner_steps == 0:
        # Inner steps of harmonizing flip the noise themselves.
        noise = opposite_pairs(noise, options.num_seeds)
    return noise


def item_seeds(run: SamplerRun, seed: int) -> list[int]:
    """The seed of every item, for one of the run's seeds."""
    return [item_seed(seed, place) for place in run.places]


def masked_sampler(run: SamplerRun, seed: int, items: list[int]) -> comfy.samplers.KSAMPLER:
    """The SAMPLER of a part."""
    if run.widgets.method == PLAIN:
        return comfy.samplers.sampler_object(run.widgets.sampler_name)
    seeds = item_seeds(run, seed)
    return MaskedSampler(run.widgets.settings(tuple(seeds[item] for item in items), run.options.harmonizes))


def initial_noise(samples: torch.Tensor, seeds: list[int]) -> torch.Tensor:
    """ComfyUI's noise, but each item's from its own seed, so that it does not depend on the items before it."""
    return torch.cat([comfy.sample.prepare_noise(item[None], seed) for item, seed in zip(samples, seeds, strict=True)])


def sample_part(run: SamplerRun, part: Part, callback: Callable) -> torch.Tensor:
    """One run through ComfyUI."""
    samples = part.samples
    mask = None if run.mask is None else run.mask[part.items]
    sampled = comfy.sample.sample_custom(
        held_model(run, part),
        part.noise,
        run.widgets.cfg,
        part.sampler,
        run.sigmas,
        part.positive,
        part.negative,
        samples,
        noise_mask=mask,
        callback=callback,
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=part.seed,
    )
    if mask is None or run.widgets.method == PLAIN:
        return sampled
    # ComfyUI's latent scale rounds on the way in and out.
    return torch.where(mask.to(sampled) > 0, sampled, samples.to(sampled))


def held_subject(options: Options, scene: torch.Tensor) -> torch.Tensor | None:
    """Where an identity anchor holds. All of the noise mask would include the ring, and with it the old light."""
    if options.subject_matte is None or options.anchor_strength <= 0:
        return None
    share = subject_share(options.subject_matte, scene)
    return share.expand(len(scene), *share.shape[1:])


def held_model(run: SamplerRun, part: Part) -> Any:
    """The model, with an identity anchor at the part's samples if the subject is to be held."""
    if run.subject is None:
        return run.model
    subject, options = run.subject[part.items], run.options
    return anchored_model(run.model, part.samples, subject, options.anchor_strength, options.anchor, fades=True)


def with_samples(latent: dict, samples: torch.Tensor) -> dict:
    """A LATENT with new samples, without the noise mask that they were made with and the seeds of an earlier run."""
    kept = {name: value for name, value in latent.items() if name != "noise_mask"}
    return {**without_seeds(kept), "samples": samples}
