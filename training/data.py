"""Training data of the demo model: RelitScenes, whose light can be inferred, mixed with the demo's own scenes."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from demo.codec import PATCH
from relit_scenes.training_scenes import training_scene
from training.demo_scenes import SceneRenderer

# The share of RelitScenes.
RELIT_SHARE = 0.85
# Of these, the share that is mirrored, and the share whose prompt leaves out the light, so that it must be inferred.
MIRRORED, LIGHT_DROPPED = 0.5, 0.4
LEFT, RIGHT = "from the left", "from the right"
# The share of images that are hidden entirely. Of the others with a subject: the share that hides the subject and its
# ring, and the share that hides the ring alone.
WHOLE, SUBJECT, RING = 0.2, 0.7, 0.2


def augmented(rng: np.random.Generator, image: np.ndarray, prompt: str) -> tuple[np.ndarray, str]:
    """A RelitScene, some of them mirrored, some with a prompt without its light."""
    if rng.random() < MIRRORED:
        image = image[:, ::-1]
        prompt = prompt.replace(LEFT, RIGHT) if LEFT in prompt else prompt.replace(RIGHT, LEFT)
    # The light follows the first comma.
    return image, prompt.split(", ")[0] if rng.random() < LIGHT_DROPPED else prompt


def as_tensor(images: list[np.ndarray]) -> torch.Tensor:
    """uint8 [H,W,C] each, to [B,C,H,W] in [-1,1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def hidden_cells(rng: np.random.Generator, subject: np.ndarray) -> np.ndarray:
    """The cells that the model has to draw, float32 [S/8,S/8], 0 or 1: all; a subject and its ring; the ring alone
    (without cells that are all subject); or a rectangle.

    subject: [S,S], above 0 inside the subject.
    """
    side, kind = len(subject), rng.random()
    hidden = np.zeros((side, side), np.uint8)
    if rng.random() < WHOLE:
        hidden[:] = 1
    elif subject.any() and kind < SUBJECT + RING:
        reach = int(rng.integers(side // 6 + 1))
        ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
        hidden = cv2.dilate(np.uint8(subject > 0), ball)
    else:
        height, width = rng.integers(side // 5, 4 * side // 5, 2)
        top, left = rng.integers(side - height), rng.integers(side - width)
        hidden[top : top + height, left : left + width] = 1
    cells = in_cells(hidden).max((1, 3))
    if SUBJECT <= kind < SUBJECT + RING and not cells.all():
        cells = cells * (in_cells(subject).min((1, 3)) == 0)
    return cells.astype(np.float32)


def in_cells(mask: np.ndarray) -> np.ndarray:
    """[S,S] as [S/8,8,S/8,8]."""
    side = len(mask) // PATCH
    return mask.reshape(side, PATCH, side, PATCH)


class RelitStore:
    """RelitScenes of one size on disk: rendered once (25 ms each), drawn often. Scene i has seed i.

    There are two files: images (with the subject's matte) and prompts. A prompt is written after its image, so that
    an interruption costs one scene at most.
    """

    def __init__(self, folder: Path, side: int, most: int):
        self.side, self.most = side, most
        self.prompts_file = folder / f"relit_{side}.txt"
        images_file = folder / f"relit_{side}.rgba"
        kept = images_file.is_file() and self.prompts_file.is_file()
        # The last line may be incomplete.
        self.prompts = self.prompts_file.read_text().split("\n")[:-1][:most] if kept else []
        self.prompts_file.write_text("".join(f"{prompt}\n" for prompt in self.prompts))
        self.images = np.memmap(images_file, np.uint8, "r+" if kept else "w+", shape=(most, side, side, 4))

    def __len__(self) -> int:
        return len(self.prompts)

    def grow(self, count: int) -> None:
        """Renders until there are `count` scenes, or `most`."""
        while len(self) < min(count, self.most):
            image, prompt = training_scene(len(self), self.side)
            self.images[len(self)] = image
            self.prompts.append(prompt)
            with self.prompts_file.open("a") as file:
                file.write(prompt + "\n")

    def draw(self, rng: np.random.Generator, first: int) -> tuple[np.ndarray, str]:
        """One of the first `first` scenes, and its prompt."""
        index = rng.integers(min(first, self.most))
        return self.images[index], self.prompts[index]


@dataclass(frozen=True)
class SceneBatch:
    """Scenes for one training step.

    Attributes:
        images: [B,3,S,S] in [-1,1].
        subject: [B,1,S/8,S/8], the share of each cell that is known to be subject.
        hidden: [B,1,S/8,S/8], 1 = to be drawn.
        prompts: [B].
    """

    images: torch.Tensor
    subject: torch.Tensor
    hidden: torch.Tensor
    prompts: list[str]


class SceneMixture:
    """Batches of both kinds of scenes, the same for the same step. Each step adds one scene to its store."""

    # Image size: number of scenes at first, and at most.
    scenes = {128: (1500, 24000), 256: (400, 6000)}

    def __init__(self, folder: Path):
        self.stores = {side: RelitStore(folder, side, most) for side, (_, most) in self.scenes.items()}
        self.demo = SceneRenderer()

    def batch(self, step: int, count: int, side: int) -> SceneBatch:
        rng = np.random.default_rng([5, step])
        store, known = self.stores[side], self.scenes[side][0] + step
        store.grow(known)
        scenes = []
        for _ in range(count):
            if rng.random() >= RELIT_SHARE:
                image, prompt = self.demo.render(rng, side)
                scenes.append((np.dstack([image, np.zeros((side, side), np.uint8)]), prompt))
            else:
                scenes.append(augmented(rng, *store.draw(rng, known)))
        hidden = np.stack([hidden_cells(rng, image[..., 3]) for image, _ in scenes])
        images = as_tensor([image for image, _ in scenes])
        subject = F.avg_pool2d((images[:, 3:] + 1) / 2, PATCH)
        return SceneBatch(images[:, :3], subject, torch.from_numpy(hidden)[:, None], [prompt for _, prompt in scenes])
