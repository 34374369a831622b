"""Photographs among the module's training data: which ones, their subjects, their lights, and what is kept on disk."""

from pathlib import PurePosixPath

import cv2
import numpy as np
import pytest

from benchmarks.quality.photographs import PHOTOGRAPHS as MEASURED
from devtools.debian_images import GCOMPRIS
from devtools.paths import ROOT
from training import module_data, photographs
from training.module_data import PHOTOGRAPHS, Paste, PasteMixture
from training.photograph_changes import (
    LEAST_REGION,
    MOST_REGION,
    another_exposure,
    crop_of,
    off_by_a_pixel,
    region,
    toned,
    traded_colors,
    worn,
)
from training.photograph_list import GROUPS, Group
from training.photographs import SIDE, Photographs, for_validation, is_subject, words

FREE = {"CC0", "public domain", "CC BY", "CC BY-SA"}
LISTED = [photograph for group in GROUPS for photograph in group.photographs]


def disc(side: int, at: tuple[int, int], radius: int) -> np.ndarray:
    matte = np.zeros((side, side), np.float32)
    cv2.circle(matte, at, radius, 1.0, -1)
    return matte


def gradient(side: int) -> np.ndarray:
    """uint8 [side,side,3], red rising to the right, green downward."""
    rising = np.linspace(10, 230, side).astype(np.uint8)
    return np.dstack(
        [np.tile(rising, (side, 1)), np.tile(rising[:, None], (1, side)), np.full((side, side), 90, np.uint8)]
    )


# Which photographs


def test_no_photograph_that_is_measured_on_is_trained_on_nor_one_of_the_same_name():
    def name(path: str) -> str:
        return PurePosixPath(path).stem.lower()

    assert not {(one.package, one.path) for one in MEASURED} & {*LISTED}
    assert not {name(one.path) for one in MEASURED} & {name(path) for _, path in LISTED}


def test_photographs_are_listed_once_and_under_free_licenses():
    assert len({*LISTED}) == len(LISTED) > 150
    for group in GROUPS:
        assert {*group.license.removesuffix(", by file").replace(" or ", ", ").split(", ")} <= FREE


def test_the_model_card_names_every_package_and_how_many_photographs_there_are():
    card = (ROOT / "demo" / "README.md").read_text()
    assert [group.package for group in GROUPS if f"`{group.package}`" not in card] == []
    assert f"| {sum(package == GCOMPRIS for package, _ in LISTED)} of fishes" in card


def test_names_become_words_and_those_of_wallpapers_say_nothing():
    assert words("explore_monuments/france/chateaudeChambord.webp") == "chateaude chambord"
    assert words("explore_world_animals/animals/scarlet_macaw.webp") == "scarlet macaw"
    assert words("categorization/images/fishes/fish12.webp") == "fish"
    assert words("usr/share/backgrounds/life_by_Aitzol_Berasategi.jpg") == ""


def test_a_tenth_of_the_photographs_is_for_validation_and_two_of_one_name_fall_on_one_side():
    share = np.mean([for_validation(path) for _, path in LISTED])
    assert 0.05 < share < 0.15
    assert for_validation("a/Colosseum.webp") == for_validation("b/c/colosseum.jpg")


# Subjects


def test_a_subject_is_one_clear_thing_away_from_most_of_the_border():
    assert is_subject(disc(96, (48, 48), 20))
    assert not is_subject(np.zeros((96, 96), np.float32))
    assert not is_subject(disc(96, (48, 48), 6)), "too small"
    assert not is_subject(disc(96, (48, 48), 60)), "too large"
    assert not is_subject(disc(96, (20, 20), 14) + disc(96, (76, 76), 14)), "two"
    assert not is_subject(0.6 * disc(96, (48, 48), 20)), "undecided"
    along = np.zeros((96, 96), np.float32)
    along[:, :10] = along[:10] = 1
    assert not is_subject(along), "along the border"


def test_a_crop_keeps_at_least_half_of_the_subject():
    matte, rng, sides = np.uint8(255 * disc(96, (80, 20), 12)), np.random.default_rng(0), set()
    for _ in range(60):
        box = crop_of(rng, matte, 96, 0.4)
        height, width = matte[box].shape
        sides.add(height)
        assert height == width >= 38
        assert 2 * (matte[box] > 127).sum() >= (matte > 127).sum()
    assert len(sides) > 5


def test_a_region_is_made_of_whole_superpixels_and_is_neither_tiny_nor_most_of_the_image():
    labels = (np.arange(64)[:, None] // 8 * 8 + np.arange(64) // 8).astype(np.uint8)
    for seed in range(20):
        matte = region(np.random.default_rng(seed), labels)
        assert LEAST_REGION / 2 < (matte > 127).mean() < 1.5 * MOST_REGION
        # Away from its outline it is whole: each block's middle is in or out.
        middles = matte.reshape(8, 8, 8, 8)[:, 2:6, :, 2:6]
        assert ((middles == 0).all((1, 3)) | (middles == 255).all((1, 3))).all()


def test_a_matte_may_be_off_by_a_pixel():
    matte, rng = np.zeros((64, 64), np.uint8), np.random.default_rng(0)
    matte[20:45, 20:45] = 255
    reach = {int(np.nonzero(off_by_a_pixel(rng, matte)[32])[0].max()) for _ in range(30)}
    assert reach == {43, 44, 45}


# Lights


def test_another_exposure_is_the_same_for_all_of_the_photograph_and_keeps_black():
    image = np.zeros((4, 8, 3), np.uint8)
    image[:, 4:] = 128
    lit = another_exposure(np.random.default_rng(1), image)
    assert not lit[:, :4].any() and len(np.unique(lit[:, 4:].reshape(-1, 3), axis=0)) == 1
    seen = [another_exposure(np.random.default_rng(seed), image)[0, 5].astype(int) for seed in range(60)]
    assert np.std([one.mean() for one in seen]) > 8 and np.mean([np.ptp(one) for one in seen]) > 4


def test_traded_colors_are_the_same_values_in_another_order():
    image, seen = gradient(16), set()
    for seed in range(60):
        traded = traded_colors(np.random.default_rng(seed), image)
        assert np.array_equal(np.sort(traded, -1), np.sort(image, -1))
        seen.add(traded.tobytes())
    assert len(seen) == 6


def test_a_tone_gives_equal_colors_equal_ones_and_keeps_their_order():
    image = np.repeat(np.arange(0, 256, 4, dtype=np.uint8), 3).reshape(1, -1, 3)
    for seed in range(20):
        changed = toned(np.random.default_rng(seed), np.concatenate([image, image])).astype(int)
        assert np.array_equal(changed[0], changed[1])
        assert np.diff(changed[0].sum(-1)).min() >= 0
    assert np.abs(changed[0] - image[0]).max() > 5


def test_some_photographs_are_worn_but_none_much():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8), (0, 0), 3)
    changes = [np.abs(worn(np.random.default_rng(seed), image).astype(int) - image).mean() for seed in range(60)]
    assert 0.1 < np.mean(np.array(changes) > 0) < 0.5 and max(changes) < 6


# On disk


@pytest.fixture
def few(monkeypatch):
    """Four photographs with a disc each, one of them for validation; the segmenter's calls."""
    calls = []

    class Segmenter:
        def __init__(self, path):
            pass

        def predict(self, image):
            calls.append(image.shape)
            return disc(400, (200, 200), 70)

    def read(package, path):
        image = gradient(400)
        image[disc(400, (200, 200), 70) > 0] = (200, 60, 40)
        return image

    monkeypatch.setattr(photographs, "GROUPS", (Group("p", "f", "CC0", "one two three four"),))
    monkeypatch.setattr(photographs, "for_validation", lambda path: path == "f/four.webp")
    monkeypatch.setattr(photographs, "SalientModel", Segmenter)
    monkeypatch.setattr(photographs, "read", read)
    return calls


def test_photographs_are_prepared_once_and_again_when_others_are_listed(few, tmp_path, monkeypatch):
    first = Photographs.loaded(tmp_path, print)
    again = Photographs.loaded(tmp_path, print)
    assert len(few) == 4 and np.array_equal(first.images, again.images)
    assert first.images.shape[1:] == (SIDE, SIDE, 4) and all(one["subject"] for one in first.listed)
    monkeypatch.setattr(photographs, "GROUPS", (Group("p", "f", "CC0", "one"),))
    assert {one["path"] for one in Photographs.loaded(tmp_path, print).listed} == {"f/one.webp"}


def test_without_the_packages_there_are_none_and_the_log_says_so(few, tmp_path, monkeypatch):
    def read(package, path):
        raise FileNotFoundError(f"apt could not download Debian's package {package!r}.")

    monkeypatch.setattr(photographs, "read", read)
    lines = []
    assert Photographs.loaded(tmp_path, lines.append) is None
    assert lines == ["There are no photographs among the pastes: apt could not download Debian's package 'p'."]
    assert not any(tmp_path.iterdir())


def test_an_interrupted_preparation_is_done_again(few, tmp_path):
    Photographs.loaded(tmp_path, print)
    (tmp_path / "photographs.json").unlink()
    assert len(Photographs.loaded(tmp_path, print).listed) > 0 and len(few) == 8


@pytest.mark.parametrize("side", [128, 256])
def test_a_paste_of_a_photograph_differs_from_it_in_the_subject_alone(few, tmp_path, side):
    known, rng = Photographs.loaded(tmp_path, print), np.random.default_rng(5)
    for _ in range(12):
        paste = known.paste(rng, side)
        assert paste.truth.shape == (side, side, 3) and paste.reference is None
        outside = paste.matte == 0
        assert np.array_equal(paste.composite[outside], paste.truth[outside])
        assert np.abs(paste.composite[~outside].astype(int) - paste.truth[~outside]).mean() > 1
        assert (paste.hidden[~outside] > 0).all() and not paste.hidden.all()
        assert paste.prompt in ("one", "two", "three")


def test_photographs_for_validation_keep_their_lights(few, tmp_path):
    known = Photographs.loaded(tmp_path, print)
    found, again = known.relit(), known.relit()
    assert 0 < len(found) <= photographs.LIGHTS
    for one, other in zip(found, again, strict=True):
        assert one.path == "f/four.webp" and np.array_equal(one.composite, other.composite)
        outside = one.matte == 0
        assert np.array_equal(one.composite[outside], one.truth[outside])
        assert 0 < one.change() <= photographs.MOST_CHANGE
        assert (one.harmonize_mask[one.matte > 0] > 0).all() and one.harmonize_mask.mean() < 0.5


def test_photographs_have_their_share_of_the_pastes_where_there_are_any(tmp_path, monkeypatch):
    plain = np.zeros((8, 8, 3), np.uint8)
    paste = Paste(plain, plain, plain[..., 0], plain[..., 0], None, "rendered")

    class Store:
        def __init__(self, *of):
            pass

        def draw(self, rng, known):
            return paste

    monkeypatch.setattr(module_data, "PasteStore", Store)
    monkeypatch.setattr(module_data, "SceneRenderer", lambda: None)
    monkeypatch.setattr(module_data, "demo_paste", lambda *of: paste)
    monkeypatch.setattr(module_data, "ring_around", lambda rng, matte: matte)

    def photograph(rng, side):
        return Paste(plain, plain, plain[..., 0], plain[..., 0], None, "photograph")

    for given, share in ((photograph, PHOTOGRAPHS), (None, 0.0)):
        mixture, rng = PasteMixture(None, tmp_path, given), np.random.default_rng(0)
        drawn = [mixture.paste(rng, mixture.side, 1).prompt for _ in range(1000)]
        assert drawn.count("photograph") / 1000 == pytest.approx(share, abs=0.05)
