"""Time and memory of registration and color shift on one large image: `python -m benchmarks.finish.large`."""

import json
import time

import numpy as np

from benchmarks.common import memory
from benchmarks.finish.damages import KINDS
from benchmarks.finish.methods import layers_of
from phd_ops.pixels.align import align
from phd_ops.pixels.geometry import Size
from phd_ops.pixels.stitch import ModelWindow
from relit_scenes.descriptions import STRATA
from relit_scenes.draw import draw_scene
from relit_scenes.render import render_scene

SIDE = 2048


def measure(side: int = SIDE) -> dict[str, float]:
    """Seconds, the least of three, and memory in images."""
    one = render_scene(draw_scene(0, "test", STRATA[0]), side)
    image = KINDS["all"](one)
    layers = layers_of(one)
    unchanged = 1 - np.maximum(layers.harmonize_mask, layers.matte)

    def work() -> tuple:
        aligned = align(one.composite, [image], unchanged, layers.matte)
        window = ModelWindow(layers, Size.of(aligned.images[0]), seen=aligned.seen)
        return aligned, window.color_shift(aligned.images[0])

    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return {"seconds_2048": min(seconds), "memory_2048": memory.extra(work) / one.composite.nbytes}


if __name__ == "__main__":
    print(json.dumps(measure()))
