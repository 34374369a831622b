"""A batch on a real ComfyUI server gives the rows' images and reports, and runs none twice."""

import csv
import json

import numpy as np
import pytest
import requests
from PIL import Image

from devtools.package_images import photograph_path
from phd_batch import run

pytestmark = pytest.mark.e2e

WORKFLOW = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}, "_meta": {"title": "Exemplar"}},
    "2": {"class_type": "LoadImage", "inputs": {"image": "x.png"}, "_meta": {"title": "Background"}},
    "3": {"class_type": "InvertMask", "inputs": {"mask": ["1", 1]}},
    "4": {
        "class_type": "PhDPasteBlend",
        "inputs": {
            **{"background": ["2", 0], "subject": ["1", 0], "subject_mask": ["3", 0], "placement": "manual"},
            **{"x": 0.5, "y": 0.5, "size": 0.5, "rotation": 0.0, "flip": False, "feather": 0.0, "ring": 4},
            **{"shadow": False, "seed": 0, "size_min": 0.4, "size_max": 0.8, "blend": "alpha", "color_match": 0.0},
            **{"min_visible": 0.75, "paste_into_one": False},
        },
        "_meta": {"title": "Paste & Blend"},
    },
    "5": {
        "class_type": "PhDStitch",
        "inputs": {
            **{"paste": ["4", 0], "sampled": ["4", 1], "detail": 0.9, "keep_surround": 1.0, "edge_fade": 2},
            **{"luma_only": False},
        },
        "_meta": {"title": "Stitch"},
    },
    "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "batch"}},
}


def results(folder):
    with (folder / "out" / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_run_once_on_a_server_and_their_reports_come_back(server, tmp_path):
    Image.new("RGBA", (32, 32), (200, 40, 40, 255)).save(tmp_path / "cut, ☃.png")
    with Image.open(photograph_path("rocket")) as photograph:
        background = photograph.convert("RGB").resize((96, 64))
    background.save(tmp_path / "scene.png")
    (tmp_path / "w.json").write_text(json.dumps(WORKFLOW))
    rows = [{"exemplar": "cut, ☃.png", "background": "scene.png", "x": x} for x in (0.3, 0.7)]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [str(tmp_path / "jobs.jsonl"), "--workflow", str(tmp_path / "w.json"), "--out", str(tmp_path / "out")]
    command += ["--server", server.address, "--save", "Paste & Blend.inpaint_mask"]
    assert run.main(command) == 0
    found = results(tmp_path)
    assert [row["state"] for row in found] == ["done", "done"]
    for row, x in zip(found, (0.3, 0.7), strict=True):
        image = np.asarray(Image.open(tmp_path / "out" / row["file"]))
        assert image.shape == (64, 96, 3) and image[32, round(96 * x), 0] > 150
        # The corner is outside of the mask.
        assert np.array_equal(image[:4, :4], np.asarray(background)[:4, :4])
        assert float(row["identity"]) > 0.9 and row["more_files"].endswith(".png") and row["neglected"]
    prompts = requests.get(server.address + "/prompt", timeout=10).json()["exec_info"]["queue_remaining"]
    before = (tmp_path / "out" / found[0]["file"]).stat().st_mtime_ns
    assert prompts == 0 and run.main(command) == 0
    assert (tmp_path / "out" / found[0]["file"]).stat().st_mtime_ns == before


def test_an_input_that_a_node_refuses_is_named_and_not_tried_again(server, tmp_path):
    workflow = json.loads(json.dumps(WORKFLOW))
    # Only Stitch itself finds that this image has another shape.
    workflow["5"]["inputs"]["sampled"] = ["1", 0]
    Image.new("RGBA", (200, 200), (200, 40, 40, 255)).save(tmp_path / "a.png")
    Image.new("RGB", (600, 200)).save(tmp_path / "b.png")
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    (tmp_path / "jobs.csv").write_text("exemplar,background\na.png,b.png\n")
    command = [str(tmp_path / "jobs.csv"), "--workflow", str(tmp_path / "w.json"), "--out", str(tmp_path / "out")]
    assert run.main([*command, "--server", server.address]) == 1
    (row,) = results(tmp_path)
    assert row["state"] == "refused" and row["error"].startswith("PhDStitch: sampled is")
