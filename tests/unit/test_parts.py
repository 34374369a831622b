"""Which connected part of a mask a prompt means."""

import numpy as np
import pytest

from phd_ops.segmenters.parts import MOST_PARTS, parts_of, prompted_parts
from phd_ops.segmenters.prompt import Prompt


def mask_of(*boxes, height=40, width=60):
    mask = np.zeros((height, width), np.float32)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


LARGE, SMALL, TINY = (5, 5, 25, 25), (10, 40, 20, 50), (32, 30, 36, 34)
ALL = mask_of(LARGE, SMALL, TINY)
ROUGH = Prompt(rough=mask_of((8, 38, 22, 52)))


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        (Prompt(), [LARGE]),
        (Prompt(box=(38, 8, 15, 15)), [SMALL]),
        (Prompt(box=(20, 8, 30, 15)), [SMALL]),
        (Prompt(positive=np.array([[45.0, 15]])), [SMALL]),
        (Prompt(positive=np.array([[36.0, 38]])), [TINY]),
        (Prompt(positive=np.array([[45.0, 15], [32, 34]])), [SMALL, TINY]),
        (Prompt(box=(38, 8, 15, 15), positive=np.array([[10.0, 10]])), [LARGE]),
        (ROUGH, [SMALL]),
        (Prompt(box=(0, 30, 10, 10)), []),
        (Prompt(negative=np.array([[10.0, 10]])), [LARGE]),
    ],
)
def test_the_part_that_a_prompt_means(prompt, wanted):
    assert np.array_equal(prompted_parts(ALL, prompt), mask_of(*wanted))


@pytest.mark.parametrize("prompt", [Prompt(), ROUGH, Prompt(positive=np.array([[1.0, 1]]))])
def test_an_empty_mask_and_one_of_one_part_stay_as_they_are(prompt):
    assert not prompted_parts(np.zeros((40, 60), np.float32), prompt).any()
    assert np.array_equal(prompted_parts(mask_of(LARGE), prompt), mask_of(LARGE))


def test_every_part_becomes_a_mask_the_largest_first():
    assert [part.tolist() for part in parts_of(ALL)] == [mask_of(box).tolist() for box in (LARGE, SMALL, TINY)]
    assert parts_of(np.zeros((9, 9), np.float32)) == []


def test_soft_pixels_go_with_the_part_they_are_nearest_to_and_none_is_lost():
    soft = ALL.copy()
    soft[4, 5:25], soft[10:20, 39], soft[10:20, 26] = 0.3, 0.4, 0.2
    parts = parts_of(soft)
    assert np.array_equal(np.sum(parts, axis=0), soft)
    assert parts[0][4, 10] > 0 and parts[0][15, 26] > 0
    assert parts[1][15, 39] > 0 and parts[0][15, 39] == 0


def test_no_more_parts_than_anyone_wants():
    dots = np.zeros((60, 60), np.float32)
    dots[::3, ::3] = 1
    assert len(parts_of(dots)) == MOST_PARTS
