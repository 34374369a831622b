"""Copies of the pack, as git or the registry would install them, and ComfyUI's own loader to load them."""

import asyncio
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def git_files(*options: str) -> set[str]:
    """Paths relative to the root, as `git ls-files` lists them with these options. Skips the test without git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git, and a clone rather than a downloaded archive")
    command = [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z", *options]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    return {path for path in listed.decode("utf-8").split("\0") if path and (ROOT / path).is_file()}


def repository_files() -> set[str]:
    """Every file that git tracks, and every new one that it does not ignore: what a clone has after a commit."""
    return git_files("--cached", "--others", "--exclude-standard")


def archive_files() -> set[str]:
    """What `comfy node publish` packs: the repository's files without those that .comfyignore names."""
    ignored = git_files("--cached", "--others", "--ignored", "--exclude-from=.comfyignore")
    return repository_files() - ignored


def copy_pack(files: set[str], folder: Path) -> Path:
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    return folder


@dataclass(frozen=True)
class Loaded:
    """What ComfyUI knows after it has loaded one folder of custom_nodes."""

    success: bool
    nodes: dict[str, type]
    web_folders: dict[str, str]


def load(folder: Path, monkeypatch) -> Loaded:
    """Loads a copy of the pack with ComfyUI's loader, into registries of its own."""
    import nodes

    mappings: dict[str, type] = {}
    web_folders: dict[str, str] = {}
    monkeypatch.setattr(nodes, "NODE_CLASS_MAPPINGS", mappings)
    monkeypatch.setattr(nodes, "NODE_DISPLAY_NAME_MAPPINGS", {})
    monkeypatch.setattr(nodes, "EXTENSION_WEB_DIRS", web_folders)
    monkeypatch.setattr(nodes, "LOADED_MODULE_DIRS", {})
    success = asyncio.run(nodes.load_custom_node(str(folder), module_parent="custom_nodes"))
    return Loaded(success, mappings, web_folders)


def forget(folder: Path) -> None:
    """Removes the modules that were loaded from a folder, so that they do not outlive it."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and folder in Path(file).parents:
            del sys.modules[name]
