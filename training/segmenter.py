"""Trains the small DeepLabV3+ of `demo/weights/deeplab.safetensors`, and resumes where it was stopped.

    .venv/bin/python -m training.segmenter            # half an hour on one core, log in .cache/segmenter/train.log
    .venv/bin/python -m training.segmenter --export   # writes fp16 weights to demo/weights
    .venv/bin/python -m training.segmenter --evaluate # measures the published weights on held-out images

Half of the examples are RelitScenes, half are sprites over crops of photographs. One crop in ten has no sprite.
"""

import argparse
import functools
import io
import json
import tarfile
import time
from collections.abc import Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from devtools import package_images as images
from devtools.comfyui import supply_torchvision_operators
from devtools.paths import CACHE, DEMO_WEIGHTS
from phd_ops.pixels.color import linear_to_srgb
from phd_ops.segmenters.onnx_salient import MEAN, STD
from relit_scenes import subjects
from relit_scenes.descriptions import Shot
from relit_scenes.draw import draw_shot
from relit_scenes.layers import embedded, render_layers

WORK = CACHE / "segmenter"
WEIGHTS = DEMO_WEIGHTS / "deeplab.safetensors"
SIDE, BATCH, STEPS = 192, 16, 3000
RATE = 3e-3
# The state is saved, and the network is validated, after every so many steps.
SAVED, VALIDATED = 100, 400
# The number of RelitScenes, which are rendered once and reused.
RELIT = 2400
# Every second sprite of the package is used; of these, one in ten is held out.
EVERY, HELD_OUT = 2, 10
# Photographs whose crops are backgrounds; the last two are held out.
BACKGROUNDS = ("galaxies", "coffee", "astronaut", "cat", "flower", "motorcycle", "temple", "rocket")
LABELS = ("background", "subject")
NETWORK = {"encoder_name": "tu-mobilenetv2_050", "decoder_channels": 128, "classes": len(LABELS)}


@functools.cache
def relit_store() -> np.ndarray:
    """Finished scenes of the training split with the subject's matte as alpha, uint8 [RELIT,SIDE,SIDE,4]."""
    WORK.mkdir(parents=True, exist_ok=True)
    file = WORK / f"relit_{SIDE}_{RELIT}.npy"
    if not file.is_file():
        partial = file.with_suffix(".partial.npy")
        store = np.lib.format.open_memmap(partial, "w+", np.uint8, (RELIT, SIDE, SIDE, 4))
        for seed in range(RELIT):
            store[seed] = relit_scene(draw_shot(seed, "train"))
        store.flush()
        partial.rename(file)
    return np.load(file, mmap_mode="r")


def relit_scene(shot: Shot) -> np.ndarray:
    """A finished scene with its matte, uint8 [SIDE,SIDE,4]."""
    layers = render_layers(shot, SIDE)
    matte = embedded(layers.matte, layers.box, SIDE)
    return (np.dstack([linear_to_srgb(layers.finished), matte]) * 255 + 0.5).astype(np.uint8)


@functools.cache
def sprites(held_out: bool) -> list[np.ndarray]:
    """Sprites, uint8 RGBA [h,w,4], from the package of the demo's and RelitScenes' sprites."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(subjects.sprite_archive())) as package:
        names = sorted(name for name in package.getnames() if name.endswith(".webp"))
        # Variants in other skin colors show the same shape.
        names = [name for name in names if not any(f"1f3f{tone}" in name for tone in "bcdef")][::EVERY]
        for index, name in enumerate(names):
            if (index % HELD_OUT == 0) == held_out:
                raw = np.frombuffer(package.extractfile(name).read(), np.uint8)
                image = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
                if image.ndim == 3 and image.shape[2] == 4 and (image[..., 3] > 127).mean() > 0.05:
                    found.append(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA))
    return found


@functools.cache
def backgrounds(held_out: bool) -> list[np.ndarray]:
    """Photographs, and for training colored textures too, float32 [h,w,3] in 0..1."""
    names = BACKGROUNDS[-2:] if held_out else BACKGROUNDS[:-2]
    found = [images.read_rgb(images.photograph_path(name)) for name in names]
    if not held_out:
        for path, _, albedo in images.TEXTURES.values():
            gray = images.read_rgb(images.package_file("skimage", path))
            found.append(np.clip(gray / gray.mean() * np.sqrt(np.float32(albedo)), 0, 1))
    return found


def pasted(rng: np.random.Generator, held_out: bool = False) -> np.ndarray:
    """A sprite over a crop of a background, float32 [SIDE,SIDE,4] with its matte. One in ten has no sprite."""
    behind = backgrounds(held_out)[rng.integers(len(backgrounds(held_out)))]
    crop = int(min(behind.shape[:2]) * rng.uniform(0.2, 0.9))
    y, x = (rng.integers(0, length - crop + 1) for length in behind.shape[:2])
    scene = cv2.resize(behind[y : y + crop, x : x + crop], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.1:
        return np.dstack([scene, np.zeros((SIDE, SIDE), np.float32)])
    sprite = sprites(held_out)[rng.integers(len(sprites(held_out)))].astype(np.float32) / 255
    sprite[..., :3] = np.clip(sprite[..., :3] * rng.uniform(0.5, 1.15) * rng.uniform(0.85, 1.15, 3), 0, 1)
    sprite[..., :3] *= sprite[..., 3:]
    scale = SIDE * rng.uniform(0.25, 0.85) / max(sprite.shape[:2])
    if scale < 1:
        sprite = cv2.resize(sprite, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scale = 1.0
    height, width = sprite.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 15), scale)
    matrix[:, 2] += rng.uniform(0.2, 0.8, 2) * SIDE - (width / 2, height / 2)
    layer = np.clip(cv2.warpAffine(sprite, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), 0, 1)
    alpha = layer[..., 3:]
    if rng.random() < 0.5:
        # A soft shadow beside the sprite, which must not be taken for a part of it.
        shift = np.float32([[1, 0, rng.normal(0, 12)], [0, 1, rng.uniform(0, 16)]])
        shadow = cv2.GaussianBlur(cv2.warpAffine(alpha[..., 0], shift, (SIDE, SIDE)), (0, 0), rng.uniform(2, 8))
        scene = scene * (1 - rng.uniform(0.2, 0.6) * shadow[..., None])
    return np.dstack([scene * (1 - alpha) + layer[..., :3], alpha])


def varied(rng: np.random.Generator, example: np.ndarray) -> np.ndarray:
    """An example with random mirroring, crop, light, blur and grain, float32 [SIDE,SIDE,4]."""
    if rng.random() < 0.5:
        example = example[:, ::-1]
    crop = round(SIDE * rng.uniform(0.65, 1.0))
    y, x = rng.integers(0, SIDE - crop + 1, 2)
    example = cv2.resize(np.ascontiguousarray(example[y : y + crop, x : x + crop]), (SIDE, SIDE))
    image = example[..., :3] * np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.08, 3))
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.2))
    image = image + rng.normal(0, rng.uniform(0, 0.03), image.shape)
    return np.dstack([image.clip(0, 1), example[..., 3]]).astype(np.float32)


def batch(step: int) -> np.ndarray:
    """The examples of a step, float32 [BATCH,SIDE,SIDE,4]; the same for the same step."""
    rng = np.random.default_rng([7, step])
    store = relit_store()
    examples = []
    for index in range(BATCH):
        drawn = pasted(rng) if index % 2 else store[rng.integers(RELIT)].astype(np.float32) / 255
        examples.append(varied(rng, drawn))
    return np.stack(examples)


def build() -> torch.nn.Module:
    """The network with seeded random weights."""
    supply_torchvision_operators()
    import segmentation_models_pytorch as smp

    torch.manual_seed(0)
    return smp.DeepLabV3Plus(encoder_weights=None, **NETWORK).to(memory_format=torch.channels_last)


def as_input(image: np.ndarray) -> torch.Tensor:
    """Images [B,H,W,3] in 0..1 as the network's input [B,3,H,W]."""
    return torch.from_numpy(np.ascontiguousarray(((image - MEAN) / STD).transpose(0, 3, 1, 2)))


def loss_of(logits: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus one minus the Dice overlap of the subject.

    Args:
        logits: [B,2,H,W], background and subject.
        matte: [B,H,W] in 0..1.
    """
    subject = logits[:, 1] - logits[:, 0]
    found = torch.sigmoid(subject)
    overlap = (2 * (found * matte).sum((1, 2)) + 50) / (found.sum((1, 2)) + matte.sum((1, 2)) + 50)
    return F.binary_cross_entropy_with_logits(subject, matte) + (1 - overlap).mean()


def intersection_over_union(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two masks, each cut at ½."""
    found, truth = found > 0.5, truth > 0.5
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def held_out() -> Iterator[tuple[str, np.ndarray]]:
    """(kind, image with its matte) of held-out subjects and backgrounds."""
    for seed in range(48):
        yield "relit", relit_scene(draw_shot(seed, "test")).astype(np.float32) / 255
    rng = np.random.default_rng(99)
    for _ in range(48):
        yield "sprites", pasted(rng, held_out=True).astype(np.float32)


def validate(network: torch.nn.Module) -> dict[str, float]:
    """Mean intersection over union for each kind of held-out image, over those that show a subject."""
    network.eval()
    scores: dict[str, list[float]] = {}
    for kind, example in held_out():
        if (example[..., 3] > 0.5).mean() > 0.005:
            with torch.inference_mode():
                logits = network(as_input(example[None, ..., :3]))[0]
            found = torch.sigmoid(logits[1] - logits[0]).numpy()
            scores.setdefault(kind, []).append(intersection_over_union(found, example[..., 3]))
    network.train()
    return {kind: float(np.mean(values)) for kind, values in scores.items()}


def train(steps: int) -> None:
    """Trains up to `steps`, from the saved state if there is one."""
    WORK.mkdir(parents=True, exist_ok=True)
    network = build().train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    first, spent = resume(parts)
    started, total = time.monotonic() - spent, 0.0
    for step in range(first, steps):
        total += train_step(network, optimizer, step)
        schedule.step()
        last = step + 1 == steps
        if (step + 1) % SAVED == 0 or last:
            line = {"step": step + 1, "loss": total / SAVED, "seconds": round(time.monotonic() - started)}
            total = 0.0
            if (step + 1) % VALIDATED == 0 or last:
                line["iou"] = validate(network)
            with (WORK / "train.log").open("a") as file:
                file.write(json.dumps(line) + "\n")
            save(parts, step + 1, time.monotonic() - started)


def train_step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> float:
    """One step on its own examples; the loss before it."""
    # Seeds the network's dropout, so that a resumed run repeats an uninterrupted one.
    torch.manual_seed(step)
    examples = batch(step)
    logits = network(as_input(examples[..., :3]).contiguous(memory_format=torch.channels_last))
    loss = loss_of(logits, torch.from_numpy(examples[..., 3].copy()))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimizer.step()
    return loss.item()


def resume(parts: dict) -> tuple[int, float]:
    """Loads the saved state into network, optimizer and schedule; the steps and seconds already done."""
    file = WORK / "train.pt"
    if not file.is_file():
        return 0, 0.0
    state = torch.load(file, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"], state["seconds"]


def save(parts: dict, step: int, seconds: float) -> None:
    """Writes the state of network, optimizer and schedule, in place of the former one."""
    partial = WORK / "train.partial"
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save(states | {"step": step, "seconds": seconds}, partial)
    partial.replace(WORK / "train.pt")


def export() -> None:
    """Writes the weights of the last saved step in fp16, with the metadata that `phd_ops.segmenters.deeplab` reads."""
    from safetensors.torch import save_file

    weights = torch.load(WORK / "train.pt", weights_only=True)["network"]
    weights = {
        name: value.half().contiguous() for name, value in weights.items() if not name.endswith("num_batches_tracked")
    }
    metadata = {"architecture": "DeepLabV3Plus", "encoder": NETWORK["encoder_name"], "side": str(SIDE)}
    save_file(weights, WEIGHTS, metadata | {"labels": json.dumps(LABELS)})
    print(f"Wrote {WEIGHTS.name}, {WEIGHTS.stat().st_size / 1e6:.2f} MB")


def published() -> torch.nn.Module:
    """The network with the weights in demo/weights."""
    from safetensors.torch import load_file

    network = build()
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()}, strict=False)
    return network


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.segmenter", description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"optimizer steps ({STEPS})")
    parser.add_argument("--export", action="store_true", help="write the trained weights to demo/weights")
    parser.add_argument("--evaluate", action="store_true", help="measure the weights in demo/weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if options.export:
        export()
    elif options.evaluate:
        print(validate(published()))
    else:
        train(options.steps)


if __name__ == "__main__":
    main()
