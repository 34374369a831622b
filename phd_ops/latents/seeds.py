"""Seeds of batch items, of further runs and of the noise inside a loop, such that no two of them coincide."""

import torch

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


def loop_generator(seed: int) -> torch.Generator:
    """The CPU generator of an item's noise inside the loop; seed: the item's."""
    return torch.Generator().manual_seed((seed + LOOP_OFFSET) % SEEDS)
