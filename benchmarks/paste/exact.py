"""Errors of masks, pasting, cropping and stitching, beside other tools."""

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import torch

from benchmarks.common.comfyui import call
from benchmarks.common.images import disc, levels, tensor, texture
from benchmarks.common.rival_blends import seamless
from benchmarks.common.table import Section
from benchmarks.paste import rivals, sheet
from benchmarks.paste.sizes import Sizes
from phd_ops.pixels.geometry import Box, Placement, Size
from phd_ops.pixels.masks import grow
from phd_ops.pixels.paste import BLENDS, PasteOptions, Subject, paste
from phd_ops.pixels.vae_color_shift import fit_color_shift


def growth_errors(grow_by: Callable, pixels) -> float:
    """Largest error of the growth in pixels: of a disc's radius, by its area, and of edges in three directions.

    An edge's pixels lie on lines a u + b v = 0, 1, 2 …, 1 / √(a² + b²) apart: the lines gained can be counted exactly.
    """
    v, u = np.mgrid[-320:320, -320:320]
    worst, round_mask = 0.0, disc(640, 40, 1e-3)
    for asked in pixels:
        radius = [np.sqrt(mask.sum(dtype=float) / np.pi) for mask in (round_mask, grow_by(round_mask, asked))]
        worst = max(worst, abs(radius[1] - radius[0] - asked))
        for a, b in ((1, 0), (1, 1), (2, 1)):
            apart = np.sqrt(a * a + b * b)
            edge = (a * u + b * v < -140 * apart).astype(np.float32)
            # In a strip across the edge, away from the image's border, every line has 8 pixels.
            strip = np.abs(2 * (a * v - b * u) + 1) <= 8 * (a * a + b * b)
            gained = (grow_by(edge, asked) - edge)[strip].sum(dtype=float) / 8 / apart
            worst = max(worst, abs(gained - asked))
    return float(worst)


def measure_growth_error(sizes: Sizes) -> Section:
    """How far a mask grows, against the requested distance."""
    pixels = np.linspace(0, 256, sizes.growths)
    section = Section(
        f"Growth, measured against requested: {len(pixels)} values in 0..256 px, disc, edges at 0°, 27°, 45°"
    )
    worst = growth_errors(grow, pixels)
    section.row("ours, largest error", f"{worst:9.3f} px")
    for asked in sizes.core_growths:

        def core(mask: np.ndarray, expand: int) -> np.ndarray:
            return call("GrowMask", mask=tensor(mask), expand=expand, tapered_corners=True)[0][0].numpy()

        error = growth_errors(core, [asked])
        section.row(f"core GrowMask, {asked} px", f"{error:9.3f} px")
        section.figures[f"core_grow{asked}_px_error"] = error
    section.figures["grow_px_error_max"] = worst
    return section


RED, GREEN, BLUE = np.eye(3, dtype=np.float32)


def fringe_scene(ramp: float, cut: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A blue scene, a red disc and its true matte; the disc photographed on green, or cut out (black beyond)."""
    matte = disc(256, 80, ramp)
    over = matte[..., None]
    exemplar = (over > 0) * RED if cut else over * RED + (1 - over) * GREEN
    return np.tile(BLUE, (384, 384, 1)), exemplar, matte


def fringe_errors(composite: np.ndarray, matte: np.ndarray) -> tuple[float, float]:
    """In levels: the most green in the composite, and the largest deviation from red and blue mixed by the matte."""
    over = matte[..., None]
    return levels(composite[..., 1]), levels(composite - over * RED - (1 - over) * BLUE)


def ours_as_rival(scene, exemplar, matte, placement, softness) -> tuple[np.ndarray, np.ndarray]:
    pasted = paste(scene, Subject(exemplar, matte), placement, PasteOptions(softness))
    return pasted.composite, pasted.matte


def straight_as_rival(scene, exemplar, matte, placement, softness) -> tuple[np.ndarray, np.ndarray]:
    matrix = rivals.opencv_matrix(matte, placement, Size.of(scene))
    return rivals.straight_alpha(scene, exemplar, matte, matrix, softness)


# What a method's figures begin with.
FIGURES = {
    "ours": "",
    "Pillow, 8 bits": "pillow_",
    "core Composite Masked": "core_",
    "OpenCV, straight alpha": "straight_alpha_",
    "plain least squares": "least_squares_",
    "mean and deviation (Reinhard)": "reinhard_",
}
PASTES = {
    "ours": ours_as_rival,
    "Pillow, 8 bits": rivals.pillow,
    "core Composite Masked": rivals.core,
    "OpenCV, straight alpha": straight_as_rival,
}


def measure_fringe(sizes: Sizes) -> Section:
    """How much of the old background stays at a soft edge: a red subject, cut from green, is pasted onto blue."""
    section = Section("Red subject, onto blue: most green when cut from green; halo of a cut-out with black around it")
    places = (Placement(0.5, 0.5, 0.42), Placement(0.47, 0.55, 0.6, 33.0), Placement(0.52, 0.45, 0.25, -70.0, True))
    for who, paste_it in PASTES.items():
        cases = itertools.product((1, 2, 4, 8, 16), places[: sizes.cases], (0, 1.5, 4))
        errors = [
            [fringe_errors(*paste_it(*fringe_scene(ramp, cut), place, softness))[cut] for cut in (False, True)]
            for ramp, place, softness in cases
        ]
        green, halo = np.max(errors, axis=0)
        section.row(who, f"{green:9.3f} {halo:12.3f} levels")
        key = FIGURES[who]
        section.figures |= {f"{key}fringe_levels": float(green), f"{key}halo_levels": float(halo)}
    return section


SHIFTS = ((1.03, 0.02), (0.95, -0.03), (1.08, 0.04), (0.9, 0.05), (1.004, 0.001))


def altered(image: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The image with a share of its pixels replaced by noise, in blobs, and where they are."""
    noise = np.random.default_rng(4).random(image.shape[:2], np.float32)
    blobs = cv2.GaussianBlur(noise, (0, 0), 4)
    where = blobs > np.quantile(blobs, 1 - share)
    changed = image.copy()
    changed[where] = np.random.default_rng(5).random((int(where.sum()), 3), np.float32)
    return changed, where


def cropped_scene() -> np.ndarray:
    """A crop as PhDCrop gives it to the model: a window of a scene at another size."""
    scene, mask = texture(Size(600, 480), 2), disc(480, 90, 1)
    mask = np.pad(mask, ((0, 0), (60, 60)))
    masks = {"inpaint_mask": tensor(mask), "harmonize_mask": tensor(mask)}
    _, images, *_ = call("PhDCrop", composite=tensor(scene), **masks, side=256)
    return images[0].numpy()


def tinted(given: np.ndarray, gain: float, offset: float) -> np.ndarray:
    return given * (np.float32([1, 1.02, 0.98]) * np.float32(gain)) + np.float32(offset)


def around_subject(given: np.ndarray) -> np.ndarray:
    """1 where nothing should have changed."""
    height, width = given.shape[:2]
    return 1 - disc(max(height, width), 0.3 * height, 1)[:height, :width]


def residual(correct: Callable, given: np.ndarray, share: float) -> float:
    """Largest error in levels on unaltered pixels after a correction, over all tone shifts."""
    worst = 0.0
    for gain, offset in SHIFTS:
        shifted, where = altered(tinted(given, gain, offset), share)
        worst = max(worst, levels((correct(shifted, given, around_subject(given)) - given)[~where]))
    return worst


def ours_corrected(shifted, original, untouched) -> np.ndarray:
    return fit_color_shift(shifted, original, untouched).apply(shifted)


CORRECTIONS = {
    "ours": ours_corrected,
    "plain least squares": rivals.least_squares,
    "mean and deviation (Reinhard)": rivals.reinhard,
}


def measure_tone(sizes: Sizes) -> Section:
    """What a correction leaves of a tone shift on a crop, without and with pixels that changed otherwise."""
    section = Section(f"{len(SHIFTS)} tone shifts taken off a crop: largest error, no pixels altered; 10 % altered")
    given = cropped_scene()
    for who, correct in CORRECTIONS.items():
        errors = [residual(correct, given, share) for share in (0, 0.1)]
        section.row(who, f"{errors[0]:9.4f} {errors[1]:12.4f} levels")
        section.figures[f"{FIGURES[who]}affine_residual_levels"] = max(errors)
    return section


def through_the_nodes(background, exemplar, mask, blend: str, seed: int) -> list[bool]:
    """Paste & Blend, Crop, noise in place of a model, Stitch: whether pixels outside each mask stay bit-equal."""
    pasted, composite, _, matte, *_ = call(
        "PhDPasteBlend", background=background, subject=exemplar, subject_mask=mask, placement="random", seed=seed,
        size_min=0.1, size_max=0.9, rotation=37.0 * seed, flip=bool(seed % 2), blend=blend, feather=2.0, ring=12,
        color_match=0.5 * (seed % 2),
    )  # fmt: skip
    crop, window, *_ = call("PhDCrop", paste=pasted, side=128)
    sampled = torch.rand(window.shape, generator=torch.Generator().manual_seed(seed))
    image, used, *_ = call("PhDStitch", crop=crop, sampled=sampled)
    pairs = ((composite, matte), (image, used))
    return [torch.equal(result[mask == 0], background[mask == 0]) for result, mask in pairs]


def measure_outside(sizes: Sizes) -> Section:
    """Pixels outside the mask after all nodes."""
    section = Section("Pixels outside the used mask, through Paste & Blend, Crop, noise and Stitch")
    background, exemplar = tensor(texture(Size(203, 161), 6)), tensor(texture(Size(96, 96), 7))
    matte = disc(96, 40, 6)
    equal = [
        same
        for blend in BLENDS
        for seed in range(3 * sizes.cases)
        for same in through_the_nodes(background, exemplar, tensor(matte), blend, seed)
    ]
    section.row(f"ours, {len(BLENDS)} blends, {len(equal)} images", "equal" if all(equal) else "NOT EQUAL")
    section.figures |= {"outside_equal": all(equal), "outside_images": len(equal), "blends": len(BLENDS)}
    scene, subject = background[0].numpy(), exemplar[0].numpy()
    where = Placement(0.45, 0.5, 0.5)
    pasted, alpha = rivals.core(scene, subject, matte, where)
    others = {"core": ("core ImageCompositeMasked", pasted, alpha == 0)}
    pasted, alpha = rivals.pillow(scene, subject, matte, where)
    others["pillow"] = ("Pillow, 8 bits", pasted, alpha == 0)
    colors, alpha = straight_as_rival(np.zeros_like(scene), subject, matte, where, 0)
    others["seamless_clone"] = ("cv2.seamlessClone", seamless(scene, colors, alpha), alpha <= 0.5)
    for key, (who, image, outside) in others.items():
        section.row(who, changed(image, scene, outside))
        section.figures[f"{key}_changed_outside"] = changed_share(image, scene, outside)
    return section


def changed_share(image: np.ndarray, scene: np.ndarray, outside: np.ndarray) -> float:
    """The share of pixels outside the mask that changed."""
    return float((image != scene)[outside].any(axis=-1).mean())


def changed(image: np.ndarray, scene: np.ndarray, outside: np.ndarray) -> str:
    """The share of pixels outside the mask that changed, and the largest change."""
    if not (share := changed_share(image, scene, outside)):
        return "equal"
    return f"{share:.1%} changed, by up to {levels((image - scene)[outside]):.2f} levels"


def identity_stitch() -> bool:
    """Whether a crop that no model changed is stitched back bit-equal, for enlarged and reduced windows."""
    background, exemplar = tensor(texture(Size(203, 161), 6)), tensor(texture(Size(96, 96), 7))
    inputs = {"background": background, "subject": exemplar, "subject_mask": tensor(disc(96, 40, 6))}
    pasted, composite, *_ = call("PhDPasteBlend", **inputs, rotation=20.0)
    for side in (64, 128, 256):
        crop, window, *_ = call("PhDCrop", paste=pasted, side=side)
        image, *_ = call("PhDStitch", crop=crop, sampled=window)
        if not torch.equal(image, composite):
            return False
    return True


def identity_paste() -> bool:
    """Whether a subject that is neither scaled nor rotated is pasted bit-equal, and an image into itself."""
    scene, exemplar = texture(Size(203, 161), 6), texture(Size(96, 96), 7)
    mask = disc(96, 40, 1e-3)
    where = Placement(100 / 203, 80 / 161, 80 / 161)
    pasted = paste(scene, Subject(exemplar, mask), where)
    expected = scene.copy()
    part = expected[Box(100 - 48, 80 - 48, 96, 96).slices]
    part[mask == 1] = exemplar[mask == 1]
    whole = paste(scene, Subject(scene, np.ones(scene.shape[:2], np.float32)), Placement(0.5, 0.5, 203 / 161))
    return np.array_equal(pasted.composite, expected) and np.array_equal(whole.composite, scene)


def measure_identity(sizes: Sizes) -> Section:
    """Operations that should change nothing."""
    section = Section("Nothing to change: neither scaled nor rotated; a crop that no model touched")
    same = {"ours, paste": identity_paste(), "ours, Crop and Stitch": identity_stitch()}
    for who, equal in same.items():
        section.row(who, "equal" if equal else "NOT EQUAL")
    section.figures["identity_equal"] = all(same.values())
    scene = texture(Size(203, 161), 6)
    pasted, _ = rivals.pillow(scene, scene, np.ones(scene.shape[:2], np.float32), Placement(0.5, 0.5, 203 / 161))
    section.row("Pillow, pasted into itself", changed(pasted, scene, np.ones(scene.shape[:2], bool)))
    return section


def tiles() -> list[tuple[str, np.ndarray]]:
    """The contact sheet's images."""
    photographs = sheet.photographs()
    given = photographs[0] * 0.8 + 0.1
    shifted, _ = altered(tinted(given, *SHIFTS[0]), 0.1)
    corrected = {who: CORRECTIONS[who](shifted, given, around_subject(given)) for who in list(CORRECTIONS)[:2]}
    return [
        *sheet.fringe_tiles(PASTES, fringe_scene(4), fringe_errors),
        *sheet.photograph_tiles(PASTES, *photographs),
        *sheet.blend_tiles(*photographs),
        *sheet.tone_tiles(given, shifted, corrected),
    ]
