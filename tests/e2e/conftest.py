"""A real ComfyUI server with the pack in it, for all tests here."""

import io
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from demo.pictures import photograph_path
from harness.comfyui import ROOT, find_comfyui
from harness.serve import PACK_FOLDER, has_server, server_command

START_SECONDS, RUN_SECONDS = 180, 300
PHOTOGRAPHS = {"phd_exemplar.png": "astronaut", "phd_background.png": "rocket"}


class Server:
    """A running ComfyUI."""

    def __init__(self, address: str):
        self.address = address

    def get(self, path: str, **query):
        answer = requests.get(self.address + path, params=query, timeout=60)
        answer.raise_for_status()
        return answer

    def upload(self, name: str, content: bytes) -> None:
        files = {"image": (name, content, "image/png")}
        answer = requests.post(self.address + "/upload/image", files=files, data={"overwrite": "true"}, timeout=60)
        answer.raise_for_status()
        assert answer.json()["name"] == name

    def post(self, prompt: dict):
        return requests.post(self.address + "/prompt", json={"prompt": prompt}, timeout=60)

    def run(self, prompt: dict) -> dict:
        """Queues a workflow and waits for its entry in the history."""
        answer = self.post(prompt)
        assert answer.status_code == 200, answer.text
        prompt_id = answer.json()["prompt_id"]
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            history = self.get(f"/history/{prompt_id}").json()
            if prompt_id in history:
                return history[prompt_id]
            time.sleep(0.3)
        raise TimeoutError(f"The workflow did not end within {RUN_SECONDS} s.")

    def picture(self, shown: dict) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.get("/view", **shown).content)).convert("RGB"))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    comfyui = find_comfyui()
    if comfyui is None or not has_server(comfyui):
        pytest.skip("needs a full ComfyUI with its server; COMFYUI_PATH may name one")
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    arguments = ["--listen", "127.0.0.1", "--port", str(port), "--database-url", "sqlite:///:memory:"]
    for name in ("input", "output", "temp", "user"):
        (folder / name).mkdir()
        arguments += [f"--{name}-directory", str(folder / name)]
    # Only this pack: what else the user's ComfyUI holds is not under test.
    arguments += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_FOLDER, ROOT.name]
    log = folder / "log.txt"
    with log.open("wb") as output:
        command = server_command(comfyui, arguments, on_cpu=True)
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        server = Server(f"http://127.0.0.1:{port}")
        wait_until_up(server, process, log)
        for name, photograph in PHOTOGRAPHS.items():
            server.upload(name, as_png(photograph_path(photograph)))
        yield server
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_up(server: Server, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.get("/object_info/PhDStitch")
            return
        except requests.ConnectionError:
            time.sleep(0.3)
    pytest.fail("ComfyUI's server did not start:\n" + log.read_text(errors="replace")[-4000:])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def as_png(path: Path) -> bytes:
    content = io.BytesIO()
    Image.open(path).convert("RGB").save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="session")
def browser(server, tmp_path_factory):
    """The server's page in headless Chromium, with everything registered."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        pytest.skip("needs chromium and chromedriver on the PATH")
    port = free_port()
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    browser = Browser(f"http://127.0.0.1:{port}")
    try:
        browser.start(chromium, tmp_path_factory.mktemp("chromium"))
        browser.command("url", url=server.address)
        browser.wait_for("return Boolean(window.app?.graph && app.extensionManager)")
        browser.wait_for("return Boolean(LiteGraph.registered_node_types.PhDStitch)")
        yield browser
    finally:
        browser.quit()
        stop(process)


class Browser:
    """A page, driven by the WebDriver protocol."""

    def __init__(self, driver: str):
        self.driver = driver
        self.session = None

    def start(self, chromium: str, profile: Path) -> None:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1600,1000"]
        arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        options = {"binary": chromium, "args": [*arguments, f"--user-data-dir={profile}"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                answer = requests.post(f"{self.driver}/session", json=wanted, timeout=START_SECONDS)
                break
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        self.session = f"{self.driver}/session/{answer.json()['value']['sessionId']}"

    def command(self, path: str, **arguments):
        answer = requests.post(f"{self.session}/{path}", json=arguments, timeout=START_SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def script(self, source: str, *arguments):
        """What a function with this body returns; a promise is awaited."""
        return self.command("execute/sync", script=source, args=arguments)

    def wait_for(self, source: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.script(source):
            assert time.monotonic() < deadline, f"never came true in the browser: {source}"
            time.sleep(0.3)

    def quit(self) -> None:
        if self.session is not None:
            requests.delete(self.session, timeout=30)
