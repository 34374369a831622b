"""The files in demo/weights, checked against their published hashes."""

import hashlib
import json
from pathlib import Path

import comfy.utils
import torch

from ..phd_ops.sentence import sentence

WEIGHTS = Path(__file__).resolve().parent.parent / "demo" / "weights"


def weights_file(name: str) -> Path:
    """demo/weights/`name`.safetensors. Raises where the file is missing or damaged."""
    file = WEIGHTS / f"{name}.safetensors"
    if not file.is_file():
        raise FileNotFoundError(
            sentence("The demo model's file demo/weights/{file} is missing; reinstall the pack.", file=file.name)
        )
    try:
        published = json.loads((WEIGHTS / "sha256.json").read_text())[file.name]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(sentence("demo/weights/sha256.json is missing or damaged; reinstall the pack.")) from None
    if hashlib.sha256(file.read_bytes()).hexdigest() != published:
        raise ValueError(
            sentence(
                "demo/weights/{file} is damaged: its hash is not the published one. Reinstall the pack.", file=file.name
            )
        )
    return file


def read_weights(name: str) -> dict[str, torch.Tensor]:
    """The tensors of demo/weights/`name`.safetensors. Raises where the file is missing or damaged."""
    return comfy.utils.load_torch_file(str(weights_file(name)), safe_load=True)
