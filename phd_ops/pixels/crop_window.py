"""The window of an image that a model works in: where it lies, its shape, and the size at which the model gets it."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from ..sentence import sentence
from .geometry import Box, Margins, Size
from .resample import AUTO, pad

# A window shows at least this many pixels of scene around what may change.
LEAST_CONTEXT = 16
# A window is at most this many times as long as it is short: with about side² pixels, its short side is side / 2.
MOST_ASPECT = 4.0
# A window beyond the image has at most this many pixels: all of them cost memory.
MOST_PADDED = 2**26

AREA, EXACT, LONGEST_SIDE, NO_RESIZE = "area", "exact", "longest side", "no resize"
SIZE_MODES = (AREA, EXACT, LONGEST_SIDE, NO_RESIZE)


@dataclass(frozen=True)
class WorkingSize:
    """The size at which a model works on a window.

    Attributes:
        mode: one of SIZE_MODES. AREA gives about side² pixels, LONGEST_SIDE a longer side of about `side`, EXACT
            exactly `exact`, NO_RESIZE the window's own size.
        side: in pixels.
        exact: for EXACT.
        multiple: the sides are multiples of this, but for EXACT.
    """

    mode: str = AREA
    side: int = 512
    exact: Size = Size(512, 512)
    multiple: int = 8

    @property
    def aspects(self) -> tuple[float, float]:
        """The least and the largest width / height of a window."""
        if self.mode == EXACT:
            aspect = self.exact.width / self.exact.height
            return aspect, aspect
        return (0.0, math.inf) if self.mode == NO_RESIZE else (1 / MOST_ASPECT, MOST_ASPECT)

    def target(self, window: Size) -> Size:
        """The size of a window for the model."""
        if self.mode == EXACT:
            return self.exact
        scale = 1.0
        if self.mode == AREA:
            scale = self.side / math.sqrt(window.width * window.height)
        elif self.mode == LONGEST_SIDE:
            scale = self.side / max(window)
        return Size(*(max(self.multiple, round(n * scale / self.multiple) * self.multiple) for n in window))


@dataclass(frozen=True)
class CropWindow:
    """The window of an image that the model works in, and the size at which it works.

    Attributes:
        box: the window. It reaches beyond the image only where the image is too small for the window's shape.
        target: the model's image size, a multiple of the latent grid.
        scene: the size of the image that the window was cut from.
        resampler: by which the window was resized, see `resize`.
        boxes: each frame's window in a clip, of one size; empty where `box` is that of all. `box` is the first of them.
    """

    box: Box
    target: Size
    scene: Size
    resampler: str = AUTO
    boxes: tuple[Box, ...] = field(default=(), compare=False)

    def of(self, index: int) -> "CropWindow":
        """The window of image `index` of a batch."""
        return replace(self, box=self.boxes[index], boxes=()) if self.boxes else self

    def in_padded_scene(self) -> "CropWindow":
        """This window in a scene that has its margins."""
        left, top, *_ = self.margins
        boxes = tuple(box.moved(left, top) for box in self.boxes)
        return replace(self, box=self.box.moved(left, top), scene=self.margins.around(self.scene), boxes=boxes)

    @property
    def margins(self) -> Margins:
        """How far the window reaches beyond the image."""
        right, bottom = self.box.x + self.box.width, self.box.y + self.box.height
        beyond = (-self.box.x, -self.box.y, right - self.scene.width, bottom - self.scene.height)
        return Margins(*(max(0, pixels) for pixels in beyond))

    @property
    def stretch(self) -> float:
        """How much more one direction is enlarged than the other: 0 where the target has the window's shape."""
        across, down = (target / own for target, own in zip(self.target, self.box.size, strict=True))
        return max(across, down) / min(across, down) - 1

    def cut(self, image: np.ndarray, *, repeat: bool = True) -> np.ndarray:
        """The window of an image [H,W,...]. Beyond its border its edge pixels repeat, or there is 0."""
        return pad(image[self.box.inside(self.scene).slices], self.margins, repeat=repeat)


def crop_window(
    subject: Box, scene: Size, size: WorkingSize, context: float = 1.6, keep: Box | None = None
) -> CropWindow:
    """A window around a subject, as square as the scene allows, that slides inside the scene.

    It is square unless `size` asks for another shape. Where its shape does not fit into the scene, it gets less
    context; and where even what it must hold does not fit, it reaches beyond the scene.

    Args:
        subject: the box that the window must contain, inside the scene.
        context: the window's side over the subject's longer side, at least 1.
        keep: another box inside the scene that the window must contain.
    """
    longest = max(subject.width, subject.height, 16)
    # The model always needs some scene around what may change; colors are measured there too.
    wanted = max(math.ceil(longest * context), longest + 2 * LEAST_CONTEXT)
    window = placed(Size(min(wanted, scene.width), min(wanted, scene.height)), subject, scene)
    needed = subject.grown(LEAST_CONTEXT).inside(scene)
    if size.mode == EXACT:
        # The least box with this context; its other side is then what the shape gives.
        grown = Size(*(max(math.ceil(n * context), n + 2 * LEAST_CONTEXT) for n in subject.size))
        window = placed(Size(*map(min, grown, scene)), subject, scene)
    if keep is not None:
        window, needed = window.joined(keep), needed.joined(keep)
    if size.mode == NO_RESIZE:
        whole = Size(*(math.ceil(n / size.multiple) * size.multiple for n in window.size))
        window = placed(whole, window, scene)
    window = shaped(window, needed, scene, size)
    return CropWindow(window, size.target(window.size), scene)


def placed(size: Size, around: Box, scene: Size) -> Box:
    """A box of a size with the center of another one, as far as the scene allows: it slides inside. What is larger than
    the scene lies about its middle."""

    def start(own: int, first: int, length: int, whole: int) -> int:
        return (whole - own) // 2 if own > whole else min(max(round(first + length / 2 - own / 2), 0), whole - own)

    x = start(size.width, around.x, around.width, scene.width)
    y = start(size.height, around.y, around.height, scene.height)
    return Box(x, y, *size)


def shaped(window: Box, needed: Box, scene: Size, size: WorkingSize) -> Box:
    """A window in one of the shapes that `size` allows: larger, or else smaller, or else beyond the scene.

    Args:
        needed: a part of the window that stays in it.
    """
    least, most = size.aspects
    aspect = min(max(window.width / window.height, least), most)
    if aspect == window.width / window.height:
        return window
    height = max(window.height, window.width / aspect)
    fitting = min(scene.height, scene.width / aspect)
    if height > fitting:
        height = max(fitting, needed.height, needed.width / aspect)
    if height > fitting and height * height * aspect > MOST_PADDED:
        if size.mode != EXACT:
            return window
        raise ValueError(
            sentence(
                "width is {width} and height {height}: a window of that shape would have "
                "{window_width}×{window_height} pixels, most of them beyond the image. What may change has "
                "{needed_width}×{needed_height} with its surround: choose a shape nearer to that.",
                width=size.exact.width,
                height=size.exact.height,
                window_width=round(height * aspect),
                window_height=round(height),
                needed_width=needed.width,
                needed_height=needed.height,
            )
        )
    own = Size(max(needed.width, round(height * aspect)), max(needed.height, round(height)))
    box = placed(own, window, scene)
    # A smaller window may have to move to hold all that it must.
    x = box.x if own.width >= scene.width else min(max(box.x, needed.x + needed.width - own.width), needed.x)
    y = box.y if own.height >= scene.height else min(max(box.y, needed.y + needed.height - own.height), needed.y)
    return box._replace(x=x, y=y)
