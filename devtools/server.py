"""Starts a full ComfyUI's own server with this pack in it, and leaves the user's install as it is."""

import os
import runpy
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "serve"
PACK_FOLDER = "paste-inpaint-harmonize"
NOT_THE_PACK = shutil.ignore_patterns(".*", "__pycache__", "output")


def has_server(comfyui: Path) -> bool:
    """False for the packaged backend, which was published without the server's folders."""
    return all((comfyui / part).exists() for part in ("main.py", "server.py", "app"))


def server_command(comfyui: Path, arguments: list[str], *, on_cpu: bool) -> list[str]:
    """The command that serves `comfyui` with this pack; on_cpu where torch can use no GPU."""
    start = [sys.executable, str(comfyui / "main.py")]
    if on_cpu:
        start = [sys.executable, str(Path(__file__).resolve()), str(comfyui), "--cpu"]
    return [*start, *custom_node_arguments(comfyui), *arguments]


def custom_node_arguments(comfyui: Path) -> list[str]:
    """What makes ComfyUI load the pack from here, through a folder of custom nodes that holds nothing else."""
    custom_nodes = comfyui / "custom_nodes"
    if custom_nodes.is_dir() and any(entry.resolve() == ROOT for entry in custom_nodes.iterdir()):
        return []
    link = FOLDER / "custom_nodes" / PACK_FOLDER
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(ROOT, target_is_directory=True)
    except OSError:  # Windows lets only developers and administrators make links
        shutil.copytree(ROOT, link, ignore=NOT_THE_PACK)
    config = FOLDER / "extra_model_paths.yaml"
    config.write_text(f"paste_inpaint_harmonize:\n    custom_nodes: '{link.parent}'\n", encoding="utf-8")
    return ["--extra-model-paths-config", str(config)]


def launch(comfyui: str, arguments: list[str]) -> None:
    """Becomes ComfyUI's main.py, after torchvision was made importable beside a torch built for the CPU."""
    sys.path[0] = str(ROOT)
    from devtools.comfyui import supply_torchvision_operators

    supply_torchvision_operators()
    # As if main.py had been started itself: its folder first, and nothing of this repository on the path.
    sys.path[0] = comfyui
    sys.argv = [os.path.join(comfyui, "main.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
