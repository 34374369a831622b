"""A full ComfyUI's own server with this pack in it; the user's install stays as it is."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import requests
from PIL import Image

from devtools import launch_comfyui
from devtools.comfyui import find_comfyui
from devtools.paths import CACHE, ROOT
from devtools.processes import MissingError, free_port, stop

FOLDER = CACHE / "serve"
PACK_FOLDER = "paste-inpaint-harmonize"
NOT_THE_PACK = shutil.ignore_patterns(".*", "__pycache__", "output")
START_SECONDS, RUN_SECONDS = 180, 300


def has_server(comfyui: Path) -> bool:
    """False for the packaged backend, which was published without the server's folders."""
    return all((comfyui / part).exists() for part in ("main.py", "server.py", "app"))


def server_command(comfyui: Path, arguments: list[str], *, on_cpu: bool) -> list[str]:
    """The command that serves `comfyui` with this pack; on_cpu where torch can use no GPU."""
    start = [sys.executable, str(comfyui / "main.py")]
    if on_cpu:
        start = [sys.executable, launch_comfyui.__file__, str(comfyui), "--cpu"]
    return [*start, *custom_node_arguments(comfyui), *arguments]


def custom_node_arguments(comfyui: Path) -> list[str]:
    """Arguments that make ComfyUI load this pack, from a folder of custom nodes that holds nothing else."""
    custom_nodes = comfyui / "custom_nodes"
    if custom_nodes.is_dir() and any(entry.resolve() == ROOT for entry in custom_nodes.iterdir()):
        return []
    link = FOLDER / "custom_nodes" / PACK_FOLDER
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(ROOT, target_is_directory=True)
    except OSError:  # Windows lets only developers and administrators make links
        shutil.copytree(ROOT, link, ignore=NOT_THE_PACK)
    config = FOLDER / "extra_model_paths.yaml"
    config.write_text(f"paste_inpaint_harmonize:\n    custom_nodes: '{link.parent}'\n", encoding="utf-8")
    return ["--extra-model-paths-config", str(config)]


class Server:
    """A client of a running ComfyUI, whose process is `pid` where it is known."""

    def __init__(self, address: str, pid: int | None = None):
        self.address, self.pid = address, pid

    def get(self, path: str, **query) -> requests.Response:
        answer = requests.get(self.address + path, params=query, timeout=60)
        answer.raise_for_status()
        return answer

    def upload(self, name: str, content: bytes) -> None:
        """Stores a file in the server's input folder; one of that name is replaced."""
        files = {"image": (name, content, "image/png")}
        answer = requests.post(self.address + "/upload/image", files=files, data={"overwrite": "true"}, timeout=60)
        answer.raise_for_status()
        assert answer.json()["name"] == name

    def store(self, name: str, content: bytes) -> None:
        """Stores a file among the user's own data, as the page does; one of that name is replaced."""
        address = f"{self.address}/userdata/{quote(name, safe='')}"
        requests.post(address, data=content, timeout=60).raise_for_status()

    def post(self, prompt: dict) -> requests.Response:
        """Queues a workflow in the API format."""
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
            time.sleep(0.1)
        raise TimeoutError(f"The workflow did not end within {seconds:g} s.")

    def image(self, file: dict) -> np.ndarray:
        """uint8 [H,W,3] of a stored file, named as in a node's outputs."""
        return np.asarray(Image.open(io.BytesIO(self.get("/view", **file).content)).convert("RGB"))


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
    # The attention of the headless runs, so that both make the same image.
    arguments.append("--use-pytorch-cross-attention")
    # Other packs in the user's ComfyUI are not loaded.
    arguments += ["--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_FOLDER, ROOT.name]
    log = folder / "log.txt"
    with log.open("wb") as output:
        command = server_command(comfyui, arguments, on_cpu=True)
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
    try:
        server = Server(f"http://127.0.0.1:{port}", process.pid)
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
            time.sleep(0.2)
    raise RuntimeError("ComfyUI's server did not start:\n" + log.read_text(errors="replace")[-4000:])


def as_png(source: Path | np.ndarray) -> bytes:
    """A PNG file of a photograph's file, or of an array uint8 [H,W,3] or [H,W,4]."""
    content = io.BytesIO()
    image = Image.fromarray(source) if isinstance(source, np.ndarray) else Image.open(source).convert("RGB")
    image.save(content, "PNG")
    return content.getvalue()
