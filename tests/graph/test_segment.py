"""PhDLoadSegmenter and PhDSegment, through the real executor."""

import dataclasses

import folder_paths
import numpy as np
import pytest
import torch
from graph_support import block, module, refused, run_node

segment = module("nodes.segment")


def scene(height=60, width=80, channels=3, batch=1):
    """A red square of 30×30 at (25, 15) on green."""
    image = torch.zeros(batch, height, width, channels)
    image[..., min(1, channels - 1)] = 0.6
    image[:, 15:45, 25:55] = 0.1
    image[:, 15:45, 25:55, 0] = 0.9
    # GrabCut's colour models need some spread.
    return (image + 0.02 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def grabcut():
    return run_node("PhDLoadSegmenter", model=segment.GRABCUT).values[0]


def finds(mask):
    """A segmenter that gives `mask` for every picture."""
    answer = np.asarray(mask, np.float32)
    return dataclasses.replace(grabcut(), name="fixed", find=lambda picture, prompt: answer, needs_prompt=False)


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
    mask, cutout, box = run_node("PhDSegment", image=scene(), segmenter=grabcut(), **given).values
    assert overlap(mask, SQUARE) > 0.9
    assert mask.shape == (1, 60, 80) and cutout.shape == (1, 60, 80, 4)
    assert torch.equal(cutout[..., 3], mask)
    assert all(abs(box[name] - wanted) <= 1 for name, wanted in (("x", 25), ("y", 15), ("width", 30), ("height", 30)))


def test_the_cut_out_has_the_subject_s_colours_beyond_its_edge():
    _, cutout, _ = run_node("PhDSegment", image=scene(), segmenter=grabcut(), box="20, 10, 40, 40").values
    red, green, _, _ = cutout[0, 30, 23]
    assert red > 0.7 and green < 0.3


def test_nothing_found_is_an_empty_mask_and_a_sentence():
    ran = run_node("PhDSegment", image=scene(batch=2), segmenter=finds(np.zeros((60, 80))))
    assert not ran.values[0].any()
    assert ran.values[2] == {"x": 0, "y": 0, "width": 0, "height": 0}
    assert ran.text == [f"No subject found in picture {index}: its mask is empty." for index in (1, 2)]


def test_a_box_beside_the_picture_finds_nothing():
    ran = run_node("PhDSegment", image=scene(), segmenter=grabcut(), box="500, 500, 40, 40")
    assert not ran.values[0].any()
    assert "No subject found" in ran.text[0]


def test_the_picture_shown_is_the_cut_out():
    ran = run_node("PhDSegment", image=scene(), segmenter=finds(SQUARE[0]))
    assert len(ran.execution.outputs["node"]["images"]) == 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_and_rgba_pictures_work(channels):
    mask, cutout, _ = run_node(
        "PhDSegment", image=scene(channels=channels), segmenter=grabcut(), box="20, 10, 40, 40"
    ).values
    assert cutout.shape == (1, 60, 80, 4)
    assert overlap(mask, SQUARE) > 0.9


@pytest.mark.parametrize("given", [{"box": "0, 0, 1, 1"}, {"positive_points": "0, 0"}])
def test_a_picture_of_one_pixel_works(given):
    mask, cutout, _ = run_node("PhDSegment", image=torch.ones(1, 1, 1, 3), segmenter=grabcut(), **given).values
    assert mask.shape == (1, 1, 1) and cutout.shape == (1, 1, 1, 4)


def test_a_flat_picture_works():
    assert run_node("PhDSegment", image=torch.full((1, 40, 40, 3), 0.5), segmenter=grabcut(), box="9, 9, 20, 20").values


def test_items_of_a_batch_do_not_depend_on_each_other():
    one, other = scene(), scene().flip(2)
    given = {"segmenter": grabcut(), "box": "15, 10, 50, 40"}
    together = run_node("PhDSegment", image=torch.cat([one, other]), **given).values[0]
    for index, image in enumerate((one, other)):
        alone = run_node("PhDSegment", image=image, **given).values[0]
        assert torch.equal(together[index : index + 1], alone)


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


def test_grabcut_without_a_prompt_says_what_it_needs():
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
def test_a_prompt_that_is_none_is_named(name, text):
    message = refused("PhDSegment", image=scene(), segmenter=grabcut(), **{"box": "20, 10, 40, 40", name: text})
    assert message.startswith(f"{name} is ") and repr(text) in message and "must be" in message


def test_another_word_for_keep_is_refused():
    message = refused("PhDSegment", image=scene(), segmenter=finds(SQUARE[0]), keep="smallest")
    assert "keep" in message and "smallest" in message and "largest" in message


@pytest.fixture
def models(tmp_path, monkeypatch):
    """An empty models/segmentation."""
    known = {**folder_paths.folder_names_and_paths, "segmentation": ([str(tmp_path)], {".onnx"})}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


def test_model_files_are_offered(models):
    (models / "u2netp.onnx").write_bytes(b"")
    (models / "notes.txt").write_bytes(b"")
    assert segment.segmenters() == [segment.GRABCUT, "u2netp.onnx"]


def test_a_model_file_that_is_none_is_named(models):
    (models / "notes.onnx").write_text("these are notes")
    message = refused("PhDLoadSegmenter", model="notes.onnx")
    assert "notes.onnx" in message and "ONNX" in message


@pytest.mark.parametrize("name", ["gone.onnx", "../../secret.onnx"])
def test_a_model_file_that_is_not_offered_is_refused(models, name):
    message = refused("PhDLoadSegmenter", model=name)
    assert "model" in message and name in message
