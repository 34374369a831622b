"""Clips of RelitScenes: one scene whose light drifts slowly, seen by a camera that moves, and what a model makes of it.

The truth of every frame is known. The stand-in model paints it with the errors of one that works on frames one by one:
the light of each frame is off by a smooth field of its own, its colors by a shift, its pixels by noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.geometry import Box
from relit_scenes.draw import draw_scene
from relit_scenes.render import Scene, render_scene
from relit_scenes.subjects import KINDS

# The camera sees this share of the rendered scene's side, and moves by the rest of it during a clip.
SEEN = 0.9
# How far the light drifts during a clip: stops, mireds, and log gain from the center to the edge.
DRIFT = {"exposure": 0.35, "mired": 60.0, "slope": 0.15}
# Deviations of a frame's errors: of its light in natural logs, of its color shift, and of its pixels (sRGB).
LIGHT_ERROR, SHIFT_ERROR, NOISE = 0.06, 0.01, 0.006


@dataclass(frozen=True)
class Frame:
    """A frame: float32 [S,S,3] or [S,S].

    Attributes:
        background, composite, matte, change: what Stitch is given.
        sampled: what the model made of the composite.
        truth: the subject in the scene's light.
        reference: the exemplar, moved so that its subject lies on the composite's.
        prompts: of the scene, and of the exemplar.
        log_ratio: the logarithm of the gain that relights the composite's subject.
        at: (x, y) of the frame in the scene.
    """

    background: np.ndarray
    composite: np.ndarray
    matte: np.ndarray
    change: np.ndarray
    sampled: np.ndarray
    truth: np.ndarray
    reference: np.ndarray
    prompts: tuple[str, str]
    log_ratio: np.ndarray
    at: tuple[int, int]


def frames_of(seed: int, frames: int, side: int, lamp: float = 0.0) -> Iterator[Frame]:
    """The frames of a clip, one after another. lamp: by how many stops light rises at once in the middle."""
    description, rng = draw_scene(seed, "test", "mixed", KINDS), np.random.default_rng(seed)
    whole, turn = round(side / SEEN), rng.choice([-1, 1], 3)
    for number in range(frames):
        through = number / max(frames - 1, 1)
        light = description.scene.light
        # There and back by half a wave, so that it does not drift evenly.
        swing = np.sin(np.pi * (through - 0.5))
        drifted = {name: getattr(light, name) + 0.5 * own * swing * sign
                   for (name, own), sign in zip(DRIFT.items(), turn, strict=True)}  # fmt: skip
        drifted["exposure"] += lamp if 2 * number >= frames else 0.0
        shot = replace(description.scene, light=replace(light, **drifted))
        scene = render_scene(replace(description, scene=shot), whole)
        x, y = (round((whole - side) * part) for part in (through, 1 - through))
        yield frame(scene, Box(x, y, side, side), rng)


def frame(scene: Scene, seen: Box, rng: np.random.Generator) -> Frame:
    parts = (scene.background, scene.composite, scene.matte, scene.harmonize_mask, scene.truth, scene.reference)
    background, composite, matte, change, truth, reference = (np.ascontiguousarray(p[seen.slices]) for p in parts)
    log_ratio, at = np.log(np.maximum(scene.ratio[seen.slices], 1e-3)), (seen.x, seen.y)
    sampled, prompts = painted(truth, rng), (scene.prompt, scene.exemplar_prompt)
    return Frame(background, composite, matte, change, sampled, truth, reference, prompts, log_ratio, at)


def painted(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the stand-in model paints where the truth is `truth`."""
    side = len(truth)
    coarse = rng.normal(0, LIGHT_ERROR, (3, 3, 3)) + rng.normal(0, LIGHT_ERROR, 3)
    off = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    gain, offset = 1 + rng.normal(0, SHIFT_ERROR, 3), rng.normal(0, SHIFT_ERROR, 3)
    lit = linear_to_srgb(srgb_to_linear(truth) * np.exp(off))
    return np.clip(lit * gain + offset + rng.normal(0, NOISE, truth.shape), 0, 1).astype(np.float32)
