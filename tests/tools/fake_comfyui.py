"""A server that answers as ComfyUI does, without nodes: what it makes of a prompt, and how it fails, is given."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from comfyui_answers import AnswerHandler, running
from PIL import Image

# Of a prompt and the uploaded images by name: the images that each node shows, by node id.
Makes = Callable[[dict, dict[str, Image.Image]], dict[str, list[Image.Image]]]


class FakeComfyUI(ThreadingHTTPServer):
    """Attributes:
    info: as /object_info gives it.
    makes: what a prompt gives; an exception becomes an error of a node.
    dies_after: so many prompts are run; the next one ends the server.
    prompts: that were queued.
    """

    daemon_threads = True

    def __init__(self, info: dict, makes: Makes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.info, self.makes, self.dies_after = info, makes, None
        self.prompts: list[dict] = []
        self.uploads: dict[str, Image.Image] = {}
        self.history: dict[str, dict] = {}
        self.shown: dict[str, bytes] = {}
        self.address = f"http://127.0.0.1:{self.server_port}"

    def run(self, prompt: dict, name: str) -> None:
        times = [["execution_start", {"timestamp": 0}], ["execution_success", {"timestamp": 1}]]
        self.history[name] = {"status": {"messages": times}, "outputs": {}}
        try:
            made = self.makes(prompt, self.uploads)
        except Exception as error:
            failure = {"node_id": "8", "node_type": "KSampler", "exception_message": str(error), "exception_type": "E"}
            self.history[name]["status"]["messages"] = [["execution_error", failure]]
            return
        for node_id, images in made.items():
            files = []
            for image in images:
                content, file = io.BytesIO(), f"{len(self.shown)}.png"
                image.save(content, "PNG")
                self.shown[file] = content.getvalue()
                files.append({"filename": file, "subfolder": "", "type": "temp"})
            self.history[name]["outputs"][node_id] = {"images": files}


class Handler(AnswerHandler):
    server: FakeComfyUI

    def do_GET(self):  # noqa: N802
        server, address = self.server, urlsplit(self.path)
        if address.path == "/object_info":
            self.answer(server.info)
        elif address.path == "/system_stats":
            devices = [{"name": "cuda:0 NVIDIA H200 : native"}]
            system = {"comfyui_version": "0.9.2", "pytorch_version": "2.9", "argv": ["/home/someone/ComfyUI/main.py"]}
            self.answer({"system": system, "devices": devices})
        elif address.path.startswith("/history/"):
            self.answer_history(address.path, server.history)
        elif address.path == "/queue":
            self.answer({"queue_running": [], "queue_pending": []})
        elif address.path == "/view":
            self.answer(server.shown[parse_qs(address.query)["filename"][0]])

    def do_POST(self):  # noqa: N802
        server, body = self.server, self.received()
        if self.path == "/upload/image":
            fields = self.uploaded(body)
            name = fields["image"].get_filename()
            server.uploads[name] = Image.open(io.BytesIO(fields["image"].get_payload(decode=True))).convert("RGB")
            self.answer({"name": name, "subfolder": "", "type": "input"})
            return
        asked = json.loads(body)
        if server.dies_after is not None and len(server.prompts) >= server.dies_after:
            self.cut_off()
            return
        server.prompts.append(asked["prompt"])
        server.run(asked["prompt"], asked["prompt_id"])
        self.answer({"prompt_id": asked["prompt_id"], "number": 1, "node_errors": {}})


@contextlib.contextmanager
def serving(info: dict, makes: Makes) -> Iterator[FakeComfyUI]:
    server = FakeComfyUI(info, makes)
    with running(server):
        yield server


def info_for(*prompts: dict, files: dict[tuple[str, str], list[str]] | None = None) -> dict:
    """An /object_info that has every node of these prompts; files: the choices of (node type, widget)."""
    info: dict[str, dict] = {node["class_type"]: {"input": {}} for prompt in prompts for node in prompt.values()}
    for (kind, widget), names in (files or {}).items():
        required = info.setdefault(kind, {"input": {}})["input"].setdefault("required", {})
        required[widget] = [names, {}]
    return info
