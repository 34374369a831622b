"""Trains the demo model, stage by stage; every stage resumes where it stopped.

    python3 dev.py train codec        # the autoencoder: principal components, then the decoder
    python3 dev.py train diffusion    # UNet and text encoder, on from the published weights, on what `data.py` mixes
    python3 dev.py train classifier   # what tells which thing is to be seen in an image, for the benchmark
    python3 dev.py train evaluate     # what the published weights and those in training do on scenes with known truth
    python3 dev.py train export       # fp16 weights into demo/weights, with their hashes

Work in progress lies in `.cache/demo`; the log of each stage stands there as `<stage>.log`.
"""

import argparse
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from demo.codec import PatchCodec, left_by_mask
from devtools import package_images as images
from devtools.comfyui import load_pack
from devtools.paths import CACHE, DEMO_WEIGHTS
from phd_ops.latents.mask_grid import cover
from relit_scenes.training_scenes import vocabulary
from training import classifier
from training.data import Batch, Mixture, RelitStore, as_tensor
from training.demo_scenes import CUT_OUTS, LIGHT_WORDS, SceneRenderer
from training.evaluate import (
    BARE,
    LEVELS,
    Candidate,
    cases_of,
    contact_sheet,
    masked_mean,
    pixels,
    relit_errors,
    report,
    told_of,
    truths_of,
)

WORK = CACHE / "demo"
SIDE = 128
# The learning rate at its height, where training begins anew and where it goes on.
FRESH_RATE, RATE = 6e-4, 4e-4
# How much more the loss weighs a cell's mean color than its details: it tells of light, and is a tenth of the latent.
COLOR_WEIGHT = 8.0
# And how much more a cell of the subject's weighs: what light does to it is what harmonizing asks for.
SUBJECT_WEIGHT = 5.0
# And how much more the mean of a subject's errors weighs: between so many cells' accidents it is the light's own.
LIGHT_WEIGHT = 8.0
# What a cell weighs that is seen without noise.
SEEN_WEIGHT = 0.1


class Log:
    """Prints a line and appends it to the stage's log file."""

    def __init__(self, stage: str):
        self.file = WORK / f"{stage}.log"

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        with self.file.open("a") as file:
            file.write(line + "\n")


def save_atomically(state: dict, path: Path) -> None:
    """A stop in the middle of saving must not cost the last good state."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def initialize(module: torch.nn.Module) -> torch.nn.Module:
    """ComfyUI builds its layers without initial values (it always loads weights); give them torch's defaults."""
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            own = next(base for base in type(layer).__mro__ if base.__module__.startswith("torch.nn"))
            own.reset_parameters(layer)
    return module


def cosine(step: int, steps: int, warmup: int = 200) -> float:
    """Learning-rate factor: linear warm-up, cosine to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def gradients(image: torch.Tensor) -> torch.Tensor:
    """Horizontal and vertical differences of [B,C,H,W], flattened together."""
    dx, dy = image[..., :, 1:] - image[..., :, :-1], image[..., 1:, :] - image[..., :-1, :]
    return torch.cat([dx.flatten(), dy.flatten()])


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """In dB, of images in [-1, 1]."""
    return -10 * math.log10((a.clamp(-1, 1) - b).square().mean().item() / 4)


def images_of(renderer: SceneRenderer, seed: list[int], count: int, side: int) -> tuple[torch.Tensor, list[str]]:
    """`count` scenes as [count,3,side,side] in [-1,1], and their prompts."""
    rng = np.random.default_rng(seed)
    scenes = [renderer.render(rng, side) for _ in range(count)]
    images = torch.from_numpy(np.stack([image for image, _ in scenes])).permute(0, 3, 1, 2)
    return images.float() / 127.5 - 1, [prompt for _, prompt in scenes]


def fitted_codec(renderer: SceneRenderer) -> PatchCodec:
    """The codec with its linear part fitted: the same on every call."""
    codec = PatchCodec()
    codec.fit(images_of(renderer, [1], 1500, SIDE)[0])
    return codec


def train_codec(steps: int) -> None:
    """L1 on pixels and on their gradients; the linear encoder stays as fitted."""
    log, checkpoint = Log("codec"), WORK / "codec.pt"
    torch.manual_seed(0)
    renderer = SceneRenderer()
    codec, start = fitted_codec(renderer), 0
    nn.init.zeros_(codec.smooth[-2].weight)
    nn.init.zeros_(codec.smooth[-2].bias)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=1e-3, weight_decay=1e-4)
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        codec.load_state_dict(state["codec"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    held_out, _ = images_of(renderer, [2], 64, SIDE)
    log(f"step {start} psnr {psnr(codec.decode(codec.encode(held_out)), held_out):.2f} dB on held-out scenes")
    began = time.time()
    for step in range(start, steps):
        image, _ = images_of(renderer, [3, step], 12, SIDE)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * cosine(step, steps)
        latent = codec.encode(image)
        decoded = codec.decode(latent + 0.03 * torch.randn_like(latent))
        loss = F.l1_loss(decoded, image) + F.l1_loss(gradients(decoded), gradients(image))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            with torch.no_grad():
                quality = psnr(codec.decode(codec.encode(held_out)), held_out)
            log(f"step {step + 1} loss {loss.item():.4f} psnr {quality:.2f} dB, {time.time() - began:.0f} s")
            state = {"codec": codec.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            save_atomically(state, checkpoint)


def current_codec(demo_model) -> PatchCodec:
    """The codec in training, or the published one where none is."""
    codec, checkpoint = PatchCodec(), WORK / "codec.pt"
    trained = torch.load(checkpoint, weights_only=True)["codec"] if checkpoint.is_file() else None
    state = trained or demo_model.read_weights("codec")
    codec.load_state_dict({name: value.float() for name, value in state.items()})
    return codec.requires_grad_(False)


def first_values(demo_model, tokenizer, fresh: bool) -> nn.ModuleDict:
    """UNet and text encoder before the first step: with the published weights, or with none.

    Only the embeddings of words that the prompts can have are ever trained; all others stay zero, so that a word the
    model does not know says nothing instead of saying noise.
    """
    unet = initialize(demo_model.build_model(torch.float32).diffusion_model)
    nn.init.zeros_(unet.out[-1].weight)
    nn.init.zeros_(unet.out[-1].bias)
    text = initialize(load_pack().nodes.demo_networks.DemoTextEncoder(dtype=torch.float32)).transformer
    embedding = text.text_model.embeddings.token_embedding.weight
    table = torch.zeros_like(embedding)
    known = known_tokens(tokenizer)
    table[known] = 0.1 * torch.randn(len(known), embedding.shape[1])
    if not fresh:
        unet.load_state_dict({name: value.float() for name, value in demo_model.read_weights("unet").items()})
        published = {name: value.float() for name, value in demo_model.read_weights("text").items()}
        table[published.pop("known_tokens").long()] = published.pop("known_embeddings")
        text.load_state_dict({**published, "text_model.embeddings.token_embedding.weight": table})
    with torch.no_grad():
        embedding.copy_(table)
    return nn.ModuleDict({"unet": unet, "text": text}).requires_grad_(True)


def train_diffusion(steps: int, fresh: bool = False) -> None:
    """Rectified flow: seven steps of 32 scenes at 128 px, then one of 8 at 256 px.

    `fresh` begins without the published weights, where there is no checkpoint to go on from; the text encoder learns
    only then.
    """
    demo_model = load_pack().nodes.demo_model
    log, checkpoint = Log("diffusion"), WORK / "diffusion.pt"
    torch.manual_seed(0)
    mixture, codec, tokenizer = (
        Mixture(WORK),
        current_codec(demo_model),
        load_pack().nodes.demo_networks.DemoWordTokenizer(),
    )
    modules = first_values(demo_model, tokenizer, fresh)
    modules["text"].requires_grad_(fresh)
    average = {name: value.detach().clone() for name, value in modules.state_dict().items()}
    learning = [parameter for parameter in modules.parameters() if parameter.requires_grad]
    rate = FRESH_RATE if fresh else RATE
    optimizer = torch.optim.AdamW(learning, lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    start = 0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        modules.load_state_dict(state["modules"])
        optimizer.load_state_dict(state["optimizer"])
        average, start = state["average"], state["step"]
    # `average` is changed in place, so that the candidate always has its present values.
    averaged, validation = candidate(demo_model, codec, average), Validation(codec, mixture.demo)
    log(f"From step {start}, {steps} steps are planned. {validation.losses(averaged)}")
    weights = channel_weights(codec)
    began, losses = time.time(), []
    for step in range(start, steps):
        side, count = (256, 8) if step % 8 == 7 else (SIDE, 32)
        batch = mixture.batch(step, count, side)
        generator = torch.Generator().manual_seed(step)
        prompts = [prompt if torch.rand(1, generator=generator) > 0.1 else "" for prompt in batch.prompts]
        clean = codec.encode(batch.images)
        # Somewhat more where there is more noise than signal: it is there that light and color are settled.
        sigma = torch.sigmoid(0.8 + torch.randn(count, generator=generator))
        noise = torch.randn(clean.shape, generator=generator)
        for group in optimizer.param_groups:
            group["lr"] = rate * cosine(step, steps)
        noisy = torch.lerp(clean, noise, sigma.view(-1, 1, 1, 1))
        with autocast(), sdpa_kernel(SDPBackend.MATH):  # for so few cells plain attention is faster
            context = encode_text(modules["text"].text_model, tokenize(tokenizer, prompts))
            given = torch.cat([noisy, left_by_mask(clean, batch.hidden)], 1)
            velocity = modules["unet"](given, sigma * 1000, context=context)
        error = velocity.float() - (noise - clean)
        loss = training_loss(error, weights, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        decay = min(0.999, (step + 1) / (step + 20))
        with torch.no_grad():
            for name, value in modules.state_dict().items():
                average[name].lerp_(value, 1 - decay)
        losses.append(masked_mean(error.detach().square(), batch.hidden).item())
        if (step + 1) % 100 == 0 or step + 1 == steps:
            log(f"step {step + 1} loss {np.mean(losses):.4f}, {time.time() - began:.0f} s")
            if not math.isfinite(losses[-1]):
                raise FloatingPointError("The loss is no longer a number; the last saved state is still good.")
            losses.clear()
            state = {"modules": modules.state_dict(), "average": average, "optimizer": optimizer.state_dict()}
            save_atomically({**state, "step": step + 1}, checkpoint)
        if (step + 1) % 500 == 0 or step + 1 == steps:
            log(f"  {validation.losses(averaged)}")
            log(f"  {validation.light(averaged)}")


def autocast():
    """Half as many bits where they suffice, if the processor knows them; the weights keep theirs."""
    knows = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return torch.autocast("cpu", torch.bfloat16, enabled=knows)


def training_loss(error: torch.Tensor, channels: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The weighted mean square of the velocity's error [B,C,h,w], and of its mean over each subject.

    channels: [C], see `channel_weights`.
    """
    # What is seen anyway hardly counts.
    cells = batch.hidden.clamp(min=SEEN_WEIGHT) * (1 + (SUBJECT_WEIGHT - 1) * batch.subject)
    subject = batch.hidden * batch.subject
    size = subject.sum((2, 3))
    mean = (error * subject).sum((2, 3)) / size.clamp(min=1)
    details = channels.view(1, -1, 1, 1) * cells * error.square()
    light = channels * SUBJECT_WEIGHT * LIGHT_WEIGHT * size * mean.square()
    return (details.sum() + light.sum()) / (cells.sum() * error.shape[1])


def channel_weights(codec: PatchCodec) -> torch.Tensor:
    """What the loss makes of each latent channel, 1 on average. What is best for any weights is best for all."""
    patterns = codec.analysis.flatten(2)
    color = patterns.mean(2).norm(dim=1) / patterns.square().mean(2).sum(1).sqrt()
    weights = 1 + (COLOR_WEIGHT - 1) * color
    return weights / weights.mean()


def candidate(demo_model, codec: PatchCodec, weights: dict) -> Candidate:
    """A model with weights as a checkpoint names them: the tensors themselves, not copies."""
    tokenizer = load_pack().nodes.demo_networks.DemoWordTokenizer()
    modules = first_values(demo_model, tokenizer, fresh=True).requires_grad_(False)
    modules.load_state_dict(weights, assign=True)
    return Candidate(
        modules, codec, lambda prompts: encode_text(modules["text"].text_model, tokenize(tokenizer, prompts))
    )


class Validation:
    """The averaged weights on scenes and noise that stay the same: RelitScenes of the validation split, demo scenes."""

    count = 24

    def __init__(self, codec: PatchCodec, demo: SceneRenderer):
        relit, prompts = truths_of("validation", self.count)
        clean = codec.encode(relit)
        image, demo_prompts = images_of(demo, [2], self.count, SIDE)
        self.cases = cases_of("validation", 2 * self.count)
        truths = codec.encode(pixels([case.truth for case in self.cases]))
        hidden = cover(torch.from_numpy(np.stack([case.harmonize_mask for case in self.cases])), *clean.shape[-2:])
        self.sets = {
            "relit": (clean, prompts),
            "relit untold": (clean, [""] * self.count),
            "subject hidden": (truths, [case.prompt for case in self.cases], hidden[:, None]),
            "demo": (codec.encode(image), demo_prompts),
        }

    def losses(self, model: Candidate) -> str:
        """At each level of noise."""
        told = [f"{name} {' '.join(f'{loss:.3f}' for loss in model.losses(*of))}" for name, of in self.sets.items()]
        return f"validation at sigma {' '.join(map(str, LEVELS))}: {', '.join(told)}"

    def light(self, model: Candidate) -> str:
        """How far off the subject's light is."""
        prompts, others = told_of(self.cases, "each its own")
        return f"fMSE: {relit_errors(self.cases, *model.harmonized(self.cases, prompts, others, **BARE))}"


def tokenize(tokenizer, prompts: list[str]) -> torch.Tensor:
    """[B,77] token ids, by ComfyUI's own tokenizer."""
    return torch.tensor([[token for token, _ in tokenizer.tokenize_with_weights(prompt)[0]] for prompt in prompts])


def encode_text(text: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """ComfyUI's CLIP text model, layer by layer: its own forward adds in place, which autograd cannot follow."""
    from comfy.ldm.modules.attention import optimized_attention_for_device

    x = text.embeddings(tokens)
    attention = optimized_attention_for_device(x.device, mask=True, small_input=True)
    causal = torch.full((x.shape[1], x.shape[1]), -torch.finfo(x.dtype).max).triu_(1)
    for layer in text.encoder.layers:
        x = x + layer.self_attn(layer.layer_norm1(x), causal, attention)
        x = x + layer.mlp(layer.layer_norm2(x))
    return text.final_layer_norm(x)


def known_tokens(tokenizer) -> list[int]:
    """Every token that a training prompt can contain."""
    captions = [caption for _, _, caption in images.PHOTOGRAPHS.values()]
    captions += [caption for _, caption, _ in images.TEXTURES.values()]
    captions += [*CUT_OUTS.values(), *images.SPRITES.values(), ", ".join(LIGHT_WORDS), *vocabulary()]
    return sorted(set(tokenize(tokenizer, captions).flatten().tolist()))


def train_classifier(steps: int) -> None:
    """Cross entropy on the stored scenes; straight into demo/weights, since it takes minutes."""
    log = Log("classifier")
    torch.manual_seed(0)
    first, most = Mixture.scenes[SIDE]
    store, model = RelitStore(WORK, SIDE, most), classifier.Classifier()
    store.grow(first)
    wanted = torch.tensor([classifier.class_of(prompt) for prompt in store.prompts])
    seen = torch.cat([classifier.as_seen(as_tensor([image[..., :3]])) for image in store.images[: len(store)]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    began, generator = time.time(), torch.Generator().manual_seed(0)
    held_out = {split: classifier.held_out(200, split) for split in ("validation", "test")}
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * cosine(step, steps)
        drawn = torch.randint(len(store), (64,), generator=generator)
        logits = model.train()(classifier.varied(seen[drawn], generator))
        loss = F.cross_entropy(logits, wanted[drawn], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            told = [f"{split} {classifier.accuracy(model.eval(), *of):.3f}" for split, of in held_out.items()]
            log(f"step {step + 1} loss {loss.item():.3f}, {time.time() - began:.0f} s, on truths: {', '.join(told)}")
    publish({"classifier": model.state_dict()})


def publish(weights: dict[str, dict]) -> None:
    """fp16 files into `demo/weights`, and the hashes of all that is there."""
    DEMO_WEIGHTS.mkdir(exist_ok=True)
    for name, tensors in weights.items():
        half = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
        file = DEMO_WEIGHTS / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in half.items()}, file)
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
    files = sorted(DEMO_WEIGHTS.glob("*.safetensors"))
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (DEMO_WEIGHTS / "sha256.json").write_text(json.dumps(hashes, indent=2) + "\n")


def export() -> None:
    """fp16 weights into `demo/weights`: the averaged UNet and text encoder, the codec where it was trained, hashes."""
    diffusion = torch.load(WORK / "diffusion.pt", weights_only=True)
    unet, text = (
        {name.removeprefix(part): value for name, value in diffusion["average"].items() if name.startswith(part)}
        for part in ("unet.", "text.")
    )
    table = text.pop("text_model.embeddings.token_embedding.weight")
    known = table.abs().sum(1).nonzero().flatten()
    text["known_tokens"], text["known_embeddings"] = known.to(torch.int32), table[known]
    found = {"text": text, "unet": unet}
    if (WORK / "codec.pt").is_file():
        found["codec"] = torch.load(WORK / "codec.pt", weights_only=True)["codec"]
    publish(found)
    print(f"Diffusion after {diffusion['step']} steps; the codec is {'new' if 'codec' in found else 'as it was'}.")


def published() -> Candidate:
    """The weights that come with the pack."""
    demo_model = load_pack().nodes.demo_model
    tokenizer, codec = load_pack().nodes.demo_networks.DemoWordTokenizer(), PatchCodec()
    codec.load_state_dict({name: value.float() for name, value in demo_model.read_weights("codec").items()})
    weights = first_values(demo_model, tokenizer, fresh=False).requires_grad_(False).state_dict()
    return candidate(demo_model, codec.requires_grad_(False), weights)


def evaluate(which: list[str], count: int) -> None:
    """The published weights, and those in training, on the test split; contact sheets go to `.cache/demo`."""
    demo_model = load_pack().nodes.demo_model
    for name in which:
        if name == "published":
            model = published()
        else:
            weights = torch.load(WORK / "diffusion.pt", weights_only=True)["average"]
            model = candidate(demo_model, current_codec(demo_model), weights)
        log = Log(f"evaluate_{name}")
        contact_sheet(model).save(WORK / f"sheet_{name}.png")
        report(model, "test", count, log)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="dev.py train", description="Train one stage of the demo model.")
    parser.add_argument("stage", choices=["codec", "diffusion", "classifier", "evaluate", "export"])
    parser.add_argument("--steps", type=int, help="optimizer steps (codec: 1500, diffusion: 8000, classifier: 6000)")
    parser.add_argument("--fresh", action="store_true", help="diffusion: begin without the published weights")
    parser.add_argument("--only", choices=["published", "training"], help="evaluate: one of the two alone")
    parser.add_argument("--count", type=int, default=48, help="evaluate: so many scenes")
    options = parser.parse_args(arguments)
    WORK.mkdir(parents=True, exist_ok=True)
    if options.stage == "codec":
        train_codec(options.steps or 1500)
    elif options.stage == "diffusion":
        train_diffusion(options.steps or 8000, options.fresh)
    elif options.stage == "classifier":
        train_classifier(options.steps or 6000)
    elif options.stage == "evaluate":
        evaluate([options.only] if options.only else ["published", "training"], options.count)
    else:
        export()
