"""`python3 dev.py bench kit --server URL`: the pack's templates with the models that a ComfyUI has.

Finds which model families the server has files of, runs scenes with a known truth and photographs with each family's
template, and writes kit.html and kit.json, which hold no paths and no host names and can be posted. A run that was
stopped goes on where it was.

    python3 dev.py bench kit --server http://127.0.0.1:8188
    python3 dev.py bench kit --server http://127.0.0.1:8188 --families sdxl --checkpoint sdxl=myModel.safetensors
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import docs
from benchmarks.common.subject_scores import score
from benchmarks.common.titled_workflow import WorkflowInputError
from benchmarks.common.workflow_runners import NodeFailedError, OnServer, ServerLostError, file_name, of_shape
from benchmarks.kit import page
from benchmarks.kit.cases import PHOTOGRAPHS, SCENES, Case, cases
from benchmarks.kit.families import BACKGROUND, MASK, NAMES, RESULT, RETURNED, SUBJECT, Found, find, graph
from benchmarks.kit.rows import Rows
from devtools.paths import OUTPUT
from devtools.server import as_png
from phd_batch.outcome import reported
from relit_scenes import subjects
from relit_scenes.materials import ImagesMissingError

FIGURES = ("fmse", "de00", "identity", "boundary", "ring")
SEED = 1
# The nodes whose input is the prompt; an edit model gets an instruction.
PROMPTS = {"PhDInsertSubject": "prompt", "CLIPTextEncode": "text", "TextEncodeQwenImageEditPlus": "prompt"}


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    try:
        named = dict(text.split("=", 1) for text in options.checkpoint)
    except ValueError:
        print("--checkpoint: give FAMILY=FILE, such as sdxl=sd_xl_base_1.0.safetensors.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        try:
            subjects.sprite_archive()
            server = OnServer(options.server, Path(folder))
            found, reasons = find(server.where.info, named, options.families)
            run_all(server, found, reasons, options)
        except (ImagesMissingError, WorkflowInputError) as error:
            print(error, file=sys.stderr)
            return 2
    return 0


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench kit", description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True, help="a running ComfyUI with this pack, as http://127.0.0.1:8188")
    parser.add_argument("--families", type=lambda text: text.split(","), default=[], help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="FAMILY=FILE", help="a model file, as ComfyUI lists it"
    )
    parser.add_argument("--scenes", type=int, default=SCENES, help=f"scenes with a known truth ({SCENES})")
    parser.add_argument(
        "--photographs", type=int, choices=range(PHOTOGRAPHS + 1), default=PHOTOGRAPHS, help=f"({PHOTOGRAPHS})"
    )
    parser.add_argument("--out", type=Path, default=OUTPUT / "kit", help="folder for results (output/kit)")
    return parser


def run_all(server: OnServer, found: list[Found], reasons: dict[str, str], options: argparse.Namespace) -> None:
    """Runs every family on every case that is missing, and writes the page and the JSON, also after a stop."""
    versions, device = versions_of(server)
    made, missing = cases(options.scenes, options.photographs)
    rows, keys, failed = Rows(options.out), {}, {}
    for sentence in [*reasons.values(), *missing]:
        print(f"Not run: {sentence}")
    try:
        for each in found:
            print(f"{each.family.title}: {', '.join(each.files) or 'comes with the pack'}", flush=True)
            keys[each.family.name] = []
            try:
                run_family(server, each, made, rows, versions, keys[each.family.name])
            except ServerLostError:
                raise
            except WorkflowInputError as error:
                print(f"  {each.family.title} is given up: {str(error).removeprefix('--workflow: ')}", flush=True)
                # The text may name files of the machine.
                node = f"{error.node} failed" if isinstance(error, NodeFailedError) else "its template could not be run"
                failed[each.family.name] = node
    finally:
        kit = page.gathered(rows, found, keys, failed | {"photographs": "; ".join(missing)} if missing else failed)
        kit = {"versions": versions, "device": device, **kit}
        for file in page.write(options.out, rows, kit, keys):
            print(f"Wrote {file}")
    figures = {name: part["scenes"] for name, part in kit["families"].items()}
    for name, methods in figures.items():
        if methods[name].get("n") == SCENES:
            own = {method: found for method, found in methods.items() if method != "paste"}
            docs.publish("kit", own, name)
    print(json.dumps(figures))


def versions_of(server: OnServer) -> tuple[dict[str, str], str]:
    """The versions that a result depends on, and the device's name."""
    stats = server.stats()
    versions = {**server.where.versions, "torch": stats.get("system", {}).get("pytorch_version")}
    devices = [device.get("name", "") for device in stats.get("devices", ())]
    # The allocator's name stands behind the device's.
    return {name: str(value) for name, value in versions.items()}, ", ".join(name.split(" : ")[0] for name in devices)


def run_family(
    server: OnServer, found: Found, made: list[Callable[[int], Case]], rows: Rows, versions: dict, keys: list[str]
) -> None:
    """Runs a family on the cases that have no row; appends the key of every case that has one to `keys`."""
    family, base = found.family, graph(found)
    for number, make in enumerate(made):
        case, files = make(family.side), {}
        workflow = bound(base, case, files)
        key = hashlib.sha256(json.dumps([workflow, versions], sort_keys=True).encode()).hexdigest()[:16]
        if not rows.has(key):
            for content in files.values():
                server.keep(content)
            began = time.perf_counter()
            outputs = server.outputs(workflow)
            seconds = time.perf_counter() - began
            rows.add({"key": key} | row(server, outputs, found, case, seconds, rows))
            print(f"  {case.name}, {number + 1} of {len(made)}: {seconds:.1f} s", flush=True)
        keys.append(key)


def bound(base: dict, case: Case, files: dict[str, bytes]) -> dict:
    """A family's graph with a case's images, placement and prompt. Adds the images to `files`, by name."""
    workflow = json.loads(json.dumps(base))
    for node_id, array in ((BACKGROUND, case.background), (SUBJECT, case.exemplar), (MASK, case.exemplar_mask)):
        image = array if array.ndim == 3 else array[..., None].repeat(3, axis=2)
        content = as_png((image * 255 + 0.5).astype("uint8"))
        files[file_name(content)] = content
        workflow[node_id]["inputs"]["image"] = file_name(content)
    edits = RETURNED in workflow
    for node in workflow.values():
        inputs, kind = node["inputs"], node["class_type"]
        if kind in ("PhDInsertSubject", "PhDPasteBlend"):
            place = case.placement
            inputs |= {"x": place.x, "y": place.y, "size": place.size, "rotation": 0.0, "flip": False}
        if kind in PROMPTS and inputs[PROMPTS[kind]]:
            inputs[PROMPTS[kind]] = case.instruction if edits else case.prompt
        if "seed" in inputs and kind != "PhDPasteBlend":
            inputs["seed"] = SEED
    return workflow


def row(server: OnServer, outputs: dict, found: Found, case: Case, seconds: float, rows: Rows) -> dict:
    """Keeps the images of a case, and returns its row."""
    name, size = found.family.name, case.background.shape
    result = server.images(outputs, RESULT)
    if len(result) != 1 or result[0].shape != size:
        raise WorkflowInputError(f"{case.name} gave {described(result)} instead of one image like its background.")
    shown = {"paste": case.composite, "exemplar": case.exemplar, name: result[0]}
    if found.family.edits:
        returned = server.images(outputs, RETURNED)
        if len(returned) != 1:
            raise WorkflowInputError(f"{case.name}: the model gave {described(returned)} instead of one image.")
        shown[f"{name}_as_it_comes"] = of_shape(returned[0], size)
    if case.scene is not None:
        shown["truth"] = case.scene.truth
    images = {method: rows.keep(f"{found.family.side}/{method}/{case.name}.png", shown[method]) for method in shown}
    report = reported(outputs, "phd_report")
    found_row = {
        "family": name,
        "case": case.name,
        "prompt": case.prompt,
        "images": images,
        "seconds": round(seconds, 2),
        "stitch_identity": report[0].get("identity") if report else None,
        "warnings": [str(text) for text in reported(outputs, "phd_warnings")],
        "boxes": {"scene": list(case.box), "exemplar": list(case.exemplar_box)},
    }
    if case.scene is not None:
        methods = [method for method in shown if method not in ("truth", "exemplar")]
        found_row["scores"] = {method: score(shown[method], case.scene, FIGURES) for method in methods}
    return found_row


def described(images: list) -> str:
    if not images:
        return "no image"
    return f"{len(images)} images" if len(images) > 1 else f"{images[0].shape[1]}×{images[0].shape[0]} pixels"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
