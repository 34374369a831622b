"""What a kit run has made so far: a line of JSON for every finished case, and its images.

A line is written when the case's images are on disk, so that a run which was stopped goes on where it was.
"""

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image


class Rows:
    """The rows of a folder by key. A key stands for everything that a result depends on."""

    def __init__(self, folder: Path):
        self.folder, self.file = folder, folder / "rows.jsonl"
        self.rows: dict[str, dict] = {}
        lines = self.file.read_text(encoding="utf-8").splitlines() if self.file.is_file() else ()
        for line in lines:
            try:
                row = json.loads(line)
                self.rows[row["key"]] = row
            except (KeyError, TypeError, ValueError):
                continue  # a line that was cut off by an interruption

    def has(self, key: str) -> bool:
        """Whether a case is finished, with all its images still there."""
        return key in self.rows and all(self.image(name).is_file() for name in self.rows[key]["images"].values())

    def image(self, name: str) -> Path:
        return self.folder / "images" / name

    def keep(self, name: str, image: np.ndarray) -> str:
        """Stores an image, float32 [H,W,3] in 0..1, under images; returns its name."""
        file = self.image(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 + 0.5).clip(0, 255).astype(np.uint8)).save(file)
        return name

    def read(self, name: str) -> np.ndarray:
        with Image.open(self.image(name)) as image:
            return np.asarray(image.convert("RGB")).astype(np.float32) / 255

    def add(self, row: dict) -> None:
        """Appends a row; it is on disk when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        cut_off = self.file.is_file() and not self.file.read_bytes().endswith(b"\n") and self.file.stat().st_size
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(("\n" if cut_off else "") + json.dumps(row) + "\n")
            lines.flush()
            os.fsync(lines.fileno())
        self.rows[row["key"]] = row
