"""How a node's messages and warnings reach the browser: in the node's `ui`, or as an event of a running sampler."""

import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from comfy_execution.utils import CurrentNodeContext
from node_support import block, make_image, module, run_node

ui = module("nodes.ui")


class Server:
    """Keeps what a node sends."""

    def __init__(self, client_id):
        self.client_id = client_id
        self.texts, self.events = [], []

    def send_progress_text(self, text, node_id, sid=None):
        self.texts.append((text, node_id, sid))

    def send_sync(self, event, data, sid=None):
        self.events.append((event, data, sid))


@pytest.fixture
def server(monkeypatch):
    def start(client_id="browser"):
        server = Server(client_id)
        monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
        return server

    return start


def show(*messages):
    shown = module("nodes.stitch").PhDStitch
    return ui.show(shown, [np.zeros((4, 5, 3), np.float32)], messages)


def test_show_gives_every_text_once_and_the_warnings_again(caplog):
    result = show(ui.Message("a"), ui.Message("b", warning=True), ui.Message("a"))
    assert result["text"] == ["a", "b"] and result["phd_warnings"] == ["b"]
    assert len(result["images"]) == 1
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == ["b"]


def test_show_without_messages_gives_empty_lists_which_comfyui_can_merge(server):
    server = server()
    with CurrentNodeContext("prompt", "7"):
        result = show()
    assert result["text"] == [] and result["phd_warnings"] == []
    assert server.texts == []


def test_show_writes_the_texts_onto_the_running_node(server):
    server = server()
    with CurrentNodeContext("prompt", "7"):
        show(ui.Message("a"), ui.Message("b", warning=True))
    assert server.texts == [("a\nb", "7", "browser")]
    assert server.events == []


def test_a_running_sampler_s_warning_goes_to_the_log_the_node_and_its_browser(server, caplog):
    server = server()
    with CurrentNodeContext("prompt", "7"):
        ui.warn("careful")
    assert server.texts == [("careful", "7", "browser")]
    assert server.events == [("phd_warnings", {"node": "7", "warnings": ["careful"]}, "browser")]
    assert "careful" in caplog.text


def test_a_warning_of_a_run_without_a_browser_reaches_no_other_browser(server):
    server = server(client_id=None)
    with CurrentNodeContext("prompt", "7"):
        ui.warn("careful")
    assert server.events == []


def test_a_warning_outside_a_run_is_only_logged(server, caplog):
    server = server()
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
        ({"x": 4.0}, "Subject 1 lies wholly outside the scene."),
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
    assert "The mask of subject 2 is empty" in text and "surround" not in text


def test_an_ordinary_paste_does_not_warn():
    assert paste()["phd_warnings"] == []
