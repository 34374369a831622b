"""Bad input gives one sentence that names the input, what came and what to do; and the server lives.

Prompts for Segment stand in test_segment.py, the samplers' inputs in test_inpaint_sampler.py and
test_harmonize_sampler.py.
"""

import asyncio
import functools
import json

import pytest
import torch
from comfy_api.latest import io
from node_support import (
    ROOT,
    block,
    make_image,
    module,
    pasted_parts,
    prompt,
    random_latent,
    refused,
    run_node,
    tiny_model,
)

SCENE = make_image(60, 80)
MASK = block(60, 80, 20, 30, 40, 50)


def good(kind):
    """Inputs with which a node runs."""
    if kind == "PhDSegment":
        return {"image": SCENE, "segmenter": segmenter(), "box": "10, 10, 50, 40"}
    if kind == "PhDPasteBlend":
        return {"background": SCENE, "subject": SCENE, "subject_mask": MASK, "ring": 4}
    if kind == "PhDMask":
        return {"mask": MASK}
    if kind == "PhDCrop":
        return {"composite": SCENE, "inpaint_mask": MASK, "harmonize_mask": MASK, "side": 64}
    if "Sampler" in kind:
        return {**model_and_latent(), "positive": prompt(1), "negative": prompt(2), "steps": 1}
    if kind == "PhDIdentityAnchor":
        return {**model_and_latent(), "subject_matte": block(64, 64, 16, 16, 48, 48)}
    if kind == "PhDInsertSubject":
        linked = {"background": ["1", 0], "subject": ["1", 1], "vae": ["2", 2], "clip": ["2", 1]}
        return {"model": model_and_latent()["model"], **linked}
    if kind == "PhDStitch":
        images = {"background": SCENE, "composite": SCENE, "sampled": SCENE}
        return {**images, "subject_matte": MASK, "harmonize_mask": MASK}
    if kind == "PhDApplyModule":
        masks = {"subject_matte": block(64, 64, 16, 16, 48, 48), "mask": block(64, 64, 8, 8, 56, 56)}
        latent = {"samples": random_latent()}
        return {"module": tiny_module(), "positive": prompt(1), "negative": prompt(2), "latent": latent, **masks}
    return {}


@functools.cache
def model_and_latent():
    return {"model": tiny_model("EPS"), "latent": {"samples": random_latent()}}


@functools.cache
def tiny_module():
    """A loaded module of the tiny model, untrained."""
    learned, network = module("nodes.learned_module"), module("nodes.module_network")
    base = tiny_model("EPS").model
    made = network.ModuleNetwork(4, **base.model_config.unet_config)
    network.copy_encoder(made, base.diffusion_model)
    config = {name: value for name, value in base.model_config.unet_config.items() if name != "dtype"}
    return learned.LoadedModule(learned.controlnet_with(made.state_dict(), config, 4), base.latent_format)


@functools.cache
def segmenter():
    return run_node("PhDLoadSegmenter", model="grabcut (no weights)").values[0]


NODES = {node.GET_SCHEMA().node_id: node for node in asyncio.run(module("nodes").PhDExtension().get_node_list())}
# Every input that takes a link, and with it anything that a prompt names there.
SOCKETS = {
    f"{kind}, {given.id}": (kind, given)
    for kind, node in NODES.items()
    for given in node.GET_SCHEMA().inputs
    if not isinstance(given, io.WidgetInput) or given.force_input
}
# What stands for "nothing" there.
TAKEN_EMPTY = {"boxes": ([], [[]]), "track": ([[]], [None, None]), "negative": ([],)}
WRONG = [5, "x" * 10_000, ["x" * 10_000], [5], {"x": 5}, [], [[]], [None, None], torch.zeros(5), [torch.zeros(5)]]


@pytest.mark.parametrize("socket", list(SOCKETS))
def test_what_is_of_a_wrong_type_on_a_socket_is_named_with_what_came_and_what_to_do(socket):
    """ComfyUI checks what is linked, and lets null and literal values in a prompt pass."""
    kind, given = SOCKETS[socket]
    inputs = NODES[kind].GET_SCHEMA().inputs
    required = {other.id: getattr(other, "default", None) for other in inputs if not other.optional}
    for value in [*WRONG, *([] if given.optional else [None])]:
        if isinstance(value, str) and given.io_type == "STRING":
            continue
        if isinstance(value, list) and value in TAKEN_EMPTY.get(given.id, ()):
            continue
        with pytest.raises(ValueError) as error:
            NODES[kind].execute(**required | good(kind) | {given.id: value})
        message, raised = str(error.value), error.traceback[-1]
        assert message.startswith(given.id), f"{value!r}: {message}"
        assert "connect" in message or "must be" in message, f"{value!r}: {message}"
        assert "\n" not in message and "x" * 121 not in message
        assert str(ROOT) in str(raised.path)


WIDGETS = {
    f"{kind}, {given.id}": (kind, given)
    for kind, node in NODES.items()
    for given in node.GET_SCHEMA().inputs
    if isinstance(given, (io.Int.Input, io.Float.Input, io.Boolean.Input, io.String.Input))
    and given.default is not None
}


@pytest.mark.parametrize("widget", list(WIDGETS))
def test_what_does_not_belong_on_a_widget_is_named_when_it_comes_through_a_link(widget):
    """ComfyUI checks what is written on a widget, and lets any value and number through a link."""
    kind, given = WIDGETS[widget]
    values = [torch.zeros(2), [None], {}, object()]
    if hasattr(given, "min"):
        values += [given.min - 1, given.max + 1, "5"] + ([float("nan")] if given.io_type == "FLOAT" else [1.5])
    else:
        values += [5]
    for value in values:
        with pytest.raises(ValueError, match=f"^{given.id} is .*; it must be ") as error:
            NODES[kind].execute(**good(kind) | {given.id: value})
        assert "\n" not in str(error.value)


TEXTS = {
    f"{kind}, {given.id}": (kind, given.id)
    for kind, node in NODES.items()
    for given in node.GET_SCHEMA().inputs
    if isinstance(given, (io.Combo.Input, io.String.Input))
}


@pytest.mark.parametrize("widget", list(TEXTS))
def test_of_a_long_text_in_a_widget_at_most_120_characters_are_quoted(widget):
    kind, name = TEXTS[widget]
    inputs = NODES[kind].GET_SCHEMA().inputs
    required = {other.id: getattr(other, "default", None) for other in inputs if not other.optional}
    try:
        shown = NODES[kind].execute(**required | good(kind) | {name: "x" * 10_000}).ui or {"text": []}
        said = " ".join(shown["text"])
    except ValueError as error:
        said = str(error)
        assert said.startswith(name)
    assert "x" * 121 not in said


@pytest.mark.parametrize("text", ["x" * 10_000, '{"x": "' + "x" * 10_000 + '"}', '{"flip": "' + "x" * 10_000 + '"}'])
def test_a_long_placement_is_not_quoted_whole(text):
    message = refused("PhDPasteBlend", **good("PhDPasteBlend"), placements=text)
    assert message.startswith("placements, line 1") and "x" * 100 in message and "x" * 121 not in message


def test_a_latent_of_whole_numbers_is_sampled_as_one_of_floats():
    given, samples = good("PhDMaskedInpaintSampler"), random_latent().round()
    whole, floats = (
        run_node("PhDMaskedInpaintSampler", **given | {"latent": {"samples": each}}).values[0]["samples"]
        for each in (samples.long(), samples)
    )
    assert torch.equal(whole, floats)


def test_a_latent_of_another_vae_is_refused_with_both_channel_counts():
    vae = run_node("PhDLoadDemoModel").values[2]
    inputs = {name: value for name, value in good("PhDStitch").items() if name != "sampled"}
    message = refused("PhDStitch", **inputs, latent={"samples": random_latent()}, vae=vae)
    assert message.startswith(f"latent has 4 channels, but the VAE works on {vae.latent_channels}: connect")


def other_crop():
    return run_node("PhDCrop", **good("PhDCrop") | {"composite": make_image(50, 70)}).values[0]


IMAGES = {
    "PhDSegment": ["image"],
    "PhDPasteBlend": ["background", "subject"],
    "PhDCrop": ["composite", "reference"],
    "PhDStitch": ["background", "composite", "sampled", "sampled_reference"],
}
MASKS = {
    "PhDPasteBlend": ["subject_mask", "earlier_subjects"],
    "PhDCrop": ["inpaint_mask", "harmonize_mask"],
    "PhDStitch": ["subject_matte", "harmonize_mask"],
}
BATCHED = {kind: [*IMAGES[kind], *MASKS[kind]] for kind in MASKS}


def each(table):
    return [(kind, name) for kind, names in table.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), each(IMAGES))
@pytest.mark.parametrize("shape", [(60, 80), (1, 60, 80, 2), (1, 2, 60, 80, 3), (0, 60, 80, 3), (1, 0, 80, 3)])
def test_what_is_no_image_is_named(kind, name, shape):
    message = refused(kind, **good(kind) | {name: torch.zeros(shape)})
    assert message == f"{name} must be an image [B,H,W,C] with 1, 3 or 4 channels; this one is {shape}."
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
    assert "Batch sizes must match or be 1" in message
    assert f"{name}: 3" in message and f"{first}: 2" in message
    assert run_node(kind, **good(kind)).values


@pytest.mark.parametrize(
    ("kind", "changes", "parts"),
    [
        ("PhDPasteBlend", {"placement": "somewhere"}, ["placement", "'somewhere'", "manual", "random"]),
        ("PhDPasteBlend", {"size": 0.0}, ["size", "0.0", "0.01"]),
        ("PhDPasteBlend", {"ring": -1}, ["ring", "-1"]),
        ("PhDCrop", {"side": 0}, ["side", "0", "64"]),
        ("PhDCrop", {"reference": make_image(50, 70)}, ["reference is 70×50", "composite is 80×60", "connect"]),
        ("PhDStitch", {"composite": make_image(50, 70)}, ["composite is 70×50", "background is 80×60", "connect"]),
        ("PhDStitch", {"crop": other_crop}, ["crop was cut from an image of 70×50", "80×60", "connect"]),
        ("PhDStitch", {"detail": 1.5}, ["detail", "1.5"]),
    ],
)
def test_values_that_do_not_fit_are_named(kind, changes, parts):
    changes = {name: value() if callable(value) else value for name, value in changes.items()}
    message = refused(kind, **good(kind) | changes)
    for part in parts:
        assert part in message
    assert run_node(kind, **good(kind)).values


@pytest.mark.parametrize("kind", list(IMAGES))
def test_nan_and_values_out_of_range_are_taken(kind):
    wild = SCENE.clone()
    wild[0, :5], wild[0, 5:10], wild[0, 10:15] = torch.nan, torch.inf, -3.0
    values = list(run_node(kind, **good(kind) | dict.fromkeys(IMAGES[kind], wild)).values)
    values = list(pasted_parts(values)) if kind == "PhDPasteBlend" else values
    if "background" in IMAGES[kind]:
        # Outside its mask the background keeps its own values.
        outside = values[2 if kind == "PhDPasteBlend" else 1] == 0
        assert torch.equal(values[0][outside].nan_to_num(7), wild[outside].nan_to_num(7))
        values[0] = values[0][~outside]
    for value in values:
        if isinstance(value, torch.Tensor):
            assert value.isfinite().all() and value.min() >= 0 and value.max() <= 1


@pytest.mark.parametrize("kind", list(IMAGES))
def test_half_precision_is_taken(kind):
    halves = {name: SCENE.half() for name in IMAGES[kind]} | {name: MASK.half() for name in MASKS.get(kind, [])}
    for value in run_node(kind, **good(kind) | halves).values:
        if isinstance(value, torch.Tensor):
            assert value.dtype == torch.float32


def test_a_missing_demo_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module("nodes.demo_weights"), "WEIGHTS", tmp_path)
    message = refused("PhDLoadDemoModel")
    assert "demo/weights/unet.safetensors is missing" in message and "reinstall" in message


EMPTY, FULL = torch.zeros(1, 60, 80), torch.ones(1, 60, 80)
WIDE, WIDE_MASK = make_image(8, 16384), block(8, 16384, 2, 9000, 6, 9400)
ONE, ONE_MASK = make_image(1, 1), torch.ones(1, 1, 1)


def wide(kind):
    return dict.fromkeys(IMAGES[kind], WIDE) | dict.fromkeys(MASKS.get(kind, []), WIDE_MASK)


def tiny(kind):
    return dict.fromkeys(IMAGES[kind], ONE) | dict.fromkeys(MASKS.get(kind, []), ONE_MASK)


def at(**placement):
    """A placement as text, through which every number reaches the node."""
    return {"placements": json.dumps(placement)}


PASTE, CROP, STITCH = "PhDPasteBlend", "PhDCrop", "PhDStitch"

# Node, what is unusual about its inputs, and what its messages contain: "" where it just works.
TAKEN = {
    "empty subject mask": (PASTE, {"subject_mask": EMPTY}, "empty: the scene passes through unchanged"),
    "empty mask to crop": (CROP, {"inpaint_mask": EMPTY, "harmonize_mask": EMPTY}, "the window is the whole image"),
    "empty masks to stitch": (STITCH, {"subject_matte": EMPTY, "harmonize_mask": EMPTY}, "passes through unchanged"),
    "all-ones subject mask": (PASTE, {"subject_mask": FULL}, ""),
    "all-ones masks to crop": (CROP, {"inpaint_mask": FULL, "harmonize_mask": FULL}, "Window 80×60 at (0, 0)"),
    "all-ones masks to stitch": (STITCH, {"subject_matte": FULL, "harmonize_mask": FULL}, ""),
    "all-ones earlier subjects": (PASTE, {"earlier_subjects": FULL}, ""),
    "subject off the canvas": (PASTE, {"x": -3.0}, "is completely outside the scene"),
    "subject far off the canvas": (PASTE, at(x=1e4, y=-1e4), "is completely outside the scene"),
    "NaN in a mask": (PASTE, {"subject_mask": MASK + torch.where(MASK > 0, 0.0, torch.nan)}, ""),
    "all NaN mask": (PASTE, {"subject_mask": FULL * torch.nan}, "empty: the scene passes through unchanged"),
    "infinite mask": (PASTE, {"subject_mask": torch.where(MASK > 0, torch.inf, -torch.inf)}, ""),
    "mask of 0 to 255": (PASTE, {"subject_mask": (MASK * 255).to(torch.uint8)}, ""),
    "mask of another size": (PASTE, {"subject_mask": block(30, 40, 10, 15, 20, 25)}, "40×30 pixels and was resized"),
    "one pixel": (PASTE, tiny(PASTE), ""),
    "one pixel to crop": (CROP, tiny(CROP), "Window 1×1"),
    "one pixel to stitch": (STITCH, tiny(STITCH), ""),
    "one pixel of a subject": (PASTE, {"subject_mask": block(60, 80, 5, 5, 6, 6)}, ""),
    "16k wide": (PASTE, wide(PASTE), ""),
    "16k wide scene": (PASTE, {"background": WIDE}, ""),
    "16k wide exemplar": (PASTE, {"subject": WIDE, "subject_mask": WIDE_MASK}, ""),
    "16k wide to crop": (CROP, wide(CROP) | {"reference": WIDE}, "Window 432×108"),
    "16k wide to stitch": (STITCH, wide(STITCH), ""),
    "16k high": (PASTE, {"background": WIDE.transpose(1, 2).contiguous()}, ""),
    "rotation of 1e9": (PASTE, at(rotation=1e9), ""),
    "subject larger than the scene": (PASTE, {"size": 8.0}, ""),
    "subject 10000 times the scene": (PASTE, at(size=1e4), ""),
    "subject of a hundredth of a pixel": (PASTE, at(size=1e-4), "is too small to be seen"),
    "edge_fade wider than the image": (STITCH, {"edge_fade": 256}, ""),
    "context wider than the image": (CROP, {"context": 8.0}, "Window 80×60"),
    "ring wider than the image": (PASTE, {"ring": 512}, ""),
    "sampled image of one pixel": (STITCH, {"sampled": ONE}, ""),
    "largest smallest size": (
        PASTE,
        {"placement": "random", "size_min": 8.0, "size_max": 0.01, "min_visible": 1.0},
        "",
    ),
}


@pytest.mark.parametrize("case", list(TAKEN))
def test_bad_input_that_is_taken_gives_an_image_and_a_message(case):
    kind, changes, message = TAKEN[case]
    given = good(kind) | changes
    ran = run_node(kind, **given)
    assert message in "\n".join(ran.text)
    for value in ran.values:
        if isinstance(value, torch.Tensor):
            assert value.isfinite().all() and value.min() >= 0 and value.max() <= 1
    if kind == PASTE:
        composite, _, matte, inpaint, harmonize, _ = pasted_parts(ran.values)
        assert torch.equal(composite[matte == 0], given["background"][matte == 0])
        assert not ((inpaint > 0) & (matte > 0)).any()
        assert torch.equal(harmonize > 0, (inpaint > 0) | (matte > 0))
        if "passes through" in message or "outside the scene" in message:
            assert torch.equal(composite, given["background"])
    if kind == STITCH:
        assert torch.equal(ran.values[0][ran.values[1] == 0], given["background"][ran.values[1] == 0])


@pytest.mark.parametrize("changes", [{}, {"blend": "Poisson"}, {"blend": "Poisson mixed"}, {"blend": "multi-band"}])
@pytest.mark.parametrize("case", [case for case, (kind, *_) in TAKEN.items() if kind == PASTE])
def test_every_blend_takes_it_too(case, changes):
    _, given, _ = TAKEN[case]
    values = run_node(PASTE, **good(PASTE) | given | changes | {"color_match": 1.0}).values
    composite, _, matte, *_ = pasted_parts(values)
    background = given.get("background", SCENE)
    assert torch.equal(composite[matte == 0], background[matte == 0]) and composite.isfinite().all()


# Node, inputs, and all that the sentence names: the input, what came, and what it may be.
REFUSED = {
    "no pixels": (PASTE, {"background": torch.zeros(1, 0, 0, 3)}, ["background", "(1, 0, 0, 3)"]),
    "subject without pixels": (PASTE, {"subject": torch.zeros(1, 0, 0, 3)}, ["subject", "(1, 0, 0, 3)"]),
    "mask without pixels": (PASTE, {"subject_mask": torch.zeros(1, 0, 0)}, ["subject_mask", "(1, 0, 0)"]),
    "five channels": (PASTE, {"subject": torch.zeros(1, 60, 80, 5)}, ["subject", "(1, 60, 80, 5)", "1, 3 or 4"]),
    "five channels to stitch": (STITCH, {"sampled": torch.zeros(1, 60, 80, 5)}, ["sampled", "(1, 60, 80, 5)"]),
    "batches of 2 and 3": (
        PASTE,
        {"background": SCENE.repeat(2, 1, 1, 1), "subject": SCENE.repeat(3, 1, 1, 1)},
        ["background: 2", "subject: 3"],
    ),
    "batches pasted into one": (
        PASTE,
        {"subject": SCENE.repeat(3, 1, 1, 1), "subject_mask": MASK.repeat(2, 1, 1), "paste_into_one": True},
        ["subject: 3", "subject_mask: 2"],
    ),
    "negative size": (PASTE, at(size=-1), ["placements, line 1", "size is -1", "0.0001 to 10000"]),
    "no size": (PASTE, at(size=0), ["placements, line 1", "size is 0"]),
    "huge size": (PASTE, at(size=1e9), ["placements, line 1", "size is 1000000000.0"]),
    "NaN in a placement": (PASTE, at(x=float("nan")), ["placements, line 1", "x is nan"]),
    "infinity in a placement": (PASTE, at(rotation=float("inf")), ["placements, line 1", "rotation is inf"]),
    "no placement": (PASTE, {"placements": "left"}, ["placements, line 1", "'left'", "one looks like this"]),
    "size below the widget's": (PASTE, {"size": -1.0}, ["size", "-1.0", "0.01"]),
    "size above the widget's": (PASTE, {"size": 1e9}, ["size", "1000000000.0", "8.0"]),
    "rotation above the widget's": (PASTE, {"rotation": 1e9}, ["rotation", "1000000000.0", "360"]),
    "ring above the widget's": (PASTE, {"ring": 10**9}, ["ring", "512"]),
    "negative side": (CROP, {"side": -8}, ["side", "-8"]),
    "small side": (CROP, {"side": 8}, ["side is 8", "64"]),
    "reference of another size": (
        CROP,
        {"reference": make_image(50, 70)},
        ["reference is 70×50", "composite is 80×60"],
    ),
    "composite of another size": (STITCH, {"composite": ONE}, ["composite is 1×1", "background is 80×60"]),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_bad_input_that_is_refused_is_named(case):
    kind, changes, parts = REFUSED[case]
    message = refused(kind, **good(kind) | changes)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((PASTE, name) for name in ("x", "y", "size", "rotation")),
        *((PASTE, name) for name in ("feather", "color_match", "min_visible", "size_min", "size_max")),
        (CROP, "context"),
        *((STITCH, name) for name in ("detail", "keep_surround", "color_fix", "relight_strength")),
    ],
)
def test_a_nan_in_a_widget_is_named(kind, name):
    """ComfyUI's own check of a widget's range lets NaN pass."""
    message = refused(kind, **good(kind) | {name: float("nan")})
    assert message.startswith(f"{name} is nan; ") and "must be a number" in message
