"""Stands in for ComfyUI in the tests of phd_batch: answers as phd_batch.headless does.

Its one node, Tint, makes an image of a color that its inputs decide. Its text may ask for trouble.
"""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

from PIL import Image

INFO = {
    "LoadImage": {"input": {"required": {"image": [[], {"image_upload": True}]}}, "output": ["IMAGE", "MASK"]},
    "Tint": {
        "input": {"required": {"image": ["IMAGE"], "text": ["STRING", {}], "amount": ["FLOAT", {"min": 0, "max": 9}]}},
        "output": ["IMAGE"],
        "output_name": ["image"],
    },
    "KSampler": {"input": {"required": {"image": ["IMAGE"], "seed": ["INT", {"min": 0}]}}, "output": ["IMAGE"]},
    "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {}]}}, "output_node": True},
}


def node(kind: str, title: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


WORKFLOW = {
    "1": node("LoadImage", "Exemplar", image="x.png"),
    "2": node("Tint", "Tint", image=["1", 0], text="plain", amount=1.0),
    "3": node("KSampler", "Sampler", image=["2", 0], seed=1),
    "4": node("SaveImage", "Save", images=["3", 0], filename_prefix="x"),
}


def color(prompt: dict, content: bytes) -> bytes:
    """Of the image that a prompt gives."""
    inputs = {node_id: each["inputs"] for node_id, each in prompt.items() if each["class_type"] != "SaveImage"}
    inputs["1"] = hashlib.sha256(content).hexdigest()
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).digest()


def run(prompt: dict, files: dict, folder: Path) -> dict:
    text, seed = prompt["2"]["inputs"]["text"], prompt["3"]["inputs"]["seed"]
    if text.startswith("slow"):
        time.sleep(0.03)
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "die once" and not (marker := folder.parent.parent.parent / "died").exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "fail once" and not (marker := folder.parent.parent.parent / "failed").exists():
        marker.touch()
        return {"error": "it failed.", "node": "Tint", "type": "RuntimeError"}
    if text == "fail":
        return {"error": "it fails.", "node": "Tint", "type": "RuntimeError"}
    if text == "refuse":
        return {"error": "text is wrong.", "node": "PhDTint", "type": "ValueError"}
    if text == "full":
        return {"error": "[Errno 28] No space left on device", "node": None, "type": "OSError"}
    drawn = color(prompt, Path(files[prompt["1"]["inputs"]["image"]]).read_bytes())
    file = folder / f"{prompt['4']['inputs']['filename_prefix'].replace('/', '_')}.png"
    Image.frombytes("RGB", (3, 3), drawn[:27].ljust(27, b"\0")).save(file)
    report = {
        "identity": (seed % 1000) / 1000,
        "neglected": False,
        "suppressed": text == "suppressed",
        "gain": [1.0, 0.9, 0.8],
    }
    outputs = {"3": {"phd_report": [report], "phd_warnings": []}, "4": {"images": []}}
    return {"outputs": outputs, "images": [("4", 0, str(file))], "seconds": 0.001, "calls": 2}


def main(number: str, folder: Path) -> None:
    lines: list[str] = []
    arrived = threading.Semaphore(0)

    def read() -> None:
        for line in sys.stdin:
            lines.append(line)
            arrived.release()
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while arrived.acquire():
        request = json.loads(lines.pop(0))
        if "prompt" in request:
            answer = run(request["prompt"], request["files"], folder)
        else:
            versions = {"comfyui": "1", "pack": os.environ.get("STUB_VERSION", "1")}
            answer = {"info": INFO, "versions": versions, "gpus": 0}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
