"""A server that answers as ComfyUI does, with the one node of batch_worker, and with trouble on request."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import batch_worker
from comfyui_answers import AnswerHandler, running


class StubServer(ThreadingHTTPServer):
    """Attributes: trouble: the kinds that the next requests meet, each once. prompts: that were queued."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, folder: Path, port: int = 0):
        super().__init__(("127.0.0.1", port), Handler)
        self.folder, self.info, self.version = folder, batch_worker.INFO, "1"
        self.trouble: list[str] = []
        self.history: dict[str, dict] = {}
        self.prompts: list[dict] = []
        self.authorization: set[str | None] = set()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def meets(self, kind: str) -> bool:
        if kind in self.trouble:
            self.trouble.remove(kind)
            return True
        return False


class Handler(AnswerHandler):
    server: StubServer

    def do_GET(self):  # noqa: N802
        server, address = self.server, urlsplit(self.path)
        server.authorization.add(self.headers.get("Authorization"))
        if server.meets("slow"):
            time.sleep(0.4)
        if address.path == "/object_info":
            self.answer(server.info)
        elif address.path == "/system_stats":
            self.answer({"system": {"comfyui_version": server.version}})
        elif address.path.startswith("/history/"):
            if server.meets("cut off"):
                self.cut_off()
                return
            self.answer_history(address.path, server.history)
        elif address.path == "/queue":
            self.answer({"queue_running": [], "queue_pending": []})
        elif address.path == "/view":
            self.answer((server.folder / parse_qs(address.query)["filename"][0]).read_bytes())
        else:
            self.answer({}, 404)

    def do_POST(self):  # noqa: N802
        server, body = self.server, self.received()
        if self.path == "/upload/image":
            fields = self.uploaded(body)
            name = fields["image"].get_filename()
            (server.folder / name).write_bytes(fields["image"].get_payload(decode=True))
            self.answer({"name": name, "subfolder": fields["subfolder"].get_payload(), "type": "input"})
        elif self.path == "/prompt":
            self.take(json.loads(body))
        else:
            self.answer({})

    def take(self, body: dict) -> None:
        server, prompt, name = self.server, body["prompt"], body["prompt_id"]
        for kind, status in (("500", 500), ("503", 503)):
            if server.meets(kind):
                return self.answer(b"<html>", status)
        if server.meets("bad prompt"):
            error = {"class_type": "Tint", "errors": [{"message": "Value is wrong", "details": "amount"}]}
            return self.answer({"error": {"message": "no"}, "node_errors": {"2": error}}, 400)
        server.prompts.append(prompt)
        if not server.meets("lost"):
            image = prompt["1"]["inputs"]["image"]
            ran = batch_worker.run(prompt, {image: server.folder / image.rpartition("/")[2]}, server.folder)
            server.history[name] = entry(ran)
        return self.answer({"prompt_id": name, "number": 1, "node_errors": {}})


def entry(ran: dict) -> dict:
    """A job's entry in the history."""
    if "error" in ran:
        error = {"node_type": ran["node"], "exception_type": ran["type"], "exception_message": ran["error"] + "\n"}
        return {"status": {"status_str": "error", "messages": [["execution_error", error]]}, "outputs": {}}
    files = [{"filename": Path(file).name, "subfolder": "", "type": "output"} for _, _, file in ran["images"]]
    times = [["execution_start", {"timestamp": 1000}], ["execution_success", {"timestamp": 1250}]]
    return {
        "status": {"status_str": "success", "messages": times},
        "outputs": {**ran["outputs"], "4": {"images": files}},
    }


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[StubServer]:
    with tempfile.TemporaryDirectory() as folder:
        server = StubServer(Path(folder), port)
        with running(server):
            yield server
