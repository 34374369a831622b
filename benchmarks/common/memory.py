"""Peak memory of pasting, in a fresh process: `python -m benchmarks.common.memory paste|node SCENE SUBJECT`."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from benchmarks.common.table import disc
from devtools.paths import ROOT
from phd_ops.pixels.geometry import Placement
from phd_ops.pixels.paste import paste

ITEMS = 4
# A node's images (composite, reference) and masks (matte, inpaint, harmonize), in images of the scene's size.
OUTPUTS = 2 + 3 / 3


def in_fresh_process(module: str, *arguments: object):
    """What a module, run as a program, prints as JSON on its last line."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def measure(what: str, scene: int, subject: int) -> float:
    """`paste_ratio` or `node_per_item` of a fresh process."""
    return in_fresh_process("benchmarks.common.memory", what, scene, subject)


def high_water() -> int:
    """The most memory held at once, in bytes. Linux carries `ru_maxrss` over from the parent; VmHWM it does not."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) << 10
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def extra(work: Callable) -> int:
    """The most memory in bytes that `work` held beyond what was held before, with what it returns."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    before = psutil.Process().memory_info().rss
    kept = work()
    peak = high_water() - before
    del kept
    return peak


def images(scene: int, subject: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene, an exemplar and a soft round matte."""
    rng = np.random.default_rng(0)
    matte = disc(subject, 0.45 * subject, 6)
    return rng.random((scene, scene, 3), np.float32), rng.random((subject, subject, 3), np.float32), matte


def paste_ratio(scene: int, subject: int) -> float:
    """Peak of `paste` over the background's bytes; the composite and its matte count, the inputs do not."""
    where = Placement(0.45, 0.55, 0.5, 25.0)
    paste(*images(64, 32), where, 1.5)
    inputs = images(scene, subject)
    return extra(lambda: paste(*inputs, where, 1.5)) / inputs[0].nbytes


def node_per_item(scene: int, subject: int) -> float:
    """What each further item of a batch costs PhDPasteBlend beyond its outputs, in images of the scene's size."""
    import torch

    from devtools.comfyui import activate, device_arguments, get_comfyui, register_pack
    from devtools.executor import set_directories

    activate(get_comfyui(), device_arguments())
    node = register_pack()["PhDPasteBlend"]

    def run(inputs: tuple[np.ndarray, ...], items: int):
        background, exemplar, mask = (torch.from_numpy(array)[None] for array in inputs)
        lines = [Placement(0.4 + 0.05 * number, 0.5, 0.5, 25.0).to_text() for number in range(items)]
        return node.execute(background, exemplar, subject_mask=mask, placements="\n".join(lines))

    with tempfile.TemporaryDirectory() as folder:
        set_directories(*(Path(folder) / name for name in ("input", "output", "temp")))
        run(images(64, 32), ITEMS)
        inputs = images(scene, subject)
        one, all_of_them = (extra(lambda items=items: run(inputs, items)) for items in (1, ITEMS))
    return (all_of_them - one) / (ITEMS - 1) / inputs[0].nbytes - OUTPUTS


if __name__ == "__main__":
    task = {"paste": paste_ratio, "node": node_per_item}[sys.argv[1]]
    print(json.dumps(task(int(sys.argv[2]), int(sys.argv[3]))))
