"""Which inputs of which nodes a column of the table sets, and what its cells must be."""

import difflib
import itertools
import math
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phd_batch.faults import Fault
from phd_batch.graph import is_link, needs_alpha, nodes_titled, title

FILE = "FILE"
WIDGETS = ("INT", "FLOAT", "BOOLEAN", "STRING", "COMBO")
# Columns of files: the title of the node that loads them.
FILES = {"exemplar": "Exemplar", "background": "Background", "mask": "Mask"}
# Columns of values: the inputs that they may be of.
VALUES = {
    "prompt": (("PhDInsertSubject", "prompt"),),
    "x": (("PhDInsertSubject", "x"), ("PhDPasteBlend", "x")),
    "y": (("PhDInsertSubject", "y"), ("PhDPasteBlend", "y")),
    "size": (("PhDInsertSubject", "size"), ("PhDPasteBlend", "size")),
}
# The samplers' seeds, each with what is added: two samplers in a row should not draw the same noise.
SEEDS = {
    "PhDInsertSubject": ("seed", 0),
    "PhDMaskedInpaintSampler": ("seed", 0),
    "PhDHarmonizeSampler": ("seed", 1),
    "KSampler": ("seed", 0),
    "KSamplerAdvanced": ("noise_seed", 0),
    "RandomNoise": ("noise_seed", 0),
    "SamplerCustom": ("noise_seed", 0),
}
# Cells of such inputs would stand in the ledger.
SECRET = ("api_key", "apikey", "token", "password", "secret")
MODEL_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".onnx", ".gguf")
TRUE, FALSE = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class Target:
    """An input that a column sets.

    Attributes:
        node, input: the node's id and the input's.
        kind: FILE or one of WIDGETS.
        spec: what the schema has about it: min, max, options; of a file, the options that are there already, and
            whether it must have transparency (alpha).
        added: to the cell, for a second seed.
    """

    node: str
    input: str
    kind: str
    spec: dict = field(default_factory=dict, hash=False)
    added: int = 0


def bind(columns: Iterable[str], workflow: dict, info: dict) -> tuple[dict[str, list[Target]], list[Fault]]:
    """The targets of every column, and what is wrong with the columns."""
    bound, faults, taken = {}, [], {}
    for column in columns:
        places, message = places_of(column, workflow)
        targets = []
        for node_id, name, added in places:
            target, message = target_of(workflow, info, node_id, name, added)
            if target is None:
                break
            if (other := taken.setdefault((node_id, name), column)) != column:
                message = f"the column {other!r} sets the same input."
                break
            targets.append(target)
        if message:
            faults.append(Fault(None, column, message))
        else:
            bound[column] = targets
    return bound, faults


def places_of(column: str, workflow: dict) -> tuple[list[tuple[str, str, int]], str]:
    """(node id, input, added) of a column, or what is wrong with it."""
    if column in FILES:
        found = [node_id for node_id, node in workflow.items() if title(node).lower() == FILES[column].lower()]
        # A node of that title may also take the image by a link.
        places = [(node_id, "image", 0) for node_id in found if not is_link(workflow[node_id]["inputs"].get("image"))]
        nothing = f"the workflow has no Load Image titled {FILES[column]}."
    elif column == "seed":
        places = [(node_id, *SEEDS[node["class_type"]]) for node_id, node in workflow.items() if sets_seed(node)]
        return places, "" if places else "the workflow has no sampler with a seed."
    elif column in VALUES:
        kinds = dict(VALUES[column])
        places = [
            (node_id, kinds[node["class_type"]], 0) for node_id, node in workflow.items() if node["class_type"] in kinds
        ]
        if column == "prompt" and not places:
            texts = [node_id for node_id, node in workflow.items() if node["class_type"].startswith("CLIPTextEncode")]
            places = [(node_id, "text", 0) for node_id in texts if title(workflow[node_id]).startswith("Prompt")]
        nothing = "the workflow has no node for this short name; write it as Title.input."
    else:
        of, _, name = column.rpartition(".")
        places = [(node_id, name, 0) for node_id in nodes_titled(workflow, of)]
        known = [*FILES, *VALUES, "seed", *all_places(workflow)]
        near = difflib.get_close_matches(column, known, 1)
        nothing = f"the column sets no input{f'; did you mean {near[0]}?' if near else '; write it as Title.input.'}"
    if len(places) > 1:
        ids = ", ".join(f"{node_id}.{name}" for node_id, name, _ in places)
        return [], f"the column could be any of {ids}; write one of these."
    return places, "" if places else nothing


def sets_seed(node: dict) -> bool:
    kind = node["class_type"]
    return kind in SEEDS and SEEDS[kind][0] in node["inputs"] and not is_link(node["inputs"][SEEDS[kind][0]])


def all_places(workflow: dict) -> list[str]:
    return [
        f"{title(node)}.{name}"
        for node in workflow.values()
        for name, value in node["inputs"].items()
        if not is_link(value)
    ]


def target_of(workflow: dict, info: dict, node_id: str, name: str, added: int) -> tuple[Target | None, str]:
    node = workflow[node_id]
    inputs = info.get(node["class_type"], {}).get("input", {})
    declared = {**inputs.get("required", {}), **inputs.get("optional", {})}
    if name not in declared:
        near = ", ".join(difflib.get_close_matches(name, declared, 3, 0.0))
        return None, f"{title(node)} has no input {name!r}; similar: {near or 'none'}."
    if any(word in name.lower() for word in SECRET):
        return None, f"{name} would be written into the ledger; put it into the workflow or the server's settings."
    kind, spec = (list(declared[name]) + [{}])[:2]
    spec = dict(spec or {})
    if isinstance(kind, list):
        kind, spec = "COMBO", spec | {"options": kind}
    if any(key.endswith("_upload") and on for key, on in spec.items()):
        there = {"options": spec.get("options", ()), "alpha": needs_alpha(workflow, node_id)}
        return Target(node_id, name, FILE, there), ""
    if kind not in WIDGETS:
        return None, f"{title(node)}.{name} takes a link ({kind}), not a value."
    return Target(node_id, name, kind, spec, added), ""


def check_values(workflow: dict, info: dict, bound: Iterable[tuple[str, str]]) -> list[Fault]:
    """What is wrong with the values that the workflow itself has: what ComfyUI would refuse in every job.

    bound: (node id, input) of those that columns set.
    """
    faults, bound = [], set(bound)
    for node_id, node in workflow.items():
        inputs = info.get(node["class_type"], {}).get("input", {})
        declared = {**inputs.get("required", {}), **inputs.get("optional", {})}
        missing = [
            name for name in inputs.get("required", {}) if name not in node["inputs"] and (node_id, name) not in bound
        ]
        faults += [Fault(None, "", f"{title(node)} ({node_id}) is missing its input {name}.") for name in missing]
        for name, value in node["inputs"].items():
            if name not in declared or is_link(value) or (node_id, name) in bound:
                continue
            target, _ = target_of(workflow, info, node_id, name, 0)
            if target is None or target.kind in (FILE, "STRING"):
                continue
            try:
                value_of(value, target)
            except ValueError as error:
                faults.append(Fault(None, "", f"{title(node)}.{name}: {error}"))
    return faults


def own_files(workflow: dict, info: dict, bound: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """(node id, input, name) of the files that the workflow itself names, and that are not where the jobs run."""
    found, bound = [], set(bound)
    for node_id, node in workflow.items():
        for name, value in node["inputs"].items():
            if is_link(value) or (node_id, name) in bound:
                continue
            target, _ = target_of(workflow, info, node_id, name, 0)
            if target is not None and target.kind == FILE and value not in target.spec["options"]:
                found.append((node_id, name, value))
    return found


def value_of(cell: Any, target: Target) -> Any:
    """The value of a cell for its target, which is no file. Raises ValueError with a sentence."""
    spec = target.spec
    if target.kind == "BOOLEAN":
        word = str(cell).strip().lower()
        if word not in TRUE + FALSE:
            raise ValueError(f"{cell!r} is neither true nor false.")
        return word in TRUE
    if target.kind == "INT":
        return bounded(whole_number(cell) + target.added, spec)
    if target.kind == "FLOAT":
        return bounded(number(cell), spec)
    text = cell if isinstance(cell, str) else str(cell)
    options = spec.get("options")
    # A list that the page fetches is not known here.
    if target.kind == "COMBO" and isinstance(options, list) and not spec.get("remote"):
        if text not in [str(option) for option in options]:
            near = difflib.get_close_matches(text, map(str, options), 3, 0.3) or list(map(str, options[:3]))
            there = ", ".join(near) + ", …" * (len(options) > len(near)) or "none"
            raise ValueError(f"{cell!r} is not in the list ({there}).")
        return next(option for option in options if str(option) == text)
    return text


def whole_number(cell: Any) -> int:
    try:
        if isinstance(cell, float):
            if not cell.is_integer():
                raise ValueError
            return int(cell)
        if isinstance(cell, bool):
            raise ValueError
        # Spreadsheets write 12.0 for a 12 in a column with empty cells.
        return int(re.sub(r"\.0+$", "", cell.strip()) if isinstance(cell, str) else cell)
    except (ValueError, OverflowError):
        raise ValueError(f"{cell!r} is not a whole number.") from None


def number(cell: Any) -> float:
    try:
        found = math.nan if isinstance(cell, bool) else float(cell)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        point = f"; write {str(cell).replace(',', '.')}" if re.fullmatch(r"-?\d+,\d+", str(cell)) else ""
        raise ValueError(f"{cell!r} is not a number{point}.")
    return found


def bounded(value: Any, spec: dict) -> Any:
    low, high = spec.get("min"), spec.get("max")
    if low is not None and value < low or high is not None and value > high:
        raise ValueError(f"{value} is not between {low} and {high}.")
    return value


def file_of(cell: Any, folder: Path) -> Path:
    """The file that a cell names. Raises ValueError with a sentence where it is not there or lies outside the folder.

    folder: resolved. Links are followed, so that none leads out of it.
    """
    if not isinstance(cell, str) or "\0" in cell:
        raise ValueError(f"{cell!r} is not a file name.")
    if "://" in cell:
        raise ValueError(f"{cell} is an address; save its file in {folder}, and write the file's name.")
    # Spaces at an end cannot be seen, and a table may come from Windows.
    names = cell, cell.strip(), cell.strip().replace("\\", "/"), os.path.expanduser(cell.strip())
    # A letter with an accent is one character, or on disks that were written by macOS two: both look the same.
    forms = ([name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))] for name in names)
    spellings = dict.fromkeys(itertools.chain.from_iterable(forms))
    try:
        places = [Path(os.path.realpath(folder / spelling)) for spelling in spellings]
        found = next((place for place in places if place.is_file()), places[0])
        inside = found.is_relative_to(folder)
        there = inside and found.is_file()
    except (OSError, ValueError):
        raise ValueError(f"{cell!r} is not a file name.") from None
    if not inside:
        raise ValueError(f"{cell} is outside {folder}; put the file there, or name its folder with --inputs.")
    if not there:
        raise ValueError(f"there is no file {cell} in {folder}.")
    return found
