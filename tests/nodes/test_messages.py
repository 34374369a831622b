"""How a node's messages and warnings reach the browser: in the node's `ui`, or as an event of a running sampler."""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import comfy_extras.nodes_easycache
import cv2
import folder_paths
import numpy as np
import pytest
import torch
from comfy_execution.utils import CurrentNodeContext
from node_support import block, make_image, module, prompt, random_latent, run_node, tiny_model
from PIL import Image

ui = module("nodes.ui")


def show(*messages):
    return ui.show([np.zeros((4, 5, 3), np.uint8)], messages)


def test_show_gives_every_text_once_and_the_warnings_again(caplog):
    result = show(ui.Message("a"), ui.Message("b", warning=True), ui.Message("a"))
    assert result["text"] == ["a", "b"] and result["phd_warnings"] == ["b"]
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["b"]


def test_show_without_messages_gives_empty_lists_which_comfyui_can_merge(server_with):
    server = server_with()
    with CurrentNodeContext("prompt", "7"):
        result = show()
    assert result["text"] == [] and result["phd_warnings"] == []
    assert server.texts == []


def test_show_writes_the_texts_onto_the_running_node(server_with):
    server = server_with()
    with CurrentNodeContext("prompt", "7"):
        show(ui.Message("a"), ui.Message("b", warning=True))
    assert server.texts == [("a\nb", "7", "browser")]
    assert server.events == []


def test_a_running_sampler_s_warning_goes_to_the_log_the_node_and_its_browser(server_with, caplog):
    server = server_with()
    with CurrentNodeContext("prompt", "7"):
        ui.warn("careful")
    assert server.texts == [("careful", "7", "browser")]
    assert server.events == [("phd_warnings", {"node": "7", "warnings": ["careful"]}, "browser")]
    assert "careful" in caplog.text


NO_PAGE = {
    "no client": {"client_id": None, "features": None},
    "a client that is gone": {"features": None},
    "a program that knows no frames of text": {"features": {}},
}


@pytest.mark.parametrize("client", list(NO_PAGE))
def test_without_a_page_nothing_is_sent_and_no_preview_is_drawn_or_stored(server_with, client):
    server, drawn = server_with(**NO_PAGE[client]), []
    before = set(Path(folder_paths.get_temp_directory()).glob("*"))
    with CurrentNodeContext("prompt", "7"):
        ui.warn("careful")
        result = ui.show((drawn.append(image) or image for image in [np.zeros((4, 5, 3), np.uint8)]), [ui.Message("a")])
    assert server.events == server.texts == drawn == []
    assert result == {"images": [], "text": ["a"], "phd_warnings": []}
    assert set(Path(folder_paths.get_temp_directory()).glob("*")) == before


@pytest.mark.parametrize("instance", [None, object(), MagicMock()])
def test_what_programs_put_in_the_servers_place_does_not_end_a_run(monkeypatch, instance):
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=instance)))
    with CurrentNodeContext("prompt", "7"):
        ui.warn("careful")
        assert ui.show([np.zeros((4, 5, 3), np.uint8)], [])["images"] == []


def test_without_a_page_a_paste_stores_nothing_for_the_editor():
    before = set(Path(folder_paths.get_temp_directory()).glob("*"))
    shown = paste()
    assert shown["images"] == shown["phd_placement"] == [] and len(shown["phd_placement_used"]) == 1
    assert set(Path(folder_paths.get_temp_directory()).glob("*")) == before


def test_previews_for_a_page_are_small_jpegs_and_webps_where_they_have_alpha(page):
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 4), np.uint8)
    with CurrentNodeContext("prompt", "7"):
        result = ui.show([noise[..., :3], noise], [])
    paths = [Path(folder_paths.get_temp_directory(), shown["filename"]) for shown in result["images"]]
    assert [path.suffix for path in paths] == [".jpg", ".webp"]
    with Image.open(paths[1]) as image:
        assert np.array_equal(np.asarray(image)[..., 3], noise[..., 3])  # the editors read masks from it


def test_where_opencv_has_no_webp_a_preview_with_alpha_is_a_png(monkeypatch):
    monkeypatch.setattr(cv2, "haveImageWriter", lambda ending: ending == ".jpg")
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 4), np.uint8)
    with Image.open(Path(folder_paths.get_temp_directory(), ui.store_preview(image)["filename"])) as stored:
        assert stored.format == "PNG" and np.array_equal(np.asarray(stored), image)


def test_a_warning_outside_a_run_is_only_logged(server_with, caplog):
    server = server_with()
    ui.warn("careful")
    assert server.texts == server.events == []
    assert "careful" in caplog.text


def paste(**changes):
    inputs = {
        "background": make_image(40, 60),
        "subject": make_image(20, 20),
        "subject_mask": block(20, 20, 4, 4, 16, 16),
    }
    return run_node("PhDPasteBlend", **(inputs | changes)).execution.outputs["node"]


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"subject_mask": block(20, 20, 0, 0, 0, 0)}, "The mask of subject 1 is empty: "),
        ({"x": 4.0}, "Subject 1 is completely outside the scene."),
    ],
)
def test_a_paste_that_shows_nothing_warns(changes, warning):
    shown = paste(**changes)
    assert len(shown["phd_warnings"]) == 1 and shown["phd_warnings"][0].startswith(warning)
    assert shown["phd_warnings"][0] in shown["text"]


def test_the_placements_of_a_paste_are_data_one_for_each_subject():
    masks = torch.cat([block(20, 20, 4, 4, 16, 16), block(20, 20, 0, 0, 0, 0), block(20, 20, 4, 4, 16, 16)])
    shown = paste(subject_mask=masks, x=0.25)
    placement = {"x": 0.25, "y": 0.6, "size": 0.6, "rotation": 0.0, "flip": False}
    assert shown["phd_placement_used"] == [placement, None, placement]


def test_every_image_of_a_batch_has_its_placement_in_the_data():
    assert len(paste(background=make_image(40, 60, batch=4))["phd_placement_used"]) == 4


@pytest.mark.parametrize("paste_into_one", [False, True])
def test_an_empty_mask_in_a_batch_gives_no_message_but_its_own(paste_into_one):
    masks = torch.cat([block(20, 20, 4, 4, 16, 16), block(20, 20, 0, 0, 0, 0)])
    text = " ".join(paste(subject_mask=masks, paste_into_one=paste_into_one)["text"])
    assert "The mask of subject 2 is empty" in text and "no light reference" not in text


def test_messages_about_some_images_of_a_batch_name_them_and_those_about_all_do_not():
    everywhere, some = ui.Message("a"), ui.Message("b", warning=True)
    found = ui.by_image(
        [[everywhere, some], [everywhere, some, some], [everywhere, some], [everywhere], [everywhere, some]]
    )
    assert found == [everywhere, ui.Message("Images 1-3, 5: b", warning=True)]
    assert ui.by_image([[everywhere]]) == [everywhere]
    assert ui.by_image([[], [some], []]) == [ui.Message("Image 2: b", warning=True)]
    assert ui.by_image([[some], [some], []]) == [ui.Message("Images 1, 2: b", warning=True)]


def test_in_a_batch_every_image_s_light_is_told_apart():
    scene, mask = make_image(60, 80), block(60, 80, 20, 30, 40, 50)
    given = {"background": scene, "composite": scene, "subject_matte": mask, "harmonize_mask": mask}
    darker = scene * (1 - 0.5 * mask[..., None])
    ran = run_node("PhDStitch", **given, sampled=torch.cat([scene, darker]))
    assert [text.split(" the")[0] for text in ran.text if "model" in text] == ["Image 1: The model did not change"]
    assert any(text.startswith("Image 2: Light on the subject: ") for text in ran.text)


def test_what_is_said_inside_a_sampler_is_gathered_in_order_and_all_of_it_stands_on_the_node(page):
    with CurrentNodeContext("prompt", "7"), ui.gathered() as messages:
        ui.tell("57 model calls")
        ui.warn("careful")
        ui.tell("57 model calls")
    assert ui.as_ui(messages) == {"text": ["57 model calls", "careful"], "phd_warnings": ["careful"]}
    assert page.texts[-1][0] == "57 model calls\ncareful"
    assert [data["warnings"] for _, data, _ in page.events] == [["careful"]]


def sampled(kind="PhDMaskedInpaintSampler", **changes):
    inputs = {
        "model": tiny_model("EPS"), "positive": prompt(1), "negative": prompt(2), "steps": 2, "inner_steps": 0,
        "latent": {"samples": random_latent()}, "mask": block(64, 64, 16, 16, 48, 48),
    }  # fmt: skip
    return run_node(kind, **(inputs | changes)).execution.outputs["node"]


def broken_once():
    """A model whose second estimate is not finite."""
    calls, model = [], tiny_model("EPS").clone()

    def wrapper(apply, arguments):
        calls.append(1)
        out = apply(arguments["input"], arguments["timestep"], **arguments["c"])
        return out * float("nan") if len(calls) == 2 else out

    model.set_model_unet_function_wrapper(wrapper)
    return model


def with_step_cache():
    (cached,) = comfy_extras.nodes_easycache.LazyCacheNode.execute(tiny_model("EPS"), 0.2, 0.15, 0.95, False).args
    return cached


SAMPLER_WARNINGS = {
    "The mask is empty": lambda: {"mask": block(64, 64, 0, 0, 0, 0)},
    "masked Langevin does not support heun and uses euler.": lambda: {"sampler_name": "heun"},
    "The model's estimate was not finite (NaN)": lambda: {"model": broken_once()},
    "The model's step cache (EasyCache or LazyCache) is not used": lambda: {"model": with_step_cache()},
}


@pytest.mark.parametrize("kind", ["PhDMaskedInpaintSampler", "PhDHarmonizeSampler"])
@pytest.mark.parametrize("warning", list(SAMPLER_WARNINGS))
def test_a_sampler_s_warnings_stand_in_the_history_also_without_a_page(kind, warning):
    shown = sampled(kind, cfg=1.0, **SAMPLER_WARNINGS[warning]())
    assert [text for text in shown["phd_warnings"] if text.startswith(warning)]
    assert set(shown["phd_warnings"]) <= set(shown["text"])


def test_a_sampler_without_warnings_says_what_ran_in_the_history():
    assert sampled() == {"text": ["masked Langevin: 2 model calls."], "phd_warnings": []}


def test_the_window_of_a_crop_and_the_box_of_each_segmented_image_are_data():
    image, mask = make_image(60, 80), block(60, 80, 20, 30, 40, 50)
    cropped = run_node("PhDCrop", composite=image, inpaint_mask=mask, harmonize_mask=mask, side=64, context=2.0)
    (window,) = cropped.execution.outputs["node"]["phd_window"]
    assert window == {**cropped.values[0].box._asdict(), "target_width": 64, "target_height": 64}
    finds = SimpleNamespace(masks=iter([mask[0].numpy(), np.zeros((60, 80), np.float32)]))
    segmenter = module("nodes.load_segmenter").LoadedSegmenter("test", lambda *_: next(finds.masks), False)
    ran = run_node("PhDSegment", image=image.repeat(2, 1, 1, 1), segmenter=segmenter, refine_edge=0)
    assert ran.execution.outputs["node"]["phd_box"] == [{"x": 30, "y": 20, "width": 20, "height": 20}, None]


def test_an_ordinary_paste_does_not_warn():
    assert paste()["phd_warnings"] == []
