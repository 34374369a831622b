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
    items.sort(key=lambda item: SLOWEST_FIRST.index(item.path.relative_to(TESTS).parts[0]))


def pytest_xdist_make_scheduler(config, log):
    """With several processes, the tests of a file run in one, so that its fixtures are made once.

    All tests in a browser run in one process: they share one server and one browser.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.split("::")[0]
            return "browser" if file.startswith("e2e/") else file

    return ByFile(config, log)


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
