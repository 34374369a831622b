"""Who may know whom, read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CRAFT = sorted((ROOT / "phd_ops").rglob("*.py"))
FACE = sorted((ROOT / "nodes").rglob("*.py"))
COMFYUI = {"comfy", "comfy_api", "comfy_api_nodes", "comfy_execution", "comfy_extras", "execution", "folder_paths"}
COMFYUI |= {"latent_preview", "node_helpers", "nodes", "server"}
NETWORK_AND_PROCESSES = {"aiohttp", "http", "requests", "socket", "subprocess", "urllib", "urllib3"}
FORBIDDEN_CALLS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "print"}


def name(path):
    return str(path.relative_to(ROOT))


def imported(source):
    """Every imported module by full name; a relative import keeps its dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def called(source):
    """Every function called by its bare name, and the two calls that start a process through `os`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.system", "os.popen"):
            yield ast.unparse(node.func)


def roots(source):
    return {module.split(".")[0] for module in imported(source)}


def test_the_reader_sees_what_it_must():
    source = "import comfy.sd as c\ndef f():\n    from nodes import x\n    print(eval('1'))\n"
    source += "from ..nodes import y\nnet.eval()"
    assert list(imported(source)) == ["comfy.sd", "..nodes", "nodes"]
    assert sorted(called(source)) == ["eval", "print"]
    assert CRAFT and FACE


@pytest.mark.parametrize("path", CRAFT, ids=name)
def test_the_craft_knows_no_comfyui_and_no_nodes(path):
    source = path.read_text("utf-8")
    assert not roots(source) & COMFYUI
    depth = len(path.relative_to(ROOT).parts) - 1
    for module in imported(source):
        # As many dots as it lies deep stay in phd_ops; one more would leave it.
        assert len(module) - len(module.lstrip(".")) <= depth, module


@pytest.mark.parametrize("path", [*CRAFT, *FACE], ids=name)
def test_no_print_no_eval_no_network_no_processes(path):
    source = path.read_text("utf-8")
    assert not roots(source) & NETWORK_AND_PROCESSES
    assert not set(called(source)) & (FORBIDDEN_CALLS | {"os.system", "os.popen"})


def test_only_nodes_imports_comfyui():
    others = [ROOT / "__init__.py", *CRAFT]
    assert [name(path) for path in others if roots(path.read_text("utf-8")) & COMFYUI] == []
    assert any(roots(path.read_text("utf-8")) & COMFYUI for path in FACE)
