"""PhDPasteBlend, through the real executor."""

import dataclasses
import json

import pytest
import torch
from node_support import block, make_image, pasted_parts, refused, run_node

SCENE, EXEMPLAR = make_image(60, 80, seed=1), make_image(40, 50, seed=2)
SUBJECT = block(40, 50, 10, 15, 30, 35)
COMPOSITE, REFERENCE, MATTE, INPAINT, HARMONIZE, USED = range(6)


def paste(background=SCENE, subject=EXEMPLAR, **changes):
    given = {"placement": "manual", "x": 0.5, "y": 0.5, "size": 0.4, "ring": 6, "feather": 1.0, **changes}
    if subject.shape[-1] != 4:
        given.setdefault("subject_mask", SUBJECT)
    ran = run_node("PhDPasteBlend", background=background, subject=subject, **given)
    return dataclasses.replace(ran, values=pasted_parts(ran.values))


def test_the_scene_is_untouched_outside_the_masks():
    composite, reference, matte, inpaint, harmonize, _ = paste().values
    assert composite.shape == reference.shape == SCENE.shape
    assert matte.shape == inpaint.shape == harmonize.shape == (1, 60, 80)
    outside = matte == 0
    assert torch.equal(composite[outside], SCENE[outside])
    assert 0.2 * 0.4**2 * 60 * 60 < (matte > 0.5).sum() < 60 * 80 / 2
    assert not ((inpaint > 0) & (matte > 0)).any()
    assert torch.equal(harmonize > 0, (inpaint > 0) | (matte > 0))


def test_the_reference_shows_the_subject_where_the_composite_does():
    composite, reference, matte, *_ = paste().values
    inside = matte == 1
    assert inside.any()
    torch.testing.assert_close(composite[inside], reference[inside], rtol=0, atol=0.1)


def test_an_rgba_subject_brings_its_own_mask():
    rgba = torch.cat([EXEMPLAR, SUBJECT[..., None]], dim=-1)
    with_alpha, with_mask = paste(subject=rgba), paste()
    for slot in (COMPOSITE, MATTE, INPAINT, HARMONIZE, USED):
        assert (
            with_alpha.values[slot] == with_mask.values[slot]
            if slot == USED
            else torch.equal(with_alpha.values[slot], with_mask.values[slot])
        )


def test_a_cut_out_has_no_reference_and_gives_a_message():
    ran = paste(subject=torch.cat([EXEMPLAR, SUBJECT[..., None]], dim=-1))
    assert torch.equal(ran.values[1], ran.values[COMPOSITE])
    assert any("there is no light reference" in text for text in ran.text)


@pytest.mark.parametrize("color", [0.0, 0.4, 1.0])
def test_a_cut_out_that_lost_its_alpha_has_no_reference_either(color):
    # As Load Image gives it: the colors alone, and a mask. Some colors go on beyond the edge.
    shown = block(40, 50, 6, 11, 34, 39)[..., None] > 0
    ran = paste(subject=torch.where(shown, EXEMPLAR, color))
    assert torch.equal(ran.values[REFERENCE], ran.values[COMPOSITE])
    assert any(text.startswith("Around the subject there is nothing, or one plain color") for text in ran.text)


def test_a_photo_with_alpha_is_pasted_as_the_photo_with_its_mask():
    # As many segmenters give it: what is around the subject is still there, and mixed into its soft edge.
    soft = torch.nn.functional.avg_pool2d(SUBJECT[None], 5, 1, 2)[0]
    photo = EXEMPLAR * soft[..., None] + make_image(40, 50, seed=9).flip(2) * (1 - soft[..., None])
    by_alpha, by_mask = paste(subject=torch.cat([photo, soft[..., None]], -1)), paste(subject=photo, subject_mask=soft)
    for slot in (COMPOSITE, REFERENCE, MATTE):
        assert torch.equal(by_alpha.values[slot], by_mask.values[slot])
    assert not torch.equal(by_alpha.values[REFERENCE], by_alpha.values[COMPOSITE])


@pytest.mark.parametrize("changes", [{"color_match": 0.5}, {"blend": "Poisson"}, {"blend": "Poisson mixed"}])
def test_a_subject_that_got_other_colors_has_no_reference(changes):
    # What the model makes of the reference has the old colors: the new ones would count as light, and once more.
    ran = paste(**changes)
    assert torch.equal(ran.values[REFERENCE], ran.values[COMPOSITE])
    assert any(text.startswith("color_match or a Poisson blend gives the subject other colors") for text in ran.text)


@pytest.mark.parametrize("alpha", [[], [torch.ones(1, 40, 50, 1)]], ids=["RGB and mask", "RGBA"])
def test_an_image_that_is_all_subject_has_no_reference(alpha):
    # All around it there would be its own mirror images.
    ran = paste(subject=torch.cat([EXEMPLAR, *alpha], -1), subject_mask=torch.ones(1, 40, 50))
    assert torch.equal(ran.values[REFERENCE], ran.values[COMPOSITE])
    assert any(text.startswith("Around the subject there is nothing, or one plain color") for text in ran.text)


def test_a_mask_goes_before_alpha():
    rgba = torch.cat([EXEMPLAR, torch.ones(1, 40, 50, 1)], dim=-1)
    assert torch.equal(paste(subject=rgba, subject_mask=SUBJECT).values[MATTE], paste().values[MATTE])


def test_an_inverted_mask_is_warned_of():
    ran = paste(subject_mask=1 - SUBJECT)
    warning = "subject_mask looks inverted: it covers the border of its image, and not the middle."
    assert any(text.startswith(warning) for text in ran.execution.outputs["node"]["phd_warnings"])
    # A subject that the frame cuts off on one side, and one that fills its image, are none.
    for mask in (SUBJECT, block(40, 50, 10, 0, 40, 50), torch.ones(1, 40, 50)):
        assert not any("inverted" in text for text in paste(subject_mask=mask).text)
    both = paste(subject=EXEMPLAR.repeat(2, 1, 1, 1), subject_mask=torch.cat([SUBJECT, 1 - SUBJECT]))
    assert any(text.startswith("Image 2: subject_mask looks inverted") for text in both.text)


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


def test_a_subject_outside_the_scene_gives_a_message():
    ran = paste(x=-3.0)
    assert torch.equal(ran.values[COMPOSITE], SCENE)
    assert "Subject 1 is completely outside the scene." in ran.text


def test_a_mask_of_another_size_is_brought_to_the_image_s():
    large = SUBJECT.repeat_interleave(2, 1).repeat_interleave(2, 2)
    for name in range(5):
        assert torch.equal(paste(subject_mask=large).values[name], paste().values[name])
    for shape in ((1, 1, 40, 50), (40, 50)):
        assert torch.equal(paste(subject_mask=SUBJECT.reshape(shape)).values[MATTE], paste().values[MATTE])


@pytest.mark.parametrize("channels", [1, 3])
def test_gray_and_one_pixel_images_work(channels):
    one = torch.full((1, 1, 1, channels), 0.5)
    assert paste(background=make_image(60, 80, channels)).values[COMPOSITE].shape == (1, 60, 80, 3)
    assert paste(subject=make_image(40, 50, channels)).values[COMPOSITE].shape == (1, 60, 80, 3)
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
    assert f"x {drawn['x']:.3g}, y {drawn['y']:.3g}" in " ".join(random.text)
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


def test_one_subject_is_pasted_into_every_scene_of_a_batch():
    scenes = make_image(60, 80, batch=3, seed=5)
    batched = paste(background=scenes).values
    for index in range(3):
        alone = paste(background=scenes[index : index + 1]).values
        for slot in range(5):
            assert torch.equal(batched[slot][index], alone[slot][0])


def test_a_subject_without_a_mask_is_refused():
    message = refused("PhDPasteBlend", background=SCENE, subject=EXEMPLAR)
    assert "subject has no alpha" in message and "subject_mask" in message and "connect" in message


OTHER = make_image(40, 50, seed=7)
THREE = torch.cat([EXEMPLAR, OTHER, make_image(40, 50, seed=8)])
WHERE = [(0.35, 0.4), (0.55, 0.5), (0.45, 0.75)]


def line(x, y, size=0.4, rotation=0.0, flip=False):
    return json.dumps({"x": x, "y": y, "size": size, "rotation": rotation, "flip": flip})


LINES = "\n".join(line(*where) for where in WHERE)


def chain(subjects, places, **changes):
    """One node after the other, each with all the masks of the one before."""
    scene, earlier, ran = SCENE, {}, []
    for subject, (x, y) in zip(subjects, places, strict=True):
        ran.append(paste(scene, subject[None], x=x, y=y, **earlier, **changes).values)
        scene = ran[-1][COMPOSITE]
        earlier = {"earlier_subjects": ran[-1][MATTE], "earlier_inpaint": ran[-1][INPAINT]}
    return ran


def same(ours, theirs, slots=(COMPOSITE, MATTE, INPAINT, HARMONIZE)):
    return all(torch.equal(ours[slot], theirs[slot]) for slot in slots)


@pytest.mark.parametrize("shadow", [False, True])
def test_in_a_chain_masks_accumulate_and_no_subject_is_inpainted(shadow):
    ran = chain(THREE, WHERE, shadow=shadow)
    for before, after in zip(ran, ran[1:], strict=False):
        assert ((before[MATTE] > 0) <= (after[MATTE] > 0)).all()
        # What was to be inpainted still is, but where a subject stands now.
        assert torch.equal((before[INPAINT] > 0) & (after[MATTE] == 0) & (after[INPAINT] == 0), after[MATTE] < 0)
        assert ((before[HARMONIZE] > 0) <= (after[HARMONIZE] > 0)).all()
    last = ran[-1]
    for _, _, matte, inpaint, harmonize, _ in ran:
        assert not ((inpaint > 0) & (matte > 0)).any()
        assert torch.equal(harmonize > 0, (inpaint > 0) | (matte > 0))
        assert matte.max() <= 1
    assert torch.equal(last[COMPOSITE][last[MATTE] == 0], SCENE[last[MATTE] == 0])


def test_later_in_the_chain_is_in_front():
    places = [(0.4, 0.5), (0.5, 0.55)]
    first, second = chain(THREE[:2], places, size=0.6)
    alone = paste(SCENE, OTHER, x=0.5, y=0.55, size=0.6).values
    overlap = (alone[MATTE] == 1) & (first[MATTE] == 1)
    assert overlap.any()
    assert torch.equal(second[COMPOSITE][overlap], alone[COMPOSITE][overlap])
    only_first = (first[MATTE] == 1) & (alone[MATTE] == 0)
    assert torch.equal(second[COMPOSITE][only_first], first[COMPOSITE][only_first])


@pytest.mark.parametrize("changes", [{}, {"shadow": True}, {"blend": "multi-band"}, {"color_match": 0.7}])
@pytest.mark.parametrize("count", [2, 3])
def test_a_batch_of_subjects_together_is_the_chain(count, changes):
    lines = "\n".join(line(*where) for where in WHERE[:count])
    pasted_into_one = paste(subject=THREE[:count], placements=lines, paste_into_one=True, **changes).values
    assert pasted_into_one[COMPOSITE].shape == SCENE.shape
    assert same(pasted_into_one, chain(THREE[:count], WHERE[:count], **changes)[-1])
    assert pasted_into_one[USED] == lines


def test_one_subject_at_several_placements_together_is_the_chain():
    pasted_into_one = paste(placements=LINES, paste_into_one=True).values
    assert same(pasted_into_one, chain([EXEMPLAR[0]] * 3, WHERE)[-1])


def test_several_subjects_pasted_into_one_have_no_reference_and_give_a_message():
    ran = paste(placements=LINES, paste_into_one=True)
    assert torch.equal(ran.values[REFERENCE], ran.values[COMPOSITE])
    assert any("With several subjects there is no light reference" in text for text in ran.text)


def test_lines_of_placements_give_an_image_each():
    ran = paste(placements=LINES).values
    assert ran[COMPOSITE].shape == (3, 60, 80, 3)
    for index, (x, y) in enumerate(WHERE):
        alone = paste(x=x, y=y).values
        for slot in range(5):
            assert torch.equal(ran[slot][index : index + 1], alone[slot])


@pytest.mark.parametrize("pasted_into_one", [False, True])
def test_what_random_drew_fed_back_gives_the_same_images(pasted_into_one):
    given = {"subject": THREE, "rotation": 33.3, "flip": True, "paste_into_one": pasted_into_one}
    drawn = paste(placement="random", seed=5, **given).values
    assert len(set(drawn[USED].splitlines())) == 3
    again = paste(placements=drawn[USED], **{**given, "rotation": 0.0, "flip": False}).values
    assert same(again, drawn, range(5))
    assert again[USED] == drawn[USED]


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_what_random_drew_fed_back_skips_an_empty_subject_as_before(empty):
    masks = SUBJECT.repeat(3, 1, 1)
    masks[empty] = 0
    drawn = paste(subject=THREE, subject_mask=masks, placement="random", seed=5).values
    again = paste(subject=THREE, subject_mask=masks, placements=drawn[USED]).values
    assert same(again, drawn, range(5))


@pytest.mark.parametrize("between", ["\n", "\r\n", "  \n "])
@pytest.mark.parametrize("end", ["", "\n", "\n\n", " "])
def test_lines_may_end_as_they_like(between, end):
    text = LINES.replace("\n", between) + end
    assert same(paste(placements=text).values, paste(placements=LINES).values)


def test_no_placements_are_no_placements():
    assert same(paste(placements=" \n ").values, paste().values)


def test_items_of_a_batch_do_not_depend_on_each_other():
    masks = torch.stack([SUBJECT[0], 0.5 * SUBJECT[0], torch.rand(40, 50, generator=torch.Generator().manual_seed(0))])
    scenes = make_image(60, 80, batch=3, seed=9)
    given = {"color_match": 0.5, "blend": "multi-band", "rotation": 20.0}
    batch = paste(scenes, THREE, subject_mask=masks, **given).values
    for index in range(3):
        one = slice(index, index + 1)
        alone = paste(scenes[one], THREE[one], subject_mask=masks[one], **given).values
        for slot in range(5):
            assert torch.equal(batch[slot][one], alone[slot])
        assert batch[USED].splitlines()[index] == alone[USED]


def test_of_mask_and_alpha_the_lesser_counts():
    alpha = torch.ones(1, 40, 50, 1)
    alpha[:, :, :25] = 0.4
    rgba = torch.cat([EXEMPLAR, alpha], dim=-1)
    wanted = torch.minimum(alpha[..., 0], SUBJECT)
    ours = paste(subject=rgba, subject_mask=SUBJECT).values
    theirs = paste(subject=torch.cat([EXEMPLAR, wanted[..., None]], dim=-1)).values
    assert same(ours, theirs, range(5))


def test_a_mask_of_another_size_gives_a_message():
    ran = paste(subject_mask=block(80, 100, 20, 30, 60, 70))
    assert "subject_mask is 100×80 pixels and was resized to its image's 50×40 pixels." in ran.text
    ran = paste(earlier_subjects=block(30, 40, 2, 2, 8, 8))
    assert "earlier_subjects is 40×30 pixels and was resized to its image's 80×60 pixels." in ran.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_core_of_98_percent_is_pasted_opaque(dtype):
    assert same(paste(subject_mask=(0.98 * SUBJECT).to(dtype)).values, paste().values, range(5))


def test_a_faint_mask_gives_a_message():
    ran = paste(subject_mask=0.3 * SUBJECT)
    assert "The mask of subject 1 is at most 0.30, so the subject is pasted that faintly." in ran.text
    assert ran.values[MATTE].max() == pytest.approx(0.3, abs=0.003)
    assert not any("faintly" in text for text in paste(subject_mask=0.6 * SUBJECT).text)


def test_the_share_of_the_reference_that_the_exemplar_covers_gives_a_message():
    # The subject's 20 px become 24: the exemplar's 50 × 40 are 60 × 48 of the scene's 80 × 60.
    assert any(text.startswith("The exemplar covers 60% of the light reference") for text in paste().text)
    assert not any("covers" in text for text in paste(size=1.2).text)


@pytest.mark.parametrize("given", [{}, {"placements": LINES, "paste_into_one": True}, {"subject": THREE}])
def test_every_image_is_shown(page, given):
    ran = paste(**given)
    assert len(ran.execution.outputs["node"]["images"]) == len(ran.values[COMPOSITE])


def test_inputs_are_left_as_they_were():
    given = {
        "background": SCENE.clone(),
        "subject": torch.cat([EXEMPLAR, SUBJECT[..., None]], -1),
        "subject_mask": SUBJECT.clone(),
        "earlier_subjects": block(60, 80, 5, 5, 20, 20),
        "earlier_inpaint": block(60, 80, 5, 5, 30, 30),
    }
    copies = {name: value.clone() for name, value in given.items()}
    for blend in ("alpha", "multi-band", "Poisson", "Poisson mixed"):
        paste(**given, blend=blend, color_match=1.0, shadow=True)
    paste(**given, x=-3.0)
    paste(**given | {"subject_mask": torch.zeros(1, 40, 50)})
    assert all(torch.equal(given[name], copies[name]) for name in given)


@pytest.mark.parametrize("blend", ["alpha", "multi-band", "Poisson", "Poisson mixed"])
@pytest.mark.parametrize("color_match", [0.0, 1.0])
def test_every_blend_leaves_the_scene_outside_the_matte(blend, color_match):
    composite, _, matte, *_ = paste(blend=blend, color_match=color_match, rotation=12.0, x=0.1).values
    assert torch.equal(composite[matte == 0], SCENE[matte == 0])
    assert not torch.equal(composite[matte == 1], SCENE[matte == 1])


def test_another_word_for_blend_is_refused():
    message = refused("PhDPasteBlend", background=SCENE, subject=EXEMPLAR, subject_mask=SUBJECT, blend="screen")
    assert "blend" in message and "'screen'" in message and "multi-band" in message


def test_a_wrong_line_of_placements_is_named():
    for text, problem in (
        ("somewhere", "is not a placement"),
        ('{"size": -1}', "size is -1"),
        ('{"x": NaN}', "x is nan"),
    ):
        wrong = {
            "background": SCENE,
            "subject": EXEMPLAR,
            "subject_mask": SUBJECT,
            "placements": f"{line(0, 0)}\n{text}",
        }
        message = refused("PhDPasteBlend", **wrong)
        assert message.startswith("placements, line 2: ") and problem in message


def test_lines_that_do_not_fit_the_subjects_are_counted():
    message = refused("PhDPasteBlend", background=SCENE, subject=THREE, subject_mask=SUBJECT, placements="{}\n{}")
    assert "subject: 3" in message and "placements: 2" in message


def test_a_later_subject_of_a_chain_has_no_reference():
    """The stitched matte holds both subjects, and the later one's surround does not show the earlier one's light."""
    first = paste(x=0.3, size=0.3)
    second = paste(first.values[COMPOSITE], x=0.7, size=0.3, earlier_subjects=first.values[MATTE])
    assert torch.equal(second.values[REFERENCE], second.values[COMPOSITE])
    assert any("With several subjects there is no light reference" in text for text in second.text)
    assert not any("no reference" in text for text in first.text)


@pytest.mark.parametrize("hidden", [0.0, 1.0])
def test_a_cut_outs_soft_pixels_are_the_subjects_own_colors(hidden):
    """Whatever lies under its transparent pixels."""
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(60.0), indexing="ij")
    alpha = ((24 - torch.hypot(x - 29.5, y - 29.5)) / 8 + 0.5).clamp(0, 1)
    brown = torch.tensor([0.5, 0.3, 0.2]).expand(60, 60, 3)
    rgba = torch.cat([torch.where(alpha[..., None] > 0, brown, torch.tensor(hidden)), alpha[..., None]], -1)[None]
    composite, _, matte = paste(torch.full((1, 80, 80, 3), 0.8), rgba, size=0.5, feather=0.0).values[:3]
    wanted = matte[..., None] * brown[0, 0] + (1 - matte[..., None]) * 0.8
    assert (composite - wanted).abs().max() * 255 < 1


@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
def test_a_line_of_placements_means_the_same_with_a_line_break(end):
    line = '{"x": 0.4, "y": 0.6, "size": 0.3}'
    subjects = torch.cat([EXEMPLAR, 1 - EXEMPLAR])
    assert same(paste(subject=subjects, placements=line + end).values, paste(subject=subjects, placements=line).values)


def test_an_enlarged_subject_is_not_cut_flat():
    dot = torch.zeros(1, 40, 50)
    dot[0, 20, 25] = 1
    composite, _, matte = paste(subject_mask=dot, size=0.5, feather=0.0).values[:3]
    rows = matte[0].amax(1)
    inside = rows.nonzero().flatten()
    assert rows[inside[0]] < 0.08 and rows[inside[-1]] < 0.08


def test_earlier_masks_whose_black_is_not_0_are_those_with_a_black_of_0():
    scene, clean = make_image(256, 256), block(256, 256, 96, 96, 160, 160)
    faint = torch.maximum(clean, torch.tensor(2 / 255))
    nothing = {"background": scene, "subject_mask": torch.zeros(1, 40, 50), "ring": 12}
    for names in (["earlier_subjects"], ["earlier_inpaint"], ["earlier_subjects", "earlier_inpaint"]):
        ours, wanted = (paste(**nothing, **dict.fromkeys(names, mask)).values for mask in (faint, clean))
        assert same(ours, wanted)
    # The square, and the ring of 12 pixels around it.
    assert paste(**nothing, earlier_subjects=faint).values[HARMONIZE].mean() == pytest.approx(0.116, abs=1e-3)


@pytest.mark.parametrize("blend", ["alpha", "multi-band", "Poisson", "Poisson mixed"])
@pytest.mark.parametrize("color_match", [0.0, 1.0])
def test_values_outside_0_to_1_stay_outside_the_matte(blend, color_match):
    scene = SCENE * 6.3 - 0.3
    scene[:, 0, 0], scene[:, 1, 1], scene[:, 2, 2], scene[:, 30, 40] = torch.nan, torch.inf, -torch.inf, torch.nan
    composite, _, matte, *_ = paste(scene, blend=blend, color_match=color_match).values
    assert torch.equal(composite[matte == 0].nan_to_num(7), scene[matte == 0].nan_to_num(7))
    assert (matte > 0).any() and composite[matte > 0].min() >= 0 and composite[matte > 0].max() <= 1
    assert torch.equal(paste(scene, x=-3.0).values[COMPOSITE].nan_to_num(7), scene.nan_to_num(7))


def test_a_cut_out_over_values_outside_0_to_1_has_the_composite_as_its_reference():
    cutout = torch.cat([EXEMPLAR, SUBJECT[..., None]], -1)
    composite, reference, *_ = paste(SCENE * 3 - 1, subject=cutout).values
    assert composite.max() > 1 and torch.equal(reference, composite)
