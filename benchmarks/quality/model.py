"""What the demo model can do by itself, on the test split: its autoencoder, its prompt, its things, its holes."""

import torch

from benchmarks.common.table import Section
from training import classifier
from training.candidate import LEVELS, Candidate, published
from training.codec import psnr
from training.evaluate import hole_errors, truths_of

# Scenes, of which a quick run has a quarter; and how many are drawn at once.
TRUTHS, DRAWN, HOLES, BATCH = 48, 128, 24, 32


def text_gap(model: Candidate, clean: torch.Tensor, prompts: list[str]) -> tuple[float, float]:
    """The mean loss without a prompt over the one with it, and with another scene's over it; both less 1."""
    told, untold, other = (
        sum(model.losses(clean, words)) for words in (prompts, [""] * len(prompts), prompts[1:] + prompts[:1])
    )
    return untold / told - 1, other / told - 1


def drawn(model: Candidate, prompts: list[str]) -> torch.Tensor:
    """Images from noise alone, [N,3,S,S] in -1..1."""
    parts = [model.drawn(prompts[start : start + BATCH]) for start in range(0, len(prompts), BATCH)]
    return torch.cat([torch.from_numpy(part).movedim(-1, 1) for part in parts]) * 2 - 1


def measure(quick: bool) -> Section:
    model, part = published(), 4 if quick else 1
    section = Section("The demo model by itself, test split")
    truths, prompts = truths_of("test", TRUTHS // part)
    clean = model.codec.encode(truths)
    quality = psnr(model.codec.decode(clean), truths)
    section.row("autoencoder", f"{quality:.1f} dB on {len(truths)} truths")
    untold, other = text_gap(model, clean, prompts)
    levels = ", ".join(map(str, LEVELS))
    section.row(
        "text", f"loss without a prompt + {100 * untold:.1f} %, with another's + {100 * other:.1f} % (σ {levels})"
    )
    judge, count = classifier.load(), DRAWN // part
    images, named = classifier.held_out(count)
    known = classifier.accuracy(judge, images, named)
    found = classifier.accuracy(judge, drawn(model, named), named)
    section.row(
        "things named", f"{100 * found:.0f} % of {count} images drawn from noise; of truths {100 * known:.0f} %"
    )
    holes = hole_errors(model, HOLES // part)
    section.row("holes", ", ".join(f"{name} {error:.4f}" for name, error in holes.items()))
    section.figures = {
        "vae_psnr": quality,
        "text_gap": untold,
        "prompt_accuracy": found,
        "prompt_accuracy_of_truths": known,
        "hole_vs_mean": holes["model, cfg 1"] / holes["mean fill"],
        "hole_vs_telea": holes["model, cfg 1"] / holes["Telea"],
    }
    return section
