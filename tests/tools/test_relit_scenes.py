"""RelitScenes: what a scene declares is true of its pixels, and splits share nothing but words."""

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from bench_support import has_sprites

from phd_ops.pixels.color import srgb_to_linear
from phd_ops.pixels.geometry import Size
from phd_ops.pixels.masks import signed_distance
from phd_ops.pixels.paste import Subject, exemplar_matrix, paste, subject_box
from relit_scenes import backgrounds, light, light_readability, materials, subjects
from relit_scenes.descriptions import STRATA, labels_of
from relit_scenes.draw import draw_scene, draw_shot
from relit_scenes.layers import render_layers
from relit_scenes.light import SceneLight
from relit_scenes.materials import ImagesMissingError
from relit_scenes.render import moved, render_scene
from relit_scenes.split import SPLITS
from relit_scenes.training_scenes import training_pair, vocabulary

SIDE = 128
SOLIDS = ("solid",)
IMAGES = (
    "truth", "background", "exemplar", "exemplar_matte", "composite", "reference", "matte", "true_matte", "shadow",
    "inpaint_mask", "harmonize_mask",
)  # fmt: skip


@pytest.fixture
def sprites():
    if not has_sprites():
        pytest.skip("the npm package with the sprites cannot be had here")


needs_sprites = pytest.mark.usefixtures("sprites")


@pytest.fixture(scope="module")
def rendered():
    """Two scenes of each stratum, of solids, which need no package from npm."""
    drawn = [draw_scene(seed, "test", stratum, SOLIDS) for seed, stratum in itertools.product(range(2), STRATA)]
    return [render_scene(description, SIDE) for description in drawn]


def of(rendered, *strata: str):
    return [scene for scene in rendered if scene.description.stratum in strata]


def exact(rendered):
    """The scenes with an exact matte."""
    return [scene for scene in rendered if scene.labels.matte == 0]


def test_the_same_seed_gives_the_same_bits():
    for stratum in STRATA:
        description = draw_scene(5, "validation", stratum, SOLIDS)
        assert description == draw_scene(5, "validation", stratum, SOLIDS)
        once, again = (render_scene(description, 64) for _ in range(2))
        for name in (*IMAGES, "log_gain", "exemplar_log_gain", "ratio"):
            assert np.array_equal(getattr(once, name), getattr(again, name)), name


def test_the_same_seed_gives_the_same_bits_when_every_cache_is_empty(monkeypatch):
    image, prompt = training_pair(3, 64, "validation", SOLIDS)
    # Empty caches in place of the filled ones, which other tests go on using.
    for module, name in (
        (backgrounds, "pyramid"), (backgrounds, "cloud_noise"), (subjects, "solid_form"), (subjects, "traced"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, functools.cache(getattr(module, name).__wrapped__))
    again, same_prompt = training_pair(3, 64, "validation", SOLIDS)
    assert np.array_equal(image, again) and prompt == same_prompt


def test_another_seed_gives_another_scene():
    assert len({draw_scene(seed, "train", kinds=SOLIDS).scene.prompt for seed in range(20)}) > 15


def test_splits_share_no_subject_and_no_background_but_all_words():
    for one, other in itertools.combinations(SPLITS, 2):
        assert not set(subjects.combinations(one)) & set(subjects.combinations(other))
        assert not set(backgrounds.combinations(one)) & set(backgrounds.combinations(other))
        assert not {p[:2] for p in backgrounds.PHOTOGRAPHS[one]} & {p[:2] for p in backgrounds.PHOTOGRAPHS[other]}
    learned = {word for _, *words in backgrounds.combinations("train") for word in words}
    for split in SPLITS:
        assert {noun for noun, _ in subjects.combinations(split)} == set(subjects.CLASSES)
        assert {color for _, color in subjects.combinations(split)} == set(subjects.COLORS)
        assert {word for _, *words in backgrounds.combinations(split) for word in words} <= learned


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_drawn_belongs_to_its_split(split):
    for seed in range(40):
        drawn = draw_scene(seed, split, kinds=SOLIDS)
        for shot in (drawn.scene, drawn.exemplar, draw_shot(seed, split, SOLIDS)):
            place, subject = shot.background, shot.subject
            assert place.split == split
            if place.kind != "photograph":
                assert (place.kind, place.ground, place.behind, place.band) in backgrounds.combinations(split)
            if subject is not None:
                assert subjects.split_of(subject.noun, subject.color) == split
        assert drawn.scene.background.name != drawn.exemplar.background.name


def test_the_textures_of_different_splits_are_uncorrelated():
    for name in ("sand", "gravel"):
        textures = [materials.pyramid(name, split)[0][..., 1] for split in SPLITS]
        for one, other in itertools.combinations(textures, 2):
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.3


def test_a_texture_repeats_and_has_its_materials_mean():
    for name, material in materials.MATERIALS.items():
        level = materials.pyramid(name, "test")[0]
        assert np.array_equal(level[0], level[-1]) and np.array_equal(level[:, 0], level[:, -1])
        assert np.allclose(level[:-1, :-1].mean((0, 1)), material.albedo, rtol=1e-3), name


def test_images_are_finite_and_in_range(rendered):
    for scene in rendered:
        for name in IMAGES:
            image = getattr(scene, name)
            assert image.dtype == np.float32 and image.shape[:2] == (SIDE, SIDE), name
            assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1, name
        for field in (scene.log_gain, scene.exemplar_log_gain, scene.ratio):
            assert np.isfinite(field).all() and field.shape == (SIDE, SIDE, 3)
        assert scene.true_matte.max() == 1 and scene.ratio.min() > 0


def test_hardly_anything_clips(rendered):
    for scene in rendered:
        for image in (scene.truth, scene.exemplar, scene.background):
            assert (image > 0.9999).any(axis=2).mean() < 0.01


def test_truth_is_the_background_off_subject_and_shadow(rendered):
    for scene in rendered:
        off = (scene.true_matte == 0) & (scene.shadow == 0)
        assert off.mean() > 0.3 and np.array_equal(scene.truth[off], scene.background[off])
        assert (scene.shadow[scene.true_matte == 0] > 0).any()


def test_composite_is_the_background_off_the_matte(rendered):
    for scene in rendered:
        off = scene.matte == 0
        assert np.array_equal(scene.composite[off], scene.background[off])


def test_composite_holds_the_exemplars_subject_unchanged(rendered):
    for scene in rendered:
        core = scene.matte == 1
        from_exemplar = moved(scene.exemplar, scene.shift)
        assert core.sum() > 500 and np.array_equal(scene.composite[core], from_exemplar[core])
        assert np.array_equal(scene.matte, moved(scene.exemplar_matte, scene.shift))


def test_the_packs_paste_puts_the_subject_at_the_placement(rendered):
    for scene in rendered:
        matrix = exemplar_matrix(subject_box(scene.exemplar_matte), scene.placement, Size(SIDE, SIDE))
        assert np.allclose(matrix, [[1, 0, scene.shift[0]], [0, 1, scene.shift[1]]], atol=1e-9)
        pasted = paste(scene.background, Subject(scene.exemplar, scene.exemplar_matte), scene.placement)
        assert np.array_equal(pasted.matte, scene.matte)
        core = scene.matte == 1
        assert np.array_equal(pasted.composite[core], scene.composite[core])
        assert np.abs(pasted.composite - scene.composite).mean() < 0.005


def test_the_references_subject_lies_on_the_composites(rendered):
    for scene in rendered:
        core = scene.matte == 1
        assert np.array_equal(scene.reference[core], scene.composite[core])
        assert scene.reference_cover > 0.6


def test_relighting_by_the_true_ratio_reaches_the_truth(rendered):
    for scene in exact(rendered):
        core = (scene.true_matte == 1) & (np.maximum(scene.truth, scene.composite) < 0.999).all(axis=2)
        relit = srgb_to_linear(scene.composite) * scene.ratio
        assert core.sum() > 400 and np.abs(relit - srgb_to_linear(scene.truth))[core].max() < 2e-5


def test_the_true_ratio_is_that_of_the_gains_where_both_lights_have_one_direction(rendered):
    for scene in of(rendered, "exposure", "color cast", "gradient"):
        core = scene.true_matte == 1
        there = moved(scene.exemplar_log_gain, scene.shift)
        assert np.allclose(np.log(scene.ratio[core]), (scene.log_gain - there)[core], atol=1e-4)


def test_each_stratum_differs_in_what_it_is_named_after_and_in_nothing_else():
    drawn = [draw_scene(seed, "test", stratum, SOLIDS) for seed in range(25) for stratum in STRATA]
    for description in drawn:
        labels, stratum = labels_of(description), description.stratum
        alone = {
            "exposure": abs(labels.exposure) >= 0.5,
            "color cast": labels.cast > 0.1,
            "gradient": labels.gradient > 0.45,
            "direction": labels.direction > 15,
        }
        if stratum in alone:
            assert alone[stratum], (stratum, labels)
            others = {"exposure": labels.exposure, "color cast": labels.cast, "direction": labels.direction}
            # Light from the other side slopes the other way.
            others |= {} if stratum == "direction" else {"gradient": labels.gradient}
            assert all(abs(value) < 0.02 for name, value in others.items() if name != stratum), (stratum, labels)
        assert (labels.color < 0.2) if stratum == "same color" else True
        assert labels.matte == {"matte +1": 1, "matte -1": -1}.get(stratum, 0)


def test_a_wrong_matte_is_off_by_one_pixel(rendered):
    for scene in rendered:
        edge = np.abs(signed_distance(scene.true_matte)) < 0.6
        off = signed_distance(scene.matte)[edge] - signed_distance(scene.true_matte)[edge]
        # Along a diagonal a pixel's step is longer, at a tip shorter.
        low, high = {0: (0, 0), 1: (0.9, 1.5), -1: (-1.5, -0.9)}[scene.labels.matte]
        assert low <= np.median(off) <= high


@pytest.mark.parametrize("split", SPLITS)
def test_photographs_make_backgrounds_too(split):
    place = backgrounds.draw(np.random.default_rng(0), split, photographs=1.0)
    shot = replace(draw_shot(1, split, SOLIDS), background=place)
    image = render_layers(shot, 64).finished
    assert place.kind == "photograph" and place.name in shot.prompt
    assert np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1 and image.std() > 0.02


def test_masks_hold_ring_and_subject(rendered):
    for scene in rendered:
        assert not (scene.inpaint_mask * (scene.matte > 0)).any() and scene.inpaint_mask.sum() > 300
        assert np.array_equal(scene.harmonize_mask, np.maximum(scene.inpaint_mask, scene.matte > 0))


def test_prompts_name_subject_color_place_and_light(rendered):
    for scene in rendered:
        for shot, prompt in (
            (scene.description.scene, scene.prompt),
            (scene.description.exemplar, scene.exemplar_prompt),
        ):
            assert prompt.startswith(shot.subject.name) and shot.background.name in prompt
            assert shot.subject.noun in prompt.split() and shot.subject.color in prompt.split()
            assert prompt.endswith(light.words(shot.light))


def test_the_vocabulary_holds_every_word_of_the_prompts():
    known = set(" ".join(vocabulary()).replace(",", " ").split())
    for split, seed in itertools.product(SPLITS, range(20)):
        assert set(draw_shot(seed, split, SOLIDS).prompt.replace(",", " ").split()) <= known


def test_warm_light_is_red_and_cold_light_blue_at_the_same_luminance():
    warm, cold = SceneLight(mired=370).color, SceneLight(mired=110).color
    assert warm[0] > 0.1 > warm[2] and cold[2] > 0.1 > cold[0]
    for color in (warm, cold):
        assert np.isclose(light.LUMA @ np.exp(color), 1)


def test_light_from_the_left_makes_the_left_brighter():
    gain = SceneLight(slope=0.5, azimuth=-60).log_gain(16)
    assert (gain[:, 0] > gain[:, -1]).all()
    ball = subjects.cutout(subjects.SubjectDescription("solid", "ball", "red", "", 0, False, (0.4, 0.1, 0.1)), 40)
    shade = SceneLight(azimuth=-60).shade(ball.normals, ball.shade)
    assert shade[20, 6] > shade[20, 35]


def test_a_scene_looks_the_same_at_every_size():
    description = draw_scene(1, "test", "mixed", SOLIDS)
    small, large = (render_scene(description, side) for side in (128, 256))
    reduced = large.truth.reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.abs(reduced - small.truth).mean() < 0.03


def test_training_pairs_are_finished_scenes():
    image, prompt = training_pair(0, SIDE, "train", SOLIDS)
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8 and prompt
    drawn = [draw_shot(seed, "train", SOLIDS).subject for seed in range(100)]
    assert 80 <= sum(subject is not None for subject in drawn) <= 98


def test_a_network_predicts_light_from_few_backgrounds():
    figures = light_readability.measure(train=256, test=64, epochs=40)
    assert figures["r2.all.brightness"] > 0.4 and figures["r2.all.slope"] > 0.6


@needs_sprites
def test_most_of_a_sprite_has_the_color_of_its_name():
    for noun in subjects.SPRITES:
        form = subjects.sprite_forms()[noun]
        worn = form.worn * form.matte
        assert worn.sum() / form.matte.sum() > 0.25, noun
        assert np.isclose((form.tone * worn).sum() / worn.sum(), 1, atol=1e-3)


@needs_sprites
def test_scenes_of_sprites_are_exact_too():
    sprites = [render_scene(draw_scene(seed, "train", kinds=("sprite",)), SIDE) for seed in range(8)]
    test_relighting_by_the_true_ratio_reaches_the_truth(sprites)
    test_composite_holds_the_exemplars_subject_unchanged(sprites)
    test_the_packs_paste_puts_the_subject_at_the_placement(sprites)


def test_unknown_words_give_one_sentence():
    with pytest.raises(ValueError, match="no split 'tset'; there are: train"):
        draw_scene(0, "tset")
    with pytest.raises(ValueError, match="no stratum 'dark'; there are: mixed"):
        draw_scene(0, "test", "dark")
    with pytest.raises(ValueError, match="side is 32; a scene needs at least 64"):
        render_scene(draw_scene(0, "test", kinds=SOLIDS), 32)


def test_a_missing_package_gives_one_sentence(monkeypatch, tmp_path):
    with pytest.raises(ImagesMissingError, match=r"does not carry 'data/none.png'; install what devtools"):
        materials.read_photograph("skimage", "data/none.png")
    with pytest.raises(ImagesMissingError, match="'nothing_here' is not installed"):
        materials.read_photograph("nothing_here", "data/none.png")
    archive = subjects.sprite_archive.__wrapped__
    monkeypatch.setattr(subjects, "CACHE", tmp_path)
    monkeypatch.setattr(subjects.shutil, "which", lambda _: None)
    with pytest.raises(ImagesMissingError, match="npm is not installed"):
        archive()
    (tmp_path / "lobehub-fluent-emoji-3d-1.1.0.tgz").write_bytes(b"not it")
    with pytest.raises(ImagesMissingError, match="as pinned; delete it"):
        archive()
