"""Seeds of batch items, of further runs and of the noise inside a loop, such that no two of them coincide; and one
latent from the results of several seeds."""

import torch
import torch.nn.functional as F

# ComfyUI's seeds are below this.
SEEDS = 2**64
# The step between runs' seeds, large enough not to meet a seed that a user types.
RUN_STEP = 0xD1B54A32D192ED03
# Noise inside the loop must not repeat the initial noise, which ComfyUI draws from the item's seed.
LOOP_OFFSET = 0x9E3779B9


def item_seed(seed: int, place: int) -> int:
    """The seed of a batch item by its place.

    The first item has `seed` itself, the others are the splitmix64 sequence. With seed + place, a run with the next
    seed would repeat the images of this one.
    """
    if place == 0:
        return seed
    z = (seed + place * 0x9E3779B97F4A7C15) % SEEDS
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % SEEDS
    z = (z ^ z >> 27) * 0x94D049BB133111EB % SEEDS
    return z ^ z >> 31


def run_seed(seed: int, run: int) -> int:
    """The seed of a further run of the same items; run 0 has `seed` itself."""
    return (seed + run * RUN_STEP) % SEEDS


def merge_seeds(runs: torch.Tensor) -> torch.Tensor:
    """One latent with the light of several seeds: the first one's fine structure, and the coarse structure of their
    mean. A mean of all scales would be blurred.

    Args:
        runs: the results of each seed, [seeds,B,C,...].
    Returns:
        [B,C,...]; where all seeds are equal, and with a single one, the same bits.
    """
    first = runs[0]
    if len(runs) == 1:
        return first
    added = (runs.mean(0, dtype=torch.float32) - first).reshape(-1, 1, *first.shape[-2:])
    # Beyond the edge there is nothing to average.
    coarse = F.avg_pool2d(added, 3, 1, 1, count_include_pad=False).view(first.shape)
    return torch.where((runs == first).all(0), first, (first + coarse).to(first))


def loop_generator(seed: int) -> torch.Generator:
    """The CPU generator of an item's noise inside the loop; seed: the item's."""
    return torch.Generator().manual_seed((seed + LOOP_OFFSET) % SEEDS)
