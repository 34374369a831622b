"""`bench quality --workflow`: anybody's workflow on the same scenes. Its nodes' titles say what goes where.

Images and masks go into Load Image and Load Image (as Mask) nodes, prompts into any node with a text; a node titled
Paste & Blend is told the placement, and every seed is set. The image that is scored is what the node titled Result
saves, shows or makes.
"""

import copy
import functools
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import requests
from PIL import Image

from benchmarks.common.table import Section, show
from benchmarks.quality.scenes import scene, stratum_of
from benchmarks.quality.score import score
from benchmarks.quality.store import Run, Store, weights_hash
from benchmarks.quality.table import GROUPS, STRATA, Result, as_json, gathered, line
from devtools.executor import WorkflowError, new_executor, run_workflow
from devtools.paths import DEMO_WEIGHTS
from devtools.server import Server
from relit_scenes.render import Scene

RESULT = "result"
# Title -> the scene's attribute.
IMAGES = {"background": "background", "exemplar": "exemplar", "composite": "composite", "reference": "reference"}
MASKS = {
    "subject mask": "matte", "exemplar mask": "exemplar_matte", "inpaint mask": "inpaint_mask",
    "harmonize mask": "harmonize_mask",
}  # fmt: skip
PROMPTS = {"prompt": "prompt", "exemplar prompt": "exemplar_prompt"}
PASTE = "paste & blend"
TEXTS, SEEDS = ("text", "prompt", "value"), ("seed", "noise_seed")
# What a node shows or saves comes in by one of these.
SHOWN = ("images", "image")
# A server may take so long for one image.
MOST_SECONDS = 1800


class WorkflowInputError(ValueError):
    """A file that cannot be scored; the message is a sentence for its author."""


def read(file: Path) -> dict:
    try:
        workflow = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise WorkflowInputError(f"--workflow: {file} is no JSON file that can be read.") from None
    nodes = workflow.values() if isinstance(workflow, dict) else ()
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        told = "is not in ComfyUI's API format; export it with Workflow, Export (API)"
        raise WorkflowInputError(f"--workflow: {file} {told}.")
    return workflow


def titled(workflow: dict) -> dict[str, str]:
    """Title, in small letters -> node id."""
    return {node.get("_meta", {}).get("title", "").strip().lower(): name for name, node in workflow.items()}


def check(workflow: dict, file: Path) -> None:
    titles = titled(workflow)
    if RESULT not in titles:
        raise WorkflowInputError(f"--workflow: no node of {file} is titled Result, so nothing says what is scored.")
    if "composite" not in titles and not {"background", "exemplar"} <= set(titles):
        known = ", ".join(name.title() for name in (*IMAGES, *MASKS, *PROMPTS, PASTE))
        raise WorkflowInputError(
            f"--workflow: {file} takes no scene; title its Load Image nodes Composite, or Background and Exemplar "
            f"(known titles: {known})."
        )


def in_eight_bits(given: Scene) -> Scene:
    """The scene as its files hold it, so that a pixel that was left alone is equal."""
    rounded = {name: np.round(getattr(given, name) * 255) / np.float32(255) for name in IMAGES.values()}
    return replace(given, **rounded)


def put(node: dict, names: tuple[str, ...], value, title: str) -> None:
    """Into the first of these inputs that a node has."""
    for name in names:
        if name in node["inputs"]:
            node["inputs"][name] = value
            return
    raise WorkflowInputError(f"--workflow: the node titled {title.title()} has no input {' or '.join(names)}.")


def bound(workflow: dict, given: Scene, number: int, seed: int, keep: Callable[[str, bytes], None]) -> dict:
    """The workflow with a scene's images, masks and prompts; `keep` takes each image's name and PNG."""
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
    """float32 [S,S,3] of the scenes' side."""
    height, width = image.shape[:2]
    if height != width:
        raise WorkflowInputError(f"--workflow: Result is {width}×{height}; the scenes are {side}×{side}.")
    return image if height == side else cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


class Headless:
    """ComfyUI's executor in this process; it knows core's nodes and this pack's."""

    def __init__(self, folder: Path):
        self.executor, self.folder = new_executor(), folder / "input"

    def keep(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def run(self, workflow: dict) -> tuple[np.ndarray, int]:
        """The image that the node titled Result stands for, and the model calls."""
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
    """A ComfyUI that runs already, with whatever packs it has. It does not tell how often the model was called."""

    def __init__(self, address: str):
        self.server = Server(address.rstrip("/"))
        self.keep = self.server.upload

    def run(self, workflow: dict) -> tuple[np.ndarray, int]:
        answer = self.server.post(workflow)
        if answer.status_code != 200:
            raise WorkflowInputError(f"--workflow: the server refuses it: {refusal(answer)}")
        entry = self.server.finished(answer.json()["prompt_id"], MOST_SECONDS)
        failures = [data for event, data in entry["status"]["messages"] if event == "execution_error"]
        if failures:
            told = f"node {failures[0]['node_id']} ({failures[0]['node_type']})"
            raise WorkflowInputError(f"--workflow: {told}: {failures[0]['exception_message'].strip()}")
        images = entry["outputs"].get(titled(workflow)[RESULT], {}).get("images")
        if not images:
            raise WorkflowInputError("--workflow: the node titled Result saves or shows no image.")
        keys = ("filename", "subfolder", "type")
        return self.server.image({key: images[0][key] for key in keys}).astype(np.float32) / 255, 0


def refusal(answer) -> str:
    """What a server says of a workflow that it does not take."""
    try:
        told = answer.json()
    except ValueError:
        return f"status {answer.status_code}."
    nodes = [
        error["details"] or error["message"]
        for node in told.get("node_errors", {}).values()
        for error in node["errors"]
    ]
    return "; ".join([told["error"]["message"], *nodes])


def run_missing(
    workflow: dict, run: Run, store: Store, count: int, runner: Headless | OnServer, render: Callable
) -> None:
    missing = store.missing(run, count)
    for done, number in enumerate(missing):
        given = render(number)
        began = time.perf_counter()
        image, calls = runner.run(bound(workflow, given, number, run.seed, runner.keep))
        seconds = time.perf_counter() - began
        told = {"stratum": stratum_of(number), "calls": calls, "seconds": round(seconds, 4)}
        store.add(run, {number: told | score(of_side(image, len(given.truth)), given)})
        print(f"seed {run.seed}, scene {done + 1} of {len(missing)}: {seconds:.1f} s, {calls} model calls", flush=True)


def paste(count: int, render: Callable) -> Result:
    """What the scenes are without any harmonizing."""
    rows = [score(render(number).composite, render(number)) for number in range(count)]
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    stratum = np.array([stratum_of(number) for number in range(count)])
    return Result("paste", "paste", "", 0, 0, stratum, values | {"seconds": np.full(count, math.nan)})


def measure(plan, store: Store, file: Path, side: int, address: str | None, folder: Path) -> int:
    """Scores a workflow; the exit status. address: of a server; else ComfyUI's input folder lies in `folder`."""
    workflow = read(file)
    check(workflow, file)
    # The demo model may be part of it.
    weights = sorted(DEMO_WEIGHTS.glob("*.safetensors"))
    hashed = f"{weights_hash([file, *weights])}@{side}@{address or 'headless'}"
    runs = [Run(hashed, plan.split, "workflow", 0, file.name, seed) for seed in range(plan.seeds)]
    render = functools.lru_cache(1)(lambda number: in_eight_bits(scene(number, plan.split, side)))
    runner = OnServer(address) if address else Headless(folder)
    try:
        for run in runs:
            run_missing(workflow, run, store, plan.count, runner, render)
    except WorkflowError as error:
        raise WorkflowInputError(f"--workflow: {error}") from None
    except (requests.RequestException, TimeoutError) as error:
        raise WorkflowInputError(f"--server: {address} does not answer as ComfyUI does ({error}).") from None
    results = [gathered(store, runs, file.name, plan.count), paste(plan.count, render)]
    told = {"n": plan.count, "seeds": plan.seeds, "side": side}
    for group, strata in {**GROUPS, **{stratum: (stratum,) for stratum in STRATA}}.items():
        chosen = [result.of(strata) for result in results]
        section = Section(f"{group.replace('_', ' ')}, {len(chosen[0].stratum)} scenes")
        for result in chosen:
            section.row(result.name, line(result, chosen[-1]))
        show(section, {})
        where = told if group in GROUPS else told.setdefault("strata", {})
        where[group] = {result.name: as_json(result) for result in chosen}
    print(json.dumps(told))
    return 0
