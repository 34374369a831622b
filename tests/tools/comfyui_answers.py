"""What the servers that stand in for ComfyUI share: answers, uploads, and serving for the length of a test."""

import contextlib
import json
import threading
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class AnswerHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *arguments):
        pass

    def answer(self, content, status: int = 200) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_history(self, path: str, history: dict[str, dict]) -> None:
        """The entry of the prompt that a path names; nothing where there is none yet."""
        name = path.rpartition("/")[2]
        self.answer({name: history[name]} if name in history else {})

    def cut_off(self) -> None:
        self.close_connection = True
        self.connection.close()

    def received(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def uploaded(self, body: bytes) -> dict[str, Message]:
        """The fields of an upload, by name."""
        kind = self.headers["Content-Type"].encode()
        parts = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + body).get_payload()
        return {part.get_param("name", header="content-disposition"): part for part in parts}


@contextlib.contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()
