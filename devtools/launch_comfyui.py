"""Runs ComfyUI's main.py where torch was built for the CPU: `python launch_comfyui.py COMFYUI [arguments]`.

A torchvision that was built for CUDA cannot be imported there as it is, and ComfyUI imports it.
"""

import os
import runpy
import sys
from pathlib import Path


def launch(comfyui: str, arguments: list[str]) -> None:
    """Runs main.py in this process, after torchvision was made importable."""
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from devtools.comfyui import supply_torchvision_operators

    supply_torchvision_operators()
    # As if main.py had been started itself: its folder first, and nothing of this repository on the path.
    sys.path[0] = comfyui
    sys.argv = [os.path.join(comfyui, "main.py"), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    launch(sys.argv[1], sys.argv[2:])
