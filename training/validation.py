"""Losses on held-out scenes while the diffusion model trains."""

import numpy as np
import torch

from demo.codec import PatchCodec
from phd_ops.latents.mask_grid import cover
from training.candidate import LEVELS, SIDE, Candidate, as_images
from training.demo_scenes import SceneRenderer, rendered_scenes
from training.evaluate import OWN_PROMPTS, PLAIN_STEPS, prompts_of, relit_errors, rendered_cases, truths_of


class Validation:
    """Scenes and noise that stay the same: RelitScenes of the validation split, and demo scenes."""

    count = 24

    def __init__(self, codec: PatchCodec, demo: SceneRenderer):
        relit, prompts = truths_of("validation", self.count)
        clean = codec.encode(relit)
        images, demo_prompts = rendered_scenes(demo, [2], self.count, SIDE)
        self.cases = rendered_cases("validation", 2 * self.count)
        truths = codec.encode(as_images([case.truth for case in self.cases]))
        hidden = cover(torch.from_numpy(np.stack([case.harmonize_mask for case in self.cases])), *clean.shape[-2:])
        # Arguments of `Candidate.losses`: latents, prompts, and what is hidden (by default everything).
        self.sets = {
            "relit": (clean, prompts),
            "relit without prompts": (clean, [""] * self.count),
            "subject hidden": (truths, [case.prompt for case in self.cases], hidden[:, None]),
            "demo": (codec.encode(images), demo_prompts),
        }

    def losses(self, model: Candidate) -> str:
        """One line: the loss of each set at each noise level."""
        found = [f"{name} {' '.join(f'{loss:.3f}' for loss in model.losses(*of))}" for name, of in self.sets.items()]
        return f"validation at sigma {' '.join(map(str, LEVELS))}: {', '.join(found)}"

    def light(self, model: Candidate) -> str:
        """One line: the error of the subjects' light."""
        prompts, reference_prompts = prompts_of(self.cases, OWN_PROMPTS)
        results = model.harmonized(self.cases, prompts, reference_prompts, **PLAIN_STEPS)
        return f"fMSE: {relit_errors(self.cases, *results)}"
