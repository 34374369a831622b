"""Colors and lettering of the benchmarks' sheets."""

from PIL import ImageDraw, ImageFont

BACK, INK, DIM, GRID = (24, 24, 28), (235, 235, 235), (150, 150, 158), (52, 52, 60)


def words(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, color=INK, size=15, anchor="la") -> None:
    """Writes a line of text; `anchor` is Pillow's, "la" puts the upper left corner at `at`."""
    draw.text(at, text, fill=color, font=ImageFont.load_default(size=size), anchor=anchor)
