"""A server that answers as ComfyUI does, with the one node of batch_worker, and with trouble on request."""

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import batch_worker


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


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StubServer

    def log_message(self, *arguments):
        pass

    def answer(self, content, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
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
                self.close_connection = True
                self.connection.close()
                return
            name = address.path.rpartition("/")[2]
            self.answer({name: server.history[name]} if name in server.history else {})
        elif address.path == "/queue":
            self.answer({"queue_running": [], "queue_pending": []})
        elif address.path == "/view":
            self.answer((server.folder / parse_qs(address.query)["filename"][0]).read_bytes())
        else:
            self.answer({}, 404)

    def do_POST(self):
        server, body = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/upload/image":
            kind = self.headers["Content-Type"].encode()
            parts = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + body).get_payload()
            fields = {part.get_param("name", header="content-disposition"): part for part in parts}
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
    with tempfile.TemporaryDirectory() as folder, StubServer(Path(folder), port) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
