"""What prompts on one image cost with a SAM of published size: `python -m benchmarks.segment.sam [SIDE] [small]`.

Weights are random: time and memory do not depend on their values.
"""

import json
import sys
import time

import numpy as np
import torch

from benchmarks.common.comfyui import start_comfyui
from benchmarks.common.memory import extra, in_fresh_process
from benchmarks.common.table import Section

# Further prompts on the same image.
PROMPTS = 5
VIT_B_SIDE, SMALL_SIDE = 1024, 256


def network(small: bool) -> torch.nn.Module:
    """A SAM of ViT-B's published dimensions, or a small one of the same classes."""
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    if not small:
        return sam_model_registry["vit_b"]()
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    return Sam(
        ImageEncoderViT(img_size=256, embed_dim=64, depth=4, num_heads=2, out_chans=64, use_rel_pos=True,
                        window_size=7, global_attn_indexes=(1, 3)),
        PromptEncoder(embed_dim=64, image_embedding_size=(16, 16), input_image_size=(256, 256), mask_in_chans=16),
        MaskDecoder(transformer_dim=64, transformer=TwoWayTransformer(2, 64, 8, 128)),
    )  # fmt: skip


def cost(side: int, small: bool) -> dict[str, float]:
    """Seconds of the first prompt on an image of `side` pixels and of later ones, and the peak memory of all of them.

    ComfyUI must have been started.
    """
    from benchmarks.segment.backends import loading
    from phd_ops.segmenters.prompt import Prompt

    nodes = loading()
    find = nodes.managed(nodes.checkpoint.build(network(small).state_dict(), {}))
    image = np.random.default_rng(0).random((side, side, 3), np.float32)
    # What torch sets up once is not part of an image's time.
    find(np.zeros((16, 16, 3), np.float32), Prompt(box=(1, 1, 9, 9)))
    seconds = []

    def ask() -> None:
        for index in range(1 + PROMPTS):
            start = time.perf_counter()
            find(image, Prompt(positive=np.array([[side / 2 + index, side / 2]])))
            seconds.append(time.perf_counter() - start)

    peak = extra(ask)
    return {"first": seconds[0], "next": float(np.median(seconds[1:])), "peak_megabytes": peak / 2**20}


def measure(quick: bool) -> tuple[Section, dict]:
    """The section and figures of ViT-B, from a process of its own; quick, those of a small network in this process."""
    found = cost(SMALL_SIDE, small=True) if quick else in_fresh_process("benchmarks.segment.sam")
    section = Section("SAM " + ("of small size" if quick else "ViT-B (random weights)") + ": prompts on one image")
    section.row("first prompt", f"{found['first']:9.2f} s")
    section.row("every further prompt", f"{found['next']:9.3f} s")
    section.row("peak memory beside the weights", f"{found['peak_megabytes']:9.0f} MB")
    section.figures = {"reprompt_speedup": found["first"] / found["next"]}
    return section, section.figures | {f"sam_{name}": value for name, value in found.items()}


def main(arguments: list[str]) -> int:
    """Prints the cost as a line of JSON."""
    start_comfyui()
    sides = [int(argument) for argument in arguments if argument != "small"]
    small = "small" in arguments
    print(json.dumps(cost(sides[0] if sides else SMALL_SIDE if small else VIT_B_SIDE, small)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
