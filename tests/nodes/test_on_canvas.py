"""What Paste & Blend tells the editor in the browser about a run."""

import folder_paths
import numpy as np
import pytest
import torch
from node_support import run_node
from PIL import Image


def stored(shown: dict, mode: str = "RGB") -> np.ndarray:
    assert shown["type"] == "temp"
    with Image.open(f"{folder_paths.get_temp_directory()}/{shown['filename']}") as image:
        return np.asarray(image.convert(mode))


pytestmark = pytest.mark.usefixtures("page")


@pytest.fixture
def given():
    """A gray scene, and a red subject of 20×30 pixels at (10, 5) of its exemplar."""
    exemplar, mask = torch.zeros(1, 40, 60, 3), torch.zeros(1, 40, 60)
    exemplar[0, 5:35, 10:30, 0] = 1
    mask[0, 5:35, 10:30] = 1
    return {"background": torch.full((1, 100, 200, 3), 0.5), "subject": exemplar, "subject_mask": mask}


def seen(given: dict, **widgets) -> list[dict]:
    return run_node("PhDPasteBlend", **given, **widgets).execution.outputs["node"]["phd_placement"]


def test_the_scene_is_sent_without_the_subject_and_the_subject_cut_to_its_box(given):
    (shown,) = seen(given, x=0.25, y=0.5, size=0.5, rotation=10.0, flip=True)
    assert (shown["scene_size"], shown["subject_size"]) == ([200, 100], [20, 30])
    assert shown["placement"] == {"x": 0.25, "y": 0.5, "size": 0.5, "rotation": 10.0, "flip": True}
    scene, subject = stored(shown["scene"]), stored(shown["subject"], "RGBA")
    assert scene.shape == (100, 200, 3) and np.ptp(scene) == 0
    assert subject.shape == (30, 20, 4) and (abs(subject.astype(int) - [255, 0, 0, 255]) <= 2).all()


def test_a_random_placement_is_sent(given):
    (shown,) = seen(given, placement="random", seed=3)
    assert shown["placement"]["x"] != 0.5 and shown["placement"]["rotation"] == 0


def test_large_images_are_sent_small_and_with_their_own_size(given):
    given["background"] = torch.zeros(1, 1200, 2400, 3)
    (shown,) = seen(given)
    assert shown["scene_size"] == [2400, 1200]
    assert stored(shown["scene"]).shape == (512, 1024, 3)


def test_of_a_batch_the_first_is_sent_and_of_an_empty_mask_nothing(given):
    assert len(seen(given | {"background": given["background"].repeat(3, 1, 1, 1)})) == 1
    assert seen(given | {"subject_mask": torch.zeros(1, 40, 60)}) == []


def test_of_a_clip_some_frames_are_sent_for_the_timeline(given):
    assert "clip" not in seen(given)[0]
    frames = torch.linspace(0, 1, 40)[:, None, None, None].expand(40, 100, 200, 3)
    (shown,) = seen(given | {"background": frames}, keyframes="0: x 0.2\n39: x 0.8")
    clip = shown["clip"]
    assert clip["frames"] == 40 and [frame for frame, _ in clip["scenes"]][:: len(clip["scenes"]) - 1] == [0, 39]
    assert len(clip["scenes"]) == 16
    for frame, file in clip["scenes"]:
        assert abs(stored(file).mean() / 255 - frame / 39) < 0.02
