"""What runs a benchmark's workflows, see `titled_workflow`: ComfyUI's executor in this process, or a ComfyUI server."""

import functools
import hashlib
import io
import uuid
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.common.titled_workflow import RESULT, WorkflowInputError, titled
from devtools.executor import WorkflowError, new_executor, run_workflow
from phd_batch.faults import Failed, Refused, UsageError, WorkerLost
from phd_batch.outcome import Where
from phd_batch.server import ServerWorker

# The inputs by which a node that shows or saves gets its images.
SHOWN = ("images", "image")
# Names of a widget's choices that are files end like this.
FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".gguf", ".sft", ".bin", ".onnx")
MOST_NAMED = 5


def of_side(image: np.ndarray, side: int) -> np.ndarray:
    """An image resized to [side,side,3]. Raises WorkflowInputError where it is not square."""
    height, width = image.shape[:2]
    if height != width:
        raise WorkflowInputError(f"--workflow: Result is {width}×{height}; the scenes are {side}×{side}.")
    if height == side:
        return image
    note(f"Result is {width}×{height}; it is scored after resizing to the scenes' {side}×{side}.")
    return of_shape(image, (side, side))


def of_shape(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An image resized to `shape`, [H,W,…]."""
    if image.shape[:2] == tuple(shape[:2]):
        return image
    how = cv2.INTER_AREA if image.shape[0] > shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, (shape[1], shape[0]), interpolation=how).clip(0, 1)


@functools.cache
def note(text: str) -> None:
    """Prints a sentence once."""
    print(text, flush=True)


def file_name(content: bytes) -> str:
    """The name under which an image goes into ComfyUI's input folder: the same content has the same name."""
    return f"phd_bench_{hashlib.sha256(content).hexdigest()[:16]}.png"


class Headless:
    """ComfyUI's executor in this process, with core's nodes and this pack's. `folder` contains its input folder."""

    def __init__(self, folder: Path):
        self.executor, self.folder = new_executor(), folder / "input"

    def check(self, workflow: dict) -> None:
        """ComfyUI's own check names what is missing when the workflow runs."""

    def keep(self, content: bytes) -> str:
        (self.folder / file_name(content)).write_bytes(content)
        return file_name(content)

    def run(self, workflow: dict) -> tuple[np.ndarray, int]:
        """The image of the node titled Result, float32 [H,W,3], and the number of model calls."""
        try:
            execution = run_workflow(workflow, executor=self.executor)
        except WorkflowError as error:
            raise WorkflowInputError(f"--workflow: {error}") from None
        name = titled(workflow)[RESULT]
        links = [workflow[name]["inputs"].get(key) for key in SHOWN]
        link = next((link for link in links if isinstance(link, list)), [name, 0])
        values = execution.results.get(link[0], [])
        image = values[link[1]] if link[1] < len(values) else None
        if not hasattr(image, "ndim") or image.ndim != 4 or image.shape[-1] not in (3, 4):
            raise WorkflowInputError("--workflow: the node titled Result gives no image.")
        check_single(len(image))
        return image[0, ..., :3].float().clamp(0, 1).cpu().numpy(), sum(execution.model_calls.values())


class OnServer:
    """A ComfyUI server that is already running, with its own packs. It does not report model calls.

    Args:
        folder: for the images on their way to the server.
    """

    def __init__(self, address: str, folder: Path):
        try:
            self.worker = ServerWorker(address)
        except UsageError as error:
            raise WorkflowInputError(str(error)) from None
        self.folder = folder

    @functools.cached_property
    def where(self) -> Where:
        """Its nodes as in /object_info, and the versions of ComfyUI and the pack."""
        try:
            return self.worker.where()
        except (Failed, WorkerLost) as error:
            raise lost(error) from None

    def stats(self) -> dict:
        """As /system_stats has it."""
        try:
            return self.worker.get("/system_stats")
        except (Failed, WorkerLost) as error:
            raise lost(error) from None

    def check(self, workflow: dict) -> None:
        """Raises WorkflowInputError where the server lacks a node or a file of the workflow."""
        check_nodes(workflow, self.where.info)
        check_files(workflow, self.where.info)

    def keep(self, content: bytes) -> str:
        file = self.folder / file_name(content)
        file.write_bytes(content)
        try:
            self.worker.upload(file.name, str(file))
        except (Failed, Refused, WorkerLost) as error:
            raise lost(error) from None
        file.unlink()
        return file.name

    def outputs(self, workflow: dict) -> dict[str, dict]:
        """Runs a workflow; what its nodes show, by node id, as in ComfyUI's history."""
        name = str(uuid.uuid4())
        try:
            self.worker.queue(workflow, name)
            entry = self.worker.finished(name)
        except Refused as error:
            raise WorkflowInputError(f"--workflow: the server rejects it: {error}") from None
        except (Failed, WorkerLost) as error:
            raise lost(error) from None
        messages = dict(entry.get("status", {}).get("messages", ()))
        if failure := messages.get("execution_error"):
            node = f"node {failure.get('node_id')} ({failure.get('node_type')})"
            raise NodeFailedError(node, str(failure.get("exception_message")).strip())
        if "execution_interrupted" in messages:
            raise ServerLostError("--server: the run was interrupted there; start the same command again.")
        return entry.get("outputs", {})

    def images(self, outputs: dict[str, dict], node_id: str) -> list[np.ndarray]:
        """The images that a node saved or showed, float32 [H,W,3] in 0..1."""
        found = []
        for file in outputs.get(node_id, {}).get("images") or ():
            try:
                content = self.worker.image(file)
                image = Image.open(io.BytesIO(content)).convert("RGB")
            except (Failed, WorkerLost) as error:
                raise lost(error) from None
            except OSError:
                raise WorkflowInputError("--server: it gave a file that is not an image.") from None
            found.append(np.asarray(image).astype(np.float32) / 255)
        return found

    def run(self, workflow: dict) -> tuple[np.ndarray, int]:
        """The image of the node titled Result, float32 [H,W,3], and 0 for its model calls."""
        images = self.images(self.outputs(workflow), titled(workflow)[RESULT])
        if not images:
            raise WorkflowInputError("--workflow: the node titled Result saves or shows no image.")
        check_single(len(images))
        return images[0], 0


class NodeFailedError(WorkflowInputError):
    """A node failed on the server. `node`: its id and type, without the text of the error, which may name files."""

    def __init__(self, node: str, message: str):
        super().__init__(f"--workflow: {node}: {message}")
        self.node = node


class ServerLostError(WorkflowInputError):
    """The server does not answer, or has dropped the job; the workflow is not to blame."""


def lost(error: Exception) -> ServerLostError:
    return ServerLostError(f"--server: {error} Start the same command again when the server is up.")


def check_single(count: int) -> None:
    if count != 1:
        raise WorkflowInputError(f"--workflow: Result is a batch of {count} images; one is needed.")


def check_nodes(workflow: dict, info: dict) -> None:
    missing = {node["class_type"]: node.get("_meta", {}).get("pack") for node in workflow.values()}
    missing = {kind: pack for kind, pack in missing.items() if kind not in info}
    if missing:
        named = ", ".join(kind + (f" (of {pack})" if pack else "") for kind, pack in missing.items())
        raise WorkflowInputError(
            f"--workflow: the server has no node {named}; install what is missing and start it again."
        )


def check_files(workflow: dict, info: dict) -> None:
    for node in workflow.values():
        for name, value in node["inputs"].items():
            known = choices(info, node["class_type"], name)
            if isinstance(value, str) and value.lower().endswith(FILES) and known is not None and value not in known:
                has = ", ".join(known[:MOST_NAMED]) or "none"
                more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
                raise WorkflowInputError(
                    f"--workflow: the server has no file {value!r} for {name} of {node['class_type']}; "
                    f"it has {has}{more}."
                )


def choices(info: dict, kind: str, name: str) -> list[str] | None:
    """The values that an input of a node type can have; None where it is no list of choices."""
    inputs = info.get(kind, {}).get("input", {})
    schema = {**inputs.get("required", {}), **inputs.get("optional", {})}.get(name)
    if not isinstance(schema, list | tuple) or not schema:
        return None
    if isinstance(schema[0], list):
        return schema[0]
    return schema[1].get("options") if schema[0] == "COMBO" and len(schema) > 1 else None
