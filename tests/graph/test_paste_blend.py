"""PhDPasteBlend, through the real executor."""

import json

import pytest
import torch
from graph_support import block, picture, refused, run_node

SCENE, EXEMPLAR = picture(60, 80, seed=1), picture(40, 50, seed=2)
SUBJECT = block(40, 50, 10, 15, 30, 35)
COMPOSITE, CONTROL, MATTE, INPAINT, HARMONIZE, USED = range(6)


def paste(background=SCENE, subject=EXEMPLAR, **changes):
    given = {"placement": "manual", "x": 0.5, "y": 0.5, "size": 0.4, "ring": 6, "feather": 1.0, **changes}
    if subject.shape[-1] != 4:
        given.setdefault("subject_mask", SUBJECT)
    return run_node("PhDPasteBlend", background=background, subject=subject, **given)


def test_the_scene_is_untouched_outside_the_masks():
    composite, control, matte, inpaint, harmonize, _ = paste().values
    assert composite.shape == control.shape == SCENE.shape
    assert matte.shape == inpaint.shape == harmonize.shape == (1, 60, 80)
    outside = matte == 0
    assert torch.equal(composite[outside], SCENE[outside])
    assert 0.2 * 0.4**2 * 60 * 60 < (matte > 0.5).sum() < 60 * 80 / 2
    assert not ((inpaint > 0) & (matte > 0)).any()
    assert torch.equal(harmonize > 0, (inpaint > 0) | (matte > 0))


def test_the_control_shows_the_subject_where_the_composite_does():
    composite, control, matte, *_ = paste().values
    inside = matte == 1
    assert inside.any()
    torch.testing.assert_close(composite[inside], control[inside], rtol=0, atol=0.1)


def test_an_rgba_subject_brings_its_own_mask():
    rgba = torch.cat([EXEMPLAR, SUBJECT[..., None]], dim=-1)
    with_alpha, with_mask = paste(subject=rgba), paste()
    for slot in (COMPOSITE, MATTE, INPAINT, HARMONIZE, USED):
        assert (
            with_alpha.values[slot] == with_mask.values[slot]
            if slot == USED
            else torch.equal(with_alpha.values[slot], with_mask.values[slot])
        )


def test_a_cut_out_has_no_control_and_says_so():
    ran = paste(subject=torch.cat([EXEMPLAR, SUBJECT[..., None]], dim=-1))
    assert torch.equal(ran.values[1], ran.values[COMPOSITE])
    assert any("there is no control" in text for text in ran.text)


def test_a_mask_goes_before_alpha():
    rgba = torch.cat([EXEMPLAR, torch.ones(1, 40, 50, 1)], dim=-1)
    assert torch.equal(paste(subject=rgba, subject_mask=SUBJECT).values[MATTE], paste().values[MATTE])


def test_an_empty_mask_passes_the_scene_through():
    ran = paste(subject_mask=torch.zeros(1, 40, 50))
    assert torch.equal(ran.values[COMPOSITE], SCENE)
    for mask in (MATTE, INPAINT, HARMONIZE):
        assert not ran.values[mask].any()
    assert ran.text == ["The mask of subject 1 is empty: the scene passes through unchanged."]


def test_an_empty_mask_keeps_the_earlier_subjects():
    earlier = block(60, 80, 5, 5, 20, 20)
    ran = paste(subject_mask=torch.zeros(1, 40, 50), earlier_subjects=earlier)
    assert torch.equal(ran.values[MATTE], earlier)


def test_earlier_subjects_join_the_matte():
    earlier = block(60, 80, 5, 5, 20, 20)
    assert torch.equal(paste(earlier_subjects=earlier).values[MATTE], torch.maximum(paste().values[MATTE], earlier))


def test_a_subject_outside_the_scene_is_said():
    ran = paste(x=-3.0)
    assert torch.equal(ran.values[COMPOSITE], SCENE)
    assert "Subject 1 lies wholly outside the scene." in ran.text


def test_a_mask_of_another_size_is_brought_to_the_picture_s():
    large = SUBJECT.repeat_interleave(2, 1).repeat_interleave(2, 2)
    for name in range(5):
        assert torch.equal(paste(subject_mask=large).values[name], paste().values[name])
    for shape in ((1, 1, 40, 50), (40, 50)):
        assert torch.equal(paste(subject_mask=SUBJECT.reshape(shape)).values[MATTE], paste().values[MATTE])


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_one_pixel_pictures_work(channels):
    one = torch.full((1, 1, 1, channels), 0.5)
    assert paste(background=picture(60, 80, channels)).values[COMPOSITE].shape == (1, 60, 80, 3)
    assert paste(subject=picture(40, 50, channels)).values[COMPOSITE].shape == (1, 60, 80, 3)
    assert paste(background=one).values[COMPOSITE].shape == (1, 1, 1, 3)
    ran = paste(subject=one, subject_mask=torch.ones(1, 1, 1))
    assert (ran.values[MATTE] > 0.9).any()


@pytest.mark.parametrize("given", [{"rotation": 37.5}, {"flip": True}, {"shadow": True}, {"size": 8.0}, {"size": 0.01}])
def test_every_widget_keeps_the_promise(given):
    composite, _, matte, inpaint, _, _ = paste(**given).values
    assert torch.equal(composite[matte == 0], SCENE[matte == 0])
    assert not ((inpaint > 0) & (matte > 0)).any()


def test_random_placement_reports_what_it_drew_and_reproduces():
    random = paste(placement="random", seed=11)
    drawn = json.loads(random.values[USED])
    assert 0.4 <= drawn["size"] <= 0.8
    assert random.values[USED] in random.text
    again = paste(placement="random", seed=11)
    by_hand = paste(**{name: drawn[name] for name in ("x", "y", "size")})
    for slot in range(5):
        assert torch.equal(again.values[slot], random.values[slot])
        assert torch.equal(by_hand.values[slot], random.values[slot])
    assert paste(placement="random", seed=12).values[USED] != random.values[USED]


def test_each_item_of_a_random_batch_has_its_own_seed():
    both = paste(background=SCENE.repeat(2, 1, 1, 1), placement="random", seed=11).values
    lines = both[USED].splitlines()
    for index in range(2):
        alone = paste(placement="random", seed=11 + index).values
        assert lines[index] == alone[USED]
        assert torch.equal(both[COMPOSITE][index], alone[COMPOSITE][0])


def test_the_largest_seed_works():
    assert paste(placement="random", seed=2**64 - 1, background=SCENE.repeat(2, 1, 1, 1)).values[USED]


def test_one_serves_all():
    scenes = picture(60, 80, batch=3, seed=5)
    together = paste(background=scenes).values
    for index in range(3):
        alone = paste(background=scenes[index : index + 1]).values
        for slot in range(5):
            assert torch.equal(together[slot][index], alone[slot][0])


def test_a_subject_without_a_mask_is_refused():
    message = refused("PhDPasteBlend", background=SCENE, subject=EXEMPLAR)
    assert "subject has no alpha" in message and "subject_mask" in message and "connect" in message
