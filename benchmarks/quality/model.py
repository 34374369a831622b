"""The demo model by itself, on the test split: its autoencoder, its use of the prompt, its drawings, its inpainting."""

import torch

from benchmarks.common.table import Section
from training import classifier
from training.candidate import LEVELS, Candidate, published
from training.codec import psnr
from training.evaluate import hole_errors, truths_of

# Numbers of scenes, of which a quick run has a quarter; how many images are drawn at once.
TRUTHS, DRAWN, HOLES, BATCH = 48, 128, 24, 32


def text_gap(model: Candidate, clean: torch.Tensor, prompts: list[str]) -> tuple[float, float]:
    """By how much the loss grows (a share of it) without a prompt, and with another scene's prompt."""
    right, none, other = (
        sum(model.losses(clean, words)) for words in (prompts, [""] * len(prompts), prompts[1:] + prompts[:1])
    )
    return none / right - 1, other / right - 1


def drawn(model: Candidate, prompts: list[str]) -> torch.Tensor:
    """Images from noise alone, [N,3,S,S] in [-1,1]."""
    parts = [model.drawn(prompts[start : start + BATCH]) for start in range(0, len(prompts), BATCH)]
    return torch.cat([torch.from_numpy(part).movedim(-1, 1) for part in parts]) * 2 - 1


def measure(quick: bool) -> Section:
    """The section of the table, with its figures."""
    model, part = published(), 4 if quick else 1
    section = Section("The demo model by itself, test split")
    truths, prompts = truths_of("test", TRUTHS // part)
    clean = model.codec.encode(truths)
    quality = psnr(model.codec.decode(clean), truths)
    section.row("autoencoder", f"{quality:.1f} dB on {len(truths)} truths")
    without, other = text_gap(model, clean, prompts)
    levels = ", ".join(map(str, LEVELS))
    section.row(
        "text", f"loss without a prompt + {100 * without:.1f} %, with another's + {100 * other:.1f} % (σ {levels})"
    )
    recognizer, count = classifier.load(), DRAWN // part
    images, named = classifier.held_out(count)
    of_truths = classifier.accuracy(recognizer, images, named)
    accuracy = classifier.accuracy(recognizer, drawn(model, named), named)
    section.row(
        "objects recognized",
        f"{100 * accuracy:.0f} % of {count} images drawn from noise; of truths {100 * of_truths:.0f} %",
    )
    holes = hole_errors(model, HOLES // part)
    section.row("holes", ", ".join(f"{name} {error:.4f}" for name, error in holes.items()))
    section.figures = {
        "vae_psnr": quality,
        "text_gap": without,
        "prompt_accuracy": accuracy,
        "prompt_accuracy_of_truths": of_truths,
        "hole_vs_mean": holes["model, cfg 1"] / holes["mean fill"],
        "hole_vs_telea": holes["model, cfg 1"] / holes["Telea"],
    }
    return section
