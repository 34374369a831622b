"""The images of `bench inpaint`: error against model calls, sampled curves against the truth, inpainted scenes."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.common.drawing import BACK, DIM, GRID, INK, words
from benchmarks.inpaint.exact import methods, sample
from benchmarks.inpaint.processes import HOLE, LENGTH, Setting

COLORS = {
    "ours": (255, 170, 60), "plain": (235, 90, 90), "ancestral": (200, 120, 120), "langevin": (110, 190, 255),
    "repaint": (120, 220, 140), "repaint10": (70, 160, 90), "lanpaint_tuned": (240, 200, 255),
    "lanpaint1": (200, 140, 255), "lanpaint2": (150, 100, 210), "former": (170, 170, 120),
}  # fmt: skip
NAMES = {
    "ours": "ours", "plain": "core KSampler", "ancestral": "core, ancestral", "langevin": "plain Langevin",
    "repaint": "RePaint, r = 5", "repaint10": "RePaint, r = 10", "lanpaint_tuned": "LanPaint, tuned",
    "lanpaint1": "LanPaint 2.0", "lanpaint2": "LanPaint 2.1", "former": "our earlier loop (BiG)",
}  # fmt: skip
PANEL, MARGIN, CHAINS = (900, 520), 60, 7


class Panel:
    """Axes with a title; lines and dots are given in the units of the data."""

    def __init__(self, title: str, across: tuple[float, float], up: tuple[float, float]):
        self.image = Image.new("RGB", PANEL, BACK)
        self.draw, self.across, self.up = ImageDraw.Draw(self.image), across, up
        self.text((MARGIN, 14), title, INK, 20)

    def at(self, x: float, y: float) -> tuple[float, float]:
        width, height = PANEL[0] - 2 * MARGIN, PANEL[1] - 2 * MARGIN
        share_x = (x - self.across[0]) / (self.across[1] - self.across[0])
        share_y = (y - self.up[0]) / (self.up[1] - self.up[0])
        return MARGIN + width * share_x, PANEL[1] - MARGIN - height * share_y

    def text(self, at: tuple[float, float], text: str, color=DIM, size: int = 15, anchor: str = "la") -> None:
        words(self.draw, at, text, color, size, anchor)

    def grid(self, xs: list[float], ys: list[float], below: str) -> None:
        left, right = self.at(self.across[0], 0)[0], self.at(self.across[1], 0)[0]
        bottom, top = self.at(0, self.up[0])[1], self.at(0, self.up[1])[1]
        for y in ys:
            level = self.at(0, y)[1]
            self.draw.line([(left, level), (right, level)], GRID)
            self.text((left - 8, level), f"{y:g}", anchor="rm")
        for x in xs:
            column = self.at(x, 0)[0]
            self.draw.line([(column, bottom), (column, top)], GRID)
            self.text((column, bottom + 8), f"{x:g}", anchor="ma")
        self.text(((left + right) / 2, bottom + 30), below, anchor="ma")

    def line(self, xs, ys, color, width: int = 2) -> None:
        self.draw.line([self.at(x, y) for x, y in zip(xs, ys, strict=True)], color, width, joint="curve")

    def dot(self, x: float, y: float, color, radius: int = 5) -> None:
        left, top = self.at(x, y)
        self.draw.ellipse([left - radius, top - radius, left + radius, top + radius], color)


def errors(scores: dict[str, dict], title: str) -> Image.Image:
    """relW2 over model calls, a line for every loop."""
    most = 0.1 + max(score["relw2"] for score in scores.values())
    panel = Panel(title, (20, 150), (0, most))
    panel.grid([30, 60, 90, 120], [tick / 10 for tick in range(0, int(10 * most) + 1)], "model calls")
    ends = []
    for family, color in COLORS.items():
        own = [score for name, score in scores.items() if name.rsplit("_", 1)[0] == family]
        own.sort(key=lambda score: score["calls"])
        panel.line([score["calls"] for score in own], [score["relw2"] for score in own], color, 3)
        for score in own:
            panel.dot(score["calls"], score["relw2"], color)
        ends.append((own[-1]["relw2"], own[-1]["calls"], family, color))
    last = PANEL[1]
    for value, calls, family, color in sorted(ends):
        x, y = panel.at(calls, value)
        last = min(y, last - 17)
        panel.text(
            (max(x, panel.at(121, 0)[0]) + 12 if calls > 90 else x + 12, last), NAMES[family], color, anchor="lm"
        )
    return panel.image


def curves(name: str) -> Image.Image:
    """Samples of one loop, over the known curve and the true posterior's band of two deviations."""
    setting = Setting("proto", 1, 64, (1,))
    process, samples = setting.process, sample(methods()[name], setting, 1)[0][0, :CHAINS]
    known, mean, deviation = process.curves[0], process.mean[0], process.left.diagonal().sqrt()
    family = name.rsplit("_", 1)[0]
    panel = Panel(f"{NAMES[family]}, 60 calls: samples, true mean ± 2 deviations", (0, LENGTH - 1), (-2.4, 2.6))
    panel.grid([0, 20, 43, 63], [-2, -1, 0, 1, 2], "")
    hole = np.arange(HOLE.start, HOLE.stop)
    rim = [panel.at(x, y) for x, y in zip(hole, mean + 2 * deviation, strict=True)]
    rim += [panel.at(x, y) for x, y in zip(hole[::-1], (mean - 2 * deviation).flip(0), strict=True)]
    panel.draw.polygon(rim, (44, 62, 80))
    panel.line(hole, mean, (110, 150, 190), 2)
    for curve in samples:
        span = slice(HOLE.start - 1, HOLE.stop + 1)
        panel.line(np.arange(LENGTH)[span], curve[span], COLORS[family], 1)
    for part in (slice(0, HOLE.start), slice(HOLE.stop, LENGTH)):
        panel.line(np.arange(LENGTH)[part], known[part], INK, 3)
    return panel.image


def strips(images: list[tuple[str, np.ndarray]], width: int) -> Image.Image:
    """Rows of scenes, two loops side by side, each with its name above."""
    label, columns = 28, 2
    wide = width // columns - 12
    high = [round(image.shape[0] * wide / image.shape[1]) for _, image in images]
    row = max(high) + label + 8
    sheet = Image.new("RGB", (width, row * -(-len(images) // columns)), BACK)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for index, (title, image) in enumerate(images):
        left, top = 6 + index % columns * (wide + 12), index // columns * row
        draw.text((left + 2, top + 3), title, fill=INK, font=font)
        sized = Image.fromarray(image).resize((wide, high[index]), Image.Resampling.LANCZOS)
        sheet.paste(sized, (left, top + label))
    return sheet


def save(folder: Path, scores: dict[str, dict[str, dict]], images: list[tuple[str, np.ndarray]]) -> Path:
    panels = [
        errors(scores["proto"], "Relative W2, one curve"),
        errors(scores["curves"], "Relative W2, more curves"),
        curves("ours_60"),
        curves("plain_60"),
    ]
    width, height = PANEL
    below = strips(images, 2 * width) if images else Image.new("RGB", (2 * width, 1), BACK)
    sheet = Image.new("RGB", (2 * width, 2 * height + below.height + 10), BACK)
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index % 2 * width, index // 2 * height))
    sheet.paste(below, (0, 2 * height))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench_inpaint.png"
    sheet.save(path)
    return path
