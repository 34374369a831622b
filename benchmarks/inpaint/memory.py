"""Peak memory of masked sampling, measured in a process of its own: `python -m benchmarks.inpaint.memory SIDE`.

The network takes none, so what is left is the sampler's: in latents of SIDE x SIDE cells, beyond its inputs.
"""

import functools
import json
import sys

from benchmarks.common import memory as peak_memory
from devtools.comfyui import activate, device_arguments, get_comfyui, register_pack


def measure(side: int) -> dict[str, float]:
    """`memory` of a fresh process."""
    return peak_memory.in_fresh_process("benchmarks.inpaint.memory", side)


def memory(side: int) -> dict[str, float]:
    """The most that KSampler and ours each held at once."""
    from benchmarks.inpaint import cost as cost

    runs = {
        "core": lambda model, given: cost.core(model, given, 7),
        "ours": lambda model, given: cost.ours(model, given, 3, 2),
    }
    model, given, small = cost.instant(), cost.latent(side), cost.latent(16)
    for run in runs.values():
        run(model, small)
    size = given["samples"].nbytes
    return {who: peak_memory.extra(functools.partial(run, model, given)) / size for who, run in runs.items()}


if __name__ == "__main__":
    activate(get_comfyui(), device_arguments())
    register_pack()
    print(json.dumps(memory(int(sys.argv[1]))))
