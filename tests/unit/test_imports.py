"""Which part of the repository may import which, read from the source of every Python file."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.paths import ROOT

# What each part may import of the others, besides itself. A part is a folder, or a module that has a rule of its own.
# Parts may be imported whole ("demo") or in part ("demo.codec").
ALLOWED = {
    "phd_ops": (),
    "demo.codec": (),
    "nodes": ("phd_ops", "demo.codec"),
    "devtools": (),
    # Tables of jobs, which users run too: it needs the executor, and for videos what tells where a clip may be cut and
    # where its subject goes.
    "phd_batch": (
        "devtools.comfyui",
        "devtools.contact_sheet",
        "devtools.executor",
        "devtools.object_info",
        "devtools.paths",
        "phd_ops.pixels.geometry",
        "phd_ops.pixels.keyframes",
        "phd_ops.pixels.masks",
        "phd_ops.pixels.paste",
        "phd_ops.pixels.shots",
    ),
    "demo": ("demo.codec", "devtools", "phd_ops"),
    "relit_scenes": ("devtools", "phd_ops"),
    "training": ("relit_scenes", "demo", "devtools", "phd_ops"),
    "benchmarks.common": ("phd_batch", "training", "relit_scenes", "demo", "devtools", "phd_ops"),
    # A folder for each benchmark: it imports itself and the common folder, never another benchmark.
    "benchmarks.*": ("benchmarks.common", "phd_batch", "training", "relit_scenes", "demo", "devtools", "phd_ops"),
    "dev.py": ("benchmarks", "phd_batch", "training", "relit_scenes", "demo", "devtools"),
    "__init__.py": ("nodes",),
    "tests": ("*",),
}
# Packages from outside that phd_ops needs, and the optional ones that single segmenters import when they run.
PHD_OPS_NEEDS = {"cv2", "numpy", "torch"}
PHD_OPS_OPTIONAL = {"onnxruntime", "safetensors", "scipy", "segment_anything", "segmentation_models_pytorch"}

COMFYUI = {"comfy", "comfy_api", "comfy_api_nodes", "comfy_execution", "comfy_extras", "execution", "folder_paths"}
COMFYUI |= {"latent_preview", "node_helpers", "nodes", "server"}
NETWORK_AND_PROCESSES = {"aiohttp", "http", "requests", "socket", "subprocess", "urllib", "urllib3"}
FORBIDDEN_CALLS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "print"}


def module_of(path: Path) -> str:
    """The module that a file of the repository is, with dots: nodes/crop.py is nodes.crop, nodes/__init__.py nodes."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def sources(part: str) -> list[Path]:
    """All Python files of a part."""
    if part.endswith(".py"):
        return [ROOT / part]
    return sorted((ROOT / part).rglob("*.py"))


FOLDERS = ("phd_ops", "nodes", "devtools", "phd_batch", "demo", "relit_scenes", "training", "benchmarks", "tests")
FILES = [path for part in (*FOLDERS, "dev.py", "__init__.py") for path in sources(part)]
MODULES = {module_of(path): path for path in FILES}
PHD_OPS, NODES = sources("phd_ops"), sources("nodes")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(source: str):
    """Every imported module by full name, at any depth of the code; a relative import keeps its dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def called(source: str):
    """Every function called by its bare name, and the two calls that start a process through `os`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.system", "os.popen"):
            yield ast.unparse(node.func)


def roots(source: str) -> set[str]:
    return {module.split(".")[0] for module in imported(source)}


def own_imports(module: str, source: str, known) -> set[str]:
    """The modules of the repository that a module imports. `known` holds all of them.

    A bare `nodes` is ComfyUI's module of that name: ComfyUI comes first on the path, and the pack imports itself
    relatively.
    """
    found = set()
    is_package = known[module].name == "__init__.py" and module != "__init__"
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] != "nodes"}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if not node.level and target.split(".")[0] == "nodes":
                continue
            found |= {inner if (inner := f"{target}.{alias.name}") in known else target for alias in node.names}
    return {target for target in found if target in known} - {module}


GRAPH = {module: own_imports(module, path.read_text("utf-8"), MODULES) for module, path in MODULES.items()}


def part_of(module: str) -> str:
    """The longest part of ALLOWED, or the folder of a benchmark, that a module belongs to."""
    names = module.split(".")
    if names[0] == "benchmarks" and len(names) > 1:
        return ".".join(names[:2])
    parts = [part for part in ALLOWED if belongs(module, part.removesuffix(".py"))]
    return max(parts, key=len)


def belongs(module: str, part: str) -> bool:
    return module == part or module.startswith(f"{part}.")


def may_import(module: str, target: str) -> bool:
    part = part_of(module)
    rule = ALLOWED.get(part, ALLOWED["benchmarks.*"] if part.startswith("benchmarks") else ())
    if rule == ("*",):
        return True
    return part_of(target) == part or any(belongs(target, allowed) for allowed in rule)


def test_the_reader_finds_imports_and_calls():
    source = "import comfy.sd as c\ndef f():\n    from nodes import x\n    print(eval('1'))\n"
    source += "from ..nodes import y\nnet.eval()"
    assert list(imported(source)) == ["comfy.sd", "..nodes", "nodes"]
    assert sorted(called(source)) == ["eval", "print"]
    assert PHD_OPS and NODES


def test_relative_and_absolute_imports_are_resolved_to_files():
    known = {"__init__": Path("__init__.py"), "nodes": Path("__init__.py"), "nodes.a": Path("a.py")}
    known |= {"nodes.b": Path("b.py"), "phd_ops": Path("__init__.py"), "phd_ops.c": Path("c.py"), "d.e": Path("e.py")}
    source = "from ..phd_ops.c import f\nfrom . import b\nfrom d import e\nimport numpy, nodes\nfrom nodes import b"
    assert own_imports("nodes.a", source, known) == {"phd_ops.c", "nodes.b", "d.e"}
    assert own_imports("nodes", "from .a import A\nfrom . import VERSION", known) == {"nodes.a"}
    assert own_imports("__init__", "from .nodes import A", known) == {"nodes"}


def test_the_rules_tell_upward_imports_from_allowed_ones():
    assert may_import("nodes.crop", "phd_ops.pixels.paste") and not may_import("phd_ops.pixels.paste", "nodes.crop")
    assert may_import("nodes.demo_model", "demo.codec") and not may_import("nodes.demo_model", "demo.run")
    assert not may_import("demo.codec", "devtools.paths") and may_import("demo.run", "devtools.paths")
    assert may_import("benchmarks.quality.run", "benchmarks.common.table")
    assert not may_import("benchmarks.quality.run", "benchmarks.paste.run")
    assert not may_import("benchmarks.common.table", "benchmarks.paste.run")
    assert not may_import("dev", "tests.conftest") and not may_import("training.run", "benchmarks.common.table")


def test_every_tracked_python_file_is_in_a_part():
    try:
        listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if listed.returncode != 0:
        pytest.skip("this is not a clone")
    tracked = {ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()}
    assert sorted(map(name, tracked - set(FILES))) == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_run_downward_only(path):
    module = module_of(path)
    assert sorted(target for target in GRAPH[module] if not may_import(module, target)) == []


def test_no_files_import_each_other_in_a_circle():
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_nothing_imports_the_tests():
    others = {module: targets for module, targets in GRAPH.items() if not belongs(module, "tests")}
    assert [module for module, targets in others.items() if any(belongs(target, "tests") for target in targets)] == []


@pytest.mark.parametrize("path", PHD_OPS, ids=name)
def test_phd_ops_imports_neither_comfyui_nor_nodes(path):
    source = path.read_text("utf-8")
    assert not roots(source) & COMFYUI
    depth = len(path.relative_to(ROOT).parts) - 1
    for module in imported(source):
        # As many dots as the file lies deep stay in phd_ops; one more would leave it.
        assert len(module) - len(module.lstrip(".")) <= depth, module


@pytest.mark.parametrize("path", PHD_OPS, ids=name)
def test_phd_ops_needs_only_torch_numpy_and_opencv(path):
    outside = roots(path.read_text("utf-8")) - {""} - sys.stdlib_module_names
    assert sorted(outside - PHD_OPS_NEEDS - PHD_OPS_OPTIONAL) == []


@pytest.mark.parametrize("path", [*PHD_OPS, *NODES], ids=name)
def test_no_print_no_eval_no_network_no_processes(path):
    source = path.read_text("utf-8")
    assert not roots(source) & NETWORK_AND_PROCESSES
    assert not set(called(source)) & (FORBIDDEN_CALLS | {"os.system", "os.popen"})


def test_in_the_pack_only_nodes_imports_comfyui():
    others = [ROOT / "__init__.py", *PHD_OPS, *sources("demo/codec.py")]
    assert [name(path) for path in others if roots(path.read_text("utf-8")) & COMFYUI] == []
    assert any(roots(path.read_text("utf-8")) & COMFYUI for path in NODES)
