"""Paste & Blend, any model, Stitch: whatever image comes back is brought home, or refused in a sentence."""

import numpy as np
import pytest
import torch
from node_support import refused, run_node

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.geometry import Size
from phd_ops.pixels.resample import resample, resize

WIDTH, HEIGHT = 240, 200


def waves(seed=0, size=(WIDTH, HEIGHT)):
    """Smooth structure on all scales, [1,H,W,3]."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size[1], size[0], 3), np.float32)
    for cell in (4, 8, 16, 32, 64):
        coarse = rng.random((size[1] // cell + 2, size[0] // cell + 2, 3), np.float32)
        image += resize(coarse, Size(*size)) - 0.5
    return torch.from_numpy(np.clip(0.45 + 0.22 * image, 0, 1))[None]


@pytest.fixture(scope="module")
def pasted():
    mask = torch.zeros(1, 80, 80)
    mask[:, 10:70, 10:70] = 1
    given = {"background": waves(), "subject": waves(5, (80, 80)), "subject_mask": mask}
    return run_node("PhDPasteBlend", **given, size=0.35, ring=12, feather=0.0).values[0]


def edited(pasted, gain=0.7):
    """What a perfect model makes of the composite: the subject in dimmer light."""
    matte = pasted.subject_matte[..., None]
    return pasted.composite * (1 - matte + gain * matte)


def moved(image, x, y):
    array = image[0].numpy()
    return torch.from_numpy(resample(array, np.array([[1.0, 0, x], [0, 1.0, y]]), Size.of(array), 1))[None]


def stitched(pasted, sampled, **changes):
    ran = run_node("PhDStitch", paste=pasted, sampled=sampled, **changes)
    return ran, ran.execution.outputs["node"]["phd_report"][0]


def returned_images(image):
    array = image[0].numpy()

    def resized(part, *size):
        return torch.from_numpy(resize(np.ascontiguousarray(part), Size(*size)))[None]

    return {
        "shifted": moved(image, 3, -2),
        "larger": resized(array, 2 * WIDTH, 2 * HEIGHT),
        "rounded to 32": resized(array, 256, 192),
        "cropped to a square": resized(array[:, 20:220], 256, 256),
        "cut to a grid of 32": image[:, 4:196, 8:232],
        "padded to a square": torch.nn.functional.pad(image, (0, 0, 0, 0, 20, 20)),
        "tinted and shifted": moved(image, 4, 3) * torch.tensor([1.05, 1.0, 0.9]),
        "with alpha": torch.cat([image, torch.ones(1, HEIGHT, WIDTH, 1)], 3),
    }


@pytest.mark.parametrize("kind", returned_images(torch.zeros(1, HEIGHT, WIDTH, 3)))
def test_three_wires_bring_any_models_image_home(pasted, kind):
    ideal, wanted = stitched(pasted, edited(pasted))
    ran, report = stitched(pasted, returned_images(edited(pasted))[kind])
    image, mask = ran.values[:2]
    assert image.shape == pasted.background.shape
    assert torch.equal(image[mask == 0], pasted.background[mask == 0])
    assert report["registration"] == "matched"
    # The model's own pixels show through by a tenth, and resampling softens them.
    assert (image - ideal.values[0]).abs().mean() < 0.003
    assert report["gain"] == pytest.approx(wanted["gain"], rel=0.1)


def exposed(image, gain):
    return torch.from_numpy(linear_to_srgb(srgb_to_linear(image.numpy()) * np.float32(gain)))


@pytest.mark.parametrize("gain", [0.25, 0.5, 1.4, (0.3, 0.35, 0.5)])
def test_a_model_that_regrades_the_whole_scene_leaves_the_light_what_it_is(pasted, gain):
    _, wanted = stitched(pasted, edited(pasted))
    ran, report = stitched(pasted, exposed(edited(pasted), gain))
    assert report["gain"] == pytest.approx(wanted["gain"], rel=0.03)
    assert any(text.startswith("Color shift removed") for text in ran.text)


@pytest.mark.parametrize("saturation", [0.6, 1.3])
def test_a_model_that_changes_the_saturation_leaves_the_lights_color_what_it_is(pasted, saturation):
    _, wanted = stitched(pasted, edited(pasted))
    image = edited(pasted)
    luma = (image * torch.tensor([0.2126, 0.7152, 0.0722])).sum(-1, keepdim=True)
    ran, report = stitched(pasted, (luma + saturation * (image - luma)).clamp(0, 1))
    assert report["gain"] == pytest.approx(wanted["gain"], rel=0.04)
    assert any(text.startswith("The model changed the saturation of the whole scene") for text in ran.text)


@pytest.mark.parametrize("colors", ["gray", "red for blue", "a few tones"])
def test_colors_that_no_shift_explains_give_a_warning(pasted, colors):
    image = edited(pasted)
    made = {
        "gray": image.mean(-1, keepdim=True),
        "red for blue": image.flip(-1),
        "a few tones": 0.25 * (4 * image).round().clamp(1, 3),
    }[colors]
    ran, report = stitched(pasted, made)
    assert report["registration"] == "matched" and report["color_shift_left"] > 3
    assert any(text.startswith("The model changed the colors of the whole scene") for text in warnings_of(ran))
    # No light is right that was said to be wrong.
    assert not any(text.startswith("Color shift removed") for text in ran.text)


def warnings_of(ran):
    return ran.execution.outputs["node"]["phd_warnings"]


UNITS = {
    "0 to 255": lambda image: 255 * image,
    "bytes": lambda image: (255 * image).to(torch.uint8),
    "-1 to 1": lambda image: 2 * image - 1,
}


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("name", ["sampled", "sampled_reference"])
def test_values_in_other_units_are_refused_with_the_range(pasted, name, units):
    given = {"sampled": edited(pasted)} | {name: UNITS[units](edited(pasted))}
    message = refused("PhDStitch", paste=pasted, **given)
    assert f"{name} has values from" in message and "an image's are 0 to 1" in message


def test_a_sharpened_image_and_highlights_are_values_of_an_image(pasted):
    image = edited(pasted)
    image[:, :20] *= 4
    image[:, 30:33] -= 0.5
    _, report = stitched(pasted, image)
    assert report["registration"] == "matched"


def test_something_else_in_the_subjects_place_gives_a_warning(pasted):
    matte = pasted.subject_matte[..., None]
    ran, report = stitched(pasted, pasted.background + matte * (waves(11) - pasted.background))
    assert report["identity_of_sampled"] < 0.2 and report["subject_fits"]
    assert any("painted something else in the subject's place" in text for text in warnings_of(ran))


def window_of_any_image():
    """A crop to inpaint, its window, and that window as a model that does well returns it."""
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, 60:120, 90:150] = 1
    crop, window, *_ = run_node("PhDCrop", image=waves(), mask=mask, side=192).values
    filled = window.clone()
    filled[:, 80:112, 80:112] = 0.5
    return crop, window, filled


def test_without_a_subject_another_image_is_said_to_be_shown():
    crop, window, _ = window_of_any_image()
    ran = run_node("PhDStitch", crop=crop, sampled=window.flip(2))
    assert [text for text in ran.text if "another image" in text] == [
        "sampled shows another image around the mask, and the masked area shows it as it lies: connect what was made "
        "of this image."
    ]
    assert not any("nothing of it was used" in text or "colors of the whole scene" in text for text in ran.text)


def test_an_edit_that_changed_nothing_in_the_mask_is_said():
    crop, window, filled = window_of_any_image()
    for sampled, changed in ((window, False), (0.95 * window, False), (filled, True)):
        ran = run_node("PhDStitch", crop=crop, sampled=sampled)
        assert any(text.startswith("The model changed nothing in the masked area") for text in ran.text) != changed
        assert any(text.startswith("No subject: the masked area shows") for text in ran.text) == changed


def test_each_seeds_own_tint_is_taken_off(pasted):
    _, wanted = stitched(pasted, edited(pasted))
    seeds = [edited(pasted) * torch.tensor(tint) for tint in ([1, 1, 1], [0.9, 1, 1.05], [1.05, 0.95, 0.85])]
    _, report = stitched(pasted, torch.cat(seeds), num_seeds=3)
    assert report["gain"] == pytest.approx(wanted["gain"], rel=0.02)


def test_an_image_that_moved_is_said_with_how_far(pasted):
    ran, report = stitched(pasted, moved(edited(pasted), 3, -2))
    assert report["motion"] == "shift" and report["moved_pixels"] == pytest.approx(13**0.5, abs=0.1)
    assert report["residual_pixels"] < 0.2
    assert any(text.startswith("sampled had moved by up to 3.6 pixels (shift)") for text in ran.text)


def test_an_image_that_did_not_move_gives_no_word_of_it(pasted):
    ran, report = stitched(pasted, edited(pasted))
    assert (report["registration"], report["motion"], report["moved_pixels"]) == ("matched", "none", 0)
    assert not any(text.startswith("sampled") for text in ran.text)


def test_an_edit_models_user_is_not_told_to_raise_what_the_model_does_not_have(pasted):
    image = (pasted.composite + 0.01 * (waves(21) - 0.5)).clamp(0, 1)
    ran, report = stitched(pasted, image)
    assert report["neglected"]
    (text,) = [text for text in ran.text if text.startswith("The model left the subject as it was: ")]
    assert "prompt" in text and "inner steps" not in text
    (identity,) = [text for text in ran.text if text.startswith("Identity")]
    assert "how far the subject kept its own fine detail" in identity


def test_of_the_models_own_pixels_no_light_is_said_and_in_another_pose_no_identity(pasted):
    ran, _ = stitched(pasted, edited(pasted), subject_pixels="model")
    assert not any(text.startswith("Light on the subject") for text in ran.text)
    assert any(text.startswith("Identity") for text in ran.text)
    matte, background = pasted.subject_matte[..., None], pasted.background
    elsewhere = background + (matte * (pasted.composite - background)).roll((4, 24), (1, 2))
    ran, report = stitched(pasted, elsewhere, subject_pixels="auto", keep_changes="touching the subject")
    assert report["subject_from"] == "model" and not report["subject_fits"]
    assert any(text.startswith("The model gave the subject another pose or place") for text in ran.text)
    assert not any(text.startswith(("Light", "The light", "Identity")) for text in ran.text)


def test_the_changes_are_an_output_and_stay_outside_unless_asked(pasted):
    image = moved(edited(pasted), 2, 2)
    image[:, 10:40, 10:50] *= 0.5
    inside, _ = stitched(pasted, image)
    every, report = stitched(pasted, image, keep_changes="everything")
    changes = inside.values[3]
    assert changes[0, 15:38, 15:48].mean() > 0.9 and 0 < report["changed_share"] < 0.2
    assert torch.equal(changes, every.values[3])
    assert torch.equal(inside.values[0][:, :45, :55], pasted.background[:, :45, :55])
    assert every.values[1][0, 15:35, 15:45].mean() > 0.9
    unused = every.values[1] == 0
    assert torch.equal(every.values[0][unused], pasted.background[unused])


def test_a_latents_images_are_not_registered(pasted):
    crop = run_node("PhDCrop", paste=pasted, side=128).values
    _, report = stitched(pasted, crop[1], crop=crop[0])
    assert report["registration"] == "matched"


@pytest.mark.parametrize("behind", [0.5, None])
def test_a_relighter_may_return_the_subject_alone(pasted, behind):
    _, wanted = stitched(pasted, edited(pasted))
    behind = waves(13) if behind is None else torch.full_like(pasted.background, behind)
    sampled = behind + pasted.subject_matte[..., None] * (edited(pasted) - behind)
    ran, report = stitched(pasted, sampled)
    assert report["registration"] == "subject only"
    assert report["gain"] == pytest.approx(wanted["gain"], rel=0.1)
    ring = (pasted.harmonize_mask > 0) & (pasted.subject_matte == 0)
    assert (ran.values[0] - pasted.background)[ring].abs().max() < 2 / 255
    assert any(text.startswith("sampled shows the subject in other surroundings") for text in ran.text)


def test_a_window_that_the_model_got_smaller_and_moved_is_moved_back(pasted):
    crop = run_node("PhDCrop", paste=pasted, context=2.4, size_mode="exact", width=136, height=136).values
    assert max(crop[0].target) < 0.8 * max(crop[0].box.size)
    ran, report = stitched(pasted, moved(crop[1], 3, -2), crop=crop[0])
    assert report["registration"] == "matched"
    assert report["moved_pixels"] == pytest.approx(3.6, abs=0.2)
    unused = ran.values[1] == 0
    assert torch.equal(ran.values[0][unused], pasted.background[unused])


OTHERS = {
    "another image": lambda image: waves(9),
    "mirrored": lambda image: image.flip(2),
    "upside down": lambda image: image.flip(1, 2),
    "all black": lambda image: image * 0,
    "all one color": lambda image: image * 0 + 0.4,
    "NaN": lambda image: image * torch.nan,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_of_another_image_nothing_is_used_and_a_warning_says_so(pasted, kind):
    ran, report = stitched(pasted, OTHERS[kind](edited(pasted)))
    image, mask = ran.values[:2]
    assert report["registration"] == "unlike"
    assert any(text.startswith("sampled shows another image than the composite") for text in ran.text)
    assert not any("did not change the composite" in text for text in ran.text)
    inside = mask > 0
    assert torch.equal(image[inside], pasted.composite[inside])
    assert torch.equal(image[~inside], pasted.background[~inside])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2)])
def test_a_seed_that_shows_another_image_takes_no_part_in_the_light(pasted, order):
    _, wanted = stitched(pasted, edited(pasted))
    seeds = [waves(9), edited(pasted), edited(pasted)]
    ran, report = stitched(pasted, torch.cat([seeds[place] for place in order]), num_seeds=3)
    assert report["gain"] == pytest.approx(wanted["gain"], rel=0.01)
    assert report["identity_of_sampled"] == pytest.approx(wanted["identity_of_sampled"], abs=0.01)
    assert report["registration"] == "matched" and not report["neglected"]
    assert any(text.startswith("sampled shows another image than the composite") for text in ran.text)


def test_the_reference_of_a_seed_that_shows_another_image_takes_no_part_either(pasted):
    reference = 0.9 * pasted.composite
    _, wanted = stitched(pasted, edited(pasted), sampled_reference=reference)
    sampled, references = torch.cat([waves(9), edited(pasted)]), torch.cat([0.3 * reference, reference])
    _, report = stitched(pasted, sampled, sampled_reference=references, num_seeds=2)
    assert report["gain"] == wanted["gain"] and report["light_by"] == wanted["light_by"]


WRONG = {
    "turned by 90 degrees": lambda image: image.transpose(1, 2),
    "a stripe": lambda image: image[:, :20],
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_shape_that_cannot_be_is_refused_with_both_sizes(pasted, kind):
    message = refused("PhDStitch", paste=pasted, sampled=WRONG[kind](edited(pasted)))
    assert message.startswith("sampled is ") and f"{WIDTH}×{HEIGHT}" in message


@pytest.mark.parametrize("scale", [1 / 16, 16])
def test_a_result_sixteen_times_smaller_or_larger_is_understood(pasted, scale):
    array = edited(pasted)[0].numpy()
    sampled = torch.from_numpy(resize(array, Size(round(WIDTH * scale), round(HEIGHT * scale))))[None]
    image, mask = stitched(pasted, sampled)[0].values[:2]
    assert torch.equal(image[mask == 0], pasted.background[mask == 0])


def test_one_pixel_is_used_as_it_lies_and_nothing_else_moves(pasted):
    ran, report = stitched(pasted, torch.full((1, 1, 1, 3), 0.5))
    image, mask = ran.values[:2]
    assert report["registration"] == "plain"
    assert any(text.startswith("Too little texture outside the mask") for text in ran.text)
    assert torch.equal(image[mask == 0], pasted.background[mask == 0])


def test_where_the_mask_covers_everything_it_is_said_and_nothing_is_moved(pasted):
    whole = torch.ones_like(pasted.harmonize_mask)
    ran, report = stitched(pasted, moved(edited(pasted), 3, 0), harmonize_mask=whole)
    assert report["registration"] == "covered"
    assert any(text.startswith("The mask covers everything") for text in ran.text)


def test_items_of_a_batch_equal_the_same_item_alone(pasted):
    images = torch.cat([moved(edited(pasted), x, 0) for x in (0, 3)])
    both = stitched(pasted, images)[0].values[0]
    for index in range(2):
        alone = stitched(pasted, images[index : index + 1])[0].values[0]
        assert torch.equal(both[index], alone[0])


def leaning(pasted):
    array = edited(pasted)[0].numpy()
    angle, middle = np.radians(13), np.array([WIDTH / 2, HEIGHT / 2])
    linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([linear, middle - linear @ middle])
    turned, matte = (
        resample(values, matrix, Size(WIDTH, HEIGHT), 1) for values in (array, pasted.subject_matte[0].numpy())
    )
    background = pasted.background[0].numpy()
    return torch.from_numpy(background + matte[..., None] * (turned - background))[None]


def test_another_pose_is_said_and_the_models_pixels_can_be_chosen(pasted):
    image = leaning(pasted)
    own, report = stitched(pasted, image)
    assert not report["subject_fits"] and report["subject_from"] == "own"
    assert any(text.startswith("The model gave the subject another pose or place") for text in own.text)
    auto, report = stitched(pasted, image, subject_pixels="auto", keep_changes="touching the subject")
    assert report["subject_from"] == "model"
    near = auto.values[3] > 0
    assert (auto.values[0] - image)[near].abs().mean() < 0.2 * (own.values[0] - image)[near].abs().mean()


@pytest.mark.parametrize("name", ["keep_changes", "subject_pixels"])
def test_an_unknown_choice_is_named(pasted, name):
    assert refused("PhDStitch", paste=pasted, sampled=edited(pasted), **{name: "nothing"}).startswith(f"{name} is ")
