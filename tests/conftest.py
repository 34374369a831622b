"""One ComfyUI for the whole session, on `sys.path` before the first test module is imported."""

from pathlib import Path

import pytest

from devtools import comfyui as development
from devtools.executor import set_directories

COMFYUI = pytest.StashKey()
TESTS = Path(__file__).resolve().parent


def pytest_configure(config):
    try:
        path = development.get_comfyui()
    except development.ComfyUIMissingError as error:
        pytest.exit(str(error), returncode=2)
    development.activate(path, ("--cpu", "--use-pytorch-cross-attention"))
    config.stash[COMFYUI] = path


def pytest_report_header(config):
    return f"ComfyUI: {config.stash[COMFYUI]}"


# Folders in the order of how long their tests take: with several processes, the longest begin first.
SLOWEST_FIRST = ("e2e", "tools", "web", "nodes", "unit")


def pytest_collection_modifyitems(items):
    """Groups the tests for pytest-xdist, which runs each group in one process.

    A file is a group, so that its fixtures are made once. All tests in a browser are one group: they share one server
    and one browser.
    """

    def folder(item):
        return item.path.relative_to(TESTS).parts[0]

    items.sort(key=lambda item: SLOWEST_FIRST.index(folder(item)))
    for item in items:
        group = "browser" if item.get_closest_marker("e2e") or folder(item) == "e2e" else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def comfyui(pytestconfig, tmp_path_factory):
    """The path of the ComfyUI under test; its input, output and temp folders lie in a temporary folder."""
    folder = tmp_path_factory.mktemp("comfyui")
    set_directories(folder / "input", folder / "output", folder / "temp")
    return pytestconfig.stash[COMFYUI]


@pytest.fixture(scope="session")
def pack(comfyui):
    """The pack's nodes by id, registered in ComfyUI."""
    return development.register_pack()
