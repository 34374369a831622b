"""The browser's pure modules: their own tests, and that they compute the same as Python."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phd_ops.pixels.geometry import Box, Placement, Size, mapped, visible_share
from phd_ops.pixels.keyframes import keyed_values, read_keyframes
from phd_ops.pixels.masks import looks_inverted
from phd_ops.pixels.paste import subject_box

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent.parent / "web" / "js"
CASES = 400


@pytest.fixture(scope="module")
def node():
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs node on the PATH")
    return found


def answers(node: str, cases: list[tuple[str, object]]) -> list:
    """What the browser's modules return for cases (kind, arguments)."""
    done = subprocess.run(
        [node, str(HERE / "parity.mjs")], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_modules_own_tests_pass(node):
    files = sorted(str(path) for path in HERE.glob("*.test.mjs"))
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert int(re.search(r"pass (\d+)", done.stdout)[1]) >= 40


def test_the_browser_computes_a_placement_as_python_does(node):
    rng = np.random.default_rng(8)

    def size() -> Size:
        return Size(*(int(side) for side in np.exp(rng.uniform(0, 9, 2)).clip(1, 8000)))

    cases = [
        (
            Placement(
                *(float(v) for v in rng.uniform(-1, 2, 2)),
                float(np.exp(rng.uniform(-6, 3))),
                float(rng.choice([0.0, 90.0, 180.0, -90.0, rng.uniform(-720, 720)])),
                bool(rng.integers(2)),
            ),
            size(),
            size(),
        )
        for _ in range(CASES)
    ]
    given = [
        ("placement", {"placement": json.loads(p.to_text()), "subject": u._asdict(), "scene": c._asdict()})
        for p, u, c in cases
    ]
    for (placement, subject, scene), found in zip(cases, answers(node, given), strict=True):
        matrix = placement.matrix(subject, scene)
        corners = mapped(matrix, Box(0, 0, *subject).corners)
        shown = corners[[1, 0, 3, 2]] if placement.flip else corners
        within = 1e-9 * max(1.0, np.abs(corners).max())
        (a, c, e), (b, d, f) = matrix
        np.testing.assert_allclose(found["matrix"], [a, b, c, d, e, f], rtol=0, atol=within)
        np.testing.assert_allclose(found["corners"], shown, rtol=0, atol=within)
        assert found["foot"] == pytest.approx(corners[:, 1].max(), abs=within)
        assert found["share"] == pytest.approx(visible_share(placement, subject, scene), abs=1e-6)


WRITTEN = [
    "0: x 0.2, y 0.5\n10: x 0.8, ease\n20: x 0.4",
    "20: size .5 rotation -30, flip\n\n3: size=0.25 flip false\n7: rotation 700",
    '5: {"x": 0.1, "y": 0.2, "flip": true}\n9: x 0.4, ease,',
    "0: x 0\n4: x 0\n5: x 1\n20: x 1\n21: x 0.5",
    "3: x 0.4",
]
MISTAKEN = ["x 0.5", "0: x 0.1\n5: left 3", "0:", "-4: x 0.5", "1.5: x 0.5", "0: x 0,5", "0: x 0.5, x 0.6", "0: xy 3",
            "0: x 1e999", '0: {"x": "a"}', "0: [1]", "4: x 0.5\n4: y 0.5", "0: flip maybe", "0: x1.2.3"]  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN)
def test_the_browser_follows_keyframes_as_python_does(node, text):
    frames = list(range(25))
    found, again = answers(node, [("keyframes", {"text": text, "frames": frames})])[0]
    wanted = keyed_values(read_keyframes(text), len(frames))
    assert again == found
    for frame in frames:
        assert found[frame] == pytest.approx({name: values[frame] for name, values in wanted.items()}, abs=1e-12)


@pytest.mark.parametrize("text", MISTAKEN)
def test_the_browser_refuses_the_keyframes_that_python_refuses(node, text):
    with pytest.raises(ValueError, match="keyframes, line"):
        read_keyframes(text)
    assert answers(node, [("keyframes", {"text": text, "frames": [0]})]) == [None]


@pytest.mark.parametrize("name", ["x", "y", "size", "rotation"])
def test_the_browser_refuses_the_placement_values_that_python_refuses(node, name):
    values = [0, 1, -1, 1e-5, 1e-4, 9999.5, 1e4, 1.1e4, -1.1e4, 1e12, 2e12, "0.5", None, True, [1]]
    wanted = []
    for value in values:
        try:
            Placement(**{name: value})
        except ValueError:
            wanted.append(name)
        else:
            wanted.append(None)
    standard = {"x": 0.5, "y": 0.5, "size": 0.5, "rotation": 0.0}
    assert answers(node, [("invalidNumber", standard | {name: value}) for value in values]) == wanted


def test_the_browser_parses_points_and_boxes_as_python_does(node, pack):
    parse = sys.modules[pack["PhDSegment"].__module__].parse_numbers
    texts = ["", "  ", "1, 2", "1,2;3,4", "1 2\n3 4", "[[1, 2], [3, 4]]", "(1, 2), (3, 4)", "1, 2, 3", "-1.5e2, +.5"]
    texts += ['[{"x": 1, "y": 2}]', '[{"x": "1", "y": 2, "z": 3}]', '[{"x": 1}]', '[{"x": null, "y": 1}]', "[{]", "e"]
    texts += ["1-2, 3", "1e, 2", "1e6, 2", "999999, 2", "nan, 1", "inf, 1", "a, b", "1;;2", "[1, 2", "5.,6.", "--1, 2"]
    texts += [
        '[{"x": 1, "y": 2, "width": 3, "height": 4}]',
        "1, 2, 3, 4",
        "1, 2, 3, 4; 5, 6, 7, 8",
        '[{"x": "", "y": 1}]',
    ]
    cases, wanted = [], []
    for text in texts:
        for each in (2, 4):
            cases.append(("numbers", {"text": text, "each": each}))
            try:
                wanted.append(parse(text, each, "box").tolist())
            except ValueError:
                wanted.append(None)
    for case, found, expected in zip(cases, answers(node, cases), wanted, strict=True):
        assert found == expected, case


def test_the_browser_finds_the_same_subject_box_as_python(node):
    rng = np.random.default_rng(3)
    masks = [np.zeros((9, 12), np.uint8)]
    for level in (255, 128, 127, 40):
        for _ in range(10):
            mask = np.zeros((9, 12), np.uint8)
            mask[rng.random(mask.shape) < 0.04] = level
            masks.append(mask)
    cases = [("box", {"data": mask.ravel().tolist(), "width": 12, "height": 9}) for mask in masks]
    for mask, found in zip(masks, answers(node, cases), strict=True):
        box = subject_box(mask.astype(np.float32) / 255)
        assert found == (None if box is None else box._asdict())


def test_the_browser_calls_the_same_masks_inverted_as_python(node):
    rng, masks = np.random.default_rng(4), [np.full((9, 12), 255, np.uint8)]
    for height, width in ((9, 12), (7, 5), (20, 31)):
        for _ in range(20):
            y, x = (np.sort(rng.integers(0, side + 1, 2)) for side in (height, width))
            mask = np.zeros((height, width), np.uint8)
            mask[y[0] : y[1], x[0] : x[1]] = 255
            masks += [mask, 255 - mask]
    cases = [("inverted", {"data": m.ravel().tolist(), "width": m.shape[1], "height": m.shape[0]}) for m in masks]
    found = answers(node, cases)
    assert found == [looks_inverted(mask.astype(np.float32) / 255) for mask in masks]
    assert 10 < sum(found) < 60


def test_only_the_entry_point_is_a_js_file():
    # ComfyUI loads every .js file under WEB_DIRECTORY as an extension; modules are .mjs, so that it leaves them alone.
    assert [path.name for path in (HERE.parent.parent / "web").rglob("*.js")] == ["phd.js"]


def test_no_code_of_the_browser_decides_by_english_sentences():
    sentences = re.compile(r"\.(includes|startsWith|match)\(\s*[\"'`][A-Za-z]+ ")
    for path in SCRIPTS.rglob("*.*"):
        assert not sentences.search(path.read_text(encoding="utf-8")), path.name


def test_the_images_of_the_help_pages_exist():
    docs = HERE.parent.parent / "web" / "docs"
    named = {
        name for page in docs.glob("*.md") for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    }
    assert named <= {path.name for path in docs.iterdir()}


def test_a_placement_has_the_same_fields_in_the_browser_and_in_python():
    assert list(json.loads(Placement().to_text())) == ["x", "y", "size", "rotation", "flip"]
    assert math.isclose(Placement(size=0.5).scale(Size(100, 50), Size(400, 200)), 1.0)
