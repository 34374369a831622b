"""Every seed's result of Harmonize Sampler, under one key of the LATENT's dict, which ComfyUI's nodes copy.

The LATENT's samples are one image for each item, see `merge_seeds`. Stitch estimates the light from every seed.
"""

from dataclasses import dataclass

import torch

from ..phd_ops.sentence import sentence
from .companions import Companions
from .shared_reference import taken_items

KEY = "sampled_seeds"


@dataclass(frozen=True, eq=False)
class SampledSeeds:
    """The results of several seeds.

    Attributes:
        samples: the LATENT's samples that were made of them, [B,C,...].
        scene, reference: the results, [seeds,B,C,...]; reference: None where none was sampled.
        original: the composites from before any sampling, [B,C,...]; None where they are not known.
        reference_items: the items that the reference is of, if not of all, see `shared_items`.
    """

    samples: torch.Tensor
    scene: torch.Tensor
    reference: torch.Tensor | None
    original: torch.Tensor | None
    reference_items: tuple[int, ...] | None = None

    def references_of(self, items: tuple[int, ...] | None) -> torch.Tensor:
        """The references of these items, None: of all, [seeds,items,C,...].

        Where none was sampled, the composites: what a module, which saw the reference, changed of them is already the
        difference in light.
        """
        own, held = self.reference, self.reference_items
        if own is None:
            if self.original is None:
                raise ValueError(
                    sentence(
                        "latent and latent_2 cannot be joined: only one brings a light reference, and the other does "
                        "not bring its composite. Use latents of Crop Around Subject for both."
                    )
                )
            own, held = self.original.to(self.scene).expand_as(self.scene), None
        if items is None or items == held:
            return own
        return own[:, list(items) if held is None else taken_items(held, items)[1]]


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
    original = None if seeds.original is None else seeds.original[places]
    return SampledSeeds(samples, seeds.scene[:, places], reference, original, items)


def run_of(latent: dict, held: Companions | None) -> SampledSeeds:
    """All seeds of a LATENT that was sampled, which may be a single one; held: its companions."""
    seeds, samples = seeds_of(latent), latent["samples"]
    if seeds is not None:
        return seeds
    if held is None:
        return SampledSeeds(samples, samples[None], None, None)
    reference = None if held.sampled_reference is None else held.sampled_reference[None]
    return SampledSeeds(samples, samples[None], reference, held.original, held.reference_items)


def joined(run: SampledSeeds, other: SampledSeeds) -> SampledSeeds:
    """The seeds of two runs of the same items, first those of `run`. Of a run without references, such as one with a
    module, see `references_of`."""
    if run.scene.shape[1:] != other.scene.shape[1:]:
        raise ValueError(
            sentence(
                "latent is of shape {own}, but latent_2 is {other}: connect two runs of the same latent.",
                own=tuple(run.samples.shape),
                other=tuple(other.samples.shape),
            )
        )
    scene = torch.cat([run.scene, other.scene.to(run.scene)])
    if run.reference is other.reference is None:
        return SampledSeeds(run.samples, scene, None, run.original)
    items = run.reference_items if other.reference_items is None else other.reference_items
    reference = torch.cat([one.references_of(items).to(run.scene) for one in (run, other)])
    return SampledSeeds(run.samples, scene, reference, run.original, items)
