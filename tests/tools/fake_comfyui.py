"""A server that answers as ComfyUI does, without nodes: what it makes of a prompt, and how it fails, is given."""

import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeComfyUI

    def log_message(self, *arguments):
        pass

    def answer(self, content) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        server, address = self.server, urlsplit(self.path)
        if address.path == "/object_info":
            self.answer(server.info)
        elif address.path == "/system_stats":
            devices = [{"name": "cuda:0 NVIDIA H200 : native"}]
            system = {"comfyui_version": "0.9.2", "pytorch_version": "2.9", "argv": ["/home/someone/ComfyUI/main.py"]}
            self.answer({"system": system, "devices": devices})
        elif address.path.startswith("/history/"):
            name = address.path.rpartition("/")[2]
            self.answer({name: server.history[name]} if name in server.history else {})
        elif address.path == "/queue":
            self.answer({"queue_running": [], "queue_pending": []})
        elif address.path == "/view":
            self.answer(server.shown[parse_qs(address.query)["filename"][0]])

    def do_POST(self):
        server, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/upload/image":
            kind = self.headers["Content-Type"].encode()
            parts = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + body).get_payload()
            fields = {part.get_param("name", header="content-disposition"): part for part in parts}
            name = fields["image"].get_filename()
            server.uploads[name] = Image.open(io.BytesIO(fields["image"].get_payload(decode=True))).convert("RGB")
            self.answer({"name": name, "subfolder": "", "type": "input"})
            return
        asked = json.loads(body)
        if server.dies_after is not None and len(server.prompts) >= server.dies_after:
            self.close_connection = True
            self.connection.close()
            return
        server.prompts.append(asked["prompt"])
        server.run(asked["prompt"], asked["prompt_id"])
        self.answer({"prompt_id": asked["prompt_id"], "number": 1, "node_errors": {}})


@contextlib.contextmanager
def serving(info: dict, makes: Makes) -> Iterator[FakeComfyUI]:
    with FakeComfyUI(info, makes) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def info_for(*prompts: dict, files: dict[tuple[str, str], list[str]] | None = None) -> dict:
    """An /object_info that has every node of these prompts; files: the choices of (node type, widget)."""
    info: dict[str, dict] = {node["class_type"]: {"input": {}} for prompt in prompts for node in prompt.values()}
    for (kind, widget), names in (files or {}).items():
        required = info.setdefault(kind, {"input": {}})["input"].setdefault("required", {})
        required[widget] = [names, {}]
    return info
