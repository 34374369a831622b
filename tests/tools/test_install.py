"""The pack installs as ComfyUI-Manager, git and the registry install it, and loads from where they put it."""

import json
import logging
import os
import subprocess
import sys
import sysconfig
import types
import venv
from importlib import metadata
from pathlib import Path

import pack_support
import pytest
from pack_support import ROOT

# Runs in the fresh environment. It starts ComfyUI as the tests do, then takes the repository off the path again, so
# that nothing but ComfyUI's own loader can find the pack.
LOAD = """\
import asyncio, json, sys
from pathlib import Path

root, comfyui, folder = sys.argv[1:]
sys.path.insert(0, root)
from devtools import comfyui as development

development.activate(Path(comfyui), ("--cpu", "--use-pytorch-cross-attention"))
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(root)]

import nodes

before = set(nodes.NODE_CLASS_MAPPINGS)
success = asyncio.run(nodes.load_custom_node(folder, module_parent="custom_nodes"))
registered = sorted(set(nodes.NODE_CLASS_MAPPINGS) - before)
import cv2

print(json.dumps({"success": success, "nodes": registered, "cv2": cv2.__file__}))
"""
NO_INDEX = ("NewConnectionError", "Name or service not known", "Temporary failure in name resolution")


@pytest.fixture
def custom_nodes(tmp_path):
    """A folder custom_nodes in a path with a space and letters beyond ASCII."""
    folder = tmp_path / "Комфи UI – 画像" / "custom_nodes"
    folder.mkdir(parents=True)
    yield folder
    pack_support.forget(folder)


@pytest.fixture
def fresh_environment(tmp_path):
    """A new virtual environment that has what a ComfyUI has, and in which nothing of the pack is installed.

    To save the download of torch, a .pth file makes the packages of the tests' own environment importable; what pip
    installs into the new environment comes before them. pip counts them as installed, and so reports whether it would
    replace one.
    """
    folder = tmp_path / "fresh"
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    paths = {"base": str(folder), "platbase": str(folder)}
    site_packages = Path(sysconfig.get_path("purelib", "venv", paths))
    (site_packages / "comfyui.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    python = Path(sysconfig.get_path("scripts", "venv", paths)) / ("python.exe" if os.name == "nt" else "python")
    return python, site_packages


def test_a_fresh_environment_gets_opencv_alone_and_all_nodes_register(custom_nodes, fresh_environment, comfyui, pack):
    """As ComfyUI-Manager installs: files into custom_nodes, then `pip install -r requirements.txt`.

    Tested: that pip can resolve requirements.txt, that it replaces nothing that a ComfyUI has (torch and numpy above
    all), and that the pack loads with the OpenCV that pip brings. Not tested: other versions than the newest OpenCV and
    the pinned rest.
    """
    python, site_packages = fresh_environment
    folder = pack_support.copy_pack(pack_support.repository_files(), custom_nodes / "paste-inpaint-harmonize")

    command = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "-r", str(folder / "requirements.txt")]
    result = subprocess.run(command, capture_output=True, text=True)
    if any(words in result.stderr for words in NO_INDEX):
        pytest.skip("The package index cannot be reached.")
    assert result.returncode == 0, result.stderr
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions(path=[str(site_packages)])}
    assert installed == {"opencv-python"}

    command = [str(python), "-c", LOAD, str(ROOT), str(comfyui), str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=custom_nodes)
    if "libGL.so.1: cannot open" in result.stderr:
        pytest.skip("opencv-python needs the system's libGL, which this machine lacks.")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["success"], result.stderr
    assert report["nodes"] == sorted(pack)
    assert site_packages in Path(report["cv2"]).parents


@pytest.mark.parametrize("name", ["PhD nodes", "узлы-画像", "paste-inpaint-harmonize-0.1.0"])
def test_loads_under_another_folder_name(name, custom_nodes, pack, monkeypatch):
    folder = pack_support.copy_pack(pack_support.archive_files(), custom_nodes / name)
    loaded = pack_support.load(folder, monkeypatch)
    assert loaded.success
    assert set(loaded.nodes) == set(pack)
    assert loaded.web_folders[name] == str(folder / "web")
    for node in loaded.nodes.values():
        assert folder in Path(sys.modules[node.__module__].__file__).parents


def test_nothing_is_written_into_its_folder(custom_nodes, monkeypatch):
    """A read-only custom_nodes works: neither loading the pack nor loading the demo model writes there.

    Python's own .pyc files excepted, which Python leaves out by itself where it may not write.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    folder = pack_support.copy_pack(pack_support.archive_files(), custom_nodes / "paste-inpaint-harmonize")
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    before = snapshot(folder)
    for path in folders:
        path.chmod(0o555)
    try:
        loaded = pack_support.load(folder, monkeypatch)
        assert loaded.success
        loaded.nodes["PhDLoadDemoModel"].execute()
        assert snapshot(folder) == before
    finally:
        for path in folders:
            path.chmod(0o755)


def snapshot(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*")}


def broken_import(message):
    """A finder that fails on cv2 as a build does whose libraries are missing."""

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "cv2":
                raise ImportError(message)

    return Finder


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("missing", ["not installed", "-m pip install opencv-python"]),
        ("broken", ["does not load (libGL.so.1: cannot open shared object file)", "--force-reinstall --no-deps"]),
        ("incomplete", ["does not load (the folder cv2 is incomplete)", "--force-reinstall --no-deps"]),
    ],
)
def test_an_opencv_that_cannot_be_used_is_one_sentence_in_the_log(state, words, custom_nodes, monkeypatch, caplog):
    folder = pack_support.copy_pack(pack_support.archive_files(), custom_nodes / "paste-inpaint-harmonize")
    if state == "broken":
        monkeypatch.delitem(sys.modules, "cv2", raising=False)
        finder = broken_import("libGL.so.1: cannot open shared object file")
        monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    else:
        # None makes `import cv2` fail; an empty module is what `pip uninstall` of a second build leaves.
        monkeypatch.setitem(sys.modules, "cv2", None if state == "missing" else types.ModuleType("cv2"))
    with caplog.at_level(logging.WARNING):
        loaded = pack_support.load(folder, monkeypatch)
    assert not loaded.success
    assert loaded.nodes == {}
    logged = [record.getMessage() for record in caplog.records if "pyproject.toml" not in record.getMessage()]
    assert len(logged) == 1, logged
    assert "Traceback" not in caplog.text
    assert "\n" not in logged[0]
    for part in (*words, sys.executable):
        assert part in logged[0]


def test_an_opencv_without_its_contrib_modules_is_enough(custom_nodes, pack, monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "ximgproc", raising=False)
    monkeypatch.setitem(sys.modules, "cv2.ximgproc", None)
    folder = pack_support.copy_pack(pack_support.archive_files(), custom_nodes / "paste-inpaint-harmonize")
    assert set(pack_support.load(folder, monkeypatch).nodes) == set(pack)
    sources = [path for part in ("nodes", "phd_ops") for path in (ROOT / part).rglob("*.py")]
    assert [path.name for path in sources if "ximgproc" in path.read_text("utf-8")] == []
