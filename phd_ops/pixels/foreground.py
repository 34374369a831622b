"""A subject's own colors, without the old background that shows through its soft edge."""

import itertools
import math
from collections.abc import Iterator

import cv2
import numpy as np

from ..interrupt import BAND, bands, by_bands, check, meanwhile, waiting
from .geometry import Box, Size, bounding_box
from .resample import COARSE_SIGMA, KERNEL_REACH, blur, reduce
from .tiles import OPAQUE, SOFT, tiles

# Wide windows about a pixel: their radius in pixels, and how much coarser the grid is that they are summed on. Then the
# radius of the narrow one, which only the soft pixels need.
WINDOWS, RADIUS = ((96, 16), (24, 4)), 6
# How strongly a window's colors are held to those of the wider window before it; and those of the whole image to its
# mean color.
RIDGE, WHOLE_RIDGE = 1e-3, 1e-6
# Of a soft pixel's alpha: the least and the most.
SOFT_RANGE = float(np.nextafter(np.float32(0), np.float32(1))), float(np.nextafter(np.float32(1), np.float32(0)))
# A cut-out is opaque from here on: resampling rounds.
OPAQUE_ENOUGH = 1 - 1e-5
# Solid pixels within about so many pixels (a Gaussian's sigma) show a soft pixel's own color.
NEAR = 3.0
# Colors that differ by less are the same: half a step of 8 bits.
SAME_COLOR = 0.5 / 255
# What is around a subject is plain if more than half of it is within so much of one color. It is looked at in about so
# many rows or columns of the shorter side.
PLAIN, PLAIN_GRID = 2 / 255, 128


def times_alpha(image: np.ndarray, matte: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """An image's colors and its matte, each times the matte, [H,W,4]; and the boxes that hold the soft pixels."""
    product, soft_boxes = np.zeros((*matte.shape, 4), np.float32), []
    for kind, box in tiles(matte):
        at = box.slices
        if kind == OPAQUE:
            # The channel that it adds is 1.
            cv2.cvtColor(image[at], cv2.COLOR_RGB2RGBA, product[at])
        elif kind == SOFT:
            cv2.multiply(cv2.merge([image[at], matte[at]]), cv2.merge([matte[at]] * 4), product[at])
            soft_boxes.append(box)
    return product, soft_boxes


def soft_colors(
    image: np.ndarray, matte: np.ndarray, by_alpha: np.ndarray, soft_boxes: list[Box]
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], np.ndarray]]:
    """The subject's own colors at all soft pixels, without the old background that shows through.

    Solves I = alpha F + (1 - alpha) B by least squares in windows around every soft pixel, from the whole image down
    to 6 px; each round falls back on the one before where its window cannot tell F from B. Exact where subject and
    background are flat. The last step is that of blur-fusion (Forte 2021, arXiv 2006.14970).

    Args:
        image: float32 [H,W,3] in 0..1.
        matte: float32 [H,W] in 0..1.
        by_alpha, soft_boxes: from `times_alpha`. All else that windows sum follows, since (1 - alpha) I = I - alpha I,
            and so on.
    Returns:
        Part by part, the pixels' places (rows, columns) and colors [N,3].
    """
    if not soft_boxes:
        return
    groups = list(in_bands(soft_boxes))
    # Wide windows are summed while those of the first soft pixels are.
    with meanwhile(wide_colors, image, matte, by_alpha) as call:
        first = narrow_means(image, matte, by_alpha, groups[0])
    for number, boxes in enumerate(groups):
        check()
        rows, columns, means = narrow_means(image, matte, by_alpha, boxes) if number > 0 else first
        wider = at_places(call.result(), (rows, columns), Size.of(matte))
        own, behind = np.split(separate(means[:4], means[4:], wider, RIDGE), 2)
        seen, alpha = np.ascontiguousarray(image[rows, columns].T), matte[rows, columns]
        yield (rows, columns), np.clip(own + alpha * (seen - alpha * own - (1 - alpha) * behind), 0, 1).T


def wide_colors(image: np.ndarray, matte: np.ndarray, by_alpha: np.ndarray) -> np.ndarray:
    """The colors F and B that explain the wide windows, [6,h,w] on a coarser grid."""
    size = Size.of(matte)
    # A wide window is summed on a coarser grid.
    smaller = Size(max(1, size.width // 4), max(1, size.height // 4))
    colors = cv2.merge([reduce(image, smaller), reduce(matte, smaller)])
    fields = {4: (colors, reduce(by_alpha, smaller))}
    smaller = Size(max(1, smaller.width // 4), max(1, smaller.height // 4))
    fields[16] = reduce(fields[4][0], smaller), reduce(fields[4][1], smaller)
    means, alpha_means = (np.array(waiting(cv2.mean, field), np.float32) for field in fields[4])
    both = separate(means, alpha_means, np.concatenate([means[:3], means[:3]]), WHOLE_RIDGE)
    for radius, coarser in WINDOWS:
        side = 2 * (radius // coarser) + 1
        means, alpha_means = (channels(waiting(cv2.blur, field, (side, side))) for field in fields[coarser])
        wider, both = spread(both, Size.of(means[0])), np.empty((6, *means.shape[1:]), np.float32)
        for rows in bands(*means.shape[1:]):
            both[:, rows] = separate(means[:, rows], alpha_means[:, rows], wider[:, rows], RIDGE)
    return both


def narrow_means(
    image: np.ndarray, matte: np.ndarray, by_alpha: np.ndarray, boxes: list[Box]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`window_means` of several boxes, with the means as [8,N]."""
    found = [window_means(image, matte, by_alpha, box) for box in boxes]
    rows, columns, means = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, columns, np.ascontiguousarray(means.T)


def in_bands(boxes: list[Box]) -> Iterator[list[Box]]:
    """Boxes by groups that have about a band's pixels."""
    pixels = np.cumsum([box.width * box.height for box in boxes])
    for _, group in itertools.groupby(zip(pixels, boxes, strict=True), lambda one: one[0] // BAND):
        yield [box for _, box in group]


def window_means(
    image: np.ndarray, matte: np.ndarray, by_alpha: np.ndarray, box: Box
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The soft pixels in a box: their rows [N] and columns [N], and the means of the narrow window around each of them:
    of the colors and of alpha, then of the same times alpha, [N,8]."""
    soft = cv2.inRange(matte[box.slices], *SOFT_RANGE)
    found = Box(*cv2.boundingRect(soft))
    around = found.moved(box.x, box.y)
    rows, columns = places_in(soft[found.slices], around)
    if len(rows) == 0:
        return rows, columns, np.zeros((0, 8), np.float32)
    near = around.grown(RADIUS).inside(Size.of(matte))
    places = (rows - near.y) * near.width + columns - near.x
    means = [box_means(field[near.slices], places) for field in (image, matte, by_alpha)]
    return rows, columns, np.hstack(means)


def places_in(mask: np.ndarray, box: Box) -> tuple[np.ndarray, np.ndarray]:
    """The rows [N] and columns [N] where the mask, uint8 [h,w], of a box of an image is not 0; counted in the image."""
    found = cv2.findNonZero(mask)
    columns, rows = np.zeros((2, 0), int) if found is None else found.reshape(-1, 2).T
    return rows + box.y, columns + box.x


def box_means(field: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The means of a field [h,w] or [h,w,C] in the narrow windows around some pixels: [N,C], see `pixels_at`."""
    means = cv2.blur(field, (2 * RADIUS + 1, 2 * RADIUS + 1))
    return pixels_at(means.reshape(means.shape[0] * means.shape[1], -1), places)


def pixels_at(pixels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Some pixels [N,C] of an image [M,C], by their numbers [N]: much faster than by their rows and columns."""
    # None is clipped; NumPy would check each of them otherwise.
    return np.take(pixels, places, axis=0, mode="clip")


def channels(field: np.ndarray) -> np.ndarray:
    """A field [H,W,C] as [C,H,W], whose values follow one another in memory: NumPy works on those much faster."""
    return np.ascontiguousarray(np.moveaxis(field, -1, 0))


def spread(colors: np.ndarray, size: Size) -> np.ndarray:
    """Two colors [6], or a field of them [6,h,w], as a field of the given size [6,H,W]."""
    if colors.ndim == 1:
        return np.broadcast_to(colors[:, None, None], (6, size.height, size.width))
    return np.stack([waiting(cv2.resize, channel, size) for channel in colors])


def at_places(field: np.ndarray, places: tuple[np.ndarray, np.ndarray], size: Size) -> np.ndarray:
    """A field [C,h,w], enlarged to a size as `spread` does, at some pixels there (rows, columns): [C,N]."""
    count, height, width = field.shape
    (row, below, down), (column, beside, across) = (
        [table[at] for table in neighbors(length, enlarged)]
        for at, length, enlarged in zip(places, (height, width), (size.height, size.width), strict=True)
    )
    flat, lines = field.reshape(count, -1), []
    for line in (row, below):
        left, right = (np.take(flat, line * width + at, axis=1, mode="clip") for at in (column, beside))
        lines.append(left + across * (right - left))
    upper, lower = lines
    return upper + down * (lower - upper)


def neighbors(length: int, enlarged: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each place along a side that is enlarged: the pixels [N] before and behind, and how far on it lies [N]."""
    place = np.clip((np.arange(enlarged) + 0.5) * (length / enlarged) - 0.5, 0, length - 1)
    before = place.astype(int)
    return before, np.minimum(before + 1, length - 1), (place - before).astype(np.float32)


def separate(means: np.ndarray, alpha_means: np.ndarray, wider: np.ndarray, ridge: float) -> np.ndarray:
    """The colors F and B that explain windows best, [6,...]: first F, then B.

    Args:
        means, alpha_means: of a window's colors and alpha, and of the same times alpha: [4,...].
        wider: F and B of the wider window before, [6,...].
        ridge: the weight of those.
    """
    i, a = means[:3], means[3]
    ai, aa = alpha_means[:3], alpha_means[3]
    ab, bb = a - aa, 1 - 2 * a + aa + ridge
    aa = aa + ridge
    fi, bi = ai + ridge * wider[:3], i - ai + ridge * wider[3:]
    determinant = aa * bb - ab * ab
    return np.concatenate([(bb * fi - ab * bi) / determinant, (aa * bi - ab * fi) / determinant])


def premultiplied(image: np.ndarray, matte: np.ndarray, is_cutout: bool = False) -> np.ndarray:
    """The premultiplied cut-out of a subject, float32 [H,W,4]: its own colors times its matte, and the matte.

    Args:
        is_cutout: the image's soft pixels hold the subject's own colors already, as images with alpha do, where
            `is_mixed` does not find out.
    """
    cutout, soft_boxes = times_alpha(image, matte)
    mixed = is_mixed(image, matte) if soft_boxes else None
    if is_cutout if mixed is None else not mixed:
        for box in soft_boxes:
            cv2.insertChannel(matte[box.slices], cutout[box.slices], 3)
        return cutout
    # All before any is written: windows overlap.
    for (rows, columns), own in list(soft_colors(image, matte, cutout, soft_boxes)):
        check()
        alpha = matte[rows, columns]
        # Elsewhere the matte is 0 or 1, and so it equals its square.
        cutout[rows, columns] = np.column_stack([own * alpha[:, None], alpha])
    return cutout


def is_mixed(image: np.ndarray, matte: np.ndarray) -> bool | None:
    """Whether the soft pixels of an image with alpha hold the subject's colors mixed with the one color that all of its
    transparent pixels have. None where that cannot be seen, or transparent pixels have several colors, as in a photo.

    Editors save a subject's own colors there. Background removers often save the mix with black.

    Args:
        image: [H,W,3]; matte: [H,W], its alpha, which may have come apart from it.
    """
    behind = one_color(image, matte)
    return None if behind is None else explained_as_mix(image, matte, np.broadcast_to([*behind, 1], (*matte.shape, 4)))


def is_photo(image: np.ndarray, alpha: np.ndarray) -> bool:
    """Whether an image with alpha is a photo to which alpha was added: its soft pixels hold the subject's colors mixed
    with those that its transparent pixels have nearby. Segmenters in ComfyUI often give such images."""
    soft = bounding_box(by_bands(lambda band: (band > 0) & (band < 1), alpha))
    if soft is None or one_color(image, alpha) is not None:
        return False
    near = soft.grown(math.ceil(KERNEL_REACH * NEAR)).inside(Size.of(alpha)).slices
    image, alpha = image[near], alpha[near]
    clear = by_bands(lambda band: (band == 0).astype(np.float32), alpha)
    return bool(explained_as_mix(image, alpha, blur(times_alpha(image, clear)[0], NEAR)))


def explained_as_mix(image: np.ndarray, matte: np.ndarray, behind: np.ndarray) -> bool | None:
    """Whether the soft pixels of an image are a mix of the subject's colors with those behind it, rather than the
    subject's colors alone. None where neither is clearly nearer.

    behind: those colors, premultiplied with how well they are known, [H,W,4].
    """
    solid = by_bands(lambda band: (band >= OPAQUE_ENOUGH).astype(np.float32), matte)
    colors = blur(times_alpha(image, solid)[0], NEAR)
    own_error = mixed_error = 0.0
    for rows in bands(*matte.shape):
        # Where solid pixels are near, their mean color stands for the subject's own.
        known = (matte[rows] > 0.1) & (matte[rows] < 0.9) & (colors[rows, :, 3] > 0.02) & (behind[rows, :, 3] > 0.02)
        alpha, seen = matte[rows][known][:, None], image[rows][known]
        own, other = (field[:, :3] / field[:, 3:] for field in (colors[rows][known], behind[rows][known]))
        own_error += float(np.square(seen - own).sum())
        mixed_error += float(np.square(seen - alpha * own - (1 - alpha) * other).sum())
    if 2 * min(own_error, mixed_error) >= max(own_error, mixed_error):
        return None
    return mixed_error < own_error


def one_color(image: np.ndarray, matte: np.ndarray) -> np.ndarray | None:
    """The color [3] of all transparent pixels of an image; None where there are none, or not all have the same."""
    color = None
    # In most photos a few pixels differ.
    for step in (16, 1):
        few, alpha = image[::step, ::step], matte[::step, ::step]
        for rows in bands(*alpha.shape):
            clear = few[rows][alpha[rows] == 0]
            if len(clear) == 0:
                continue
            color = clear[0] if color is None else color
            if np.abs(clear - color).max() > SAME_COLOR:
                return None
    return color


def shows_surround(image: np.ndarray, matte: np.ndarray) -> bool:
    """Whether an image shows its subject's surroundings, and so its light: not where the matte leaves nothing around
    the subject, or most of that has one color, as in a cut-out that lost its alpha."""
    step = max(1, min(matte.shape) // PLAIN_GRID)
    around = image[::step, ::step][matte[::step, ::step] == 0]
    if len(around) == 0:
        return False
    return bool((np.abs(around - np.median(around, axis=0)).max(axis=1) <= PLAIN).mean() <= 0.5)


def cut_out(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """A cut-out for other programs, float32 [H,W,4], not premultiplied: its colors go on under transparent pixels."""
    colors = extend(premultiplied(image, matte), sigma=8.0)
    return by_bands(lambda *layers: np.dstack(layers), colors, matte)


def extend(cutout: np.ndarray, sigma: float) -> np.ndarray:
    """The colors [H,W,3] of a premultiplied cut-out [H,W,4], extended beyond its edge for about 4 sigma; then black.

    Opaque pixels keep their bits.
    """
    return Extension(cutout, sigma).all_colors()


class Extension:
    """The colors that `extend` gives, box by box: a composite shows few of those that are not the subject's own.

    Attributes:
        cutout: float32 [H,W,4], premultiplied.
        alpha: its matte, float32 [H,W]; what is opaque up to rounding is 1.
        reach: no color is extended by more pixels.
    """

    def __init__(self, cutout: np.ndarray, sigma: float):
        self.cutout, self.sigma, self.reach = cutout, sigma, math.ceil(KERNEL_REACH * sigma) + 1
        self.alpha = waiting(cv2.extractChannel, cutout, 3)
        # A resampling filter's weights sum to 1 only up to rounding, and an opaque pixel must be opaque.
        for rows in bands(*self.alpha.shape):
            np.maximum(self.alpha[rows], self.alpha[rows] > OPAQUE_ENOUGH, out=self.alpha[rows])
        # A wide blur is made of the whole image, on a coarser grid.
        self.wide = blur(cutout, sigma) if sigma > COARSE_SIGMA else None

    def all_colors(self) -> np.ndarray:
        """The colors [H,W,3] everywhere."""
        colors = np.zeros((*self.alpha.shape, 3), np.float32)
        for kind, box in tiles(self.alpha, self.reach, OPAQUE_ENOUGH):
            if kind == OPAQUE:
                cv2.cvtColor(self.cutout[box.slices], cv2.COLOR_RGBA2RGB, colors[box.slices])
            elif kind == SOFT:
                colors[box.slices] = self.colors(box)
        return colors

    def is_opaque(self, box: Box) -> bool:
        """Whether the whole cut-out is opaque in a box."""
        return bool(self.alpha[box.slices].min() >= OPAQUE_ENOUGH)

    def colors(self, box: Box, seen: np.ndarray | None = None) -> np.ndarray:
        """The colors [h,w,3] in a box. If `seen` is given, bool [h,w], they are extended only where it is true."""
        colors = cv2.cvtColor(self.cutout[box.slices], cv2.COLOR_RGBA2RGB)
        see_through = self.alpha[box.slices] < OPAQUE_ENOUGH
        if seen is None:
            edge = edge_box(self.alpha, box, self.reach)
        else:
            see_through &= seen
            edge = Box(*cv2.boundingRect(see_through.view(np.uint8))).moved(box.x, box.y)
        if 0 in edge.size:
            return colors
        if self.wide is not None:
            near, blurred = Box(0, 0, *Size.of(self.alpha)), self.wide
        else:
            near = edge.grown(self.reach).inside(Size.of(self.alpha))
            blurred = blur(self.cutout[near.slices], self.sigma)
        # Between the core and where there is nothing left to extend.
        there = cv2.extractChannel(blurred[edge.moved(-near.x, -near.y).slices], 3) > 1e-6
        rim = see_through[edge.moved(-box.x, -box.y).slices] & there
        rows, columns = places_in(rim.view(np.uint8), edge)
        around = pixels_at(blurred.reshape(-1, 4), (rows - near.y) * near.width + columns - near.x)
        own = self.cutout[rows, columns]
        # Where little is left of the subject its own colors are noise: there those around it are given weight.
        weight = 0.03 * (1 - own[:, 3:])
        extended = (own[:, :3] + weight * (around[:, :3] / around[:, 3:])) / (own[:, 3:] + weight)
        colors[rows - box.y, columns - box.x] = extended.clip(0, 1)
        return colors


def edge_box(alpha: np.ndarray, box: Box, reach: int) -> Box:
    """The part of a box that is not opaque and has something within `reach` pixels; its sides are 0 if nothing is."""
    around = box.grown(reach).inside(Size.of(alpha))
    there = cv2.boundingRect(cv2.inRange(alpha[around.slices], SOFT_RANGE[0], 1))
    see_through = cv2.boundingRect(cv2.inRange(alpha[box.slices], 0, OPAQUE_ENOUGH))
    return Box(*there).moved(around.x, around.y).grown(reach).within(Box(*see_through).moved(box.x, box.y))
