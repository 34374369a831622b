"""A full ComfyUI's server with the pack in it, and its page in headless Chromium: for tests and benchmarks."""

import base64
import contextlib
import io
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from devtools.comfyui import ROOT, find_comfyui
from devtools.server import PACK_FOLDER, has_server, server_command

START_SECONDS, RUN_SECONDS = 180, 300


class MissingError(Exception):
    """What is needed is not on this machine; the message says what."""


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
        return self.finished(answer.json()["prompt_id"])

    def finished(self, prompt_id: str, seconds: float = RUN_SECONDS) -> dict:
        """Waits for a queued workflow's entry in the history."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            history = self.get(f"/history/{prompt_id}").json()
            if prompt_id in history:
                return history[prompt_id]
            time.sleep(0.3)
        raise TimeoutError(f"The workflow did not end within {seconds:g} s.")

    def image(self, shown: dict) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.get("/view", **shown).content)).convert("RGB"))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """ComfyUI's server with this pack alone, its files in `folder`. Raises MissingError where there is no ComfyUI."""
    comfyui = find_comfyui()
    if comfyui is None or not has_server(comfyui):
        raise MissingError("needs a full ComfyUI with its server; COMFYUI_PATH may name one")
    port = free_port()
    arguments = ["--listen", "127.0.0.1", "--port", str(port), "--database-url", "sqlite:///:memory:"]
    for name in ("input", "output", "temp", "user"):
        (folder / name).mkdir()
        arguments += [f"--{name}-directory", str(folder / name)]
    # No welcome over the graph, and no map of it.
    settings = folder / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"Comfy.TutorialCompleted": True, "Comfy.Minimap.Visible": False}))
    # Only this pack: what else the user's ComfyUI holds is not under test.
    arguments += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_FOLDER, ROOT.name]
    log = folder / "log.txt"
    with log.open("wb") as output:
        command = server_command(comfyui, arguments, on_cpu=True)
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        server = Server(f"http://127.0.0.1:{port}")
        wait_until_up(server, process, log)
        yield server
    finally:
        stop(process)


def wait_until_up(server: Server, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.get("/object_info/PhDStitch")
            return
        except requests.ConnectionError:
            time.sleep(0.3)
    raise RuntimeError("ComfyUI's server did not start:\n" + log.read_text(errors="replace")[-4000:])


def stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def as_png(source: Path | np.ndarray) -> bytes:
    """A photograph's file, or an array uint8 [H,W,3] or [H,W,4]."""
    content = io.BytesIO()
    image = Image.fromarray(source) if isinstance(source, np.ndarray) else Image.open(source).convert("RGB")
    image.save(content, "PNG")
    return content.getvalue()


class Browser:
    """A page, driven by the WebDriver protocol."""

    def __init__(self, driver: str):
        self.driver = driver
        self.session = None

    def start(self, chromium: str, profile: Path) -> None:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1600,1000"]
        arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        # Background tabs and hidden windows would draw less often than they are told to.
        arguments += ["--disable-quic", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows"]
        options = {"binary": chromium, "args": [*arguments, f"--user-data-dir={profile}"]}
        logs = {"browser": "ALL"}
        match = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        wanted = {"capabilities": {"alwaysMatch": match}}
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

    def command_get(self, path: str):
        answer = requests.get(f"{self.session}/{path}", timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def script(self, source: str, *arguments):
        """What a function with this body returns; a promise is awaited."""
        return self.command("execute/sync", script=source, args=arguments)

    def wait_for(self, source: str, *arguments, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not self.script(source, *arguments):
            assert time.monotonic() < deadline, f"never came true in the browser: {source}"
            time.sleep(0.1)

    def open(self, address: str) -> None:
        self.command("url", url=address)

    def open_comfyui(self, server: Server) -> None:
        """Loads the server's page and waits for its graph and for the pack's nodes."""
        self.open(server.address)
        self.wait_for("return Boolean(window.app?.graph && app.extensionManager)")
        self.wait_for("return Boolean(LiteGraph.registered_node_types.PhDStitch)")

    def pointer(self, *actions: dict, kind: str = "mouse", name: str = "pointer") -> None:
        source = {"type": "pointer", "id": name, "parameters": {"pointerType": kind}, "actions": list(actions)}
        self.command("actions", actions=[source])

    def drag(self, *places: tuple[float, float], button: int = 0, steps: int = 1, pause: int = 30) -> None:
        """Presses at the first place in the window, moves over the others every `pause` ms, and lets go."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y), "origin": "viewport"}
            for x, y in between(places, steps)
        ]
        rest = {"type": "pause", "duration": pause}
        paced = [action for move in moves[1:] for action in (move, rest)]
        press, let_go = ({"type": name, "button": button} for name in ("pointerDown", "pointerUp"))
        self.pointer(moves[0], press, rest, *paced, let_go)

    def keys(self, *keys: str) -> None:
        """Presses keys together and lets them go again; WebDriver's code points for those without a letter."""
        actions = [{"type": name, "value": key} for name in ("keyDown", "keyUp") for key in keys]
        self.command("actions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def wheel(self, x: float, y: float, by: int) -> None:
        scroll = {"type": "scroll", "x": round(x), "y": round(y), "deltaX": 0, "deltaY": by, "duration": 0}
        self.command("actions", actions=[{"type": "wheel", "id": "wheel", "actions": [scroll]}])

    def screenshot(self) -> np.ndarray:
        """uint8 [H,W,3] of the window."""
        content = base64.b64decode(self.command_get("screenshot"))
        return np.array(Image.open(io.BytesIO(content)).convert("RGB"))

    def console(self) -> list[str]:
        """What the page said on its console since this was last asked: warnings and errors."""
        entries = self.command("se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] in ("WARNING", "SEVERE")]

    def quit(self) -> None:
        if self.session is not None:
            requests.delete(self.session, timeout=30)


def between(places: tuple[tuple[float, float], ...], steps: int) -> list[tuple[float, float]]:
    """Places, and `steps` of them on every way from one to the next."""
    found = [places[0]]
    for (x0, y0), (x1, y1) in zip(places, places[1:], strict=False):
        found += [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(1, steps + 1)]
    return found


@contextlib.contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """Headless Chromium. Raises MissingError where it or its driver is not there."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        raise MissingError("needs chromium and chromedriver on the PATH")
    port = free_port()
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    browser = Browser(f"http://127.0.0.1:{port}")
    try:
        browser.start(chromium, profile)
        yield browser
    finally:
        try:
            browser.quit()
        finally:
            stop(process)
