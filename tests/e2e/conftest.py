"""A real ComfyUI server with the pack in it, and its page in a real browser, for all tests here."""

import pytest

from devtools.browser import MissingError, as_png, browsing, serving
from devtools.package_images import photograph_path

PHOTOGRAPHS = {"phd_exemplar.png": "astronaut", "phd_background.png": "rocket"}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    try:
        with serving(tmp_path_factory.mktemp("server")) as server:
            for name, photograph in PHOTOGRAPHS.items():
                server.upload(name, as_png(photograph_path(photograph)))
            yield server
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """Headless Chromium, with no page yet."""
    try:
        with browsing(tmp_path_factory.mktemp("chromium")) as browser:
            yield browser
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def browser(server, chromium):
    """The server's page in headless Chromium, with everything registered."""
    chromium.open_comfyui(server)
    return chromium
