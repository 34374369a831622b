"""Runs an API-format workflow through ComfyUI's own graph executor, without its server.

`devtools.comfyui.activate` comes first: everything of ComfyUI is imported when a workflow runs.
"""

import asyncio
import collections
import contextlib
import copy
import functools
import inspect
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devtools.model_calls import count_model_calls

# Core nodes beyond ComfyUI's own module `nodes`; these import without a server in every supported version.
CORE_EXTRAS = (
    "cfg", "custom_sampler", "differential_diffusion", "edit_model", "flux", "images", "latent", "mask",
    "model_advanced", "post_processing", "qwen",
)  # fmt: skip

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Execution:
    """The results of a run, by node id.

    outputs: what an output node shows, e.g. {"images": [{"filename": ..., "subfolder": ..., "type": ...}]}.
    seconds: wall time of each node that ran, in the order in which they ran.
    model_calls: how often each node called the diffusion model; 0 for a node that did not.
    results: the values in a node's output slots; for a slot that is a list of several items, that list.
    """

    outputs: dict[str, dict]
    seconds: dict[str, float]
    model_calls: collections.Counter[str]
    results: dict[str, list]


class WorkflowError(Exception):
    """A workflow that ComfyUI refuses, or a node that failed.

    node_id and node_type are None where the error is not one node's. traceback is that of the failed node, error_type
    the name of what it raised; both are empty where ComfyUI refused the workflow.
    """

    def __init__(
        self, node_id: str | None, node_type: str | None, message: str, traceback: str = "", error_type: str = ""
    ):
        super().__init__(message if node_id is None else f"Node {node_id} ({node_type}): {message}")
        self.node_id = node_id
        self.node_type = node_type
        self.message = message
        self.traceback = traceback
        self.error_type = error_type


def set_directories(input: Path, output: Path, temp: Path) -> None:
    """Where LoadImage reads and where SaveImage and PreviewImage write, instead of folders in the ComfyUI install."""
    import folder_paths

    for path, setter in (
        (input, folder_paths.set_input_directory),
        (output, folder_paths.set_output_directory),
        (temp, folder_paths.set_temp_directory),
    ):
        Path(path).mkdir(parents=True, exist_ok=True)
        setter(str(path))


@functools.cache
def load_core_extras() -> None:
    """Adds `CORE_EXTRAS` to ComfyUI's node registry. Raises ImportError for one that does not load."""
    import nodes

    folder = Path(nodes.__file__).parent / "comfy_extras"
    with quiet():
        for name in CORE_EXTRAS:
            path = folder / f"nodes_{name}.py"
            if not asyncio.run(nodes.load_custom_node(str(path), module_parent="comfy_extras")):
                raise ImportError(f"{path.name} of this ComfyUI does not load.")


def new_executor():
    """ComfyUI's executor, which caches the results of nodes until their inputs change."""
    import execution

    return execution.PromptExecutor(ServerStandIn(None), cache_type=execution.CacheType.CLASSIC, **cache_arguments())


def run_workflow(workflow: dict, *, on_progress: Progress | None = None, executor=None) -> Execution:
    """Runs an API-format workflow and returns the results of the nodes that ran.

    workflow: {node id: {"class_type": ..., "inputs": ...}}; it is not changed.
    on_progress: called with (node id, done, total) when a node starts, reports a step, and ends.
    executor: from `new_executor`, to run only what has changed since its last run; by default every node runs afresh.
    Raises WorkflowError where the workflow is not valid, a node fails or the run is interrupted.
    """
    import execution

    load_core_extras()
    # ComfyUI writes into the workflow that it runs, and reads that back when the same dict runs again.
    workflow = copy.deepcopy(workflow)
    check_nodes(workflow)
    prompt_id = str(uuid.uuid4())
    executor = new_executor() if executor is None else executor
    executor.server = server = ServerStandIn(on_progress)
    with quiet(), progress_bars_reported(), count_model_calls() as count:
        valid, error, output_nodes, node_errors = asyncio.run(execution.validate_prompt(prompt_id, workflow, None))
        raise_invalid(valid, error, node_errors)
        executor.execute(workflow, prompt_id, {"client_id": server.client_id}, output_nodes)
    raise_failed(executor.status_messages)
    ran = [node_id for node_id in workflow if node_id in server.seconds]
    return Execution(
        outputs=executor.history_result["outputs"],
        seconds=server.seconds,
        model_calls=count.by_node,
        results={node_id: slots(executor.caches.outputs.get(node_id)) for node_id in ran},
    )


class ServerStandIn:
    """Stands in for ComfyUI's server: takes the executor's events, keeps times and reports progress."""

    def __init__(self, on_progress: Progress | None):
        # Without a client the executor sends no events.
        self.client_id = "devtools"
        self.last_node_id = None
        self.last_prompt_id = None
        self.sockets_metadata = {}
        self.seconds: dict[str, float] = {}
        self._on_progress = on_progress
        self._started: dict[str, float] = {}
        self._reported: dict[str, tuple[float, float]] = {}

    def send_sync(self, event, data, client_id=None) -> None:
        if event == "executing" and data["node"] is not None:
            self._started[data["node"]] = time.perf_counter()
        elif event == "progress_state":
            for node_id, state in data["nodes"].items():
                self._take_state(node_id, state)

    def _take_state(self, node_id: str, state: dict) -> None:
        if state["state"] == "finished" and node_id in self._started:
            self.seconds[node_id] = time.perf_counter() - self._started.pop(node_id)
        # Every event carries the state of all nodes so far.
        progress = (state["value"], state["max"])
        if self._on_progress is not None and self._reported.get(node_id) != progress:
            self._reported[node_id] = progress
            self._on_progress(node_id, *progress)


def cache_arguments() -> dict:
    """The executor's cache arguments, which differ between versions of ComfyUI and have no working default."""
    import execution

    if "cache_args" in inspect.signature(execution.PromptExecutor).parameters:
        return {"cache_args": {"lru": 0, "ram": 0.0}}
    return {"cache_size": None}


def check_nodes(workflow: dict) -> None:
    """Reports unknown nodes and broken links; ComfyUI's own check does not name the node."""
    from comfy_execution.graph_utils import is_link

    import nodes

    for node_id, node in workflow.items():
        node_type = node.get("class_type")
        if node_type not in nodes.NODE_CLASS_MAPPINGS:
            raise WorkflowError(node_id, node_type, f"this ComfyUI has no node {node_type!r}.")
        for name, value in node.get("inputs", {}).items():
            if is_link(value) and value[0] not in workflow:
                message = f"input {name!r} is linked to node {value[0]!r}, which the workflow does not have."
                raise WorkflowError(node_id, node_type, message)


def raise_invalid(valid: bool, error: dict | None, node_errors: dict) -> None:
    # ComfyUI runs a workflow if any of its outputs is valid; here all must be.
    for node_id, fault in node_errors.items():
        message = "; ".join(text_of(reason) for reason in fault["errors"])
        raise WorkflowError(node_id, fault["class_type"], message)
    if not valid:
        raise WorkflowError(None, None, text_of(error))


def raise_failed(status_messages: list[tuple[str, dict]]) -> None:
    for event, data in status_messages:
        if event == "execution_error":
            message = data["exception_message"].strip()
            traceback, error_type = "".join(data["traceback"]), data["exception_type"]
            raise WorkflowError(data["node_id"], data["node_type"], message, traceback, error_type)
        if event == "execution_interrupted":
            raise WorkflowError(data["node_id"], data["node_type"], "the run was interrupted.")


def text_of(error: dict) -> str:
    """One of ComfyUI's errors, with what it adds."""
    return ": ".join(part for part in (error["message"], error["details"]) if part)


def slots(entry) -> list:
    """The output slots in an entry of the executor's cache; newer versions wrap them together with the node's UI."""
    values = getattr(entry, "outputs", entry)
    return [value[0] if len(value) == 1 else value for value in values]


@contextlib.contextmanager
def progress_bars_reported() -> Iterator[None]:
    """Passes the steps of a node's ProgressBar to the executor's progress registry, as ComfyUI's server does."""
    import comfy.model_management
    import comfy.utils
    from comfy_execution.progress import get_progress_state
    from comfy_execution.utils import get_executing_context

    def report(value, total, preview, prompt_id=None, node_id=None):
        comfy.model_management.throw_exception_if_processing_interrupted()
        context = get_executing_context()
        if node_id is None and context is not None:
            node_id = context.node_id
        if node_id is not None:
            get_progress_state().update_progress(node_id, value, total)

    before = comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(report)
    try:
        yield
    finally:
        comfy.utils.set_progress_bar_global_hook(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides what ComfyUI's loader and executor log about an error, which is raised as an exception anyway."""

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.module not in ("execution", "nodes")

    logger = logging.getLogger()
    logger.addFilter(from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(from_elsewhere)
