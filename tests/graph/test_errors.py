"""Bad input gives one sentence that names the input, what came and what to do; and the server lives.

Prompts for Segment stand in test_segment.py, the samplers' inputs in test_samplers.py.
"""

import functools

import pytest
import torch
from graph_support import block, module, picture, refused, run_node

SCENE = picture(60, 80)
MASK = block(60, 80, 20, 30, 40, 50)


def good(kind):
    """Inputs with which a node runs."""
    if kind == "PhDSegment":
        return {"image": SCENE, "segmenter": segmenter(), "box": "10, 10, 50, 40"}
    if kind == "PhDPasteBlend":
        return {"background": SCENE, "subject": SCENE, "subject_mask": MASK, "ring": 4}
    if kind == "PhDCrop":
        return {"composite": SCENE, "inpaint_mask": MASK, "harmonize_mask": MASK, "side": 64}
    pictures = {"background": SCENE, "composite": SCENE, "sampled": SCENE}
    return {**pictures, "subject_mask": MASK, "harmonize_mask": MASK}


@functools.cache
def segmenter():
    return run_node("PhDLoadSegmenter", model="grabcut (no weights)").values[0]


def other_crop():
    return run_node("PhDCrop", **good("PhDCrop") | {"composite": picture(50, 70)}).values[3]


PICTURES = {
    "PhDSegment": ["image"],
    "PhDPasteBlend": ["background", "subject"],
    "PhDCrop": ["composite", "control"],
    "PhDStitch": ["background", "composite", "sampled", "sampled_control"],
}
MASKS = {
    "PhDPasteBlend": ["subject_mask", "earlier_subjects"],
    "PhDCrop": ["inpaint_mask", "harmonize_mask"],
    "PhDStitch": ["subject_mask", "harmonize_mask"],
}
BATCHED = {kind: [*PICTURES[kind], *MASKS[kind]] for kind in MASKS}


def each(table):
    return [(kind, name) for kind, names in table.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), each(PICTURES))
@pytest.mark.parametrize("shape", [(60, 80), (1, 60, 80, 2), (1, 2, 60, 80, 3), (0, 60, 80, 3), (1, 0, 80, 3)])
def test_what_is_no_picture_is_named(kind, name, shape):
    message = refused(kind, **good(kind) | {name: torch.zeros(shape)})
    assert message == f"{name} must be a picture [B,H,W,C] with 1, 3 or 4 channels; this one is {shape}."
    assert run_node(kind, **good(kind)).values


@pytest.mark.parametrize(("kind", "name"), each(MASKS))
@pytest.mark.parametrize("shape", [(5,), (1, 60, 80, 3), (1, 1, 1, 60, 80), (0, 60, 80), (1, 60, 0)])
def test_what_is_no_mask_is_named(kind, name, shape):
    message = refused(kind, **good(kind) | {name: torch.zeros(shape)})
    assert message.startswith(f"{name}: A mask must be [H,W]") and str(shape) in message
    assert run_node(kind, **good(kind)).values


@pytest.mark.parametrize(("kind", "name"), each(BATCHED))
def test_batches_that_do_not_fit_are_named_with_their_sizes(kind, name):
    first = next(other for other in good(kind) if other != name and other in BATCHED[kind])
    spare = MASK if name in MASKS[kind] else SCENE
    three = torch.cat([good(kind).get(name, spare)] * 3)
    two = torch.cat([good(kind)[first]] * 2)
    message = refused(kind, **good(kind) | {name: three, first: two})
    assert "Batches must be of one size, or of size 1" in message
    assert f"{name} has 3" in message and f"{first} has 2" in message
    assert run_node(kind, **good(kind)).values


@pytest.mark.parametrize(
    ("kind", "changes", "told"),
    [
        ("PhDPasteBlend", {"placement": "somewhere"}, ["placement", "'somewhere'", "manual", "random"]),
        ("PhDPasteBlend", {"size": 0.0}, ["size", "0.0", "0.01"]),
        ("PhDPasteBlend", {"ring": -1}, ["ring", "-1"]),
        ("PhDCrop", {"side": 0}, ["side", "0", "64"]),
        ("PhDCrop", {"control": picture(50, 70)}, ["control is 70×50", "composite is 80×60", "connect"]),
        ("PhDStitch", {"composite": picture(50, 70)}, ["composite is 70×50", "background is 80×60", "connect"]),
        ("PhDStitch", {"crop": other_crop}, ["crop was cut from a picture of 70×50", "80×60", "connect"]),
        ("PhDStitch", {"detail": 1.5}, ["detail", "1.5"]),
    ],
)
def test_values_that_do_not_fit_are_named(kind, changes, told):
    changes = {name: value() if callable(value) else value for name, value in changes.items()}
    message = refused(kind, **good(kind) | changes)
    for part in told:
        assert part in message
    assert run_node(kind, **good(kind)).values


@pytest.mark.parametrize("kind", list(PICTURES))
def test_nan_and_values_out_of_range_are_taken(kind):
    wild = SCENE.clone()
    wild[0, :5], wild[0, 5:10], wild[0, 10:15] = torch.nan, torch.inf, -3.0
    values = run_node(kind, **good(kind) | dict.fromkeys(PICTURES[kind], wild)).values
    for value in values:
        if isinstance(value, torch.Tensor):
            assert value.isfinite().all() and value.min() >= 0 and value.max() <= 1


@pytest.mark.parametrize("kind", list(PICTURES))
def test_half_precision_is_taken(kind):
    halves = {name: SCENE.half() for name in PICTURES[kind]} | {name: MASK.half() for name in MASKS.get(kind, [])}
    for value in run_node(kind, **good(kind) | halves).values:
        if isinstance(value, torch.Tensor):
            assert value.dtype == torch.float32


def test_a_missing_demo_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module("nodes.demo_model"), "WEIGHTS", tmp_path)
    message = refused("PhDLoadDemoModel")
    assert "demo/weights/unet.safetensors is missing" in message and "reinstall" in message
