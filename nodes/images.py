"""Between ComfyUI's tensors and the arrays of `phd_ops`: images, masks, and batches of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import torch
from comfy.utils import ProgressBar

from ..phd_ops.interrupt import by_bands, copy, each, waiting
from ..phd_ops.pixels.geometry import Size
from ..phd_ops.pixels.masks import as_mask, resize_mask, zero_black
from ..phd_ops.sentence import sentence
from .ui import Message
from .validate import check_socket

Item = TypeVar("Item")
# The size of Load Image's mask for a file without transparency.
NO_ALPHA = Size(64, 64)
# An image has values outside 0..1 where it was sharpened or holds highlights. It has other units where more than this
# share is clearly below 0, or above 1.
MOST_BELOW, CLEARLY_BELOW, MOST_ABOVE = 0.1, -0.1, 0.5


def pixels(size: Size) -> str:
    """A size as it stands in a message."""
    return sentence("{width}×{height} pixels", width=size.width, height=size.height)


def as_given(image: torch.Tensor, name: str) -> np.ndarray:
    """An IMAGE as float32 [B,H,W,C] of the given values, C 3 or 4; gray becomes RGB. `name` is the input's, for
    messages."""
    check_socket(name, image, torch.Tensor, sentence("an IMAGE"))
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or 0 in image.shape or image.shape[-1] not in (1, 3, 4):
        shape = tuple(image.shape)
        raise ValueError(
            sentence(
                "{name} must be an image [B,H,W,C] with 1, 3 or 4 channels; this one is {shape}.",
                name=name,
                shape=shape,
            )
        )
    images = image.detach().cpu().float().numpy()
    return waiting(np.repeat, images, 3, axis=-1) if images.shape[-1] == 1 else images


def in_range(images: np.ndarray) -> np.ndarray:
    """Images brought into 0..1, NaN to 0; what is in range is not copied."""
    given = torch.from_numpy(images)
    low, high = waiting(torch.aminmax, given)
    # A NaN compares as false.
    if low >= 0 and high <= 1:
        return images

    def limited(band: np.ndarray) -> np.ndarray:
        return torch.nan_to_num(torch.from_numpy(band), nan=0.0, posinf=1.0, neginf=0.0).clamp(0, 1).numpy()

    return by_bands(limited, images.reshape(-1, *images.shape[-2:])).reshape(images.shape)


def as_images(image: torch.Tensor, name: str) -> np.ndarray:
    """An IMAGE as float32 [B,H,W,C] in 0..1, see `as_given`."""
    return in_range(as_given(image, name))


def as_results(image: torch.Tensor, name: str) -> np.ndarray:
    """An IMAGE that a model made, as float32 [B,H,W,3] in 0..1. Values of 0..255, -1..1 or the like are refused: most
    of the image would be lost."""
    given = as_given(image, name)[..., :3]
    images = in_range(given)
    if images is not given:
        check_values(given, name)
    return images


def check_values(images: np.ndarray, name: str) -> None:
    """Refuses images whose values have other units."""
    finite = images[np.isfinite(images)]
    if finite.size and ((finite < CLEARLY_BELOW).mean() > MOST_BELOW or (finite > 1).mean() > MOST_ABOVE):
        raise ValueError(
            sentence(
                "{name} has values from {low} to {high}, but an image's are 0 to 1: convert them, or connect the image "
                "from a node that does.",
                name=name,
                low=f"{finite.min():.4g}",
                high=f"{finite.max():.4g}",
            )
        )


def named_mask(mask: torch.Tensor, name: str) -> torch.Tensor:
    """A MASK as float32 [B,H,W] in 0..1, its black at 0, see `as_mask` and `zero_black`; errors name the input."""
    check_socket(name, mask, torch.Tensor, sentence("a MASK"))
    try:
        return zero_black(as_mask(mask))
    except ValueError as error:
        raise ValueError(sentence("{name}: {error}", name=name, error=error)) from None


def as_masks(mask: torch.Tensor, like: np.ndarray, name: str) -> tuple[np.ndarray, list[Message]]:
    """A MASK as float32 [B,h,w], resized to the size of `like` ([B,h,w,C]) where it differs; and a message if so."""
    masks, size = named_mask(mask, name).numpy(), Size.of(like[0])
    if Size.of(masks[0]) == size:
        return masks, []
    resized = np.stack([resize_mask(item, *size) for item in masks])
    if Size.of(masks[0]) == NO_ALPHA and masks.min() == masks.max():
        # It says nothing of the size of the image, and much about its file.
        return resized, [Message(of_no_alpha(name, empty=masks.max() == 0), warning=True)]
    text = sentence(
        "{name} is {own_size} and was resized to its image's {size}.",
        name=name,
        own_size=pixels(Size.of(masks[0])),
        size=pixels(size),
    )
    return resized, [Message(text)]


def of_no_alpha(name: str, *, empty: bool) -> str:
    """What to say of Load Image's mask of a file without transparency, as it is or inverted."""
    if empty:
        return sentence(
            "{name} is empty: Load Image gives such a mask for a file without transparency. If the file itself is the "
            "mask, use Load Image (as Mask) with channel red.",
            name=name,
        )
    return sentence(
        "{name} is 1 everywhere: its image has no transparency, so Invert Mask marks all of it. Connect a real "
        "mask, such as from Segment or the mask editor.",
        name=name,
    )


def common_batch(**batches: Sequence | np.ndarray) -> int:
    """The batch size that all inputs share; a batch of one serves every item. Names are the inputs', for messages."""
    sizes = {len(batch) for batch in batches.values()}
    count = max(sizes)
    if not sizes <= {1, count}:
        raise ValueError(sentence("Batch sizes must match or be 1; they are {found}.", found=named_sizes(batches)))
    return count


def named_sizes(batches: Mapping[str, Sequence | np.ndarray]) -> str:
    """Such as "image: 3, mask: 2"."""
    return ", ".join(f"{name}: {len(batch)}" for name, batch in batches.items())


def each_image(function: Callable[[int], Item], count: int, progress: ProgressBar) -> Iterator[Item]:
    """A function of each image's number in a batch, see `each`. The node's bar moves on with each of them."""
    for result in each(function, range(count)):
        yield result
        progress.update(1)


@overload
def item(batch: np.ndarray, index: int) -> np.ndarray: ...
@overload
def item(batch: Sequence[Item], index: int) -> Item: ...
def item(batch: Any, index: int) -> Any:
    """Item `index` of a batch, or its only one."""
    return batch[index if len(batch) > 1 else 0]


def by_pairs(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray], masks: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """A function of two masks, pixel by pixel, of each pair of two batches [B,H,W]; one of either serves all of the
    other."""
    count = max(len(masks), len(others))
    return as_tensor([by_bands(function, item(masks, index), item(others, index)) for index in range(count)]).numpy()


def as_tensor(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Arrays of one shape as a float32 batch."""
    batch = np.empty((len(arrays), *arrays[0].shape), np.float32)
    for index, array in enumerate(arrays):
        copy(array, batch[index])
    return torch.from_numpy(batch)


def stacked(arrays: list[np.ndarray]) -> torch.Tensor:
    """`as_tensor` of a list, which is emptied: each array is freed once it is copied, so that no long batch is held
    twice."""
    batch = np.empty((len(arrays), *arrays[0].shape), np.float32)
    while arrays:
        copy(arrays[-1], batch[len(arrays) - 1])
        arrays.pop()
    return torch.from_numpy(batch)
