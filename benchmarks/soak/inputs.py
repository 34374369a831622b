"""Random inputs for any node of the pack, drawn by its schema: sound ones, of which some are then broken."""

import functools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from comfy_api.latest import io

from devtools.tiny_networks import tiny_model

# The largest value that is drawn for a number whose work grows with it.
MOST = {"steps": 3, "inner_steps": 2, "jump_length": 3, "jump_count": 3, "side": 128, "num_seeds": 3, "multiple": 32}
# ComfyUI's dpm_adaptive makes smaller and smaller steps without end where a latent is not finite, as in KSampler.
ENDLESS = ("dpm_adaptive",)
# Shares of calls with none, one, two and three broken inputs.
BROKEN = (35, 45, 15, 5)
SIDES = (8, 96)
CELLS = (2, 12)


@dataclass(frozen=True)
class Drawn:
    """A call of a node.

    Attributes:
        seed: from which all is drawn.
        node: its id.
        inputs: by id; those left out have their defaults.
        linked: the ids of those that come through a link, as from another node; the others stand in the prompt.
    """

    seed: int
    node: str
    inputs: dict[str, Any]
    linked: frozenset[str]


class Source:
    """Draws the values of one call. Images share their size and batch, as in a graph, but for every fifth."""

    def __init__(self, seed: int, nodes: dict[str, type]):
        self.nodes = nodes
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.size = self.random.randint(*SIDES), self.random.randint(*SIDES)
        self.cells = self.random.randint(*CELLS), self.random.randint(*CELLS)
        self.batch = self.random.choice((1, 1, 1, 1, 2, 3))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def size_and_batch(self) -> tuple[int, int, int]:
        if self.chance(0.2):
            return self.random.choice((1, 1, 2, self.batch)), self.random.randint(1, 96), self.random.randint(1, 96)
        return (self.batch if self.chance(0.8) else 1, *self.size)

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=self.generator)

    def broken_somewhere(self, values: torch.Tensor) -> torch.Tensor:
        """Values, now and then of another type or layout, far out of range, or not finite."""
        kind = self.random.choices(("", "type", "range", "nan", "inf", "gradient", "strided"), (70, 9, 7, 5, 4, 2, 3))[
            0
        ]
        if kind == "type":
            types = (torch.float16, torch.bfloat16, torch.float64, torch.uint8, torch.int64, torch.bool)
            return values.to(self.random.choice(types))
        if kind == "range":
            return values * self.random.choice((-1, 3, 1e4, 1e30)) - self.random.choice((0, 0.5))
        if kind in ("nan", "inf"):
            value = math.nan if kind == "nan" else self.random.choice((math.inf, -math.inf))
            hit = self.noise(*values.shape) < self.random.choice((0.02, 1.0))
            return torch.where(hit, value, values)
        if kind == "gradient":
            return values.clone().requires_grad_()
        return values.flip(-2).transpose(-1, -2).contiguous().transpose(-1, -2).flip(-2) if kind else values


def image(source: Source) -> torch.Tensor:
    batch, height, width = source.size_and_batch()
    channels = source.random.choices((3, 4, 1), (80, 15, 5))[0]
    kind = source.random.choices(("noise", "plain", "black", "white"), (70, 15, 8, 7))[0]
    values = source.noise(batch, height, width, channels)
    if kind != "noise":
        values = torch.full_like(values, {"plain": 0.4, "black": 0.0, "white": 1.0}[kind])
    return source.broken_somewhere(values)


def mask(source: Source) -> torch.Tensor:
    batch, height, width = source.size_and_batch()
    kind = source.random.choices(
        ("block", "soft", "noise", "empty", "full", "faint", "specks"), (45, 15, 8, 8, 8, 8, 8)
    )[0]
    values = torch.zeros(batch, height, width)
    if kind in ("block", "soft", "faint"):
        rows = sorted(source.random.sample(range(height + 1), 2))
        columns = sorted(source.random.sample(range(width + 1), 2))
        values[:, rows[0] : rows[1], columns[0] : columns[1]] = 1
        if kind == "soft":
            values = torch.nn.functional.avg_pool2d(values[:, None], 3, 1, 1)[:, 0]
        if kind == "faint":
            values = 0.01 + 0.3 * values
    elif kind == "specks":
        values = (source.noise(*values.shape) > 0.98).float()
    elif kind != "empty":
        values = torch.ones_like(values) if kind == "full" else source.noise(*values.shape)
    if source.chance(0.1):
        values = values[:, None] if source.chance(0.5) else values[..., None]
    return source.broken_somewhere(values[0] if source.chance(0.05) else values)


def latent(source: Source) -> dict:
    height, width = source.cells
    batch = source.batch if source.chance(0.8) else 1
    channels = source.random.choices((4, 16, 1), (92, 4, 4))[0]
    found: dict[str, Any] = {"samples": source.broken_somewhere(4 * source.noise(batch, channels, height, width) - 2)}
    if source.chance(0.2):
        found["noise_mask"] = source.broken_somewhere(source.noise(batch, 1, 8 * height, 8 * width).round())
    if source.chance(0.1):
        found["batch_index"] = list(range(batch))
    return found


@functools.cache
def shared_model(family: str) -> Any:
    return tiny_model(family)


def model(source: Source) -> Any:
    return shared_model(source.random.choice(("EPS", "V_PREDICTION", "FLOW")))


def conditioning(source: Source) -> list:
    found = [[source.noise(1, 4, 32), {"pooled_output": source.noise(1, 8)}]]
    if source.chance(0.1):
        found[0][1]["area"] = (source.cells[0], max(1, source.cells[1] // 2), 0, 0)
    if source.chance(0.1):
        found[0][1] |= {"mask": source.noise(1, *source.cells).round(), "mask_strength": 1.0}
    return found * source.random.choice((1, 1, 1, 2))


def boxes(source: Source) -> Any:
    def box() -> dict:
        low, high = source.random.choice(((0, 96), (0, 96), (-50, 200), (0, 1)))
        return {key: source.random.uniform(low, high) for key in ("x", "y", "width", "height")}

    kind = source.random.choice(("one", "list", "lists", "empty"))
    return {"one": box(), "list": [box(), box()], "lists": [[box()]] * source.batch, "empty": []}[kind]


def text(source: Source, given: io.Input) -> str:
    numbers = ", ".join(f"{source.random.uniform(-5, 100):.1f}" for _ in range(source.random.choice((2, 4))))
    placed = '{"x": 0.5, "y": 0.4, "size": 0.3}'
    keyframes = "0: x 0.2, ease\n2: x 0.7, size 0.4, flip"
    own = getattr(given, "default", None) or ""
    return source.random.choice(
        (own, own, own, numbers, numbers, placed, f"{placed}\n-", keyframes, "dog", "0.1, 0.1, 0.5, 0.5", "é\n")
    )


def whole(source: Source, given: io.Input) -> int:
    low, high = given.min if given.min is not None else 0, given.max if given.max is not None else 100
    high = min(high, MOST.get(given.id, high))
    near = min(high, max(low, given.default or 0) + 8)
    return source.random.choice(
        (given.default if given.default <= high else high, low, high, source.random.randint(low, near))
    )


def number(source: Source, given: io.Input) -> float:
    low, high = given.min if given.min is not None else 0.0, given.max if given.max is not None else 1.0
    near = source.random.uniform(low, min(high, 2 * abs(given.default) + 1))
    return float(source.random.choice((given.default, given.default, near, near, low, high)))


WIDGETS: dict[str, Callable[[Source, Any], Any]] = {
    "STRING": text,
    "INT": whole,
    "FLOAT": number,
    "BOOLEAN": lambda source, given: source.chance(0.5),
    "COMBO": lambda source, given: source.random.choice([one for one in given.options if one not in ENDLESS]),
}
SOCKETS: dict[str, Callable[[Source], Any]] = {
    "IMAGE": image, "MASK": mask, "LATENT": latent, "MODEL": model, "CONDITIONING": conditioning,
    "BOUNDING_BOX": boxes,
}  # fmt: skip


def sound(source: Source, given: io.Input) -> Any:
    """A value of an input's own type, or of one of its types."""
    io_type = source.random.choice(given.get_io_type().split(","))
    if io_type in WIDGETS:
        return WIDGETS[io_type](source, given)
    if io_type in SOCKETS:
        return SOCKETS[io_type](source)
    return made_by_a_node(source, io_type)


def made_by_a_node(source: Source, io_type: str) -> Any:
    """A value of one of the pack's own types: what one of its nodes gives."""
    if io_type == "PHD_PASTE":
        return (
            source.nodes["PhDPasteBlend"]
            .execute(**plain_inputs("PhDPasteBlend", source.nodes["PhDPasteBlend"]))
            .result[0]
        )
    if io_type == "PHD_CROP":
        return source.nodes["PhDCrop"].execute(paste=made_by_a_node(source, "PHD_PASTE"), side=64).result[0]
    for name, node in source.nodes.items():
        schema = node.GET_SCHEMA()
        slots = [output.io_type for output in schema.outputs]
        if io_type in slots and io_type not in [given.io_type for given in schema.inputs]:
            plain = plain_inputs(name, node)
            return node.execute(**plain).result[slots.index(io_type)]
    raise LookupError(f"No node gives {io_type}: add it to SOCKETS.")


def plain_inputs(name: str, node: type) -> dict[str, Any]:
    """The required inputs of a node, all of them sound and plain."""
    still = Source(0, {name: node})
    still.size, still.batch = (64, 64), 1
    square = torch.zeros(1, 64, 64)
    square[:, 16:48, 16:48] = 1
    simple = {"IMAGE": torch.full((1, 64, 64, 3), 0.5), "MASK": square, "MODEL": shared_model("EPS")}
    simple |= {"LATENT": {"samples": torch.zeros(1, 4, 8, 8)}, "CONDITIONING": [[torch.zeros(1, 4, 32), {}]]}
    inputs = {}
    for given in node.GET_SCHEMA().inputs:
        if not given.optional or name == "PhDPasteBlend" and given.id in ("background", "subject_mask"):
            default = getattr(given, "default", None)
            inputs[given.id] = simple.get(given.io_type, default)
            if given.id in MOST and isinstance(default, int):
                inputs[given.id] = min(default, MOST[given.id])
    return inputs


def wrong(source: Source, given: io.Input) -> Any:
    """A value that does not belong there: of another type, or beyond the widget's range."""
    odd = [
        None, 5, -1, 0, 3.7, math.nan, math.inf, "", "x" * 1000, [], [[]], {}, {"samples": None}, [None], True,
        torch.zeros(5), torch.zeros(0, 8, 8, 3), torch.zeros(1, 8, 8, 2), torch.zeros(1, 1, 8, 8, 3), {"x": 1},
        object(),
    ]  # fmt: skip
    if given.io_type in ("INT", "FLOAT") and source.chance(0.6):
        kind = int if given.io_type == "INT" else float
        beyond = [kind(-1), kind(0), kind((given.min or 0) - 1)]
        # What costs with its size is not asked for without end.
        beyond += [] if given.id in MOST else [kind((given.max or 1) + 1)]
        return source.random.choice(beyond + ([math.nan, math.inf, -math.inf] if kind is float else []))
    if given.io_type not in WIDGETS and source.chance(0.3):
        return SOCKETS[source.random.choice(list(SOCKETS))](source)
    return source.random.choice(odd)


def draw(seed: int, nodes: dict[str, type]) -> Drawn:
    """The call that a seed stands for."""
    source = Source(seed, nodes)
    # A node that expands into others gets links where others get values.
    name = source.random.choice([name for name, node in nodes.items() if not node.GET_SCHEMA().enable_expand])
    given = nodes[name].GET_SCHEMA().inputs
    inputs = {each.id: sound(source, each) for each in given if not each.optional or source.chance(0.5)}
    linked = {each.id for each in given if each.io_type not in WIDGETS or source.chance(0.1)}
    count = min(source.random.choices(range(len(BROKEN)), BROKEN)[0], len(given))
    for each in source.random.sample(given, count):
        inputs[each.id] = wrong(source, each)
        linked ^= {each.id} if source.chance(0.5) else set()
    return Drawn(seed, name, inputs, frozenset(linked))


def described(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, torch.Tensor):
        finite = value.double()[value.double().isfinite()] if value.numel() else value.double()
        reach = f"{finite.min():g} to {finite.max():g}" if finite.numel() else "no finite values"
        odd = "" if finite.numel() == value.numel() else f", {value.numel() - finite.numel()} not finite"
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)} {reach}{odd}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {described(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(described(each) for each in value) + "]"
    known = isinstance(value, (int, float, str, type(None)))
    return repr(value)[:80] if known else type(value).__name__
