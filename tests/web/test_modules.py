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
