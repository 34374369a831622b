"""What a module is trained on for any checkpoint: anyone's images with masks of their subjects.

An image is the truth. Its subject gets another light and is pasted back over itself; its ring is hidden.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from training.module_base import Base
from training.module_data import Latents, Paste, batch_of, encoded, relit_here, ring_around
from training.photograph_changes import off_by_a_pixel
from training.stage import save_atomically

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
# An image must have this many pixels on its shorter side, and its subject this share of the crop.
LEAST_SIDE, LEAST_SUBJECT = 64, 0.005
# How often each image is relit; all are encoded once and kept on disk.
VARIANTS = 8


class FolderError(Exception):
    """Nothing can be trained on this folder; the message is one sentence for the user."""


@dataclass(frozen=True)
class Source:
    """An image to train on: files, and what its side-car file says of it."""

    file: Path
    mask: Path | None
    caption: str


def listed(folder: Path, masks: Path | None) -> list[Source]:
    """The images of a folder in order, each with its mask of the same name and its caption.

    masks: a folder, or None where masks are found by a segmenter.

    Raises:
        FolderError: there are none, or none has a mask.
    """
    for named, one in (("images", folder), ("masks", masks)):
        if one is not None and not one.is_dir():
            raise FolderError(f"--{named} is {one}, which is not a folder.")
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in ENDINGS]
    if not files:
        raise FolderError(f"{folder} holds no images ({', '.join(ENDINGS)}).")
    by_stem = {} if masks is None else {file.stem: file for file in sorted(masks.iterdir())}
    found = []
    for file in files:
        mask, text = by_stem.get(file.stem), file.with_suffix(".txt")
        if masks is None or mask is not None:
            found.append(Source(file, mask, text.read_text(errors="replace").strip() if text.is_file() else ""))
    if not found:
        raise FolderError(f"{masks} holds no mask for {files[0].name}: a mask has its image's name, such as "
                           f"{files[0].stem}.png.")  # fmt: skip
    return found


def read(file: Path, flags: int) -> np.ndarray:
    """An image file as uint8. Raises ValueError where it holds none."""
    data = np.frombuffer(file.read_bytes(), np.uint8)
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise ValueError("cannot be read as an image")
    return image


def load(source: Source, side: int, segment: Callable[[np.ndarray], np.ndarray] | None) -> Paste:
    """An image cropped to a square around its subject, with its matte; truth and composite are the same.

    segment: finds the subject in an image [H,W,3] in 0..1 where there is no mask.

    Raises:
        ValueError: it cannot be used, and why.
    """
    image = np.ascontiguousarray(read(source.file, cv2.IMREAD_COLOR)[..., ::-1])
    height, width = image.shape[:2]
    if min(height, width) < LEAST_SIDE:
        raise ValueError(f"has {width}×{height} pixels; its shorter side must have at least {LEAST_SIDE}")
    if source.mask is not None:
        matte = read(source.mask, cv2.IMREAD_GRAYSCALE)
        if matte.shape != (height, width):
            raise ValueError(f"has {width}×{height} pixels, but its mask has {matte.shape[1]}×{matte.shape[0]}")
    else:
        matte = (segment(image.astype(np.float32) / 255) * 255 + 0.5).astype(np.uint8)
    if not (matte > 127).any():
        raise ValueError("has no subject: its mask is empty")
    box = square_around(matte)
    image, matte = (cv2.resize(part[box], (side, side), interpolation=cv2.INTER_AREA) for part in (image, matte))
    if (matte > 127).mean() < LEAST_SUBJECT:
        raise ValueError("has a subject that is too small")
    return Paste(image, image, matte, matte, None, source.caption)


def square_around(matte: np.ndarray) -> tuple[slice, slice]:
    """The largest square of an image whose center is as near to the subject's as possible."""
    height, width = matte.shape
    side = min(height, width)
    rows, columns = np.nonzero(matte > 127)
    top = int(np.clip(rows.mean() - side / 2, 0, height - side))
    left = int(np.clip(columns.mean() - side / 2, 0, width - side))
    return np.s_[top : top + side, left : left + side]


def variant(paste: Paste, seed: list[int]) -> Paste:
    """The paste in another light, half of the time mirrored, with a matte that may be off by one pixel."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        paste = replace(paste, truth=paste.truth[:, ::-1], matte=paste.matte[:, ::-1])
    paste = replace(paste, matte=off_by_a_pixel(rng, paste.matte))
    return replace(relit_here(rng, paste), hidden=ring_around(rng, paste.matte))


class ImageFolder:
    """Batches of a folder's images, the same for the same step. Latents are encoded once and kept in `cache`."""

    def __init__(
        self,
        base: Base,
        sources: list[Source],
        side: int,
        cache: Path,
        segment: Callable[[np.ndarray], np.ndarray] | None = None,
        log: Callable[[str], None] = print,
    ):
        """Raises FolderError where no image can be used; those that cannot are named in the log."""
        cache.mkdir(parents=True, exist_ok=True)
        self.base, self.side, self.cache = base, side, cache
        self.files: list[tuple[Path, str]] = []
        probe = torch.linspace(-1, 1, 3 * LEAST_SIDE**2).view(1, 3, LEAST_SIDE, LEAST_SIDE)
        # Latents of another VAE are others.
        self.vae = base.encode(probe).float().cpu().numpy().tobytes()
        for source in sources:
            try:
                self.files.append((self.prepared(source, segment), source.caption))
            except (ValueError, OSError) as error:
                log(f"{source.file.name} {str(error).removesuffix('.')}; it is left out.")
        if not self.files:
            raise FolderError(f"None of the {len(sources)} images can be used.")
        log(f"{len(self.files)} of {len(sources)} images are used, {VARIANTS} lights each.")

    def prepared(self, source: Source, segment: Callable[[np.ndarray], np.ndarray] | None) -> Path:
        """The file with the image's encoded variants, made where it is missing."""
        parts = [source.file.read_bytes(), b"" if source.mask is None else source.mask.read_bytes(), self.vae]
        key = hashlib.sha256(b"".join([*parts, str((self.side, VARIANTS)).encode()])).hexdigest()
        file = self.cache / f"{key[:32]}.pt"
        if not file.is_file():
            paste = load(source, self.side, segment)
            variants = [variant(paste, [int(key[:8], 16), place]) for place in range(VARIANTS)]
            with torch.no_grad():
                latents = encoded(self.base, batch_of(variants))
            held = {name: value for name, value in vars(latents).items() if isinstance(value, torch.Tensor)}
            save_atomically(held, file)
        return file

    def batch(self, step: int, count: int) -> Latents:
        rng = np.random.default_rng([13, step])
        drawn = [self.files[rng.integers(len(self.files))] for _ in range(count)]
        held = [torch.load(file, weights_only=True) for file, _ in drawn]
        places = rng.integers(VARIANTS, size=count)
        stacked = {
            name: torch.stack([one[name][place] for one, place in zip(held, places, strict=True)]) for name in held[0]
        }
        return Latents(prompts=[caption for _, caption in drawn], **stacked)
