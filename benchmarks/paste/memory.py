"""Peak memory of pasting, in a fresh process: `python -m benchmarks.paste.memory paste|node SCENE SUBJECT`."""

import json
import sys

import numpy as np
import torch

from benchmarks.common.comfyui import start_comfyui, temporary_folders
from benchmarks.common.images import disc
from benchmarks.common.memory import extra, in_fresh_process
from phd_ops.pixels.geometry import Placement
from phd_ops.pixels.paste import PasteOptions, Subject, paste

ITEMS = 4
# A node's images (composite, reference) and masks (matte, inpaint, harmonize), in images of the scene's size.
OUTPUTS = 2 + 3 / 3


def measure(what: str, scene: int, subject: int) -> float:
    """`paste_ratio` ("paste") or `node_per_item` ("node"), measured in a fresh process."""
    return in_fresh_process("benchmarks.paste.memory", what, scene, subject)


def images(scene: int, subject: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene, an exemplar and a soft round matte."""
    rng = np.random.default_rng(0)
    matte = disc(subject, 0.45 * subject, 6)
    return rng.random((scene, scene, 3), np.float32), rng.random((subject, subject, 3), np.float32), matte


def paste_ratio(scene: int, subject: int) -> float:
    """Peak of `paste` over the background's bytes; the composite and its matte count, the inputs do not."""
    where = Placement(0.45, 0.55, 0.5, 25.0)
    small, exemplar, matte = images(64, 32)
    paste(small, Subject(exemplar, matte), where, PasteOptions(1.5))
    background, exemplar, matte = images(scene, subject)
    return extra(lambda: paste(background, Subject(exemplar, matte), where, PasteOptions(1.5))) / background.nbytes


def node_per_item(scene: int, subject: int) -> float:
    """What each further item of a batch costs PhDPasteBlend beyond its outputs, in images of the scene's size."""
    node = start_comfyui()["PhDPasteBlend"]

    def run(inputs: tuple[np.ndarray, ...], items: int):
        background, exemplar, mask = (torch.from_numpy(array)[None] for array in inputs)
        lines = [Placement(0.4 + 0.05 * number, 0.5, 0.5, 25.0).to_text() for number in range(items)]
        return node.execute(exemplar, background=background, subject_mask=mask, placements="\n".join(lines))

    with temporary_folders():
        run(images(64, 32), ITEMS)
        inputs = images(scene, subject)
        one, all_of_them = (extra(lambda items=items: run(inputs, items)) for items in (1, ITEMS))
    return (all_of_them - one) / (ITEMS - 1) / inputs[0].nbytes - OUTPUTS


if __name__ == "__main__":
    task = {"paste": paste_ratio, "node": node_per_item}[sys.argv[1]]
    print(json.dumps(task(int(sys.argv[2]), int(sys.argv[3]))))
