"""What the demo model learns from: RelitScenes, whose light can be read, mixed with the demo's own scenes."""

from pathlib import Path

import numpy as np
import torch

from benchmarks.relit.scenes import training_scene
from demo.scenes import SceneRenderer

# Of all pictures, how many are RelitScenes.
RELIT_SHARE = 0.85
# Of these, how many are mirrored, and how many have nothing said of their light, which then must be seen.
MIRRORED, UNTOLD = 0.5, 0.4
LEFT, RIGHT = "from the left", "from the right"


def seen_and_told(rng: np.random.Generator, picture: np.ndarray, prompt: str) -> tuple[np.ndarray, str]:
    """A RelitScene as it is, or mirrored, or with a shorter prompt."""
    if rng.random() < MIRRORED:
        picture = picture[:, ::-1]
        prompt = prompt.replace(LEFT, RIGHT) if LEFT in prompt else prompt.replace(RIGHT, LEFT)
    # What a scene shows has no comma, what follows is its light.
    return picture, prompt.split(", ")[0] if rng.random() < UNTOLD else prompt


def as_tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    """uint8 [H,W,C] each, to [B,C,H,W] in [-1,1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


class RelitStore:
    """RelitScenes of one side on disk: rendered once (25 ms each), drawn often. Scene i has seed i.

    Two files, of pictures (with the subject's matte) and of prompts. A prompt is written after its picture: a stop
    costs one scene at most.
    """

    def __init__(self, folder: Path, side: int, most: int):
        self.side, self.most = side, most
        self.prompts_file = folder / f"relit_{side}.txt"
        pictures_file = folder / f"relit_{side}.rgba"
        kept = pictures_file.is_file() and self.prompts_file.is_file()
        # The last line may be cut off.
        self.prompts = self.prompts_file.read_text().split("\n")[:-1][:most] if kept else []
        self.prompts_file.write_text("".join(f"{prompt}\n" for prompt in self.prompts))
        self.pictures = np.memmap(pictures_file, np.uint8, "r+" if kept else "w+", shape=(most, side, side, 4))

    def __len__(self) -> int:
        return len(self.prompts)

    def grow(self, count: int) -> None:
        """Renders until there are `count` scenes, or as many as it holds at most."""
        while len(self) < min(count, self.most):
            picture, prompt = training_scene(len(self), self.side)
            self.pictures[len(self)] = picture
            self.prompts.append(prompt)
            with self.prompts_file.open("a") as file:
                file.write(prompt + "\n")

    def draw(self, rng: np.random.Generator, first: int) -> tuple[np.ndarray, str]:
        """One of the first so many scenes."""
        index = rng.integers(min(first, self.most))
        return self.pictures[index], self.prompts[index]


class Mixture:
    """Batches of both kinds, the same for the same step. The store grows with the steps, by one scene each."""

    first_scenes, most_scenes = 1500, 24000

    def __init__(self, folder: Path, side: int):
        self.store = RelitStore(folder, side, self.most_scenes)
        self.demo = SceneRenderer()

    def batch(self, step: int, count: int, side: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        """`count` scenes as [count,3,side,side] in [-1,1], where a subject is known to be, [count,1,side,side] in 0..1,
        and their prompts. Only one side is stored."""
        rng = np.random.default_rng([5, step])
        known = self.first_scenes + step
        self.store.grow(known)
        scenes = []
        for _ in range(count):
            if rng.random() >= RELIT_SHARE:
                picture, prompt = self.demo.render(rng, side)
                scenes.append((np.dstack([picture, np.zeros((side, side), np.uint8)]), prompt))
            elif side == self.store.side:
                scenes.append(seen_and_told(rng, *self.store.draw(rng, known)))
            else:
                scenes.append(seen_and_told(rng, *training_scene(int(rng.integers(2**31)), side)))
        pictures = as_tensor([picture for picture, _ in scenes])
        return pictures[:, :3], (pictures[:, 3:] + 1) / 2, [prompt for _, prompt in scenes]
