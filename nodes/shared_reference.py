"""Which items of a batch have their light reference sampled: in a shot of a clip, those of a few frames serve all."""

from collections.abc import Sequence

from ..phd_ops.interrupt import each
from ..phd_ops.pixels.pasted_scenes import PastedScenes
from ..phd_ops.pixels.shots import LEAST_FRAMES, Look, reference_frames
from .images import in_range, item


def shared_items(pasted: PastedScenes | None, count: int) -> tuple[int, ...] | None:
    """The items of `count` whose reference is sampled; None: all of them.

    pasted: the items' scenes. Where several exemplars were pasted, each has a light of its own.
    """
    if pasted is None or not pasted.one_exemplar or count < LEAST_FRAMES or len(pasted.composite) != count:
        return None
    batches = in_range(pasted.background.numpy()), pasted.composite.numpy(), pasted.subject_matte.numpy()
    looks = each(lambda index: Look.of(*(item(batch, index) for batch in batches)), range(count))
    found = reference_frames(list(looks))
    return None if len(found) in (0, count) else tuple(found)


def taken_items(items: Sequence[int], places: Sequence[int]) -> tuple[tuple[int, ...], list[int]]:
    """Of a batch made of the items at `places` of another one: which of its items are among `items`, and which of
    these they were."""
    own = {item: number for number, item in enumerate(items)}
    kept = [(number, own[place]) for number, place in enumerate(places) if place in own]
    return tuple(number for number, _ in kept), [was for _, was in kept]
