"""A running ComfyUI as a worker, over its HTTP interface. Any packs may be in it."""

import base64
import hashlib
import http.client
import json
import time
import uuid
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from phd_batch.faults import Failed, Refused, UsageError, WorkerLost
from phd_batch.outcome import Outcome, Task, Where, is_refusal, reported, saved_images

# In seconds: for an answer, and between two looks at whether a job that gives no sign is still there.
ANSWER, LOOK = 60.0, 2.0
# How often a running job is looked for: after this share of its time so far, within bounds in seconds.
SHARE, SOONEST, LATEST = 0.05, 0.005, 1.0
# Answers from here on are about the server, not about the job.
TROUBLE = 500


class ServerWorker:
    """A ComfyUI that the user named. Name and password in its URL are sent to it and stand nowhere else."""

    # How many seconds to wait for a server that is gone.
    patience = 600.0
    # Clips are not run there.
    frames: tuple[int, int] | None = None

    def __init__(self, url: str):
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise UsageError(
                f"--server: {parts.hostname or url!r} is not an address. Use one such as http://127.0.0.1:8188."
            )
        secure = parts.scheme == "https"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.name = f"{host}:{port or (443 if secure else 80)}{parts.path.rstrip('/')}"
        self.path = parts.path.rstrip("/")
        self.headers = {}
        if parts.username:
            given = f"{parts.username}:{parts.password or ''}".encode()
            self.headers["Authorization"] = f"Basic {base64.b64encode(given).decode()}"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        self.connection = kind(parts.hostname, port, timeout=ANSWER)
        self.uploaded: set[str] = set()

    def send(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
        """Status and content of an answer. Raises WorkerLost where none comes."""
        headers = self.headers | ({"Content-Type": kind} if kind else {})
        for last in (False, True):
            fresh = self.connection.sock is None
            try:
                self.connection.request(method, self.path + path, body, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.RemoteDisconnected, ConnectionError, BrokenPipeError) as error:
                self.connection.close()
                # A connection that was kept open may have been closed meanwhile.
                if last or fresh:
                    raise WorkerLost(f"{self.name} does not respond ({error}).") from None
            except (OSError, http.client.HTTPException) as error:
                self.connection.close()
                raise WorkerLost(f"{self.name} does not respond ({error}).") from None
        raise AssertionError("unreachable")

    def get(self, path: str, **query: str) -> Any:
        """The JSON of an answer. Raises WorkerLost for one that is none, or comes from elsewhere."""
        status, content = self.send("GET", f"{path}?{urlencode(query)}" if query else path)
        if status >= TROUBLE:
            raise WorkerLost(f"{self.name} failed (status {status}).")
        if status != 200:
            raise Failed(f"{self.name} answered {path} with status {status}.")
        return self.parsed(content)

    def parsed(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except ValueError:
            raise WorkerLost(f"{self.name} does not look like a ComfyUI server: its response is not JSON.") from None

    def where(self, kinds: Iterable[str] = ()) -> Where:
        """The server's nodes, and its versions. kinds: the node types that count for the version."""
        info, stats = self.get("/object_info"), self.get("/system_stats")
        if not isinstance(info, dict) or not isinstance(stats, dict):
            raise WorkerLost(f"{self.name} does not look like a ComfyUI server.")
        schemas = {kind: without_choices(info.get(kind)) for kind in sorted(kinds)}
        schemas |= {kind: without_choices(info[kind]) for kind in sorted(info) if kind.startswith("PhD")}
        digest = hashlib.sha256(json.dumps(schemas, sort_keys=True).encode()).hexdigest()[:16]
        return Where(
            info, {"comfyui": stats.get("system", {}).get("comfyui_version"), "nodes": digest}, kinds=frozenset(kinds)
        )

    def model_version(self, name: str) -> str:
        """A server gives the names of its models only."""
        return ""

    def run(self, task: Task) -> Outcome:
        """Raises Refused, Failed or WorkerLost."""
        try:
            # A driver that was killed may have left the job here, running or done.
            if not (task.again and self.has(task.name)):
                for name, file in task.files.items():
                    self.upload(name, file)
                self.queue(task.prompt, task.name)
            return self.outcome(task.name, self.finished(task.name))
        except WorkerLost:
            self.uploaded.clear()
            raise

    def upload(self, name: str, file: str) -> None:
        """Puts a file into the server's input folder, once; its name is its content's hash."""
        if name in self.uploaded:
            return
        folder, _, own = name.rpartition("/")
        try:
            with open(file, "rb") as source:
                content = source.read()
        except OSError as error:
            raise Refused(f"{file} cannot be read ({error.strerror}).") from None
        mark = uuid.uuid4().hex
        fields = {"overwrite": "true", "subfolder": folder, "type": "input"}
        head = f'--{mark}\r\nContent-Disposition: form-data; name="'
        parts = [f'{head}{key}"\r\n\r\n{value}' for key, value in fields.items()]
        parts.append(f'{head}image"; filename="{own}"\r\nContent-Type: application/octet-stream\r\n\r\n')
        body = "\r\n".join(parts).encode() + content + f"\r\n--{mark}--\r\n".encode()
        status, answer = self.send("POST", "/upload/image", body, f"multipart/form-data; boundary={mark}")
        if status == 413:
            raise Refused(f"{file} is larger than {self.name} accepts.")
        if status != 200:
            raise (WorkerLost if status >= TROUBLE else Failed)(
                f"{self.name} did not accept the upload (status {status})."
            )
        found = self.parsed(answer)
        if (found.get("name"), found.get("subfolder")) != (own, folder):
            raise Failed(f"{self.name} stored {name} as {found.get('subfolder')}/{found.get('name')}.")
        self.uploaded.add(name)

    def queue(self, prompt: dict, prompt_id: str) -> None:
        body = json.dumps({"prompt": prompt, "prompt_id": prompt_id, "client_id": prompt_id}).encode()
        status, content = self.send("POST", "/prompt", body, "application/json")
        if status >= TROUBLE:
            raise WorkerLost(f"{self.name} failed (status {status}).")
        if status not in (200, 400):
            raise Failed(f"{self.name} answered a prompt with status {status}.")
        answer = self.parsed(content)
        if status == 400 or answer.get("node_errors"):
            # With an error in one output ComfyUI would run the others.
            self.send("POST", "/queue", json.dumps({"delete": [prompt_id]}).encode(), "application/json")
            raise Refused(refusal(prompt, answer))
        if answer.get("prompt_id") != prompt_id:
            raise Failed(f"{self.name} runs a ComfyUI older than 0.3.64, the oldest that is supported.")

    def has(self, prompt_id: str) -> bool:
        """Whether a job is in the queue, or in the history."""
        queue = self.get("/queue")
        entries = [*queue.get("queue_running", ()), *queue.get("queue_pending", ())]
        return any(prompt_id in entry[:2] for entry in entries) or bool(self.get(f"/history/{prompt_id}"))

    def finished(self, prompt_id: str) -> dict:
        """Waits for a job's entry in the history. Raises WorkerLost where the server has forgotten it."""
        start = looked = time.monotonic()
        while True:
            found = self.get(f"/history/{prompt_id}")
            if prompt_id in found:
                return found[prompt_id]
            now = time.monotonic()
            if now - looked > LOOK:
                looked = now
                if not self.has(prompt_id):
                    raise WorkerLost(f"{self.name} has lost the job; it was started again, or its queue was cleared.")
            time.sleep(min(LATEST, max(SOONEST, SHARE * (now - start))))

    def outcome(self, prompt_id: str, entry: dict) -> Outcome:
        messages = dict(entry.get("status", {}).get("messages", ()))
        if error := messages.get("execution_error"):
            text = f"{error.get('node_type')}: {str(error.get('exception_message')).strip()}"
            raise (Refused if is_refusal(error.get("node_type"), error.get("exception_type")) else Failed)(text)
        if "execution_interrupted" in messages:
            raise Failed("the run was interrupted on the server.")
        outputs = entry.get("outputs", {})
        images: list[tuple[str, int, Any]] = [(node, i, self.image(file)) for node, i, file in saved_images(outputs)]
        # The history keeps everything until it is full.
        self.send("POST", "/history", json.dumps({"delete": [prompt_id]}).encode(), "application/json")
        times = [messages.get(name, {}).get("timestamp") for name in ("execution_start", "execution_success")]
        seconds = (times[1] - times[0]) / 1000 if None not in times else 0.0
        return Outcome(images, reported(outputs, "phd_report"), reported(outputs, "phd_warnings"), seconds)

    def image(self, file: dict) -> bytes:
        query = urlencode({name: file[name] for name in ("filename", "subfolder", "type")}, quote_via=quote)
        status, content = self.send("GET", f"/view?{query}")
        if status >= TROUBLE:
            raise WorkerLost(f"{self.name} failed (status {status}).")
        if status != 200:
            raise Failed(f"{self.name} returned no image (status {status}).")
        return content

    def close(self) -> None:
        self.connection.close()


def without_choices(schema: Any) -> Any:
    """A node's schema without the lists of files, which differ from server to server."""
    if isinstance(schema, dict):
        return {
            name: without_choices(part) for name, part in schema.items() if name not in ("options", "python_module")
        }
    if isinstance(schema, list) and schema and isinstance(schema[0], list):
        return [[], *map(without_choices, schema[1:])]
    return list(map(without_choices, schema)) if isinstance(schema, list) else schema


def refusal(prompt: dict, answer: dict) -> str:
    """A sentence about each node that ComfyUI's check of a prompt complains about."""
    found = []
    for node, fault in (answer.get("node_errors") or {}).items():
        name = (prompt.get(node, {}).get("_meta") or {}).get("title") or fault.get("class_type")
        texts = [
            ": ".join(part for part in (each.get("message"), each.get("details")) if part) for each in fault["errors"]
        ]
        found.append(f"{name}: {'; '.join(texts)}")
    error = answer.get("error") or {}
    return " ".join(found) or str(error.get("message") if isinstance(error, dict) else error)
