"""What the module does on validation scenes and photographs: the log's figures, and a sheet to look at."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from phd_ops.latents.mask_grid import cover
from phd_ops.latents.module_condition import module_condition
from phd_ops.pixels.relight import LightReader, read_light, relight
from relit_scenes.render import Scene
from training.candidate import as_images
from training.evaluate import rendered_cases, shifted, subject_error
from training.module_base import Base
from training.photographs import RelitPhotograph

COUNT, SHOWN = 24, 8
# Name, prompts, calls, and whether the module sees the light reference.
RUNS = (
    ("without reference @4", "right", 4, False),
    ("with reference @1", "right", 1, True),
    ("with reference @4", "right", 4, True),
    ("no prompt", "none", 4, True),
    ("another's", "wrong", 4, True),
)
# The same on photographs, whose prompts are file names.
PHOTOGRAPH_RUNS = (("@1", "none", 1, False), ("@4", "none", 4, False))
IMAGES = ("composite", "reference")


class PasteValidation:
    """Scenes, or photographs as `photographs.RelitPhotograph`, and noise that stay the same."""

    def __init__(self, base: Base, cases: Sequence[Scene | RelitPhotograph] | None = None):
        """cases: None = scenes of the validation split."""
        self.base, self.cases = base, rendered_cases("validation", COUNT) if cases is None else cases
        encoded = (base.encode(as_images([getattr(case, name) for case in self.cases])) for name in IMAGES)
        self.composite, self.reference = encoded
        size = self.composite.shape[2:]
        mattes, masks = (
            torch.from_numpy(np.stack([getattr(case, name) for case in self.cases]))
            for name in ("matte", "harmonize_mask")
        )
        self.subject, self.hidden = F.adaptive_avg_pool2d(mattes[:, None], size), cover(masks, *size)[:, None].float()
        self.noise = torch.randn(self.composite.shape, generator=torch.Generator().manual_seed(7))
        right = [case.prompt for case in self.cases]
        self.prompts = {"right": right, "none": [""] * len(right), "wrong": shifted(right)}

    @torch.no_grad()
    def drawn(self, module: nn.Module, calls: int, prompts: list[str], with_reference: bool) -> np.ndarray:
        """Images [N,S,S,3] in 0..1: `calls` Euler steps from pure noise in the hidden cells."""
        model, hidden = self.base.model, self.hidden
        conditions = {**self.base.prompts(prompts), **self.base.visible(self.composite, hidden)}
        seen = module_condition(self.composite, self.subject, hidden, self.reference if with_reference else None)
        control = module(None, seen, torch.zeros(len(seen)), conditions["c_crossattn"], conditions.get("y"))
        levels = torch.cat([self.base.levels(1 - torch.arange(calls) / calls), torch.zeros(1)])
        x = self.noisy(levels[0])
        for now, after in zip(levels[:-1], levels[1:], strict=True):
            given = {name: list(parts) for name, parts in control.items()}
            clean = model.apply_model(x, now.repeat(len(x)), control=given, **conditions)
            x = clean + (x - clean) * (after / now)
            x = torch.where(hidden > 0, x, self.noisy(after))
        return ((self.base.decode(x.float()) + 1) / 2).clamp(0, 1).movedim(1, -1).numpy()

    def noisy(self, level: torch.Tensor) -> torch.Tensor:
        return self.base.model.model_sampling.noise_scaling(level.view(1, 1, 1, 1), self.noise, self.composite)

    def errors(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """fMSE of the model's own pixels, and of the paste relit by the light read off them: [N] each."""
        own, read = [], []
        for case, image in zip(self.cases, images, strict=True):
            own.append(subject_error(image, case))
            read.append(subject_error(self.relit(case, image), case))
        return np.array(own), np.array(read)

    @staticmethod
    def relit(case, image: np.ndarray) -> np.ndarray:
        light = read_light(LightReader(case.composite, case.matte), [image], background=case.background)
        return np.where(case.matte[..., None] > 0, relight(case.composite, light.gain), case.composite)

    def report(self, module: nn.Module, runs: tuple[tuple[str, str, int, bool], ...] = RUNS) -> str:
        """One line: errors as shares of the paste's, own pixels / light read off them, of each run (see RUNS)."""
        paste = np.array([subject_error(case.composite, case) for case in self.cases]).mean()
        found = [f"paste {paste:.4f}; own / read:"]
        for name, kind, calls, with_reference in runs:
            own, read = self.errors(self.drawn(module, calls, self.prompts[kind], with_reference))
            found.append(f"{name} {own.mean() / paste:.2f} / {read.mean() / paste:.2f}")
        return ", ".join(found)

    def sheet(self, module: nn.Module) -> Image.Image:
        """A column for each of some scenes: composite, reference, own pixels without and with reference at 4 calls, the
        subject relit by the latter, truth."""
        prompts = self.prompts["right"]
        alone, beside = (self.drawn(module, 4, prompts, known)[:SHOWN] for known in (False, True))
        cases = self.cases[:SHOWN]
        lit = [self.relit(*pair) for pair in zip(cases, beside, strict=True)]
        rows = [[case.composite for case in cases], [case.reference for case in cases], alone, beside, lit]
        rows.append([case.truth for case in cases])
        image = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
        return Image.fromarray((image * 255 + 0.5).clip(0, 255).astype(np.uint8))
