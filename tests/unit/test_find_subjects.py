"""Any segmenter on any image: prompts, transparency, messages."""

import numpy as np
import pytest

from phd_ops.pixels.geometry import Size
from phd_ops.segmenters.find_subjects import find_subjects, opaque
from phd_ops.segmenters.prompt import Prompt, clip_to_image, one_per_box
from phd_ops.segmenters.refine_mask import MaskRefinement

IMAGE = np.full((40, 60, 3), 0.25, np.float32)
LEFT, RIGHT = np.zeros((2, 40, 60), np.float32)
LEFT[5:35, 5:25], RIGHT[10:30, 40:50] = 1, 1
BOTH = LEFT + RIGHT


def points(*places):
    return np.array(places, float).reshape(-1, 2)


ANY = Prompt()


def found(mask, prompts=(ANY,), image=IMAGE, keep="largest"):
    return find_subjects(lambda colors, prompt: mask, image, list(prompts), MaskRefinement(keep=keep))


def test_each_prompt_is_a_subject_and_the_mask_holds_all():
    boxes = [Prompt(box=(38, 8, 14, 24)), Prompt(box=(3, 3, 24, 34))]
    subjects = found(BOTH, boxes, keep="prompted")
    assert [mask.tolist() for mask in subjects.separate] == [RIGHT.tolist(), LEFT.tolist()]
    assert np.array_equal(subjects.mask, BOTH) and subjects.messages == []


def test_all_parts_of_one_prompt_are_subjects_the_largest_first():
    subjects = found(BOTH, keep="all")
    assert [mask.tolist() for mask in subjects.separate] == [LEFT.tolist(), RIGHT.tolist()]


def test_a_positive_point_on_a_part_that_largest_drops_is_named():
    clicked = Prompt(positive=points((45, 20), (10, 10), (30, 2)))
    (message,) = found(BOTH, [clicked]).messages
    assert "at 1 of 3 positive points is dropped" in message and message.endswith("set keep to prompted.")
    assert found(BOTH, [clicked], keep="prompted").messages == found(BOTH, [clicked], keep="all").messages == []


@pytest.mark.parametrize("refinement", [MaskRefinement(grow=-4), MaskRefinement(threshold=0.9), MaskRefinement(edge=3)])
def test_a_point_that_only_the_edge_passed_is_not_named(refinement):
    soft = np.where(RIGHT > 0, 0.8, LEFT).astype(np.float32)
    clicked = Prompt(positive=points((6, 20), (45, 20)) if refinement.threshold else points((6, 20)))
    assert find_subjects(lambda colors, prompt: soft, IMAGE, [clicked], refinement).messages == []


@pytest.mark.parametrize("prompts", [(), (Prompt(),)])
def test_nothing_found_is_an_empty_mask_and_no_subject(prompts):
    subjects = found(np.zeros((40, 60), np.float32), prompts)
    assert not subjects.mask.any() and subjects.separate == []


def test_values_that_are_no_numbers_are_background():
    broken = LEFT.copy()
    broken[:10] = np.nan
    subjects = found(broken)
    assert np.isfinite(subjects.mask).all() and not subjects.mask[:10].any() and subjects.mask[20, 10] == 1


def test_transparent_pixels_are_gray_to_the_segmenter_and_never_subject():
    rgba = np.dstack([IMAGE, np.ones((40, 60), np.float32)])
    rgba[:, 15:, 3] = 0
    seen = []

    def segment(colors, prompt):
        seen.append(colors)
        return LEFT

    subjects = find_subjects(segment, rgba, [Prompt()], MaskRefinement())
    assert seen[0].shape == (40, 60, 3) and (seen[0][:, 15:] == 0.5).all() and (seen[0][:, :15] == 0.25).all()
    assert not subjects.mask[:, 15:].any() and subjects.mask[20, 10] == 1


def test_an_image_that_is_transparent_everywhere_counts_as_opaque():
    rgba = np.dstack([IMAGE, np.zeros((40, 60), np.float32)])
    assert np.array_equal(found(LEFT, image=rgba).mask, LEFT)


def test_an_image_with_alpha_lies_over_gray():
    rgba = np.array([[[1.0, 0.0, 0.5, 0.25]]], np.float32)
    assert opaque(rgba).tolist() == [[[0.625, 0.375, 0.5]]]


def test_what_lies_outside_the_image_is_left_out_with_a_message():
    prompt = Prompt(positive=points((10, 10), (60, 10), (-1, 5)), negative=points((5, 40)))
    clipped, messages = clip_to_image(prompt, Size(60, 40))
    assert clipped.positive.tolist() == [[10, 10]] and len(clipped.negative) == 0
    assert messages == [
        "positive_points: 2 of 3 lie outside the image of 60×40 pixels and are left out.",
        "negative_points: 1 of 1 lie outside the image of 60×40 pixels and are left out.",
    ]


def test_a_prompt_wholly_outside_the_image_finds_nothing():
    for prompt in (Prompt(box=(60, 0, 9, 9)), Prompt(positive=points((99, 1)))):
        assert clip_to_image(prompt, Size(60, 40))[0] is None
        subjects = found(BOTH, [prompt])
        assert subjects.separate == [] and "outside the image of 60×40 pixels" in subjects.messages[0]
    assert clip_to_image(Prompt(), Size(60, 40))[0].empty


def test_a_prompt_per_box_has_the_points_inside_that_box():
    prompt = Prompt(positive=points((10, 10), (45, 20), (30, 1)), negative=points((46, 25)))
    left, right = one_per_box(prompt, np.array([[5.0, 5, 20, 30], [40, 10, 10, 20]]))
    assert left.positive.tolist() == [[10, 10]] and len(left.negative) == 0
    assert right.positive.tolist() == [[45, 20]] and right.negative.tolist() == [[46, 25]]
    assert (left.box, right.box) == ((5, 5, 20, 30), (40, 10, 10, 20))


@pytest.mark.parametrize(("boxes", "box"), [(np.zeros((0, 4)), None), (np.array([[1.0, 2, 3, 4]]), (1, 2, 3, 4))])
def test_one_box_or_none_keeps_all_points(boxes, box):
    (prompt,) = one_per_box(Prompt(positive=points((50, 30))), boxes)
    assert prompt.box == box and prompt.positive.tolist() == [[50, 30]]
