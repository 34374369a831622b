"""Headless Chromium, driven by the WebDriver protocol."""

import base64
import contextlib
import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from devtools.processes import MissingError, free_port, stop

START_SECONDS = 180
WINDOW = {"width": 1600, "height": 1000}

# Evaluates a function body until it is true, in the page, where a look costs nothing.
POLL = """
const [milliseconds, source, ...values] = arguments
const check = new Function(source), end = performance.now() + milliseconds
return new Promise((resolve, reject) => {
    const look = () => {
        try {
            if (check(...values)) resolve(true)
            else if (performance.now() > end) resolve(false)
            else setTimeout(look, 15)
        } catch (error) {
            reject(error)
        }
    }
    look()
})
"""
# WebDriver ends a script after 30 seconds.
POLL_SECONDS = 10

FRAMES = """
let left = arguments[0]
return new Promise(done => {
    const next = () => (left-- > 0 ? requestAnimationFrame(next) : done())
    next()
})
"""


class Browser:
    """A window with a page. Commands go to the window that was opened last."""

    def __init__(self, driver: str):
        self.driver = driver
        self.session = None

    def start(self, chromium: str, profile: Path) -> None:
        size = f"--window-size={WINDOW['width']},{WINDOW['height']}"
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", size]
        arguments += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        # Chromium draws background tabs and hidden windows less often.
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
        """The result of a function with this body; a promise is awaited."""
        return self.command("execute/sync", script=source, args=arguments)

    def wait_for(self, source: str, *arguments, seconds: float = START_SECONDS) -> None:
        """Waits until a function with this body returns something true."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            if self.script(POLL, 1000 * max(0.0, min(left, POLL_SECONDS)), source, *arguments):
                return
            assert left > POLL_SECONDS, f"never came true in the browser: {source}"

    def wait_frames(self, count: int = 4) -> None:
        """Waits for animation frames: what a page has scheduled is drawn by then."""
        self.script(FRAMES, count)

    def open(self, address: str) -> None:
        self.command("url", url=address)

    @contextlib.contextmanager
    def new_window(self) -> Iterator[None]:
        """A second window for a while; the first one keeps its page."""
        first = self.command_get("window")
        self.command("window", handle=self.command("window/new", type="window")["handle"])
        self.command("window/rect", **WINDOW)
        try:
            yield
        finally:
            requests.delete(f"{self.session}/window", timeout=60)
            self.command("window", handle=first)

    def pointer(self, *actions: dict, kind: str = "mouse", name: str = "pointer") -> None:
        source = {"type": "pointer", "id": name, "parameters": {"pointerType": kind}, "actions": list(actions)}
        self.command("actions", actions=[source])

    def drag(self, *places: tuple[float, float], button: int = 0, steps: int = 1, pause: int = 20) -> None:
        """Presses at the first place in the window, moves over the others every `pause` ms, and releases."""
        moves = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y), "origin": "viewport"}
            for x, y in between(places, steps)
        ]
        rest = {"type": "pause", "duration": pause}
        paced = [action for move in moves[1:] for action in (move, rest)]
        press, release = ({"type": name, "button": button} for name in ("pointerDown", "pointerUp"))
        self.pointer(moves[0], press, rest, *paced, release)

    def keys(self, *keys: str) -> None:
        """Presses keys at the same time and releases them; WebDriver's code points for those without a letter."""
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
        """Warnings and errors on the console since the last call."""
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
    """Headless Chromium with its files in `profile`. Raises MissingError where it or its driver is not there."""
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
