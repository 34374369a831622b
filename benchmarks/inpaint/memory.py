"""Peak memory of masked sampling, measured in a process of its own: `python -m benchmarks.inpaint.memory SIDE`.

The network takes no memory, so all of it is the sampler's. In latents of SIDE x SIDE cells, without the inputs.
"""

import functools
import json
import sys

from benchmarks.common import memory
from benchmarks.common.comfyui import start_comfyui


def measure(side: int) -> dict[str, float]:
    """`peaks` in a fresh process."""
    return memory.in_fresh_process("benchmarks.inpaint.memory", side)


def peaks(side: int) -> dict[str, float]:
    """The most that KSampler and ours each hold at once, in latents."""
    from benchmarks.inpaint import workload

    # KSampler reaches its peak in its first steps, ours only with three outer steps.
    runs = {
        "core": lambda model, given: workload.core(model, given, 3),
        "ours": lambda model, given: workload.ours(model, given, 3, 2),
    }
    model, given, small = workload.instant(), workload.latent(side), workload.latent(16)
    for run in runs.values():
        run(model, small)
    size = given["samples"].nbytes
    return {who: memory.extra(functools.partial(run, model, given)) / size for who, run in runs.items()}


if __name__ == "__main__":
    start_comfyui()
    print(json.dumps(peaks(int(sys.argv[1]))))
