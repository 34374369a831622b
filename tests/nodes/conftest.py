import os

import pytest
import torch

# Set to 1 to write schema.json and locales/en/nodeDefs.json anew from the nodes' schemas.
REGENERATE = "PHD_REGENERATE"


@pytest.fixture(autouse=True)
def registered(pack):
    """Every test here needs the pack in ComfyUI's registry."""


@pytest.fixture
def regenerate():
    return os.environ.get(REGENERATE) == "1"


@pytest.fixture
def model_calls(monkeypatch):
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
