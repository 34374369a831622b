"""Step caches on a MODEL, whose old estimates the masked loops must not take for new ones.

Such a cache spares model calls by repeating an earlier result where little changes from step to step. But inner steps
stay at one level, and the known region is corrected by what the estimate makes of this very noise.

ComfyUI's own EasyCache and LazyCache are known by their names. Caches of other packs, such as TeaCache and First Block
Cache, are functions around the network like any others, and are known by what they leave out: they do not run the
network at all, or only its first and last modules.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from ..phd_ops.sentence import sentence
from .ui import warn

# Keys of the wrappers by which ComfyUI's EasyCache and LazyCache skip model calls.
STEP_CACHES = ("easycache", "lazycache")
# The only function around a network's calls that packs can put in the model's options, and so the one of most caches.
WRAPPER = "model_function_wrapper"
# Estimates that differ by a smaller share than this are the same, but for rounding.
ROUNDING = 0.01

# A call of the network: from a model's options to its estimate [B,C,...].
NetworkCall = Callable[[dict[str, Any]], torch.Tensor]


def step_caches(model: Any) -> list[tuple[str, str]]:
    """The kinds and keys of a MODEL's wrappers that are ComfyUI's step caches."""
    return known_caches(model.wrappers)


def known_caches(wrappers: dict[str, dict[str, list]]) -> list[tuple[str, str]]:
    return [(kind, key) for kind, held in wrappers.items() for key in STEP_CACHES if held.get(key)]


class Estimate(NamedTuple):
    """An estimate [B,C,...], and whether the network made it, or a cache repeated an old one."""

    denoised: torch.Tensor
    made: bool


class WatchedModel:
    """A model in which other packs' step caches are found out as it runs.

    A cache in `model_function_wrapper` that does nothing else is not used from then on: without it the network gives
    the same as it did with it in the last call that it made. Any other stays, and repeats that call's estimate: what
    caches make of it, by adding its change to the new noise, is wrong where inner steps draw the noise anew.
    """

    def __init__(self, network: torch.nn.Module, options: dict[str, Any]) -> None:
        """options: the run's model_options."""
        self.network, self.options = network, options
        wrappers = options.get("transformer_options", {}).get("wrappers", {})
        wrapped = WRAPPER in options or any(any(held.values()) for held in wrappers.values())
        # Of ComfyUI's own caches the loop knows beforehand.
        self.watched = wrapped and not known_caches(wrappers)
        # The most modules that a run of the network called.
        self.most = 0
        # The last call that the network made.
        self.last: tuple[NetworkCall, torch.Tensor] | None = None
        self.has_cache = False

    def estimate(self, run: NetworkCall) -> Estimate:
        """The estimate of a model call in which some prompt takes part."""
        if not self.watched:
            return Estimate(run(self.options), True)
        found = self.counted(run, self.options)
        if found.made or self.last is None:
            self.last = run, found.denoised
            return found
        plain = None if self.has_cache else self.without_cache(run, *self.last)
        if plain is not None:
            warn(sentence("The model's step cache is not used from here on: this method needs every estimate."))
            return plain
        if not self.has_cache:
            warn(
                sentence(
                    "The model's step cache repeats old estimates, and these do not correct the known "
                    "region. Remove the cache from the model for a better result."
                )
            )
        self.has_cache = True
        return Estimate(self.last[1], False)

    def counted(self, run: NetworkCall, options: dict[str, Any]) -> Estimate:
        """A model call; its estimate counts as made if the network ran at least half of its modules."""
        with counting(self.network) as runs:
            denoised = run(options)
        # A compiled network never says what it runs, so that 0 is the most.
        most = max(runs, default=0)
        self.most = max(self.most, most)
        return Estimate(denoised, 2 * most >= self.most)

    def without_cache(self, run: NetworkCall, last: NetworkCall, wanted: torch.Tensor) -> Estimate | None:
        """The estimate without the cache, which is then no longer used; None where it cannot be taken off."""
        plain = {name: value for name, value in self.options.items() if name != WRAPPER}
        if WRAPPER not in self.options or not is_same(last(plain), wanted):
            return None
        found = self.counted(run, plain)
        if not found.made:
            return None
        self.options, self.watched, self.last = plain, False, None
        return found


def is_same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether two estimates are the same but for rounding."""
    return bool((found - wanted).norm() <= ROUNDING * wanted.norm())


@contextlib.contextmanager
def counting(network: torch.nn.Module) -> Iterator[list[int]]:
    """For every run of a network inside, how many of its modules were called; complete when it has ended."""
    runs: list[int] = []

    def begin(*_: Any) -> None:
        if not torch.compiler.is_compiling():
            runs.append(1)

    def count(*_: Any) -> None:
        if runs and not torch.compiler.is_compiling():
            runs[-1] += 1

    with contextlib.ExitStack() as hooks:
        for module in network.modules():
            hooks.enter_context(module.register_forward_pre_hook(begin if module is network else count))
        yield runs
