"""Labeled images side by side on one sheet."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def contact_sheet(tiles: list[tuple[str, np.ndarray]], columns: int = 4, side: int = 400) -> Image.Image:
    """All tiles (label, uint8 [H,W,3]), numbered, each fitted into a square with its label above."""
    label, margin = 30, 10
    rows = -(-len(tiles) // columns)
    cell = side + margin
    sheet = Image.new("RGB", (columns * cell + margin, rows * (cell + label) + margin), (24, 24, 28))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=18)
    for index, (text, pixels) in enumerate(tiles):
        left, top = margin + index % columns * cell, margin + index // columns * (cell + label)
        draw.text((left, top + 2), f"{index + 1}  {text}", fill=(235, 235, 235), font=font)
        tile = Image.fromarray(pixels)
        scale = side / max(tile.size)
        tile = tile.resize((round(tile.width * scale), round(tile.height * scale)), Image.Resampling.LANCZOS)
        sheet.paste(tile, (left + (side - tile.width) // 2, top + label + (side - tile.height) // 2))
    return sheet
