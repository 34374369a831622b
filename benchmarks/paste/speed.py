"""Time and memory of pasting and of its nodes, beside other tools."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from benchmarks.common.comfyui import call
from benchmarks.common.images import disc, eight_bits, tensor, texture
from benchmarks.common.rival_blends import seamless
from benchmarks.common.table import Section
from benchmarks.common.timing import race
from benchmarks.paste import memory, rivals
from benchmarks.paste.sizes import Sizes
from phd_ops.pixels.geometry import Box, Placement, Size
from phd_ops.pixels.masks import grow
from phd_ops.pixels.paste import BLENDS, PasteOptions, Subject, paste, subject_box, warp_exemplar


def measure_grow(sizes: Sizes) -> Section:
    """Time of growing a mask by 64 pixels."""
    section = Section(f"Grow a mask by 64 px at {sizes.scene}²")
    mask = disc(sizes.scene, sizes.scene / 4, 1)
    inputs = {"mask": tensor(mask), "expand": 64, "tapered_corners": True}
    ours, core = "ours", "core GrowMask"
    taken = race(min(sizes.repeats, 3), {ours: lambda: grow(mask, 64), core: lambda: call("GrowMask", **inputs)})
    section.times(taken, ours)
    section.figures |= {"grow64_ms": taken[ours], "core_grow64_ms": taken[core]}
    section.figures["grow64_speedup_vs_core"] = taken[core] / taken[ours]
    return section


def paste_runners(sizes: Sizes, size: float) -> dict[str, Callable]:
    """A bare warp of the subject at a size in the scene, our paste of the same, then our paste with more options."""
    side, wide = sizes.subject, sizes.scene
    scene, exemplar, matte = texture(Size(wide, wide), 0), texture(Size(side, side), 1), disc(side, 0.45 * side, 6)
    where = Placement(0.48, 0.52, size, 25.0)
    matrix = rivals.opencv_matrix(matte, where, Size.of(scene))
    inputs = {"background": tensor(scene), "subject": tensor(exemplar), "subject_mask": tensor(matte)}
    inputs |= {"x": where.x, "y": where.y, "size": where.size, "rotation": where.rotation}
    scale = f"scale {where.scale(subject_box(matte).size, Size.of(scene)):.2f}"

    def ours(*more) -> Callable:
        return lambda: paste(scene, Subject(exemplar, matte), where, PasteOptions(1.5, *more))

    return {
        f"cv2.warpAffine + alpha, {scale}": lambda: rivals.straight_alpha(scene, exemplar, matte, matrix),
        f"ours, {scale}": ours(),
        **{f"ours, {blend}": ours(blend) for blend in BLENDS[1:]},
        "ours, color_match 1": ours("alpha", 1.0),
        "ours, the reference alone (warp_exemplar)": lambda: warp_exemplar(
            Subject(exemplar, matte), where, Size.of(scene)
        ),
        "PhDPasteBlend, the whole node with its preview": lambda: call("PhDPasteBlend", **inputs),
    }


def measure_paste(sizes: Sizes) -> Section:
    """Time of pasting a rotated and scaled subject, against a bare OpenCV warp and composite."""
    section = Section(f"Paste {sizes.subject}², rotated 25° and scaled, softness 1.5, into {sizes.scene}²")
    ratios = []
    for size in (0.35, 0.55):
        runners = paste_runners(sizes, size)
        theirs, ours, *more = runners
        taken = race(2 * sizes.repeats, {who: runners[who] for who in (theirs, ours)})
        section.times(taken, theirs)
        ratios.append(taken[ours] / taken[theirs])
    taken = race(min(sizes.repeats, 3), {who: runners[who] for who in (*more, theirs)})
    section.times(taken, theirs)
    section.figures["paste_vs_cv2"] = max(ratios)
    return section


def measure_others(sizes: Sizes) -> Section:
    """Time against tools that only composite: no rotation, scale 1."""
    side, wide = sizes.subject, sizes.scene
    section = Section(f"Composite {side}² into {wide}², not rotated, not scaled (× of ours)")
    scene, exemplar, matte = texture(Size(wide, wide), 0), texture(Size(side, side), 1), disc(side, 0.45 * side, 6)
    where = Placement(0.5, 0.5, subject_box(matte).width / wide)
    at = {"x": (wide - side) // 2, "y": (wide - side) // 2, "resize_source": False}
    core_inputs = {"destination": tensor(scene), "source": tensor(exemplar), **at}
    layer, base = (
        rivals.pillow_layer(exemplar, matte, where, scene),
        Image.fromarray(eight_bits(scene)),
    )
    base = base.convert("RGBA")
    # seamlessClone takes the subject in an image of the scene's size.
    colors, alpha = (np.zeros_like(array) for array in (scene, scene[..., 0]))
    middle = Box(at["x"], at["y"], side, side).slices
    colors[middle], alpha[middle] = exemplar, matte

    def core_grown() -> None:
        (mask,) = call("GrowMask", mask=tensor(matte), expand=4, tapered_corners=True)
        (mask,) = call("FeatherMask", mask=mask, left=4, top=4, right=4, bottom=4)
        call("ImageCompositeMasked", mask=mask, **core_inputs)

    pairs = {
        "paste_vs_core": (
            ("ours", lambda: paste(scene, Subject(exemplar, matte), where)),
            ("core ImageCompositeMasked", lambda: call("ImageCompositeMasked", mask=tensor(matte), **core_inputs)),
        ),
        "grown_paste_vs_core": (
            (
                "ours, grown 4 px, softness 4",
                lambda: paste(scene, Subject(exemplar, grow(matte, 4)), where, PasteOptions(4)),
            ),
            ("core GrowMask + FeatherMask + ImageCompositeMasked", core_grown),
        ),
        "paste_vs_pillow": (
            ("ours", lambda: paste(scene, Subject(exemplar, matte), where)),
            ("Pillow alpha_composite alone, on 8-bit images", lambda: Image.alpha_composite(base, layer)),
            ("Pillow, from float and back", lambda: rivals.pillow(scene, exemplar, matte, where)),
        ),
        "poisson_vs_cv2": (
            ("ours, Poisson", lambda: paste(scene, Subject(exemplar, matte), where, PasteOptions(blend="Poisson"))),
            ("cv2.seamlessClone, from float and back", lambda: seamless(scene, colors, alpha)),
        ),
    }
    for key, runners in pairs.items():
        taken = race(min(sizes.repeats, 3 if key == "poisson_vs_cv2" else 7), dict(runners))
        ours, theirs, *_ = taken
        section.times(taken, ours)
        section.figures |= {
            key: taken[ours] / taken[theirs],
            f"{key}_ms": taken[ours],
            f"{key}_ms_theirs": taken[theirs],
        }
    return section


def measure_memory(sizes: Sizes) -> Section:
    """Peak memory, each figure measured in a process of its own."""
    scene, subject = sizes.memory
    section = Section(f"Peak extra memory at {scene}², subject {subject}², in backgrounds (the composite counts)")
    measured = {"peak_memory_ratio": ("paste", "paste")}
    if sizes.batches:
        measured["batch_memory"] = ("node", "PhDPasteBlend, each further item beyond its outputs")
    for name, (what, who) in measured.items():
        section.figures[name] = memory.measure(what, scene, subject)
        section.row(who, f"{section.figures[name]:9.2f}")
    return section


def node_runners(size: Size, subject: int) -> dict[str, Callable]:
    """The three nodes on a background, with a subject of a fixed size in pixels; and a plain copy of the background."""
    background, exemplar = tensor(texture(size, 0)), tensor(texture(Size(subject, subject), 1))
    inputs = {"background": background, "subject": exemplar, "subject_mask": tensor(disc(subject, 0.45 * subject, 6))}
    inputs |= {"size": 0.9 * subject / min(size), "y": 0.5, "rotation": 25.0}
    pasted, *_ = call("PhDPasteBlend", **inputs)
    cut = {"paste": pasted, "side": max(64, subject // 2)}
    crop, sampled, *_ = call("PhDCrop", **cut)
    given = {"crop": crop, "sampled": sampled * 0.9}
    return {
        "Paste & Blend": lambda: call("PhDPasteBlend", **inputs),
        "Crop": lambda: call("PhDCrop", **cut),
        "Stitch": lambda: call("PhDStitch", **given),
        "one plain copy of the background": background.clone,
    }


def measure_canvases(sizes: Sizes) -> Section:
    """Time of the nodes on larger backgrounds with the same subject."""
    subject = sizes.canvases[0].height // 2
    names = [f"{size.width}×{size.height}" for size in sizes.canvases]
    section = Section(f"Whole nodes with their previews, subject {subject}²: ms for backgrounds of {', '.join(names)}")
    all_runners = [node_runners(size, subject) for size in sizes.canvases]
    kinds = list(all_runners[0])
    runners = {(kind, index): one[kind] for kind in kinds for index, one in enumerate(all_runners)}
    taken = race(min(sizes.repeats, 3), runners)
    for kind in kinds:
        times = [taken[kind, index] for index in range(len(names))]
        section.row(kind, " ".join(f"{value:9.2f}" for value in times) + f" {times[-1] / times[0]:9.2f} ×")
    least, most = (sum(taken[kind, index] for kind in kinds[:-1]) for index in (0, len(names) - 1))
    section.figures["nodes_4k_vs_1k"] = most / least
    section.figures["nodes_4k_more_in_copies"] = (most - least) / taken[kinds[-1], len(names) - 1]
    return section
