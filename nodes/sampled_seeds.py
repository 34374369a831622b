"""Every seed's result of Harmonize Sampler, under one key of the LATENT's dict, which ComfyUI's nodes copy.

The LATENT's samples are one image for each item, see `merge_seeds`. Stitch estimates the light from every seed.
"""

from dataclasses import dataclass

import torch

from .shared_reference import taken_items

KEY = "sampled_seeds"


@dataclass(frozen=True, eq=False)
class SampledSeeds:
    """The results of several seeds.

    Attributes:
        samples: the LATENT's samples that were made of them, [B,C,...].
        scene, reference: the results, [seeds,B,C,...]; reference: None where none was sampled.
        reference_items: the items that the reference is of, if not of all, see `shared_items`.
    """

    samples: torch.Tensor
    scene: torch.Tensor
    reference: torch.Tensor | None
    reference_items: tuple[int, ...] | None = None


def with_seeds(latent: dict, seeds: SampledSeeds) -> dict:
    return {**latent, KEY: seeds}


def without_seeds(latent: dict) -> dict:
    return {name: value for name, value in latent.items() if name != KEY}


def seeds_of(latent: dict) -> SampledSeeds | None:
    """The seeds of the items that a LATENT holds now; None where it has none, or where an item was changed since."""
    seeds, samples = latent.get(KEY), latent["samples"]
    if not isinstance(seeds, SampledSeeds):
        return None
    places = []
    for item in samples:
        place = next((place for place, own in enumerate(seeds.samples) if torch.equal(own.to(item), item)), None)
        if place is None:
            return None
        places.append(place)
    reference, items, rows = seeds.reference, seeds.reference_items, places
    if items is not None:
        items, rows = taken_items(items, places)
    reference = None if reference is None or not rows else reference[:, rows]
    return SampledSeeds(samples, seeds.scene[:, places], reference, items)
