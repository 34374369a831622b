"""Nodes that work on pixels hear an interrupt all along, and the next run is as if there had been none."""

import comfy.model_management
import pytest
import torch
from node_support import block, make_image, module, run_node

from devtools.executor import WorkflowError

SCENE = make_image(60, 80)
MASK = block(60, 80, 20, 30, 40, 50)
INPUTS = {
    "PhDSegment": {"image": SCENE, "box": "10, 10, 50, 40", "refine_edge": 3},
    "PhDPasteBlend": {"background": SCENE, "subject": SCENE, "subject_mask": MASK, "blend": "multi-band"},
    "PhDCrop": {"composite": SCENE, "inpaint_mask": MASK, "harmonize_mask": MASK, "side": 64},
    "PhDMask": {"mask": MASK, "fill_holes": True, "remove_specks": 5, "grow": 3, "feather": 2.0},
    "PhDStitch": {
        "background": SCENE, "composite": 0.9 * SCENE, "sampled": 0.8 * SCENE, "subject_matte": MASK,
        "harmonize_mask": MASK,
    },
}  # fmt: skip


# Any image, in a shape that it does not fill.
INPUTS["PhDCrop of an image"] = {
    "image": SCENE, "mask": 0 * MASK + 1, "extend_left": 9, "size_mode": "exact", "width": 64, "height": 256,
    "resampler": "lanczos",
}  # fmt: skip


def run(kind):
    more = {"segmenter": run_node("PhDLoadSegmenter").values[0]} if kind == "PhDSegment" else {}
    return run_node(kind.split()[0], **INPUTS[kind], **more)


@pytest.fixture
def checks(monkeypatch):
    """The checks of the running node, so far; at number `checks.limit` the user asks to stop."""

    class Checks(list):
        limit = -1

    made, interrupts = Checks(), module("nodes.checked")
    # The number of checks must not depend on the machine.
    monkeypatch.setattr(module("phd_ops.interrupt"), "PATIENCE", 60)
    check = interrupts.throw_exception_if_processing_interrupted

    def counted():
        made.append(1)
        if len(made) == made.limit:
            comfy.model_management.interrupt_current_processing()
        check()

    monkeypatch.setattr(interrupts, "throw_exception_if_processing_interrupted", counted)
    yield made
    comfy.model_management.interrupt_current_processing(False)


@pytest.mark.parametrize("kind", INPUTS)
def test_an_interrupt_ends_the_node_wherever_it_is(kind, checks):
    before = run(kind)
    count = len(checks)
    assert count >= 5
    for limit in {1, count // 3, count // 2, count}:
        checks.clear()
        checks.limit = limit
        with pytest.raises(WorkflowError, match="interrupted"):
            run(kind)
        assert len(checks) == limit
    checks.limit = -1
    for ours, theirs in zip(run(kind).values, before.values, strict=True):
        assert not isinstance(ours, torch.Tensor) or torch.equal(ours, theirs)


CLIP = {
    "PhDPasteBlend": {"background": SCENE.repeat(9, 1, 1, 1), "subject": SCENE, "subject_mask": MASK},
    "PhDCrop": {"image": SCENE.repeat(9, 1, 1, 1), "mask": MASK, "side": 64},
}


@pytest.mark.parametrize("kind", CLIP)
def test_a_clips_frames_move_the_bar_on_and_an_interrupt_ends_it_between_them(kind, checks):
    told = []
    run_node(kind, **CLIP[kind], on_progress=lambda *each: told.append(each))
    steps = [(done, total) for node, done, total in told if node == "node" and total > 1]
    frames = steps[-1][1]
    assert frames % 9 == 0 and {done for done, _ in steps} >= set(range(1, frames + 1))
    count = len(checks)
    checks.clear()
    checks.limit = count // 2
    with pytest.raises(WorkflowError, match="interrupted"):
        run_node(kind, **CLIP[kind])
    assert count > 9 and len(checks) == count // 2


def test_an_interrupt_is_heard_between_a_networks_layers(checks):
    loader = module("nodes.load_segmenter")

    class Network:
        network = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(5)))
        heavy_part, working_memory = network, 0

        def predict(self, image, prompt):
            self.network(torch.zeros(1, 4))
            return image[..., 0]

    segmenter = loader.LoadedSegmenter("layers", loader.managed(Network()), needs_prompt=False)
    run_node("PhDSegment", image=SCENE, segmenter=segmenter)
    whole = len(checks)
    checks.clear()
    run_node("PhDSegment", image=SCENE, segmenter=loader.LoadedSegmenter("none", lambda image, _: image[..., 0], False))
    # The network itself, and its layers.
    assert whole - len(checks) == 6
