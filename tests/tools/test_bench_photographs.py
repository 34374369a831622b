"""`dev.py bench quality --photographs`: the color transfers, the composites, and photographs that cannot be had."""

import json
import struct

import numpy as np
import pytest

from benchmarks.common.color_transfers import LAB, LMS, TRANSFERS, YCBCR, fecker, matched, pitie, reinhard, xiao
from benchmarks.quality import docs as quality_docs
from benchmarks.quality import on_photographs, photographs
from benchmarks.quality.plan import Plan
from benchmarks.quality.store import Store
from devtools import debian_images
from devtools.debian_images import debian_file, resources
from phd_ops.pixels.color import srgb_to_linear

RNG = np.random.default_rng(0)
# Muted colors, so that no transfer leaves 0..1.
SUBJECT = np.float32(0.4 + 0.05 * RNG.standard_normal((500, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0], [0, 0.3, 0.6]]))
REFERENCE = np.float32(0.5 + 0.04 * RNG.standard_normal((700, 3)) @ np.array([[0.5, 0, 0.2], [0, 1, 0.8], [0, 0, 1]]))


# Color transfers


@pytest.mark.parametrize("name", TRANSFERS)
def test_a_subject_with_its_own_statistics_stays_as_it_is(name):
    np.testing.assert_allclose(TRANSFERS[name](SUBJECT, SUBJECT), SUBJECT, atol=1e-4)


def test_reinhard_gives_mean_and_deviation_of_each_axis_of_lab():
    found, wanted = (np.log10(colors @ LMS.T) @ LAB.T for colors in (reinhard(SUBJECT, REFERENCE), REFERENCE))
    np.testing.assert_allclose(found.mean(0), wanted.mean(0), atol=2e-3)
    np.testing.assert_allclose(found.std(0), wanted.std(0), rtol=2e-2)


def test_reinhard_s_axes_are_those_of_the_paper():
    gray = np.log10(np.full(3, 0.5) @ LMS.T) @ LAB.T
    assert gray[0] == pytest.approx(np.sqrt(3) * np.log10(0.5), abs=0.01) and np.abs(gray[1:]).max() < 0.01


def test_xiao_gives_mean_and_covariance_of_rgb():
    found = xiao(SUBJECT, REFERENCE)
    np.testing.assert_allclose(found.mean(0), REFERENCE.mean(0), atol=1e-4)
    np.testing.assert_allclose(np.cov(found.T), np.cov(REFERENCE.T), atol=1e-5)


def test_xiao_does_not_mirror_colors_by_an_axis_of_the_other_sign():
    # One axis is far longer than the others: brighter must stay brighter.
    brightness = np.linspace(0.2, 0.6, 100)[:, None] + 0.001 * RNG.standard_normal((100, 3))
    found = xiao(brightness, 0.1 + 0.5 * brightness)
    assert np.corrcoef(found.mean(1), brightness.mean(1))[0, 1] > 0.99


def test_a_histogram_is_matched_by_rank_and_equal_values_stay_equal():
    assert matched(np.array([3.0, 1.0, 2.0]), np.array([10.0, 30.0, 20.0])).tolist() == [30, 10, 20]
    assert matched(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0.0, 2.0, 4.0, 6.0])).tolist() == [1, 1, 5, 5]


def test_fecker_gives_the_histogram_of_each_channel_of_ycbcr():
    found, wanted = (np.sort(colors @ YCBCR.T, 0) for colors in (fecker(SUBJECT, REFERENCE[:500]), REFERENCE[:500]))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_pitie_gives_the_whole_distribution_where_fecker_gives_the_channels_alone():
    def apart(colors: np.ndarray) -> float:
        """The largest difference of the covariances."""
        return np.abs(np.cov(colors.T) - np.cov(REFERENCE.T)).max()

    assert apart(pitie(SUBJECT, REFERENCE)) < 1e-4 < apart(fecker(SUBJECT, REFERENCE))


# Photographs


@pytest.fixture
def drawn_photographs(monkeypatch):
    """Five photographs: a square in a color of its own on gray."""
    listed = [photographs.Photograph("animal", "outdoor", f"animal {index}", "none", str(index)) for index in range(5)]

    def read(photograph):
        image = np.random.default_rng(int(photograph.path)).normal(0.4, 0.02, (200, 300, 3))
        image[60:140, 100:200] += [0.05 * int(photograph.path), 0, -0.03 * int(photograph.path)]
        return np.float32(image)

    class Segmenter:
        @staticmethod
        def predict(image):
            mask = np.zeros(image.shape[:2], np.float32)
            mask[60:140, 100:200] = 1
            return mask

    monkeypatch.setattr(photographs, "PHOTOGRAPHS", tuple(listed))
    monkeypatch.setattr(on_photographs, "PHOTOGRAPHS", tuple(listed))
    monkeypatch.setattr(photographs, "read", read)
    monkeypatch.setattr(photographs, "segmenter", Segmenter)
    cached = (photographs.subject_of, photographs.likest, photographs.recolored_cases, photographs.relit_cases)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


@pytest.mark.parametrize("made", [photographs.recolored, photographs.relit])
def test_a_composite_differs_from_its_photograph_in_the_subject_alone(made, drawn_photographs):
    given = made(3)
    inside = given.matte > 0
    assert np.array_equal(given.composite[~inside], given.truth[~inside])
    assert (given.composite != given.truth)[inside].any() and 0.2 < inside.mean() < 0.25
    assert (given.harmonize_mask > 0)[inside].all() and (given.inpaint_mask > 0).any()


def test_each_transfer_takes_another_photograph_of_the_kind_the_nearest_four_in_turn(drawn_photographs):
    assert photographs.likest(0) == [1, 2, 3, 4] and photographs.likest(4) == [3, 2, 1, 0]
    assert [photographs.case_of(4 + turn)[1] for turn in range(4)] == [
        photographs.likest(1)[place] for place in (1, 2, 3, 0)
    ]
    assert [photographs.case_of(number)[2] for number in range(4)] == [*TRANSFERS]


def test_another_light_is_a_smooth_gain_on_linear_light(drawn_photographs):
    for number in range(12):
        given = photographs.relit(number)
        inside = (given.matte > 0) & (given.composite.max(2) < 0.99)
        gain = np.log(srgb_to_linear(given.composite)[inside] / srgb_to_linear(given.truth)[inside])
        # Exposure, color and a slope, with the rare gamma on top: an affine function of place explains it.
        rows, columns = np.nonzero(inside)
        places = np.stack([rows, columns, np.ones_like(rows)], 1)
        left = gain - places @ np.linalg.lstsq(places, gain, rcond=None)[0]
        assert left.std() < 0.04 and np.abs(gain.mean(0)).max() > 0.02


def test_each_photograph_gets_four_lights_of_its_own(drawn_photographs):
    lit = [photographs.relit(number).composite for number in range(photographs.LIGHTS)]
    assert len({image.tobytes() for image in lit}) == photographs.LIGHTS
    assert [photographs.relit_stratum(number)[2] for number in (0, 5)] == [photographs.LIGHT] * 2
    assert np.array_equal(photographs.relit(4).truth, photographs.relit(7).truth)


def test_composites_that_changed_too_much_are_left_out(drawn_photographs, monkeypatch):
    every = [photographs.change(photographs.recolored(number)) for number in range(20)]
    monkeypatch.setattr(photographs, "MOST_CHANGE", float(np.median(every)))
    assert [*photographs.recolored_cases()] == [number for number in range(20) if every[number] <= np.median(every)]


def test_photographs_are_scored_and_measured_once(drawn_photographs, pack, tmp_path, monkeypatch, capsys):
    classical = [method for method in on_photographs.CLASSICAL if method.name in on_photographs.WITHOUT_MODEL]
    monkeypatch.setattr(on_photographs, "methods", lambda store, composites, weights: classical)
    plan = Plan(8, 1, (10,), "test", tmp_path)
    assert on_photographs.measure(plan, "demo") == 0
    both = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "photographs_relit.json").read_text()) == both["photographs_relit"]
    assert both["photographs_relit"]["all"]["n"] == len(photographs.relit_cases())
    assert both["photographs_relit"]["animal"]["n"] == both["photographs_relit"]["all"]["n"]
    printed = both["photographs"]
    assert printed["photographs"] == 5 and printed["all"]["n"] == len(photographs.recolored_cases())
    assert printed["night"] == {"n": 0} and printed["animal"]["n"] == printed["all"]["n"]
    assert printed["all"]["paste"]["of_paste"] == 1 and printed["all"]["paste"]["worse"] == 0
    assert {*printed["all"]} == {"n", "paste", "reinhard", "reinhard_scene", "poisson"}
    assert json.loads((tmp_path / "photographs.json").read_text()) == printed
    table = quality_docs.on_photographs(printed).splitlines()
    assert len(table) == 2 + 4 and "animal (" in table[0] and "night" not in table[0]
    size = (tmp_path / "photograph_scenes.csv").stat().st_size
    assert on_photographs.measure(plan, "demo") == 0
    assert (tmp_path / "photograph_scenes.csv").stat().st_size == size
    for run, rows in Store(tmp_path / "photograph_scenes.csv").rows.items():
        assert len(rows) == both[run.split]["all"]["n"]


def test_photographs_that_cannot_be_had_are_named_and_left_out(drawn_photographs, tmp_path, monkeypatch, capsys):
    def read(photograph):
        return debian_file("no-such-package", "usr/share/none.jpg")

    monkeypatch.setattr(photographs, "read", read)
    monkeypatch.setattr(debian_images.shutil, "which", lambda name: None)
    assert on_photographs.measure(Plan(8, 1, (10,), "test", tmp_path), "demo") == 2
    error = capsys.readouterr().err
    assert "Debian's package 'no-such-package' is not installed" in error and "left out" in error


# Debian's packages


def test_an_unpacked_package_is_not_downloaded_again(tmp_path, monkeypatch):
    monkeypatch.setattr(debian_images, "FOLDER", tmp_path)
    file = tmp_path / "drawn_photographs" / "usr" / "share" / "a.jpg"
    file.parent.mkdir(parents=True)
    file.touch()
    assert debian_file("drawn_photographs", "usr/share/a.jpg") == file


def test_the_files_of_a_qt_resource_file_are_found_by_their_paths(tmp_path):
    def name(text: str) -> bytes:
        return struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")

    names = [name("a"), name("b.webp")]
    places = [0, len(names[0])]
    contents = struct.pack(">I", 5) + b"photo"
    # Nodes: the root with one child, folder a with one child, the file; 22 bytes each in version 2.
    tree = struct.pack(">IHII8x", 0, 2, 1, 1) + struct.pack(">IHII8x", places[0], 2, 1, 2)
    tree += struct.pack(">IHHHI8x", places[1], 0, 0, 0, 0)
    start = 20
    header = b"qres" + struct.pack(">4I", 2, start, start + len(tree), start + len(tree) + len(contents))
    file = tmp_path / "a.rcc"
    file.write_bytes(header + tree + contents + b"".join(names))
    assert resources(file) == {"a/b.webp": b"photo"}
