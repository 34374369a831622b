"""Counts how often ComfyUI calls a diffusion model. The pack itself never patches ComfyUI; this is for measuring."""

import collections
import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class ModelCalls:
    """Calls of any diffusion model.

    Attributes:
        calls: how many there were.
        items: the batch sizes of all calls, added up.
        by_node: calls by the id of the node that made them; None for calls outside of a workflow.
    """

    calls: int = 0
    items: int = 0
    by_node: collections.Counter = field(default_factory=collections.Counter)


@contextlib.contextmanager
def count_model_calls() -> Iterator[ModelCalls]:
    """Counts the calls that are made inside the `with` block. Blocks may be nested; each counts for itself."""
    import comfy.model_base
    from comfy_execution.utils import get_executing_context

    count = ModelCalls()
    original = comfy.model_base.BaseModel.apply_model

    @functools.wraps(original)
    def counted(self, x, *args, **kwargs):
        context = get_executing_context()
        count.calls += 1
        count.items += len(x)
        count.by_node[context.node_id if context else None] += 1
        return original(self, x, *args, **kwargs)

    comfy.model_base.BaseModel.apply_model = counted
    try:
        yield count
    finally:
        comfy.model_base.BaseModel.apply_model = original
