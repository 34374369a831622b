"""Runs another pack's sampler node on the models of `bench inpaint`, beside ours.

A rival's loop in `benchmarks/common/rival_loops.py` is written from its formulas; this checks it against the pack's
own code, which has to lie in ComfyUI's custom_nodes. A pack may replace parts of ComfyUI, so it has its own process:

    python -m benchmarks.inpaint.pack_sampler LanPaint LanPaint_KSamplerAdvanced \\
        '{"steps": 10, "LanPaint_NumSteps": 5}' --on curves

Images go through the node one at a time, since not every node runs a batch as it runs its items. Widgets that are not
named keep the node's own defaults, but for those that both have in common: euler, cfg, and the schedule of the others.
"""

import argparse
import asyncio
import json
from pathlib import Path

import torch

from benchmarks.common.comfyui import silent, start_comfyui
from devtools.comfyui import get_comfyui

MODELS = ("proto", "curves", "demo", "demo_plain")
# Items of the exact processes that are run; each has 32 chains.
ITEMS = 48


def main(arguments: list[str] | None = None) -> int:
    options = argument_parser().parse_args(arguments)
    start_comfyui()
    node = load_node(get_comfyui() / "custom_nodes" / options.pack, options.node)
    with silent():
        (on_process if options.on in ("proto", "curves") else on_demo)(node, options)
    return 0


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pack_sampler", description=__doc__.splitlines()[0])
    parser.add_argument("pack", help="folder in ComfyUI's custom_nodes")
    parser.add_argument("node", help="id of the sampler node")
    parser.add_argument("widgets", type=json.loads, help="widgets of the node as JSON")
    parser.add_argument("--on", choices=MODELS, default="curves")
    parser.add_argument("--cfg", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--beside", nargs="*", default=["ours_60"], help="loops of ours: exact.methods or demo.NAMES")
    return parser


def load_node(folder: Path, node_id: str) -> type:
    """The class of a node of a pack. Raises ValueError where there is none."""
    import nodes

    if not asyncio.run(nodes.load_custom_node(str(folder))) or node_id not in nodes.NODE_CLASS_MAPPINGS:
        raise ValueError(f"{folder} has no node {node_id!r}; it must be a pack that this ComfyUI can load.")
    return nodes.NODE_CLASS_MAPPINGS[node_id]


def widgets_of(node: type) -> dict:
    """The widgets of a node with their defaults: of a V1 node, whose inputs may have none."""
    found = {}
    for name, (kind, *more) in {**node.INPUT_TYPES()["required"], **node.INPUT_TYPES().get("optional", {})}.items():
        if isinstance(kind, list):
            found[name] = (more[0] if more else {}).get("default", kind[0])
        elif more and "default" in more[0]:
            found[name] = more[0]["default"]
    return found


def run(node: type, widgets: dict, sockets: dict) -> torch.Tensor:
    """The latent that a node makes of one image."""
    names = {**node.INPUT_TYPES()["required"], **node.INPUT_TYPES().get("optional", {})}
    given = {**widgets_of(node), **widgets, **sockets}
    result = getattr(node(), node.FUNCTION)(**{name: value for name, value in given.items() if name in names})
    return getattr(result, "result", result)[0]["samples"]


def each(node: type, options, model, latents: torch.Tensor, mask: torch.Tensor, prompts: list) -> tuple:
    """Latents [B,...] from a node that gets them one at a time, and the model calls of each.

    prompts: (positive, negative) of every item.
    """
    from devtools.model_calls import count_model_calls

    made = []
    with count_model_calls() as count:
        for index, (positive, negative) in enumerate(prompts):
            seed = options.seed + index
            torch.manual_seed(seed)
            latent = {"samples": latents[index : index + 1], "noise_mask": mask[index % len(mask)][None]}
            sockets = {
                "model": model, "positive": positive, "negative": negative, "latent_image": latent, "latent": latent,
            }  # fmt: skip
            shared = {"seed": seed, "noise_seed": seed, "cfg": options.cfg, "sampler_name": "euler"}
            made.append(run(node, {**shared, **options.widgets}, sockets))
    return torch.cat(made), count.calls / len(made)


def on_process(node: type, options) -> None:
    """Prints the scores of a node and of our loops on an exact process."""
    from benchmarks.inpaint import exact
    from benchmarks.inpaint.processes import CHAINS, LENGTH, Setting, curve_oracle, latent_mask

    curves, chains = (1, ITEMS * CHAINS) if options.on == "proto" else (24, ITEMS * CHAINS // 24)
    setting = Setting(options.on, curves, chains, (options.seed,))
    model, latents = curve_oracle("EPS", setting.process), setting.latent()
    # The levels of `karras` in processes.py, as ComfyUI's scheduler of that name makes them.
    model.model.model_sampling.set_parameters(0.02, 30.0, 1.0)
    options.widgets = {"scheduler": "karras", **options.widgets}
    made, calls = each(node, options, model, latents, latent_mask(), [(exact.PROMPT, exact.PROMPT)] * len(latents))
    score = setting.process.score(made.double().view(-1, setting.chains, LENGTH))
    print(f"{options.node:<44}{exact.as_text({**score, 'spread': 0.0, 'calls': round(calls)})}", flush=True)
    for name in options.beside:
        method = exact.methods()[name]
        print(f"{name + ': ' + method.label:<44}{exact.as_text(exact.scored(method, setting))}", flush=True)


def on_demo(node: type, options) -> None:
    """Prints the scores of a node and of our loops on the demo model, with the first backgrounds of the test split."""
    import numpy as np

    from benchmarks.inpaint import backgrounds, demo

    network = backgrounds.Network(plain=options.on == "demo_plain")
    given = backgrounds.chunk(demo.SPLIT, 0)
    prompts = [([[prompt[None], {}]], backgrounds.no_prompt()) for prompt in given.prompts[0][0]]
    options.widgets = {"scheduler": backgrounds.SCHEDULER, **options.widgets}
    made, calls = each(node, options, backgrounds.load(network), given.latents, given.mask, prompts)
    found = backgrounds.scored(backgrounds.as_images(backgrounds.encoders()[1], made), given)
    fine = demo.true_fine(len(found))

    def show(label: str, l1, fine_energy, edge, calls: float) -> None:
        texture = demo.texture_strength(fine_energy, fine)
        print(f"{label:<44}{calls:6.1f} calls  {np.mean(l1):6.2f} / {texture:4.2f} / {np.mean(edge):5.2f}", flush=True)

    show(options.node, *zip(*found, strict=True), calls)
    for name in options.beside:
        rows = demo.demo_rows([name], options.cfg, demo.COUNTS[1], len(found), 1, network.plain)[name]
        show(f"{name}: {rows.label}", rows.l1, rows.fine, rows.edge, rows.calls)


if __name__ == "__main__":
    raise SystemExit(main())
