"""Prompts for a real ComfyUI server: the API demo made small, over and over, broken, interrupted and killed."""

import copy
import functools
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
import scipy.stats

from benchmarks.common.table import Section
from benchmarks.soak.calls import REFUSALS, Finding
from devtools.paths import ROOT
from devtools.server import Server, as_png, serving

SIDE, LARGE = 96, 2048
# Every so many runs an earlier one is repeated, which must give the same image.
REPEAT_EVERY = 10
# In seconds, for a run that takes less than one.
PATIENCE = 120
# Answers of ComfyUI itself to broken prompts that are no fault of the pack: a part of the answer, and the reason.
KNOWN = {
    "500": "ComfyUI 0.3.64 answers a prompt whose parts are not of the right types (a node that is no dict, inputs "
    "that are a list) with an error of its own; it lives on",
}


@functools.cache
def demo() -> dict:
    """The demo's workflow in the API format; not to be changed."""
    return json.loads((ROOT / "demo" / "workflow.json").read_text(encoding="utf-8"))


def small_prompt(seed: int) -> dict:
    """The API demo on small images with the fewest steps; its seeds and placement are drawn."""
    drawn, prompt = random.Random(seed), copy.deepcopy(demo())
    for node in prompt.values():
        inputs, kind = node["inputs"], node["class_type"]
        if "Sampler" in kind:
            inputs |= {"preset": "custom", "steps": 1, "inner_steps": 1, "seed": drawn.getrandbits(40)}
        elif kind == "PhDSegment":
            inputs |= {"box": f"4, 4, {SIDE - 8}, {SIDE - 8}", "positive_points": "", "negative_points": ""}
        elif kind == "PhDCrop":
            inputs |= {"side": 64}
        elif kind == "PhDPasteBlend":
            inputs |= {name: drawn.uniform(*reach) for name, reach in PLACED.items()}
            inputs |= {"placement": drawn.choice(("manual", "random")), "seed": drawn.getrandbits(40)}
            inputs |= {"blend": drawn.choice(("alpha", "multi-band", "Poisson")), "flip": drawn.random() < 0.5}
    return prompt


def core_prompt(seed: int) -> dict:
    """A workflow of ComfyUI's own nodes on the same images and model, of which about as many run anew with each seed.

    Only the demo model comes from the pack: it is loaded once.
    """
    drawn, prompt = random.Random(seed), {}

    def node(kind: str, **inputs: Any) -> str:
        prompt[str(len(prompt))] = {"class_type": kind, "inputs": inputs}
        return str(len(prompt) - 1)

    exemplar, background = (
        [node("LoadImage", image=each["inputs"]["image"]), 0]
        for each in demo().values()
        if each["class_type"] == "LoadImage"
    )
    loaded = node("PhDLoadDemoModel", prediction="flow")
    model, clip, vae = ([loaded, slot] for slot in range(3))
    positive, negative = ([node("CLIPTextEncode", text=text, clip=clip), 0] for text in ("an astronaut", ""))
    solid = [node("SolidMask", value=1.0, width=64, height=64), 0]
    mask = [node("GrowMask", mask=solid, expand=drawn.randint(1, 20), tapered_corners=True), 0]
    scaled = {"upscale_method": "bicubic", "crop": "disabled"}
    size = {"width": drawn.randint(30, SIDE), "height": drawn.randint(30, SIDE)}
    subject = [node("ImageScale", image=exemplar, **size, **scaled), 0]
    place = {"x": drawn.randint(0, SIDE), "y": drawn.randint(0, SIDE), "resize_source": False}
    composite = [node("ImageCompositeMasked", destination=background, source=subject, mask=mask, **place), 0]
    blurred = [node("ImageBlur", image=composite, blur_radius=drawn.randint(1, 9), sigma=1.0), 0]
    window = [node("ImageScale", image=blurred, width=64, height=64, **scaled), 0]
    latent = [node("VAEEncode", pixels=window, vae=vae), 0]
    latent = [node("SetLatentNoiseMask", samples=latent, mask=mask), 0]
    for sampler, denoise in (("euler", 1.0), ("dpmpp_2m", 0.6)):
        sampled = {"sampler_name": sampler, "scheduler": "beta", "denoise": denoise, "steps": 2, "cfg": 2.0}
        conditioned = {"model": model, "positive": positive, "negative": negative, "latent_image": latent}
        latent = [node("KSampler", seed=drawn.getrandbits(40), **conditioned, **sampled), 0]
    image = [node("VAEDecode", samples=latent, vae=vae), 0]
    image = [node("ImageScale", image=image, width=SIDE, height=SIDE, **scaled), 0]
    joined = {"destination": background, "source": image, "mask": mask, "x": 0, "y": 0, "resize_source": False}
    node("SaveImage", images=[node("ImageCompositeMasked", **joined), 0], filename_prefix="core")
    return prompt


PLACED = {"x": (0.0, 1.0), "y": (0.0, 1.0), "size": (0.1, 0.9), "rotation": (-180.0, 180.0), "feather": (0.0, 4.0)}


def picture(side: int) -> np.ndarray:
    """A disc before a gradient with texture, uint8 [side,side,3]."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    plain = np.stack([100 + 60 * x, 120 + 50 * y, 140 - 40 * x], axis=-1)
    disc = (x**2 + y**2 < 0.4)[..., None]
    noise = np.random.default_rng(0).integers(0, 20, (side, side, 1))
    return (np.where(disc, (200, 60, 50), plain) + noise).astype(np.uint8)


def broken(prompt: dict, drawn: random.Random) -> dict:
    """A prompt with one to three faults."""
    prompt = copy.deepcopy(prompt)
    for _ in range(drawn.randint(1, 3)):
        own = [name for name, node in prompt.items() if isinstance(node, dict) and isinstance(node.get("inputs"), dict)]
        if not own:
            break
        node_id = drawn.choice(own)
        node = prompt[node_id]
        inputs = node["inputs"]
        fault = drawn.choice(("remove", "class", "no inputs", "loop", *["input"] * 8))
        if fault == "remove":
            del prompt[node_id]
        elif fault == "class":
            node["class_type"] = drawn.choice(("PhDNothing", "", None, "KSampler", "PhDStitch"))
        elif fault == "no inputs":
            node["inputs"] = drawn.choice(({}, [], None))
        elif fault == "loop" and inputs:
            inputs[drawn.choice(list(inputs))] = [node_id, 0]
        elif inputs:
            name = drawn.choice(list(inputs))
            links = [[drawn.choice(list(prompt)), drawn.randint(-1, 9)], ["none", 0], [node_id], ["5", "0"], [[], 0]]
            odd = [None, -1, 0, 10**9, 1e30, "", "x" * 5000, True, {}, [], {"x": 1}, "NaN"]
            inputs[name] = drawn.choice(links + odd)
            if drawn.random() < 0.2:
                del inputs[name]
    return prompt


@dataclass
class Log:
    """What a server did so far."""

    findings: list[Finding] = field(default_factory=list)
    runs: int = 0
    deaths: int = 0
    unequal: int = 0
    known: int = 0

    def found(self, kind: str, seed: int, message: str) -> None:
        self.findings.append(Finding(kind, seed, "a prompt", message))
        print(f"  ! {self.findings[-1]}", flush=True)


def upload(server: Server, side: int) -> None:
    """The images that the demo loads."""
    for node in demo().values():
        if node["class_type"] == "LoadImage":
            server.upload(node["inputs"]["image"], as_png(picture(side)))


def lives(server: Server) -> bool:
    try:
        server.get("/queue")
    except requests.RequestException:
        return False
    return True


def run(server: Server, prompt: dict) -> tuple[str, dict]:
    """A hash of the image that a prompt gives, and its history, which the server then forgets with the image."""
    answer = server.post(prompt)
    answer.raise_for_status()
    name = answer.json()["prompt_id"]
    history = server.finished(name, PATIENCE)
    requests.post(server.address + "/history", json={"delete": [name]}, timeout=60)
    saved = [
        each for shown in history["outputs"].values() for each in shown.get("images", []) if each["type"] == "output"
    ]
    digest = hashlib.blake2b(digest_size=16)
    for file in saved:
        digest.update(server.image(file).tobytes())
    return digest.hexdigest() if saved else "", history


def soak(
    server: Server, folder: Path, count: int, seconds: float, log: Log, make: Callable[[int], dict] = small_prompt
) -> Section:
    """Runs a workflow with changing seeds, and repeats some runs.

    Args:
        make: from a seed to the workflow; `small_prompt` or `core_prompt`.
    """
    what, whose = GRAPHS[make]
    process, resident, hashes = psutil.Process(server.pid), [], {}
    end = time.monotonic() + seconds
    for number in range(count):
        repeats = number % REPEAT_EVERY == REPEAT_EVERY - 1
        seed = number - REPEAT_EVERY // 2 if repeats else number
        try:
            found, history = run(server, make(seed))
        except (requests.RequestException, TimeoutError) as error:
            log.deaths += 1
            log.found("server death", seed, str(error)[:300])
            break
        log.runs += 1
        if not found:
            log.found("failed run", seed, str(history["status"])[-600:])
        if repeats and found != hashes.get(seed):
            log.unequal += 1
            log.found("unequal rerun", seed, "the same prompt gives another image")
        hashes = {**hashes, seed: found} if number % REPEAT_EVERY else {seed: found}
        for image in (folder / "output").rglob("*.png"):
            image.unlink()
        resident.append(process.memory_info().rss / 2**20)
        if time.monotonic() > end:
            break
    section = Section(f"{log.runs} runs of {what} on a server")
    temp = sum(file.stat().st_size for file in (folder / "temp").rglob("*") if file.is_file()) / 2**20
    # The first third fills the caches.
    steady = resident[len(resident) // 3 :]
    slope, low, high = growth(steady)
    text = f"{slope:+.2f} [{low:+.2f}, {high:+.2f}] MB per 100 runs"
    section.row("resident memory", f"{steady[0] if steady else 0:.0f} MB, then {text}")
    section.figures |= {f"rss_slope{whose}_mb_per_100": slope, f"rss{whose}_mb": steady[0] if steady else 0.0}
    section.figures[f"runs{whose}"] = log.runs
    if make is small_prompt:
        section.figures["temp_mb_per_run"] = temp / max(1, log.runs)
    return section


# What each workflow is called, in words and in its figures.
GRAPHS = {small_prompt: ("the small demo", ""), core_prompt: ("a workflow of ComfyUI's own nodes", "_core")}


def growth(resident: list[float]) -> tuple[float, float, float]:
    """Growth per 100 runs, and the ends of its 95 % interval, of memory in MB after each run.

    The slope is Theil and Sen's: memory also goes up in single large steps, which would decide a least-squares fit.
    """
    if len(resident) < 3:
        return 0.0, 0.0, 0.0
    slope, _, low, high = scipy.stats.theilslopes(resident)
    return 100 * float(slope), 100 * float(low), 100 * float(high)


def break_prompts(server: Server, count: int, first: int, log: Log) -> Section:
    """Posts broken prompts, each of which must be refused by name or run; then a sound one must run."""
    refused = failed = ran = 0
    for seed in range(first, first + count):
        prompt = broken(small_prompt(0), random.Random(seed))
        try:
            answer = server.post(prompt)
            if answer.status_code == 200:
                status = server.finished(answer.json()["prompt_id"], PATIENCE)["status"]
                message = judged(status)
                ran, failed = ran + (status["status_str"] == "success"), failed + (status["status_str"] != "success")
                if message:
                    log.found("crash", seed, message)
            elif answer.status_code == 400:
                refused += 1
            else:
                log.known += str(answer.status_code) in KNOWN
                if str(answer.status_code) not in KNOWN:
                    log.found("crash", seed, f"status {answer.status_code}: {answer.text[:200]}")
        except (requests.RequestException, TimeoutError) as error:
            log.deaths += 1
            log.found("server death", seed, f"{type(error).__name__}: {error}"[:300])
            if not lives(server):
                break
    try:
        run(server, small_prompt(1))
    except (requests.RequestException, TimeoutError) as error:
        log.deaths += 1
        log.found("server death", first, f"a sound prompt after broken ones: {error}"[:300])
    section = Section(f"{count} broken prompts on a server")
    section.row("refused, failed in a node, ran", f"{refused}, {failed}, {ran}")
    section.figures |= {"prompts_refused": refused, "prompts_failed": failed, "prompts_ran": ran}
    if log.known:
        section.row("answers of ComfyUI itself with status 500", f"{log.known}: {KNOWN['500']}")
    return section


def judged(status: dict) -> str:
    """What is wrong with a failed run: "" for a run that succeeded, or that a node refused in a sentence."""
    for event, data in status["messages"]:
        if event == "execution_error" and data["node_type"].startswith("PhD"):
            own = "raise " in "".join(data["traceback"][-1:])
            if data["exception_type"] not in REFUSALS or not own:
                return f"{data['node_type']}: {data['exception_type']}: {data['exception_message'][:300]}"
    return ""


def interrupt(server: Server, count: int, log: Log) -> Section:
    """Interrupts runs on large images at random moments."""
    upload(server, LARGE)
    drawn, taken = random.Random(0), []
    for seed in range(count):
        prompt = small_prompt(seed)
        prompt_id = server.post(prompt).json()["prompt_id"]
        time.sleep(drawn.uniform(0.05, 2.0))
        start = time.monotonic()
        requests.post(server.address + "/interrupt", timeout=60)
        while prompt_id not in server.get(f"/history/{prompt_id}").json():
            time.sleep(0.02)
        taken.append(time.monotonic() - start)
    upload(server, SIDE)
    first, second = (run(server, small_prompt(7))[0] for _ in range(2))
    log.unequal += first != second or not first
    section = Section(f"{count} interrupts of runs on images of {LARGE}×{LARGE} pixels on a server")
    worst = max(taken, default=0.0)
    section.row("from the request to the end of the run", f"at most {worst:.2f} s")
    section.figures["server_interrupt_p95_s"] = float(np.quantile(taken, 0.95)) if taken else 0.0
    section.figures["server_interrupt_max_s"] = worst
    return section


def kill(folder: Path, count: int, log: Log) -> Section:
    """Kills a server at a random moment of a run; the next one must give the same image."""
    drawn, hashes = random.Random(0), []
    for number in range(count + 1):
        here = folder / f"killed {number}"
        here.mkdir()
        with serving(here) as server:
            upload(server, SIDE)
            hashes.append(run(server, small_prompt(3))[0])
            if number < count:
                server.post(small_prompt(4))
                time.sleep(drawn.uniform(0, 1))
                psutil.Process(server.pid).kill()
    log.unequal += len(set(hashes)) != 1 or not hashes[0]
    section = Section(f"{count} servers killed during a run")
    section.row("the next one gives the same image", str(len(set(hashes)) == 1))
    return section
