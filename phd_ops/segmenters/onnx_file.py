"""The inputs and outputs of an ONNX file, read from its protocol buffer without the package `onnx`.

Only a few fields are followed (field numbers: onnx.proto of the ONNX specification). Weights are skipped, not read.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..sentence import sentence

# What field numbers are read from.
Buffer = bytes | mmap.mmap

# Wire types of protocol buffers.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto; FLOAT16 is a value of its enum DataType.
MODEL_GRAPH, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_OUTPUT = 7, 5, 11, 12
TENSOR_NAME, VALUE_NAME, VALUE_TYPE, TYPE_TENSOR, TENSOR_ELEMENT, TENSOR_SHAPE, SHAPE_DIM, DIM_VALUE = (
    8, 1, 2, 1, 1, 2, 1, 1,
)  # fmt: skip
FLOAT16 = 10


class OnnxInput(NamedTuple):
    """A network's input: its shape, None for a dimension of any length, and whether it takes 16-bit floats."""

    shape: tuple[int | None, ...]
    half: bool


class OnnxLayout(NamedTuple):
    """A network's inputs, the number of its outputs, and the names of the first of each."""

    inputs: list[OnnxInput]
    outputs: int
    names: tuple[str, str] = ("", "")


def varint(data: Buffer, at: int) -> tuple[int, int]:
    """(value, end) of the variable-length integer at an offset. Raises ValueError beyond 64 bits."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError


def fields(data: Buffer, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of each field of a message; for an integer, (field number, value, -1)."""
    at = start
    while at < end:
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at)
            yield number, value, -1
            continue
        length = {FIXED64: 8, FIXED32: 4}.get(kind)
        if kind == BYTES:
            length, at = varint(data, at)
        if length is None or number == 0 or at + length > end:
            raise ValueError
        yield number, at, at + length
        at += length


def follow(data: Buffer, start: int, end: int, *path: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every field at a path of field numbers within nested messages."""
    for number, first, last in fields(data, start, end):
        if number == path[0]:
            if len(path) == 1:
                yield first, last
            elif last >= 0:
                yield from follow(data, first, last, *path[1:])


def read_input(data: Buffer, start: int, end: int) -> OnnxInput:
    """The input that a ValueInfoProto message describes."""
    dims = []
    for first, last in follow(data, start, end, VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE, SHAPE_DIM):
        values = [value for number, value, kind in fields(data, first, last) if number == DIM_VALUE and kind < 0]
        # A dimension of any length has a name in place of a value, or a value of 0 or less.
        dims.append(values[0] if values and 0 < values[0] < 2**31 else None)
    elements = [first for first, _ in follow(data, start, end, VALUE_TYPE, TYPE_TENSOR, TENSOR_ELEMENT)]
    return OnnxInput(tuple(dims), elements == [FLOAT16])


def read_name(data: Buffer, start: int, end: int, field: int) -> bytes:
    return b"".join(data[first:last] for first, last in follow(data, start, end, field))


def read_layout(path: str | Path) -> OnnxLayout:
    """The inputs and outputs of a network. Raises ValueError for a file that is not an ONNX model, or is cut short."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            inputs, weights, outputs, graphs = [], set(), [], 0
            for first, last in follow(data, 0, len(data), MODEL_GRAPH):
                graphs += 1
                for number, start, end in fields(data, first, last):
                    if number == GRAPH_INITIALIZER:
                        weights.add(read_name(data, start, end, TENSOR_NAME))
                    elif number == GRAPH_INPUT:
                        inputs.append((read_name(data, start, end, VALUE_NAME), read_input(data, start, end)))
                    elif number == GRAPH_OUTPUT:
                        outputs.append(read_name(data, start, end, VALUE_NAME))
            # Older exports list their weights among the inputs as well.
            inputs = [(name, given) for name, given in inputs if name not in weights]
            if graphs != 1 or not inputs or not outputs:
                raise ValueError
            first = inputs[0][0].decode(errors="replace"), outputs[0].decode(errors="replace")
            return OnnxLayout([given for _, given in inputs], len(outputs), first)
    except (ValueError, IndexError, TypeError):
        raise ValueError(
            sentence(
                "{file} is not an ONNX model, or was cut short while it was copied; get the file again.",
                file=Path(path).name,
            )
        ) from None
