"""Stage `export`: fp16 weights and their hashes into demo/weights."""

import hashlib
import json
import shutil

import torch
from safetensors.torch import save_file

from devtools.paths import DEMO_WEIGHTS
from training.module import WORK as MODULE_WORK
from training.networks import EMBEDDING
from training.stage import WORK

MODULE = MODULE_WORK / "module.safetensors"


def publish(weights: dict[str, dict]) -> None:
    """Writes fp16 files by name into demo/weights, and sha256.json of all files there."""
    DEMO_WEIGHTS.mkdir(exist_ok=True)
    for name, tensors in weights.items():
        half = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
        file = DEMO_WEIGHTS / f"{name}.safetensors"
        save_file({key: value.contiguous() for key, value in half.items()}, file)
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
    files = sorted(DEMO_WEIGHTS.glob("*.safetensors"))
    hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (DEMO_WEIGHTS / "sha256.json").write_text(json.dumps(hashes, indent=2) + "\n")


def export() -> None:
    """Publishes what was trained: the averaged UNet and text encoder, the codec, and the learned module.

    Of the text encoder's embeddings only those that were trained are stored; the others are zero.
    """
    found = {}
    if (WORK / "diffusion.pt").is_file():
        diffusion = torch.load(WORK / "diffusion.pt", weights_only=True)
        unet, text = (
            {name.removeprefix(part): value for name, value in diffusion["average"].items() if name.startswith(part)}
            for part in ("unet.", "text.")
        )
        table = text.pop(EMBEDDING)
        known = table.abs().sum(1).nonzero().flatten()
        text["known_tokens"], text["known_embeddings"] = known.to(torch.int32), table[known]
        found = {"text": text, "unet": unet}
        print(f"Diffusion after {diffusion['step']} steps.")
    if (WORK / "codec.pt").is_file():
        found["codec"] = torch.load(WORK / "codec.pt", weights_only=True)["codec"]
    if MODULE.is_file():
        # It has metadata, and is in fp16 already.
        shutil.copyfile(MODULE, DEMO_WEIGHTS / MODULE.name)
        print(f"{MODULE.name}: {MODULE.stat().st_size / 1e6:.1f} MB")
    publish(found)
