"""One ComfyUI for the whole session, on `sys.path` before the first test module is imported."""

import pytest

from devtools import comfyui as harness_comfyui
from devtools.executor import set_directories

COMFYUI = pytest.StashKey()


def pytest_configure(config):
    try:
        path = harness_comfyui.get_comfyui()
    except harness_comfyui.ComfyUIMissingError as error:
        pytest.exit(str(error), returncode=2)
    harness_comfyui.activate(path, ("--cpu", "--use-pytorch-cross-attention"))
    config.stash[COMFYUI] = path


def pytest_report_header(config):
    return f"ComfyUI: {config.stash[COMFYUI]}"


@pytest.fixture(scope="session")
def comfyui(pytestconfig, tmp_path_factory):
    """The path of the ComfyUI under test; its input, output and temp folders lie in a temporary folder."""
    folder = tmp_path_factory.mktemp("comfyui")
    set_directories(folder / "input", folder / "output", folder / "temp")
    return pytestconfig.stash[COMFYUI]


@pytest.fixture(scope="session")
def pack(comfyui):
    """The pack's nodes by id, registered in ComfyUI."""
    return harness_comfyui.register_pack()
