"""PhDLoadSegmenter and PhDSegment, through the real executor."""

import dataclasses
import functools
import json
import os
import pickle
import shutil

import comfy.model_management
import folder_paths
import numpy as np
import pytest
import torch
from node_support import ROOT, block, module, refused, run_node
from safetensors.torch import save_file

loading = module("nodes.load_segmenter")


def scene(height=60, width=80, channels=3, batch=1):
    """A red square of 30×30 at (25, 15) on green."""
    image = torch.zeros(batch, height, width, channels)
    image[..., min(1, channels - 1)] = 0.6
    image[:, 15:45, 25:55] = 0.1
    image[:, 15:45, 25:55, 0] = 0.9
    # GrabCut's color models need some spread.
    image = (image + 0.02 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    image[..., 3:] = 1
    return image


def grabcut():
    return run_node("PhDLoadSegmenter", model=loading.GRABCUT).values[0]


def finds(mask):
    """A segmenter that gives `mask` for every image."""
    answer = np.asarray(mask, np.float32)
    return dataclasses.replace(grabcut(), name="fixed", find=lambda image, prompt: answer, needs_prompt=False)


SQUARE = block(60, 80, 15, 25, 45, 55)


def overlap(mask, wanted):
    return float(((mask > 0.5) & (wanted > 0.5)).sum() / ((mask > 0.5) | (wanted > 0.5)).sum())


@pytest.mark.parametrize(
    "given",
    [
        {"box": "20, 10, 40, 40"},
        {"box": "[20, 10, 40, 40]"},
        {"box": '[{"x": 20, "y": 10, "width": 40, "height": 40}]'},
        {"positive_points": "40, 30; 30, 20", "negative_points": "5, 5; 75, 55"},
        {"positive_points": "[[40, 30], [30, 20]]", "negative_points": '[{"x": 5, "y": 5}, {"x": 75, "y": 55}]'},
    ],
)
def test_grabcut_finds_the_square(given):
    mask, cutout, box, _ = run_node("PhDSegment", image=scene(), segmenter=grabcut(), **given).values
    assert overlap(mask, SQUARE) > 0.9
    assert mask.shape == (1, 60, 80) and cutout.shape == (1, 60, 80, 4)
    assert torch.equal(cutout[..., 3], mask)
    assert all(abs(box[name] - wanted) <= 1 for name, wanted in (("x", 25), ("y", 15), ("width", 30), ("height", 30)))


def test_the_cut_out_has_the_subject_s_colors_beyond_its_edge():
    _, cutout, _, _ = run_node("PhDSegment", image=scene(), segmenter=grabcut(), box="20, 10, 40, 40").values
    red, green, _, _ = cutout[0, 30, 23]
    assert red > 0.7 and green < 0.3


def test_a_cut_out_that_is_segmented_keeps_its_colors_at_its_soft_edge():
    """They are the subject's own already: no background shows through, whatever transparent pixels hold."""
    alpha = SQUARE.clone()
    alpha[:, 14] = alpha[:, 13] = 0.5 * SQUARE[:, 15]
    image = torch.dstack([0.5 * (alpha[0, ..., None] > 0).expand(-1, -1, 3), alpha[0]])[None]
    mask, cutout, _, _ = run_node("PhDSegment", image=image, segmenter=finds(np.ones((60, 80)))).values
    assert torch.equal(mask, alpha)
    torch.testing.assert_close(cutout[0, ..., :3][alpha[0] > 0], image[0, ..., :3][alpha[0] > 0], rtol=0, atol=2 / 255)


def test_nothing_found_is_an_empty_mask_and_a_sentence():
    ran = run_node("PhDSegment", image=scene(batch=2), segmenter=finds(np.zeros((60, 80))))
    assert not ran.values[0].any()
    assert ran.values[2] == {"x": 0, "y": 0, "width": 0, "height": 0}
    assert ran.text == ["No subject found: the mask is empty."]


def test_a_box_beside_the_image_finds_nothing():
    ran = run_node("PhDSegment", image=scene(), segmenter=grabcut(), box="500, 500, 40, 40")
    assert not ran.values[0].any()
    assert "box" in ran.text[0] and "outside the image of 80×60 pixels" in ran.text[0]
    assert "No subject found" in ran.text[1]


def test_the_image_shown_is_the_cut_out(page):
    ran = run_node("PhDSegment", image=scene(), segmenter=finds(SQUARE[0]))
    assert len(ran.execution.outputs["node"]["images"]) == 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_and_rgba_images_work(channels):
    mask, cutout, _, _ = run_node(
        "PhDSegment", image=scene(channels=channels), segmenter=grabcut(), box="20, 10, 40, 40"
    ).values
    assert cutout.shape == (1, 60, 80, 4)
    assert overlap(mask, SQUARE) > 0.9


@pytest.mark.parametrize("given", [{"box": "0, 0, 1, 1"}, {"positive_points": "0, 0"}])
def test_an_image_of_one_pixel_works(given):
    mask, cutout, _, _ = run_node("PhDSegment", image=torch.ones(1, 1, 1, 3), segmenter=grabcut(), **given).values
    assert mask.shape == (1, 1, 1) and cutout.shape == (1, 1, 1, 4)


def test_a_flat_image_works():
    assert run_node("PhDSegment", image=torch.full((1, 40, 40, 3), 0.5), segmenter=grabcut(), box="9, 9, 20, 20").values


def test_items_of_a_batch_do_not_depend_on_each_other():
    one, other = scene(), scene().flip(2)
    given = {"segmenter": grabcut(), "box": "15, 10, 50, 40"}
    batch = run_node("PhDSegment", image=torch.cat([one, other]), **given).values[0]
    for index, image in enumerate((one, other)):
        alone = run_node("PhDSegment", image=image, **given).values[0]
        assert torch.equal(batch[index : index + 1], alone)


def test_threshold_keep_and_grow():
    soft = np.zeros((60, 80), np.float32)
    soft[15:45, 25:55], soft[2:6, 2:6] = 0.6, 0.9
    everything = {"image": scene(), "segmenter": finds(soft)}
    assert run_node("PhDSegment", **everything).values[0].unique().tolist() == pytest.approx([0, 0.6])
    all_parts = run_node("PhDSegment", **everything, threshold=0.5, keep="all").values[0]
    assert set(all_parts.unique().tolist()) == {0, 1}
    assert all_parts.sum() == 900 + 16
    assert run_node("PhDSegment", **everything, threshold=0.8, keep="all").values[0].sum() == 16
    assert run_node("PhDSegment", **everything, threshold=0.5, grow=-3).values[0].sum() == 24 * 24


def test_grabcut_without_a_prompt_is_refused_with_what_it_needs():
    for given in ({}, {"negative_points": "5, 5"}):
        message = refused("PhDSegment", image=scene(), segmenter=grabcut(), **given)
        assert "grabcut" in message and "box" in message and "positive points" in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("box", "left"),
        ("box", "1, 2, 3"),
        ("box", "1, 2, 30, 40; 1, 2, 30, 40"),
        ("box", "10, 10, -5, 20"),
        ("box", '[{"x": 1}]'),
        ("box", '[{"x": 1'),
        ("positive_points", "1, 2, 3"),
        ("positive_points", "1e999, 1"),
        ("positive_points", "1-2, 3"),
        ("positive_points", '[{"x": NaN, "y": 2}]'),
        ("positive_points", '[{"x": null, "y": 2}]'),
        ("positive_points", '[1, {"x": 1}]'),
        ("negative_points", "__import__('os')"),
        ("negative_points", "9999999999, 5"),
    ],
)
def test_a_malformed_prompt_is_refused_by_its_widget_s_name(name, text):
    message = refused("PhDSegment", image=scene(), segmenter=grabcut(), **{"box": "20, 10, 40, 40", name: text})
    assert message.startswith(f"{name} is ") and repr(text) in message and "must be" in message


def test_another_word_for_keep_is_refused():
    message = refused("PhDSegment", image=scene(), segmenter=finds(SQUARE[0]), keep="smallest")
    assert "keep" in message and "smallest" in message and "largest" in message


# Several subjects, and what other nodes give

TWO = np.maximum(block(60, 80, 5, 5, 25, 25)[0].numpy(), block(60, 80, 30, 40, 40, 60)[0].numpy())
FIRST, SECOND = {"x": 4, "y": 4, "width": 22, "height": 22}, {"x": 38, "y": 28, "width": 24, "height": 14}


def subjects_of(**inputs):
    """What Segment gives as its list of subjects, and the sum of each."""
    found = run_node("PhDSegment", **inputs).values[3]
    return [int(mask.sum()) for mask in (found if isinstance(found, list) else [found])]


def test_all_parts_come_as_a_list_of_masks_the_largest_first():
    assert subjects_of(image=scene(), segmenter=finds(TWO), keep="all") == [400, 200]
    assert subjects_of(image=scene(), segmenter=finds(TWO)) == [400]
    assert subjects_of(image=scene(batch=2), segmenter=finds(TWO), keep="all") == [400, 200] * 2


def test_nothing_found_is_a_list_of_one_empty_mask():
    assert subjects_of(image=scene(batch=2), segmenter=finds(np.zeros((60, 80)))) == [0]


@pytest.mark.parametrize("boxes", [[SECOND, FIRST], [[SECOND, FIRST]]])
def test_boxes_of_other_nodes_are_one_subject_each(boxes):
    given = {"image": scene(), "segmenter": finds(TWO), "keep": "prompted", "boxes": boxes}
    assert subjects_of(**given) == [200, 400]
    mask, _, box, _ = run_node("PhDSegment", **given).values
    assert np.array_equal(mask[0], TWO)
    assert box == {"x": 5, "y": 5, "width": 55, "height": 35}


def test_boxes_may_differ_from_image_to_image():
    mask = run_node(
        "PhDSegment", image=scene(batch=2), segmenter=finds(TWO), keep="prompted", boxes=[[FIRST], [SECOND]]
    ).values[0]
    assert mask.sum(dim=(1, 2)).tolist() == [400, 200]


def test_a_box_of_another_node_is_a_prompt_like_one_that_is_written():
    given = {"image": scene(), "segmenter": grabcut()}
    written = run_node("PhDSegment", **given, box="20, 10, 40, 40").values[0]
    linked = run_node("PhDSegment", **given, boxes={"x": 20, "y": 10, "width": 40, "height": 40}).values[0]
    assert torch.equal(written, linked)


def test_segment_accepts_its_own_box_output():
    box = run_node("PhDSegment", image=scene(), segmenter=finds(SQUARE[0])).values[2]
    assert run_node("PhDSegment", image=scene(), segmenter=grabcut(), boxes=box).values[2] == box


def test_points_go_with_the_box_they_lie_in():
    prompts = []

    def find(image, prompt):
        prompts.append((len(prompt.positive), len(prompt.negative)))
        return TWO

    asking = dataclasses.replace(finds(TWO), find=find)
    points = {"positive_points": "10, 10; 45, 35; 50, 35", "negative_points": "20, 20"}
    run_node("PhDSegment", image=scene(), segmenter=asking, boxes=[FIRST, SECOND], **points)
    assert prompts == [(1, 1), (2, 0)]


@pytest.mark.parametrize(
    "boxes",
    [5, [5], {"x": 1}, [{**FIRST, "width": -4}], [{**FIRST, "x": float("nan")}], [{**FIRST, "x": 1e12}], [[FIRST], 3]],
)
def test_malformed_boxes_are_refused(boxes):
    given = Holder(boxes) if isinstance(boxes, int) else boxes
    message = refused("PhDSegment", image=scene(), segmenter=finds(TWO), boxes=given)
    assert message.startswith("boxes is ") and "x, y, width and height" in message


class Holder:
    """A number that is linked and no widget."""

    def __init__(self, number):
        self.number = number


def test_boxes_for_another_number_of_images_are_refused():
    message = refused("PhDSegment", image=scene(batch=3), segmenter=finds(TWO), boxes=[[FIRST], [SECOND]])
    assert "boxes has lists for 2 images, and image has 3" in message


@pytest.mark.parametrize("boxes", [[], [[]]])
@pytest.mark.parametrize("segmenter", [grabcut, lambda: finds(TWO)])
def test_no_detection_is_no_subject_and_not_the_whole_image(segmenter, boxes):
    ran = run_node("PhDSegment", image=scene(), segmenter=segmenter(), boxes=boxes, box="20, 10, 40, 40")
    assert not ran.values[0].any()
    assert ran.text == ["No subject found: the mask is empty."]


def test_points_still_point_at_the_subject_where_no_box_was_detected():
    points = {"positive_points": "40, 30; 30, 20", "negative_points": "5, 5; 75, 55"}
    given = {"image": scene(), "segmenter": grabcut(), **points}
    assert torch.equal(run_node("PhDSegment", **given, boxes=[[]]).values[0], run_node("PhDSegment", **given).values[0])


def test_an_empty_rough_mask_leaves_the_box_to_decide_and_gives_a_message():
    given = {"image": scene(), "segmenter": grabcut(), "box": "20, 10, 40, 40"}
    alone = run_node("PhDSegment", **given).values[0]
    ran = run_node("PhDSegment", **given, rough_mask=torch.zeros(1, 64, 64))
    assert torch.equal(ran.values[0], alone) and overlap(alone, SQUARE) > 0.9
    text = "rough_mask is empty (nowhere above 0.5): the box and the points decide."
    assert text in ran.text and text in ran.execution.outputs["node"]["phd_warnings"]


@pytest.mark.parametrize("segmenter", [grabcut, lambda: finds(TWO)])
def test_an_empty_rough_mask_alone_points_at_nothing(segmenter):
    ran = run_node("PhDSegment", image=scene(), segmenter=segmenter(), rough_mask=torch.zeros(1, 60, 80))
    assert not ran.values[0].any()
    assert ran.text[0].startswith("rough_mask is empty") and "No subject found" in ran.text[1]


BOTH = {"boxes": [[FIRST], []], "rough_mask": torch.cat([torch.zeros(1, 60, 80), block(60, 80, 30, 40, 40, 60)])}


@pytest.mark.parametrize("inputs", [["boxes"], ["rough_mask"], ["boxes", "rough_mask"]])
@pytest.mark.parametrize("segmenter", [grabcut, lambda: finds(TWO)])
def test_an_image_s_mask_does_not_depend_on_its_batch(segmenter, inputs):
    images, segmenter = torch.cat([scene(), scene().flip(2)]), segmenter()
    batch = run_node("PhDSegment", image=images, segmenter=segmenter, **{name: BOTH[name] for name in inputs}).values[0]
    for index in range(2):
        own = {name: BOTH[name][index : index + 1] for name in inputs}
        alone = run_node("PhDSegment", image=images[index : index + 1], segmenter=segmenter, **own).values[0]
        assert torch.equal(batch[index], alone[0])


def test_points_and_boxes_as_fractions_of_the_image_are_scaled_and_give_a_message():
    pixels = {"positive_points": "40, 30; 30, 20", "negative_points": "4, 3; 76, 57"}
    fractions = {
        "positive_points": "0.5, 0.5; 0.375, 0.33333333333333333",
        "negative_points": "[[.05, .05], [.95, .95]]",
    }
    given = {"image": scene(), "segmenter": grabcut()}
    wanted, ran = run_node("PhDSegment", **given, **pixels), run_node("PhDSegment", **given, **fractions)
    assert torch.equal(ran.values[0], wanted.values[0]) and overlap(wanted.values[0], SQUARE) > 0.9
    for name in pixels:
        assert (
            f"{name} has numbers of 0 to 1 only: they are taken as fractions of the image's 80×60 pixels." in ran.text
        )
    boxed = run_node("PhDSegment", **given, box="20, 10, 40, 40").values[0]
    fraction = {"x": 0.25, "y": 1 / 6, "width": 0.5, "height": 2 / 3}
    for written in ({"box": json.dumps([fraction])}, {"boxes": [fraction]}):
        ran = run_node("PhDSegment", **given, **written)
        assert torch.equal(ran.values[0], boxed) and "taken as fractions" in ran.text[0]


@pytest.mark.parametrize("text", ["0, 0; 1, 1", "1.5, 0.5", "0.5, 0.5; 40, 30", "-0.5, 0.5"])
def test_points_that_are_no_fractions_are_pixels(text):
    ran = run_node("PhDSegment", image=scene(), segmenter=finds(TWO), positive_points=text)
    assert "fractions" not in " ".join(ran.text)


def test_the_last_pixel_is_at_fraction_1():
    prompts = []
    asking = dataclasses.replace(finds(TWO), find=lambda image, prompt: prompts.append(prompt) or TWO)
    run_node("PhDSegment", image=scene(), segmenter=asking, positive_points="0.0, 0.0; 1.0, 1.0")
    assert prompts[0].positive.tolist() == [[0, 0], [79, 59]]


def test_a_rough_mask_points_at_the_subject_and_may_have_another_size():
    rough = block(120, 160, 24, 44, 96, 116)
    ran = run_node("PhDSegment", image=scene(), segmenter=grabcut(), rough_mask=rough)
    assert overlap(ran.values[0], SQUARE) > 0.9
    assert ran.text == ["rough_mask is 160×120 pixels and was resized to its image's 80×60 pixels."]


def test_a_rough_mask_for_each_image_of_a_batch():
    left, right = block(60, 80, 5, 5, 25, 25), block(60, 80, 30, 40, 40, 60)
    given = {"segmenter": finds(TWO), "keep": "prompted", "rough_mask": torch.cat([left, right])}
    for image in (scene(batch=2), scene()):
        assert run_node("PhDSegment", image=image, **given).values[0].sum(dim=(1, 2)).tolist() == [400, 200]
    message = refused("PhDSegment", image=scene(batch=3), **given)
    assert "image: 3" in message and "rough_mask: 2" in message


def test_transparent_pixels_are_not_subject_and_hidden_from_the_segmenter():
    image = scene(channels=4)
    image[:, :, 40:, 3], image[:, :, 40:, :3] = 0, 1
    seen = []

    def find(array, prompt):
        seen.append(array)
        return SQUARE[0].numpy()

    mask = run_node("PhDSegment", image=image, segmenter=dataclasses.replace(finds(SQUARE[0]), find=find)).values[0]
    assert mask[:, :, 40:].sum() == 0 and mask.sum() == 30 * 15
    assert (seen[0][:, 40:] == 0.5).all() and seen[0].shape == (60, 80, 3)


def test_points_outside_the_image_are_left_out_with_a_message():
    given = {"image": scene(), "segmenter": grabcut(), "negative_points": "5, 5; 75, 55"}
    ran = run_node("PhDSegment", **given, positive_points="40, 30; 30, 20; 80, 10; -1, 5")
    assert "positive_points: 2 of 4 lie outside the image of 80×60 pixels and are left out." in ran.text
    assert overlap(ran.values[0], SQUARE) > 0.9
    ran = run_node("PhDSegment", **given, positive_points="500, 500")
    assert not ran.values[0].any() and "No subject found" in ran.text[-1]


def test_refine_edge_moves_the_mask_s_edge_to_the_image_s():
    grown = finds(block(60, 80, 13, 23, 47, 57)[0])
    refined = run_node("PhDSegment", image=scene(), segmenter=grown, refine_edge=5).values[0]
    assert (refined - SQUARE).abs().mean() < 0.1 * (block(60, 80, 13, 23, 47, 57) - SQUARE).abs().mean()
    hard = run_node("PhDSegment", image=scene(), segmenter=grown, refine_edge=5, threshold=0.5).values[0]
    assert set(hard.unique().tolist()) == {0, 1}
    # Workflows from before have no such input.
    assert run_node("PhDSegment", image=scene(), segmenter=grown).values[0].sum() == 34 * 34


def test_progress_is_reported_for_every_image_and_an_interrupt_ends_the_node():
    heard, seen = [], []

    def find(image, prompt):
        seen.append(1)
        if len(seen) == 2:
            comfy.model_management.interrupt_current_processing()
        return TWO

    asking = dataclasses.replace(finds(TWO), find=find)
    with pytest.raises(Exception, match=r"(?i)interrupt"):
        run_node("PhDSegment", image=scene(batch=5), segmenter=asking)
    assert len(seen) == 2
    run_node("PhDSegment", image=scene(batch=3), segmenter=finds(TWO), on_progress=lambda *step: heard.append(step))
    assert len(heard) >= 3


# Files


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty models/segmentation, beside an empty models/sams."""
    folders = {name: ([str(tmp_path / name)], set()) for name in ("segmentation", "sams")}
    for name in folders:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", {**folder_paths.folder_names_and_paths, **folders})
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


def test_model_files_are_offered(models):
    for name in ("segmentation/u2netp.onnx", "segmentation/notes.txt", "sams/sam_vit_b.pth", "sams/b.safetensors"):
        (models / name).write_bytes(b"")
    assert loading.segmenters() == [loading.GRABCUT, "u2netp.onnx", "b.safetensors", "sam_vit_b.pth"]


@pytest.mark.parametrize("gone", ["sams", "sams/deep"])
def test_a_models_folder_that_vanishes_costs_its_files_alone(models, gone):
    (models / "sams" / "deep").mkdir()
    for name in ("segmentation/u2netp.onnx", "sams/sam_vit_b.pth", "sams/deep/b.pth"):
        (models / name).write_bytes(b"")
    assert len(loading.segmenters()) == 4
    shutil.rmtree(models / gone)
    left = [] if gone == "sams" else ["sam_vit_b.pth"]
    assert loading.segmenters() == [loading.GRABCUT, "u2netp.onnx", *left]
    assert run_node("PhDLoadSegmenter", model=loading.GRABCUT).values[0].needs_prompt


def test_a_model_file_that_vanishes_after_the_listing_is_named(models, monkeypatch):
    monkeypatch.setattr(loading, "files_in", lambda folder: ["gone.onnx"])
    message = refused("PhDLoadSegmenter", model="gone.onnx")
    assert message == "model is 'gone.onnx', which is no longer in models/segmentation: refresh the page."


def test_a_file_that_is_not_a_model_is_refused_by_name(models):
    (models / "segmentation" / "notes.onnx").write_text("these are notes")
    message = refused("PhDLoadSegmenter", model="notes.onnx")
    assert "notes.onnx" in message and "ONNX" in message


@pytest.mark.parametrize("name", ["gone.onnx", "../../secret.onnx", "/etc/passwd"])
def test_a_model_file_that_is_not_offered_is_refused(models, name):
    message = refused("PhDLoadSegmenter", model=name)
    assert "model" in message and name in message


def tiny_sam():
    """A network of segment-anything's own classes with few channels and random weights."""
    from segment_anything import modeling

    torch.manual_seed(0)
    network = modeling.Sam(
        modeling.ImageEncoderViT(
            img_size=64, patch_size=16, embed_dim=16, depth=2, num_heads=2, out_chans=16, use_rel_pos=True,
            norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6), window_size=2, global_attn_indexes=(1,),
        ),
        modeling.PromptEncoder(
            embed_dim=16, image_embedding_size=(4, 4), input_image_size=(64, 64), mask_in_chans=4
        ),
        modeling.MaskDecoder(
            transformer_dim=16, iou_head_hidden_dim=8,
            transformer=modeling.TwoWayTransformer(depth=1, embedding_dim=16, mlp_dim=16, num_heads=8),
        ),
    )  # fmt: skip
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.3)
    return {name: value.contiguous() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["sams/renamed.pth", "sams/renamed.safetensors", "segmentation/renamed.pt"])
def test_a_sam_checkpoint_is_loaded_whatever_its_name(models, name):
    with torch.inference_mode(False):
        weights = tiny_sam()
    if name.endswith("safetensors"):
        save_file(weights, models / name)
    else:
        torch.save(weights, models / name)
    loaded = run_node("PhDLoadSegmenter", model=os.path.basename(name)).values[0]
    mask = run_node("PhDSegment", image=scene(), segmenter=loaded, positive_points="40, 30", keep="all").values[0]
    assert mask.shape == (1, 60, 80)
    assert run_node("PhDSegment", image=scene(), segmenter=loaded).values[0].shape == (1, 60, 80)


def test_sam_encodes_an_image_once_for_several_prompts_and_comfyui_manages_its_weights(models, monkeypatch):
    with torch.inference_mode(False):
        save_file(tiny_sam(), models / "sams" / "sam.safetensors")
    import segment_anything.modeling

    calls, forward = [], segment_anything.modeling.ImageEncoderViT.forward

    def counted(self, x):
        calls.append(1)
        return forward(self, x)

    monkeypatch.setattr(segment_anything.modeling.ImageEncoderViT, "forward", counted)
    loaded = run_node("PhDLoadSegmenter", model="sam.safetensors").values[0]
    for points in ("40, 30", "10, 10", "20, 50; 30, 30"):
        run_node("PhDSegment", image=scene(), segmenter=loaded, positive_points=points)
    assert len(calls) == 1
    managed = [each.model.model for each in comfy.model_management.current_loaded_models if each.model]
    assert any(isinstance(part, segment_anything.modeling.Sam) for model in managed for part in model.modules())
    run_node("PhDSegment", image=scene().flip(1), segmenter=loaded, positive_points="40, 30")
    assert len(calls) == 2


@pytest.fixture
def deeplab(models):
    """A DeepLabV3+ with random weights, in a file with the names of its classes."""
    import segmentation_models_pytorch

    with torch.inference_mode(False):
        network = segmentation_models_pytorch.DeepLabV3Plus(
            encoder_name="tu-mobilenetv2_050", encoder_weights=None, decoder_channels=32, classes=3
        )
        metadata = {"encoder": "tu-mobilenetv2_050", "side": "64", "labels": '["background", "cup", "dog"]'}
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        save_file(weights, models / "segmentation" / "any.safetensors", metadata)
    return run_node("PhDLoadSegmenter", model="any.safetensors").values[0]


def test_a_deeplab_checkpoint_finds_subjects_by_class_name(deeplab):
    shapes = [run_node("PhDSegment", image=scene(), segmenter=deeplab, class_name=name).values[0].shape
              for name in ("auto", "dog", "Cup")]  # fmt: skip
    assert shapes == [(1, 60, 80)] * 3
    message = refused("PhDSegment", image=scene(), segmenter=deeplab, class_name="cat")
    assert message == (
        "class_name is 'cat', which this network does not know. It knows: cup, dog. auto takes the most frequent."
    )


def test_a_class_name_that_the_segmenter_cannot_use_is_said():
    box = {"image": scene(), "box": "20, 10, 40, 40"}
    for segmenter, name in ((grabcut(), "dog"), (finds(SQUARE[0]), "dog")):
        ran = run_node("PhDSegment", segmenter=segmenter, class_name=name, **box)
        assert f"class_name is 'dog', but {segmenter.name} knows no classes" in ran.text[0]
    assert run_node("PhDSegment", segmenter=grabcut(), class_name=" Auto ", **box).text == []


def test_a_class_name_that_the_segmenter_knows_is_not_remarked_on(deeplab):
    assert not any("class_name" in text for text in run_node(
        "PhDSegment", image=scene(), segmenter=deeplab, class_name="dog").text)  # fmt: skip


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["PHD_TEST_TRAP"],)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run_it(models, monkeypatch):
    trap = models / "trap"
    monkeypatch.setenv("PHD_TEST_TRAP", str(trap))
    (models / "sams" / "raw.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"image_encoder.pos_embed": Evil()}, models / "sams" / "zipped.pth")
    for name in ("raw.pth", "zipped.pth"):
        message = refused("PhDLoadSegmenter", model=name)
        assert name in message and "could run code" in message
    assert not trap.exists()
    # The trap itself works.
    pickle.loads((models / "sams" / "raw.pth").read_bytes())
    assert trap.exists()


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(models, ending, share):
    with torch.inference_mode(False):
        weights, file = tiny_sam(), models / "sams" / f"short.{ending}"
        save_file(weights, file) if ending == "safetensors" else torch.save(weights, file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    message = refused("PhDLoadSegmenter", model=file.name)
    assert message.startswith(f"short.{ending} cannot be read: it is cut short or damaged")


@pytest.mark.parametrize("content", [{"model.diffusion_model.x": torch.zeros(2)}, {"w": torch.zeros(2)}, [1, 2], 5])
def test_a_checkpoint_of_another_network_is_refused_with_what_is_supported(models, content):
    torch.save(content, models / "sams" / "other.pth")
    message = refused("PhDLoadSegmenter", model="other.pth")
    assert message.startswith("other.pth") and ("supported are SAM" in message or "cannot be read" in message)


def test_a_missing_package_is_named_on_the_node(models, monkeypatch):
    with torch.inference_mode(False):
        save_file(tiny_sam(), models / "sams" / "sam.safetensors")
    monkeypatch.setitem(__import__("sys").modules, "segment_anything", None)
    message = refused("PhDLoadSegmenter", model="sam.safetensors")
    assert "needs the package segment-anything, which is not installed" in message


def test_all_parts_are_in_the_mask_however_many_there_are():
    many = np.zeros((200, 200), np.float32)
    for top, left in np.ndindex(7, 7):
        many[8 + 27 * top :, 8 + 27 * left :][:10, :10] = 1
    found = run_node("PhDSegment", image=torch.zeros(1, 200, 200, 3), segmenter=finds(many), keep="all", refine_edge=0)
    torch.testing.assert_close(found.values[0][0], torch.from_numpy(many))


@pytest.mark.parametrize("keep", ["largest", "all"])
def test_a_faint_mask_is_a_mask(keep):
    faint = 0.4 * SQUARE.numpy().reshape(60, 80)
    found = run_node("PhDSegment", image=scene(), segmenter=finds(faint), keep=keep, refine_edge=0)
    torch.testing.assert_close(found.values[0][0], torch.from_numpy(faint.astype(np.float32)))


def test_a_transparent_part_is_not_the_largest_one():
    both = np.zeros((60, 80), np.float32)
    both[5:55, 5:40], both[20:40, 50:70] = 1, 1
    image = scene(channels=4)
    image[:, :, :45, 3] = 0
    mask = run_node("PhDSegment", image=image, segmenter=finds(both), refine_edge=0).values[0][0]
    assert mask[:, :45].sum() == 0 and mask[20:40, 50:70].min() == 1


def test_nan_from_a_network_is_background():
    broken = SQUARE.numpy().reshape(60, 80).astype(np.float32)
    broken[:10] = np.nan
    mask, cutout, *_ = run_node("PhDSegment", image=scene(), segmenter=finds(broken)).values
    assert mask.isfinite().all() and cutout.isfinite().all() and mask[0, :10].sum() == 0 and mask[0, 30, 40] == 1


def test_where_a_detector_found_nothing_there_is_no_subject():
    boxes = [[{"x": 20, "y": 10, "width": 40, "height": 40}], []]
    for segmenter in (grabcut(), finds(SQUARE.numpy().reshape(60, 80))):
        mask = run_node("PhDSegment", image=scene(batch=2), segmenter=segmenter, boxes=boxes).values[0]
        assert mask[0].any() and not mask[1].any()


@pytest.mark.parametrize("text", [f'[{{"x": 1{"0" * 400}, "y": 1}}]', "[" * 100000 + "{"])
def test_numbers_beyond_all_bounds_are_refused_in_a_sentence(text):
    message = refused("PhDSegment", image=scene(), segmenter=grabcut(), positive_points=text)
    assert "positive_points is" in message and len(message) < 500


@pytest.mark.parametrize("name", ["box", "positive_points", "negative_points", "class_name", "keep", "candidate"])
def test_a_message_quotes_no_more_than_120_characters_of_a_text(name, deeplab):
    message = refused("PhDSegment", image=scene(), segmenter=deeplab, **{name: "x" * 100_000})
    assert name in message and "x" * 120 in message and "x" * 121 not in message


def test_a_box_that_is_several_is_not_quoted_whole():
    message = refused("PhDSegment", image=scene(), segmenter=grabcut(), box="1, 2, 3, 4; " * 100)
    assert message.startswith("box is ") and len(message) < 250


def test_a_pickle_of_numbered_tensors_is_no_segmenter():
    with pytest.raises(ValueError, match="is not a segmenter that this pack knows"):
        module("phd_ops.segmenters.checkpoint").build({0: torch.zeros(1), 1: torch.zeros(1)}, {})


def test_the_demo_s_points_find_all_of_its_subject():
    """Smaller discs at its points once lost the head, and no other test looks at the demo's mask."""
    prompt = json.loads((ROOT / "demo" / "workflow.json").read_text())
    (given,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "PhDSegment")
    (loaded,) = (node["inputs"] for node in prompt.values() if node["class_type"] == "PhDLoadSegmenter")
    segmenter = run_node("PhDLoadSegmenter", **loaded).values[0]
    widgets = {name: value for name, value in given.items() if not isinstance(value, list)}
    subject = run_node("PhDLoadDemoImages").values[1]
    mask = run_node("PhDSegment", image=subject, segmenter=segmenter, **widgets).values[0][0]
    for name, wanted in (("positive_points", 1), ("negative_points", 0)):
        for x, y in (map(int, point.split(",")) for point in widgets[name].split(";")):
            assert mask[y, x] == pytest.approx(wanted, abs=0.1), (name, x, y)
    assert 0.45 < mask.mean() < 0.6
