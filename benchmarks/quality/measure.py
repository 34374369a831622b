"""Runs the methods of `bench quality` on the scenes that are still missing, and keeps every row."""

import functools
import time
from collections.abc import Callable

import numpy as np

from benchmarks.common.demo_model import DemoModel
from benchmarks.common.subject_scores import score
from benchmarks.quality import trained_rivals
from benchmarks.quality.methods import Method, methods
from benchmarks.quality.plan import Plan
from benchmarks.quality.scenes import CHUNK, Chunk, scene, stratum_of
from benchmarks.quality.sheet import SHOWN, image_file, write
from benchmarks.quality.store import MethodRun, Store
from benchmarks.quality.table import Result, gathered


def measure(plan: Plan, store: Store, weights: str) -> dict[int, list[Result]]:
    """Measures what is missing; returns the results by level (0: methods without a model)."""
    model, scenes = DemoModel(), functools.cache(lambda number: scene(number, plan.split))
    chunks = functools.lru_cache(1)(lambda numbers: Chunk([scenes(number) for number in numbers], model))
    results, by_level = {}, methods(plan.levels)
    by_level[0] += trained_rivals.methods(store, plan.split, plan.numbers, weights)
    for level, listed in by_level.items():
        for method in listed:
            runs = runs_of(plan, weights, method, level)
            for run in runs:
                measure_method(plan, store, run, method, chunks)
            done = gathered(store, runs, method.label, plan.numbers)
            results.setdefault(level, []).append(done)
            print(f"{level or 'no':>4} calls  {method.label:<72} fMSE {done.mean('fmse'):.4f}", flush=True)
    if plan.published:
        trained_rivals.publish(store, plan.split, weights)
    return results


def runs_of(plan: Plan, weights: str, method: Method, level: int) -> list[MethodRun]:
    """One run for each seed; a method without a model draws no noise and has one."""
    seeds = plan.seeds if method.calls else 1
    return [MethodRun(weights, plan.split, method.name, level, method.settings, seed) for seed in range(seeds)]


def measure_method(
    plan: Plan, store: Store, run: MethodRun, method: Method, chunks: Callable[[tuple[int, ...]], Chunk]
) -> None:
    """Runs a method on the missing scenes, one chunk at a time, and stores each chunk's rows."""
    missing = store.missing(run, plan.numbers)
    for start in range(0, plan.count, CHUNK):
        numbers = [number for number in plan.numbers[start : start + CHUNK] if number in missing]
        if not numbers:
            continue
        chunk = chunks(tuple(numbers))
        began = time.perf_counter()
        images = method.run(chunk, run.seed)
        seconds = (time.perf_counter() - began) / len(chunk)
        rows = {}
        for number, image, given in zip(numbers, images, chunk.scenes, strict=True):
            row = {"stratum": stratum_of(number), "calls": method.calls, "seconds": round(seconds, 4)}
            rows[number] = row | {name: float(f"{value:.6g}") for name, value in score(image, given).items()}
        keep_images(plan, run, numbers, images)
        store.add(run, rows)


def keep_images(plan: Plan, run: MethodRun, numbers: list[int], images: np.ndarray) -> None:
    """Saves the images of the first scene of each stratum, for the contact sheet."""
    for number, image in zip(numbers, images, strict=True):
        if number in plan.numbers[:SHOWN] and run.seed == 0:
            write(image_file(plan.folder, run, number), image)
