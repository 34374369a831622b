"""A worker process: ComfyUI without its server, with this pack in it. `python -m phd_batch.headless NUMBER FOLDER`.

It reads a request a line and answers in a line, both JSON; the models stay loaded. It ends with its driver.
"""

import hashlib
import json
import os
import queue
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from devtools import comfyui
from devtools.paths import ROOT
from phd_batch.clip_parts import CHUNK
from phd_batch.clips import MOST_WARNINGS, ClipError, OnFrames, add_nodes, loads_video, run_clip

# A model file is known by its size and by this many bytes of its beginning and its end.
SAMPLE = 1 << 20
# Where videos are written, below the outputs.
CLIPS = "phd_clips"


def quietly(done: int, total: int) -> None:
    """Reports nothing."""


class Headless:
    """ComfyUI's executor in this process.

    number: which GPU is taken, where there are several. folder: for inputs, outputs and temporary files.
    """

    def __init__(self, number: int, folder: Path):
        import torch

        comfyui.activate(comfyui.get_comfyui(), (*comfyui.device_arguments(), "--use-pytorch-cross-attention"))
        self.gpus = torch.cuda.device_count()
        if self.gpus:
            torch.cuda.set_device(number % self.gpus)
        from devtools.executor import load_core_extras, new_executor, set_directories

        self.inputs, self.outputs, self.temp = (folder / name for name in ("input", "output", "temp"))
        set_directories(self.inputs, self.outputs, self.temp)
        import comfy.utils

        comfy.utils.set_progress_bar_enabled(False)
        load_core_extras()
        comfyui.register_pack()
        add_nodes()
        self.executor = new_executor()

    def info(self) -> dict:
        """What the node types are, and the versions."""
        from devtools.object_info import object_info

        return {"info": object_info(), "versions": versions(), "gpus": self.gpus}

    def model_version(self, name: str) -> str:
        """A short hash of a model file that a loader lists under this name; "" where it is not found."""
        import folder_paths

        for kind in folder_paths.folder_names_and_paths:
            file = folder_paths.get_full_path(kind, name)
            if file and os.path.isfile(file):
                return sampled_hash(Path(file))
        return ""

    def run(self, prompt: dict, files: dict[str, str], chunk: int = CHUNK, on_frames: OnFrames = quietly) -> dict:
        """Runs a prompt, with the files of this machine that it names.

        {"outputs", "seconds", "calls"}; or {"error", "node", "type", "trace"}, the error's node and name.

        chunk, on_frames: of a clip, see `run_clip`.
        """
        from devtools.executor import WorkflowError, run_workflow

        try:
            for name, source in files.items():
                stage(self.inputs / name, Path(source))
            if any(map(loads_video, prompt.values())):
                return self.run_clip(prompt, chunk, on_frames)
            start = time.perf_counter()
            ran = run_workflow(prompt, executor=self.executor)
        except WorkflowError as error:
            found = {"error": str(error), "node": error.node_type, "type": error.error_type}
            return found | {"trace": error.traceback[-2000:]}
        except (ClipError, ValueError) as error:
            # A ValueError is of keyframes, or of a file that breaks off.
            return {"error": str(error), "node": None, "type": ""}
        except OSError as error:
            return {"error": str(error), "node": None, "type": "OSError"}
        seconds = time.perf_counter() - start
        return {"outputs": ran.outputs, "seconds": seconds, "calls": sum(ran.model_calls.values())}

    def run_clip(self, prompt: dict, chunk: int, on_frames: OnFrames) -> dict:
        from devtools.executor import run_workflow

        def run(part: dict) -> Any:
            return run_workflow(part, executor=self.executor)

        # As a file that Save Image would give.
        found = run_clip(prompt, self.inputs, self.outputs / CLIPS, chunk, run, on_frames)
        outputs: dict[str, dict] = {
            node_id: {"images": [{"filename": file.name, "subfolder": CLIPS, "type": "output"}]}
            for node_id, file in found.files.items()
        }
        outputs[""] = {"phd_report": found.report, "phd_warnings": list(found.warnings)[:MOST_WARNINGS]}
        return {"outputs": outputs, "seconds": found.seconds, "calls": found.calls}

    def path(self, file: dict) -> Path:
        """Where a file of a run's outputs lies."""
        folder = self.outputs if file["type"] == "output" else self.temp
        return folder / file["subfolder"] / file["filename"]


def stage(target: Path, source: Path) -> None:
    """Makes a file appear under ComfyUI's input folder."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source)
    except OSError:  # Windows lets only developers and administrators make links
        shutil.copyfile(source, target)


def versions() -> dict:
    """ComfyUI's version, and a hash of the pack's code and weights."""
    import comfyui_version

    digest = hashlib.sha256()
    for folder in ("nodes", "phd_ops", "demo"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".py", ".safetensors"):
                digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return {"comfyui": comfyui_version.__version__, "pack": digest.hexdigest()[:16]}


def sampled_hash(file: Path) -> str:
    with file.open("rb") as content:
        size = content.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for place in (0, max(0, size - SAMPLE)):
            content.seek(place)
            digest.update(content.read(SAMPLE))
    return digest.hexdigest()[:16]


def answer(headless: Headless, request: dict, on_frames: OnFrames = quietly) -> dict[str, Any]:
    """The answer to a request. on_frames: of a clip, see `run_clip`."""
    if "model" in request:
        return {"version": headless.model_version(request["model"])}
    if "prompt" in request:
        ran = headless.run(request["prompt"], request["files"], request.get("chunk", CHUNK), on_frames)
        if "outputs" in ran:
            from phd_batch.outcome import saved_images

            ran["images"] = [(node, i, str(headless.path(file))) for node, i, file in saved_images(ran["outputs"])]
        return ran
    return headless.info()


def main(number: int, folder: Path) -> None:
    # What ComfyUI and its nodes print goes to the log; the answers go where stdout went.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    requests: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        # The driver is gone; what runs is taken up by the next one.
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    headless = Headless(number, folder)

    def write(found: dict) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    while True:
        write(answer(headless, json.loads(requests.get()), lambda *frames: write({"frames": frames})))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
