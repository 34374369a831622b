import os
import sys
import types
from pathlib import Path

import cv2
import pytest
import torch

from devtools.package_images import photograph_path

# Set to 1 to write schema.json and locales/en/nodeDefs.json anew from the nodes' schemas.
REGENERATE = "PHD_REGENERATE"


@pytest.fixture(autouse=True)
def registered(pack):
    """Every test here needs the pack in ComfyUI's registry."""


@pytest.fixture(scope="module")
def demo_images(comfyui):
    """The images of the shipped workflows, in ComfyUI's input folder."""
    import folder_paths

    for name, photograph in (("phd_exemplar", "astronaut"), ("phd_background", "rocket")):
        image = cv2.imread(str(photograph_path(photograph)))
        cv2.imwrite(str(Path(folder_paths.get_input_directory()) / f"{name}.png"), image)


@pytest.fixture
def regenerate():
    return os.environ.get(REGENERATE) == "1"


@pytest.fixture
def planned_calls(monkeypatch):
    """The masked samplers make every planned call: untrained networks err so much that most would be saved."""
    from node_support import module

    monkeypatch.setattr(module("phd_ops.latents.contraction"), "LEAST_VALUES", 10**9)


@pytest.fixture
def model_calls(monkeypatch, planned_calls):
    """A list that grows by one with every call of any diffusion model."""
    import comfy.model_base

    calls = []
    original = comfy.model_base.BaseModel.apply_model

    def counted(self, *args, **kwargs):
        calls.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(comfy.model_base.BaseModel, "apply_model", counted)
    return calls


@pytest.fixture(autouse=True)
def as_in_the_executor():
    with torch.inference_mode():
        yield


PAGE_FEATURES = {"supports_preview_metadata": True}


class PageServer:
    """Stands in for ComfyUI's server with a client connected, and keeps what a node sends to it."""

    def __init__(self, client_id: str | None, features: dict | None):
        self.client_id = client_id
        self.sockets_metadata = {} if features is None else {client_id: {"feature_flags": features}}
        self.texts, self.events = [], []

    def send_progress_text(self, text, node_id, sid=None):
        self.texts.append((text, node_id, sid))

    def send_sync(self, event, data, sid=None):
        self.events.append((event, data, sid))


@pytest.fixture
def server_with(monkeypatch):
    """Starts a server with a client: by default the page, which announces its features as it connects."""

    def start(client_id="browser", features=PAGE_FEATURES):
        server = PageServer(client_id, features)
        holder = types.SimpleNamespace(PromptServer=types.SimpleNamespace(instance=server))
        monkeypatch.setitem(sys.modules, "server", holder)
        return server

    return start


@pytest.fixture
def page(server_with):
    """A page that is open in a browser: nodes store previews for it."""
    return server_with()
