"""How large and how often `bench paste` measures."""

from dataclasses import dataclass

from phd_ops.pixels.geometry import Size


@dataclass(frozen=True)
class Sizes:
    """Sides in pixels, and counts.

    Attributes:
        scene, subject: sides of the square scene and of the square exemplar.
        memory: the same two for peak memory.
        batches: whether the memory of a batch is measured too.
        repeats: runs of each timed function.
        cases: placements, and a third of the seeds.
        growths: mask growths between 0 and 256 pixels.
        core_growths: growths of core's GrowMask, which is slow.
        canvases: background sizes for whole nodes.
    """

    scene: int = 2048
    subject: int = 1024
    memory: tuple[int, int] = (2048, 1024)
    batches: bool = True
    repeats: int = 7
    cases: int = 3
    growths: int = 36
    core_growths: tuple[int, ...] = (8, 64, 256)
    canvases: tuple[Size, ...] = (Size(1024, 1024), Size(2048, 2048), Size(3840, 2160))


QUICK = Sizes(
    scene=256,
    subject=128,
    memory=(1024, 512),
    batches=False,
    repeats=1,
    cases=1,
    growths=9,
    core_growths=(8,),
    canvases=(Size(128, 128), Size(256, 256)),
)
