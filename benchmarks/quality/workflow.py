"""`bench quality --workflow`: scores any API workflow on the same scenes. The titles of its nodes select their inputs.

Images and masks go into Load Image and Load Image (as Mask) nodes, prompts into any node with a text. A node titled
Paste & Blend gets the placement, and every seed is set. The node titled Result saves, shows or makes the image that is
scored.
"""

import copy
import functools
import io
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import requests
from PIL import Image

from benchmarks.common.subject_scores import score
from benchmarks.common.table import Section, show
from benchmarks.quality.scenes import scene, stratum_of
from benchmarks.quality.store import Run, Store, weights_hash
from benchmarks.quality.table import GROUPS, STRATA, Result, as_json, gathered, line, units_as_json
from devtools.executor import WorkflowError, new_executor, run_workflow
from devtools.paths import DEMO_WEIGHTS
from devtools.server import Server
from relit_scenes.render import Scene

RESULT = "result"
# Title of a node -> attribute of the scene.
IMAGES = {"background": "background", "exemplar": "exemplar", "composite": "composite", "reference": "reference"}
MASKS = {
    "subject mask": "matte", "exemplar mask": "exemplar_matte", "inpaint mask": "inpaint_mask",
    "harmonize mask": "harmonize_mask",
}  # fmt: skip
PROMPTS = {"prompt": "prompt", "exemplar prompt": "exemplar_prompt"}
PASTE = "paste & blend"
TEXTS, SEEDS = ("text", "prompt", "value"), ("seed", "noise_seed")
# The inputs by which a node that shows or saves gets its images.
SHOWN = ("images", "image")
# The longest that a server may take for one image.
MOST_SECONDS = 1800


class WorkflowInputError(ValueError):
    """A workflow that cannot be scored; the message is one sentence for its author."""


def read(file: Path) -> dict:
    """A workflow in API format."""
    try:
        workflow = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise WorkflowInputError(f"--workflow: {file} is not a readable JSON file.") from None
    nodes = workflow.values() if isinstance(workflow, dict) else ()
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        problem = "is not in ComfyUI's API format; export it with Workflow, Export (API)"
        raise WorkflowInputError(f"--workflow: {file} {problem}.")
    return workflow


def titled(workflow: dict) -> dict[str, str]:
    """Lower-case title -> node id."""
    return {node.get("_meta", {}).get("title", "").strip().lower(): name for name, node in workflow.items()}


def check(workflow: dict, file: Path) -> None:
    """Raises WorkflowInputError where no node is titled Result, or none takes the scene."""
    titles = titled(workflow)
    if RESULT not in titles:
        raise WorkflowInputError(
            f"--workflow: no node of {file} is titled Result; title the node whose image is to be scored."
        )
    if "composite" not in titles and not {"background", "exemplar"} <= set(titles):
        known = ", ".join(name.title() for name in (*IMAGES, *MASKS, *PROMPTS, PASTE))
        raise WorkflowInputError(
            f"--workflow: {file} takes no scene; title its Load Image nodes Composite, or Background and Exemplar "
            f"(known titles: {known})."
        )


def in_eight_bits(given: Scene) -> Scene:
    """The scene rounded as in its PNG files, so that an unchanged pixel is equal."""
    rounded = {name: np.round(getattr(given, name) * 255) / np.float32(255) for name in IMAGES.values()}
    return replace(given, **rounded)


def put(node: dict, names: tuple[str, ...], value, title: str) -> None:
    """Sets the first of these inputs that a node has."""
    for name in names:
        if name in node["inputs"]:
            node["inputs"][name] = value
            return
    raise WorkflowInputError(f"--workflow: the node titled {title.title()} has no input {' or '.join(names)}.")


def bound(workflow: dict, given: Scene, number: int, seed: int, keep: Callable[[str, bytes], None]) -> dict:
    """A copy of the workflow with a scene's images, masks, prompts and seed; `keep` stores each PNG by its name."""
    workflow = copy.deepcopy(workflow)
    for title, name in titled(workflow).items():
        node = workflow[name]
        if title in IMAGES or title in MASKS:
            array = getattr(given, IMAGES.get(title) or MASKS[title])
            array = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
            file, content = f"quality_{number}_{title.replace(' ', '_')}.png", io.BytesIO()
            Image.fromarray((array * 255 + 0.5).astype(np.uint8)).save(content, "PNG")
            keep(file, content.getvalue())
            put(node, ("image",), file, title)
        elif title in PROMPTS:
            put(node, TEXTS, getattr(given, PROMPTS[title]), title)
        elif title == PASTE:
            place = given.placement
            for key, value in (("x", place.x), ("y", place.y), ("size", place.size)):
                put(node, (key,), value, title)
    for node in workflow.values():
        for key in SEEDS:
            if isinstance(node["inputs"].get(key), int):
                node["inputs"][key] = seed
    return workflow


def of_side(image: np.ndarray, side: int) -> np.ndarray:
    """An image resized to [side,side,3]."""
    height, width = image.shape[:2]
    if height != width:
        raise WorkflowInputError(f"--workflow: Result is {width}×{height}; the scenes are {side}×{side}.")
    return image if height == side else cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


class Headless:
    """ComfyUI's executor in this process, with core's nodes and this pack's."""

    def __init__(self, folder: Path):
        self.executor, self.folder = new_executor(), folder / "input"

    def keep(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def run(self, workflow: dict) -> tuple[np.ndarray, int]:
        """The image of the node titled Result, float32 [H,W,3], and the number of model calls."""
        execution = run_workflow(workflow, executor=self.executor)
        name = titled(workflow)[RESULT]
        links = [workflow[name]["inputs"].get(key) for key in SHOWN]
        link = next((link for link in links if isinstance(link, list)), [name, 0])
        values = execution.results.get(link[0], [])
        image = values[link[1]] if link[1] < len(values) else None
        if not hasattr(image, "ndim") or image.ndim != 4 or image.shape[-1] not in (3, 4):
            raise WorkflowInputError("--workflow: the node titled Result gives no image.")
        return image[0, ..., :3].float().clamp(0, 1).cpu().numpy(), sum(execution.model_calls.values())


class OnServer:
    """A ComfyUI server that is already running, with its own packs. It does not report model calls."""

    def __init__(self, address: str):
        self.server = Server(address.rstrip("/"))
        self.keep = self.server.upload

    def run(self, workflow: dict) -> tuple[np.ndarray, int]:
        answer = self.server.post(workflow)
        if answer.status_code != 200:
            raise WorkflowInputError(f"--workflow: the server rejects it: {refusal(answer)}")
        entry = self.server.finished(answer.json()["prompt_id"], MOST_SECONDS)
        failures = [data for event, data in entry["status"]["messages"] if event == "execution_error"]
        if failures:
            node = f"node {failures[0]['node_id']} ({failures[0]['node_type']})"
            raise WorkflowInputError(f"--workflow: {node}: {failures[0]['exception_message'].strip()}")
        images = entry["outputs"].get(titled(workflow)[RESULT], {}).get("images")
        if not images:
            raise WorkflowInputError("--workflow: the node titled Result saves or shows no image.")
        keys = ("filename", "subfolder", "type")
        return self.server.image({key: images[0][key] for key in keys}).astype(np.float32) / 255, 0


def refusal(answer) -> str:
    """The reasons in a server's answer to a workflow that it rejects."""
    try:
        reasons = answer.json()
    except ValueError:
        return f"status {answer.status_code}."
    nodes = [
        error["details"] or error["message"]
        for node in reasons.get("node_errors", {}).values()
        for error in node["errors"]
    ]
    return "; ".join([reasons["error"]["message"], *nodes])


def run_missing(
    workflow: dict, run: Run, store: Store, numbers: Iterable[int], runner: Headless | OnServer, render: Callable
) -> None:
    """Scores a workflow on the missing scenes, and stores each row."""
    missing = store.missing(run, numbers)
    for done, number in enumerate(missing):
        given = render(number)
        began = time.perf_counter()
        image, calls = runner.run(bound(workflow, given, number, run.seed, runner.keep))
        seconds = time.perf_counter() - began
        row = {"stratum": stratum_of(number), "calls": calls, "seconds": round(seconds, 4)}
        store.add(run, {number: row | score(of_side(image, len(given.truth)), given)})
        print(f"seed {run.seed}, scene {done + 1} of {len(missing)}: {seconds:.1f} s, {calls} model calls", flush=True)


def paste(numbers: Iterable[int], render: Callable) -> Result:
    """The result of the composites as they are."""
    rows = [score(render(number).composite, render(number)) for number in numbers]
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    stratum = np.array([stratum_of(number) for number in numbers])
    return Result("paste", "paste", "", 0, 0, stratum, values | {"seconds": np.full(len(rows), math.nan)})


def measure(plan, store: Store, file: Path, side: int, address: str | None, folder: Path) -> int:
    """Scores a workflow and returns the exit status.

    Args:
        address: of a server; None runs the workflow in this process.
        folder: contains ComfyUI's input folder.
    """
    workflow = read(file)
    check(workflow, file)
    # The workflow may load the demo model.
    weights = sorted(DEMO_WEIGHTS.glob("*.safetensors"))
    hashed = f"{weights_hash([file, *weights])}@{side}@{address or 'headless'}"
    runs = [Run(hashed, plan.split, "workflow", 0, file.name, seed) for seed in range(plan.seeds)]
    render = functools.lru_cache(1)(lambda number: in_eight_bits(scene(number, plan.split, side)))
    runner = OnServer(address) if address else Headless(folder)
    try:
        for run in runs:
            run_missing(workflow, run, store, plan.numbers, runner, render)
    except WorkflowError as error:
        raise WorkflowInputError(f"--workflow: {error}") from None
    except (requests.RequestException, TimeoutError) as error:
        raise WorkflowInputError(f"--server: {address} does not answer as ComfyUI does ({error}).") from None
    results = [gathered(store, runs, file.name, plan.numbers), paste(plan.numbers, render)]
    parts = {"n": plan.count, "seeds": plan.seeds, "side": side}
    for group, strata in {**GROUPS, **{stratum: (stratum,) for stratum in STRATA}}.items():
        chosen = [result.of(strata) for result in results]
        section = Section(f"{group.replace('_', ' ')}, {len(chosen[0].stratum)} scenes")
        for result in chosen:
            section.row(result.name, line(result, chosen[-1]))
        show(section, {})
        where = parts if group in GROUPS else parts.setdefault("strata", {})
        where[group] = {result.name: as_json(result, chosen[-1]) for result in chosen}
    parts["iharmony_units"] = units_as_json(results)
    print(json.dumps(parts))
    return 0
