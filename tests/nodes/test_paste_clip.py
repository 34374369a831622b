"""Paste & Blend on clips, through the real executor: keyframes, tracks, and subjects that are clips themselves."""

import json

import pytest
import torch
from node_support import block, make_image, refused, run_node

FRAMES = 9
CLIP = make_image(48, 64, batch=FRAMES, seed=1)
EXEMPLAR, SUBJECT = make_image(20, 24, seed=2), block(20, 24, 4, 6, 16, 18)
MOVE = "0: x 0.2, y 0.5\n8: x 0.8"
GIVEN = {"placement": "manual", "size": 0.3, "ring": 3, "feather": 0.5}


def paste(background=CLIP, subject=EXEMPLAR, mask=SUBJECT, **changes):
    return run_node("PhDPasteBlend", background=background, subject=subject, subject_mask=mask, **GIVEN | changes)


def placements(ran):
    return [None if line == "-" else json.loads(line) for line in ran.values[2].splitlines()]


def centers(matte):
    """The center of the subject in each frame, [N,2] (x, y) in pixels."""
    y, x = (torch.arange(side) + 0.5 for side in matte.shape[1:])
    weight = matte.sum((1, 2))
    return torch.stack([(matte.sum(1) * x).sum(1), (matte.sum(2) * y).sum(1)], 1) / weight[:, None]


def boxes(*xs):
    return [[{"x": x, "y": 20, "width": 10, "height": 10}] if x is not None else [] for x in xs]


def test_the_subject_moves_through_the_keyframes():
    ran = paste(keyframes=MOVE)
    found = centers(ran.values[3])
    torch.testing.assert_close(found[:, 0], 64 * torch.linspace(0.2, 0.8, FRAMES), atol=0.05, rtol=0)
    torch.testing.assert_close(found[:, 1], torch.full((FRAMES,), 24.0), atol=0.05, rtol=0)
    assert [one["x"] for one in placements(ran)] == pytest.approx([0.2 + 0.075 * n for n in range(FRAMES)])
    assert "Placed in 9 frames: from x 0.2, y 0.5, size 0.3 to x 0.8, y 0.5, size 0.3." in ran.text
    assert torch.equal(ran.values[1][ran.values[3] == 0], CLIP[ran.values[3] == 0])


def test_each_frame_is_the_image_alone_at_its_place():
    ran = paste(keyframes=MOVE)
    lines = ran.values[2]
    by_lines = paste(placements=lines)
    for slot in (1, 3, 4, 5, 6):
        assert torch.equal(ran.values[slot], by_lines.values[slot])


def test_one_keyframe_is_what_the_widgets_say():
    ran, by_hand = paste(keyframes="0: x 0.4, y 0.6, flip"), paste(x=0.4, y=0.6, flip=True)
    for slot in (1, 3, 4, 5, 6):
        assert torch.equal(ran.values[slot], by_hand.values[slot])
    still = paste(CLIP[:1], keyframes="0: x 0.4, y 0.6, flip")
    assert torch.equal(still.values[1], by_hand.values[1][:1])
    assert "Placed at x 0.4, y 0.6, with size 0.3 and rotation 0°, flipped." in still.text


def test_keyframes_beyond_the_clip_are_said():
    ran = paste(keyframes="0: x 0.2\n80: x 0.8")
    assert "The keyframe at 80 lies beyond the clip, whose last frame is 8: the subject moves toward it." in ran.text
    assert placements(ran)[-1]["x"] == pytest.approx(0.26)


def test_a_subject_s_clip_has_a_reference_in_all_frames_or_in_none():
    subject = EXEMPLAR.repeat(3, 1, 1, 1)
    whole = paste(CLIP[:1], subject, keyframes=MOVE)
    assert all(not torch.equal(*frames) for frames in zip(whole.values[5], whole.values[1], strict=True))
    # One frame alone has a plain surround.
    subject[1] = torch.where(SUBJECT[0, ..., None] > 0, subject[1], 0.5)
    ran = paste(CLIP[:1], subject, keyframes=MOVE)
    assert torch.equal(ran.values[5], ran.values[1])


def test_a_subject_s_clip_moves_as_a_whole():
    # Its outline grows in its own frame; the frame itself does not move.
    masks = torch.cat([block(20, 24, 4, 6, 16, 8 + number) for number in range(FRAMES)])
    ran = paste(subject=EXEMPLAR.repeat(FRAMES, 1, 1, 1), mask=masks, keyframes="0: x 0.5, y 0.5")
    left = [int(torch.nonzero(matte.amax(0) > 0.5)[0]) for matte in ran.values[3]]
    assert max(left) - min(left) <= 1


def test_a_subject_s_clip_without_keyframes_is_reported_where_its_masks_would_change_its_scale():
    still, masks = EXEMPLAR.expand(FRAMES, -1, -1, -1), SUBJECT.repeat(FRAMES, 1, 1)
    # Frames of a clip differ, or they would be one image several times.
    frames = (still + 0.01 * torch.arange(FRAMES)[:, None, None, None]).clamp(0, 1)
    grown = masks.clone()
    grown[4] = block(20, 24, 4, 6, 16, 22)
    others = torch.cat([make_image(20, 24, seed=number).flip(1 + number % 2) for number in range(FRAMES)])

    def warned(subject, mask, **changes):
        return any("subject looks like a clip" in text for text in paste(CLIP[:1], subject, mask, **changes).text)

    assert warned(frames, grown)
    assert not warned(frames, masks) and not warned(still, grown) and not warned(others, grown)
    assert not warned(frames, grown, keyframes="0: x 0.5") and not warned(frames, grown, placement="random")


@pytest.mark.parametrize(
    ("own", "said"),
    [(4, "its last frame is held."), (12, "the rest of it is not used.")],
)
def test_a_subject_s_clip_of_another_length_is_said(own, said):
    subjects = make_image(20, 24, batch=own, seed=5)
    ran = paste(subject=subjects, mask=SUBJECT, keyframes=MOVE)
    assert any(said in text for text in ran.text)
    last = paste(subject=subjects[min(own, FRAMES) - 1 :][:1], keyframes=MOVE)
    assert torch.equal(ran.values[1][-1], last.values[1][-1])


def test_without_keyframes_a_subject_s_clip_of_another_length_is_refused_with_what_to_do():
    how = {"background": CLIP, "subject": make_image(20, 24, batch=4, seed=5), "subject_mask": SUBJECT}
    message = refused("PhDPasteBlend", **how, **GIVEN)
    assert "background: 9, subject: 4" in message and message.endswith("write keyframes, such as 0: x 0.5.")


def test_a_subject_s_clip_turns_a_still_into_a_clip():
    subjects = make_image(20, 24, batch=4, seed=5)
    ran = paste(CLIP[:1], subjects, keyframes="0: rotation 0\n3: rotation 90")
    assert ran.values[1].shape[0] == 4 and [one["rotation"] for one in placements(ran)] == [0, 30, 60, 90]


def test_a_track_of_boxes_places_the_subject():
    ran = paste(track=boxes(*range(10, 28, 2)), keyframes="0: rotation 10")
    found = placements(ran)
    assert [one["x"] * 64 for one in found] == pytest.approx([15 + 2 * n for n in range(FRAMES)], abs=1e-3)
    assert {round(one["size"] * 48, 3) for one in found} == {10.0} and found[0]["rotation"] == 10


def test_a_track_of_masks_is_that_of_their_boxes():
    masks = torch.cat([block(48, 64, 20, 10 + 2 * n, 30, 20 + 2 * n) for n in range(FRAMES)])
    assert paste(track=masks).values[2] == paste(track=boxes(*range(10, 28, 2))).values[2]


def test_frames_without_a_track_lie_on_its_path():
    gap = paste(track=boxes(10, 12, None, None, 18, 20, 22, 24, 26))
    assert [one["x"] * 64 for one in placements(gap)] == pytest.approx([15 + 2 * n for n in range(FRAMES)], abs=1e-3)


def test_a_subject_that_leaves_and_returns_is_not_pasted_in_between():
    clip = make_image(24, 32, batch=30, seed=3)
    tracked = (
        [{"x": 4, "y": 6, "width": 8, "height": 8}] * 5 + [None] * 20 + [{"x": 20, "y": 6, "width": 8, "height": 8}] * 5
    )
    ran = paste(clip, track=tracked)
    assert [one is None for one in placements(ran)] == [False] * 5 + [True] * 20 + [False] * 5
    assert torch.equal(ran.values[1][5:25], clip[5:25]) and not ran.values[6][5:25].any()
    assert "Images 6-25: Nothing is tracked here: the scene passes through unchanged." in ran.text


def warnings(ran):
    return ran.execution.outputs["node"]["phd_warnings"]


@pytest.mark.parametrize("one", [boxes(10)[0][0], block(48, 64, 20, 10, 30, 20)], ids=["box", "mask"])
def test_a_track_of_one_place_for_a_clip_is_reported(one):
    ran = paste(track=one)
    assert len(placements(ran)) == FRAMES and len({place["x"] for place in placements(ran)}) == 1
    (warning,) = warnings(ran)
    assert warning.startswith("track has one place for all 9 frames, so the subject stays there")


def test_a_track_of_one_place_is_fine_for_one_frame_and_for_a_size_alone():
    assert not warnings(paste(track=boxes(*range(10, 28, 2))))
    assert not warnings(paste(CLIP[:1], track=boxes(10)))
    assert not warnings(paste(track=boxes(10), keyframes=MOVE))


def test_a_track_of_nothing_passes_the_clip_through():
    ran = paste(track=torch.zeros(FRAMES, 48, 64))
    assert torch.equal(ran.values[1], CLIP)


def test_frames_with_an_empty_subject_mask_pass_through():
    masks = SUBJECT.repeat(FRAMES, 1, 1)
    masks[3:5] = 0
    ran = paste(subject=EXEMPLAR.repeat(FRAMES, 1, 1, 1), mask=masks, keyframes=MOVE)
    assert torch.equal(ran.values[1][3:5], CLIP[3:5]) and ran.values[3][5].any()
    assert "Images 4, 5: The mask of subject 1 is empty: the scene passes through unchanged." in ran.text


def test_a_clip_with_alpha_and_odd_sizes_works():
    rgba = torch.cat([make_image(21, 13, batch=3, seed=4), block(21, 13, 3, 2, 18, 10, 3)[..., None]], dim=-1)
    clip = make_image(33, 47, channels=4, batch=3, seed=6)
    ran = run_node("PhDPasteBlend", background=clip, subject=rgba, keyframes=MOVE, **GIVEN)
    assert ran.values[1].shape == (3, 33, 47, 3) and ran.values[3].amax((1, 2)).min() > 0.9


def test_an_earlier_paste_s_clip_takes_a_second_subject():
    first = paste(keyframes=MOVE)
    ran = run_node(
        "PhDPasteBlend", paste=first.values[0], subject=EXEMPLAR, subject_mask=SUBJECT, keyframes="0: y 0.2", **GIVEN
    )
    assert (ran.values[3] >= first.values[3] - 1e-6).all() and (ran.values[3].sum() > 1.5 * first.values[3].sum())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keyframes": "0: x 0.5\n0: y 0.5"}, ["keyframes", "line 2", "frame 0"]),
        ({"keyframes": "five"}, ["keyframes", "line 1", "24: x 0.7"]),
        ({"keyframes": MOVE, "placement": "random"}, ["placement is random", "manual"]),
        ({"keyframes": MOVE, "paste_into_one": True}, ["paste_into_one", "turn it off"]),
        ({"keyframes": MOVE, "placements": '{"x": 0.5}'}, ["placements", "use one"]),
        ({"track": torch.ones(4, 48, 64)}, ["track has 4 frames", "the clip has 9"]),
        ({"track": torch.ones(9, 40, 64)}, ["track is 64×40 pixels", "background is 64×48 pixels"]),
        ({"track": boxes(1, 2)}, ["track has 2 frames", "the clip has 9"]),
        ({"track": [{"x": 1}] * 9}, ["track is {'x': 1}", "a box with x, y, width and height"]),
        ({"track": []}, ["track is []", "a mask for each frame"]),
        ({"mask": SUBJECT.repeat(3, 1, 1), "subject": EXEMPLAR.repeat(2, 1, 1, 1), "keyframes": MOVE},
         ["subject: 2", "subject_mask: 3"]),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(given, words):
    given = {"background": CLIP, "subject": EXEMPLAR, "subject_mask": given.pop("mask", SUBJECT)} | GIVEN | given
    message = refused("PhDPasteBlend", **given)
    assert all(word in message for word in words), message


def test_each_frame_is_a_step_of_progress():
    heard = []
    paste(keyframes=MOVE, on_progress=lambda node, *step: heard.append(step) if node == "node" else None)
    assert (5, FRAMES) in heard
