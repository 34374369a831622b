"""One ComfyUI server with the pack in it, and one browser, for all tests here."""

import pytest

from devtools.browser import browsing
from devtools.comfyui_page import open_comfyui
from devtools.package_images import photograph_path
from devtools.processes import MissingError
from devtools.server import as_png, serving

PHOTOGRAPHS = {"phd_exemplar.png": "astronaut", "phd_background.png": "rocket"}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A client of the server."""
    try:
        with serving(tmp_path_factory.mktemp("server")) as server:
            for name, photograph in PHOTOGRAPHS.items():
                server.upload(name, as_png(photograph_path(photograph)))
            yield server
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Headless Chromium. Its first window is for ComfyUI's page: other pages open a window of their own."""
    try:
        with browsing(tmp_path_factory.mktemp("chromium")) as browser:
            yield browser
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def page(server, chromium):
    """ComfyUI's page in Chromium, loaded once. Tests replace the graph and leave the page."""
    open_comfyui(chromium, server)
    return chromium
