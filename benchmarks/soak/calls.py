"""Calls of nodes with random inputs through ComfyUI's executor, in a process of their own: a crash may end it.

`python -m benchmarks.soak.calls FIRST COUNT` prints a line of JSON before each call and after each finding.
"""

import itertools
import json
import logging
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from devtools.paths import ROOT

# Each of so many calls is made a second time, which must give the same.
RERUN_EVERY = 8
# In bytes: a call that wants more ends with a MemoryError instead of the machine.
MOST_MEMORY = 8 << 30
# Errors with which a node refuses its inputs, if the pack itself raises them.
REFUSALS = ("ValueError", "FileNotFoundError")
# Faults of ComfyUI itself that are no findings: a part of the message, and the reason.
KNOWN = {
    "Overflow when unpacking long long": "ComfyUI adds 1 to the seed for ddim, and the largest seed is 2**64 - 1",
}


@dataclass(frozen=True)
class Finding:
    """What went wrong in a call.

    Attributes:
        kind: "crash", "unnamed refusal", "unequal rerun" or "dead process".
        seed: draws the same call again, see `inputs.draw`.
        node, message: what failed, and how.
        inputs: the smallest ones that show it, in words.
    """

    kind: str
    seed: int
    node: str = ""
    message: str = ""
    inputs: dict[str, str] | None = None

    def __str__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in (self.inputs or {}).items())
        return f"{self.kind} (--replay {self.seed}): {self.node}({shown}): {self.message}"


def workflow_of(drawn: Any, node: type) -> dict:
    """A workflow of the one node, its linked inputs given and its first output taken."""
    from devtools.any_value import Given

    numbers, inputs, workflow = itertools.count(1), {}, {}
    Given.values = {}
    for name, value in drawn.inputs.items():
        plain = isinstance(value, (int, float, str, bool, type(None), dict, list))
        if plain and name not in drawn.linked and not holds_tensors(value):
            inputs[name] = value
            continue
        node_id = f"given {next(numbers)}"
        Given.values[name] = value
        workflow[node_id] = {"class_type": "PhDTestGiven", "inputs": {"name": name}}
        inputs[name] = [node_id, 0]
    workflow["node"] = {"class_type": drawn.node, "inputs": inputs}
    workflow["taken"] = {"class_type": "PhDTestTaken", "inputs": {"value": ["node", 0]}}
    return workflow


def holds_tensors(value: Any) -> bool:
    """Whether a value has parts that a prompt, which is JSON, cannot have."""
    if isinstance(value, (dict, list)):
        return any(map(holds_tensors, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, (int, float, str, bool, type(None)))


def run(drawn: Any, node: type) -> tuple[list | None, tuple[str, str]]:
    """The node's values and ("", ""); or None, the kind of what went wrong ("refused" is none) and what was said."""
    from devtools.executor import WorkflowError, run_workflow

    try:
        return run_workflow(workflow_of(drawn, node)).results["node"], ("", "")
    except WorkflowError as error:
        return None, kind_of(error, {given.id for given in node.GET_SCHEMA().inputs})
    # What ComfyUI's own check of a prompt raises.
    except Exception as error:
        return None, ("crash", f"{type(error).__name__}: {error}")


def kind_of(error: Any, inputs: set[str]) -> tuple[str, str]:
    """The kind of a WorkflowError: "refused" where ComfyUI refused the prompt, or the pack by naming an input.

    Args:
        inputs: the ids of the node's inputs.
    """
    if not error.error_type:
        return "refused", error.message
    if any(part in error.message for part in KNOWN):
        return "refused", error.message
    lines = [line.strip() for line in error.traceback.splitlines() if line.strip()]
    # The last frame: its file, and the line of code.
    frame = max((number for number, line in enumerate(lines) if line.startswith("File ")), default=0)
    own = any(f"{ROOT}/{part}/" in lines[frame] for part in ("nodes", "phd_ops"))
    if error.error_type not in REFUSALS or not own or not lines[frame + 1].startswith("raise "):
        where = next((line for line in reversed(lines) if str(ROOT) in line), "").replace(str(ROOT), "")
        return "crash", f"{error.error_type}: {error.message} ({where})"
    named = inputs & set(re.findall(r"\w+", error.message))
    return ("refused" if named else "unnamed refusal"), error.message


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in every bit; what is no tensor, list, text or number counts as the same."""
    import torch

    if isinstance(one, torch.Tensor):
        return torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    if isinstance(one, dict):
        return all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other if isinstance(one, (str, int, float, bool)) else True


def judged(drawn: Any, node: type) -> tuple[str, str]:
    """The kind of what went wrong in a call, or "" or "refused"; and what was said."""
    values, (kind, message) = run(drawn, node)
    if values is not None and drawn.seed % RERUN_EVERY == 0:
        again = run(drawn, node)[0]
        if again is None or not all(map(same, values, again)):
            return "unequal rerun", "the second call gives other values"
    return kind, message


def finding(drawn: Any, nodes: dict[str, type]) -> Finding | None:
    """What is wrong with a call, with the smallest inputs that show it; None for a sound one."""
    from benchmarks.soak.inputs import described, plain_inputs

    node = nodes[drawn.node]
    kind, message = judged(drawn, node)
    if kind in ("", "refused"):
        return None
    plain, inputs = plain_inputs(drawn.node, node), dict(drawn.inputs)
    odd = set(inputs)
    for name in drawn.inputs:
        smaller = {key: value for key, value in inputs.items() if key != name}
        smaller |= {name: plain[name]} if name in plain and plain[name] is not None else {}
        found = judged(replace(drawn, inputs=smaller), node)
        if found[0] == kind and found[1].split(":")[0] == message.split(":")[0]:
            inputs, message = smaller, found[1]
            odd.discard(name)
    return Finding(kind, drawn.seed, drawn.node, message, {name: described(inputs[name]) for name in sorted(odd)})


def main(first: int, count: int) -> None:
    """Makes the calls of some seeds."""
    import torch

    nodes = start_comfyui()
    import nodes as core
    from benchmarks.soak.inputs import draw
    from devtools.any_value import Given, Taken

    core.NODE_CLASS_MAPPINGS.update(PhDTestGiven=Given, PhDTestTaken=Taken)  # type: ignore[attr-defined]
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with temporary_folders(), silent(), torch.inference_mode():
        for seed in range(first, first + count):
            print(json.dumps({"begun": seed}), flush=True)
            found = finding(draw(seed, nodes), nodes)
            if found is not None:
                print(json.dumps(asdict(found)), flush=True)
    print(json.dumps({"over": True}), flush=True)


def call_nodes(first: int, count: int, seconds: float = float("inf")) -> tuple[int, list[Finding]]:
    """Makes calls in processes of their own: how many were made, and what was found.

    Args:
        seconds: after these no more calls are made.
    """
    end, seed, findings = time.monotonic() + seconds, first, []
    while seed < first + count and time.monotonic() < end:
        command = [sys.executable, "-m", "benchmarks.soak.calls", str(seed), str(first + count - seed)]
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
            begun, over = seed, False
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line) if line.startswith("{") else {}
                begun, over = said.get("begun", begun), "over" in said or time.monotonic() > end
                if "kind" in said:
                    findings.append(Finding(**said))
                    print(f"  ! {findings[-1]}", flush=True)
                if over:
                    process.kill()
            process.wait()
            errors.seek(0)
            last = (errors.read().strip().splitlines() or [""])[-1]
        if not over:
            findings.append(Finding("dead process", begun, message=f"exit status {process.returncode}: {last}"))
            print(f"  ! {findings[-1]}", flush=True)
        seed = begun + 1
    return seed - first, findings


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
