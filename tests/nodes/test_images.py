"""What the nodes share: images and masks in, batches, and what a node shows on itself."""

import folder_paths
import numpy as np
import pytest
import torch
from node_support import block, make_image, module, run_node
from PIL import Image

import nodes as core

images, ui = module("nodes.images"), module("nodes.ui")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 5, 3), (1, 4, 5, 3), (2, 4, 5, 4), (2, 4, 5, 1)])
def test_images_of_every_shape_and_type_become_float32_batches(shape, dtype):
    given = torch.rand(shape).to(dtype)
    taken = images.as_images(given, "image")
    assert taken.dtype == np.float32 and taken.ndim == 4
    assert taken.shape[-1] == (3 if shape[-1] == 1 else shape[-1])
    assert np.array_equal(taken[..., :1].ravel(), given.float()[..., :1].numpy().ravel())


def test_images_are_brought_into_range_and_the_given_ones_left():
    given = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.5, 1.5, 0.25]).reshape(1, 1, 2, 3)
    copy = given.clone()
    assert images.as_images(given, "image").ravel().tolist() == [0, 1, 0, 0, 1, 0.25]
    assert torch.equal(given.nan_to_num(7), copy.nan_to_num(7))


def test_images_in_range_are_not_copied():
    given = torch.rand(1, 4, 5, 3)
    assert np.shares_memory(images.as_images(given, "image"), given.numpy())


@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5, 2), (1, 4, 5, 5), (1, 0, 5, 3), (0, 4, 5, 3), (1, 1, 4, 5, 3)])
def test_what_is_no_image_is_refused_with_its_shape(shape):
    with pytest.raises(ValueError) as error:
        images.as_images(torch.zeros(shape), "background")
    assert str(error.value).startswith("background must be an image") and str(shape) in str(error.value)


@pytest.mark.parametrize("shape", [(6, 8), (1, 6, 8), (1, 1, 6, 8), (3, 6, 8), (3, 6, 8, 1)])
def test_masks_of_the_images_size_pass_without_a_message(shape):
    mask = torch.rand(shape)
    masks, messages = images.as_masks(mask, np.zeros((1, 6, 8, 3), np.float32), "mask")
    assert messages == [] and masks.shape[1:] == (6, 8)
    assert np.array_equal(masks.ravel(), mask.numpy().ravel())


def test_masks_of_another_size_are_resized_once_and_give_a_message():
    mask = block(12, 16, 4, 4, 8, 12, batch=2)
    masks, messages = images.as_masks(mask, np.zeros((1, 6, 8, 3), np.float32), "mask")
    assert np.array_equal(masks, block(6, 8, 2, 2, 4, 6, batch=2).numpy())
    assert messages == [ui.Message("mask is 16×12 pixels and was resized to its image's 8×6 pixels.")]


@pytest.mark.parametrize(("inverted", "begins"), [(False, "mask is empty: Load"), (True, "mask is 1 everywhere: its")])
def test_the_mask_of_a_file_without_transparency_says_what_it_is(inverted, begins, demo_images):
    image, mask = core.LoadImage().load_image("phd_background.png")
    masks, messages = images.as_masks(1 - mask if inverted else mask, image.numpy(), "mask")
    assert masks.shape == image.shape[:3] and (masks == inverted).all()
    assert len(messages) == 1 and messages[0].text.startswith(begins) and messages[0].warning


@pytest.mark.parametrize(("sizes", "count"), [((1, 1), 1), ((1, 3), 3), ((3, 3, 1), 3)])
def test_a_batch_of_1_joins_a_batch_of_any_size(sizes, count):
    assert images.common_batch(**{f"input {n}": np.zeros(size) for n, size in enumerate(sizes)}) == count


@pytest.mark.parametrize("sizes", [(2, 3), (1, 2, 4)])
def test_other_batches_are_refused_with_all_their_sizes(sizes):
    with pytest.raises(ValueError) as error:
        images.common_batch(**{f"input_{n}": np.zeros(size) for n, size in enumerate(sizes)})
    assert all(f"input_{n}: {size}" in str(error.value) for n, size in enumerate(sizes))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (1024, 1024), (40, 3000), (2048, 512), (8, 16384)])
def test_a_preview_keeps_its_shape_and_is_never_large(height, width):
    drawn = ui.outlined(np.full((height, width, 3), 0.5, np.float32), np.ones((height, width), np.float32))
    assert max(drawn.shape[:2]) == min(1024, max(height, width))
    assert drawn.shape[0] / drawn.shape[1] == pytest.approx(height / width, rel=0.3) or min(drawn.shape[:2]) == 1
    assert drawn.dtype == np.uint8


def test_a_preview_shows_the_masks_edges_and_the_image_elsewhere():
    scene, matte, change = (
        np.full((60, 80, 3), 0.4, np.float32),
        *(block(60, 80, *box)[0].numpy() for box in ((20, 30, 40, 50), (10, 20, 50, 60))),
    )
    drawn = ui.outlined(scene, matte, change)
    assert drawn[20, 40].tolist() == [255, 255, 255]
    assert drawn[10, 40].tolist() == [255, 140, 0]
    for y, x in ((5, 5), (30, 40), (15, 25)):
        assert drawn[y, x].tolist() == [102, 102, 102]
    assert (scene == np.float32(0.4)).all()


def shown_sizes(ran):
    found = []
    for shown in ran.execution.outputs["node"]["images"]:
        with Image.open(f"{folder_paths.get_temp_directory()}/{shown['filename']}") as image:
            found.append(image.size)
    return found


def test_of_a_large_scene_the_nodes_show_small_images(page):
    """And Stitch two: the finished image, and the mask that it used."""
    scene, mask = make_image(700, 2400), block(700, 2400, 200, 1000, 500, 1400)
    exemplar = make_image(60, 60)
    pasted = run_node("PhDPasteBlend", background=scene, subject=exemplar, subject_mask=block(60, 60, 9, 9, 50, 50))
    assert shown_sizes(pasted) == [(1024, 299)]
    cropped = run_node("PhDCrop", composite=scene, inpaint_mask=mask, harmonize_mask=mask, side=64, context=8.0)
    assert all(max(size) <= 1024 for size in shown_sizes(cropped))
    given = {"background": scene, "composite": scene, "sampled": scene, "subject_matte": mask, "harmonize_mask": mask}
    assert shown_sizes(run_node("PhDStitch", **given)) == [(1024, 299)] * 2


def test_the_mask_that_stitch_used_is_what_it_shows(page):
    scene, mask = make_image(60, 80), block(60, 80, 20, 30, 40, 50)
    given = {
        "background": scene,
        "composite": scene,
        "sampled": 1 - scene,
        "subject_matte": mask,
        "harmonize_mask": mask,
    }
    ran = run_node("PhDStitch", **given)
    shown = ran.execution.outputs["node"]["images"][1]
    with Image.open(f"{folder_paths.get_temp_directory()}/{shown['filename']}") as image:
        drawn = np.asarray(image.convert("RGB"), np.float32) / 255
    assert np.abs(drawn - ran.values[1][0].numpy()[..., None]).mean() <= 1 / 255


def test_a_stacked_list_is_given_up_and_its_order_kept():
    images = module("nodes.images")
    arrays = [np.full((2, 3), n, np.float32) for n in range(4)]
    assert images.stacked(arrays)[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert arrays == []
