"""The harmonizers of other papers that `dev.py train rivals` trains on RelitScenes' training split.

Their weights are not in the repository. Where they are missing, the rows that were measured with them stand in.
"""

import functools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import nn

from benchmarks.quality.methods import Method
from benchmarks.quality.plan import RESULTS, Plan
from benchmarks.quality.scenes import Chunk
from benchmarks.quality.store import Run, Store, weights_hash
from training import rivals
from training.rival_networks import harmonized

LABELS = {"pctnet": "PCT-Net's kind, trained here", "harmonizer": "Harmonizer's kind, trained here"}
STORED = RESULTS / "trained_rivals.csv"


@functools.cache
def network(name: str) -> nn.Module:
    return rivals.load(name)


def runner(name: str) -> Callable[[Chunk, int], np.ndarray]:
    def run(chunk: Chunk, seed: int) -> np.ndarray:
        del seed
        pairs = zip(chunk.composites, chunk.matte.numpy(), strict=True)
        return np.stack([harmonized(network(name), *pair) for pair in pairs])

    return run


def methods(store: Store, split: str, numbers: range | list[int], weights: str) -> list[Method]:
    """The rivals that are trained, and those whose rows for these scenes are stored; `store` gets the stored rows.

    weights: the hash of the demo model's weights, which these rows do not depend on.
    """
    for run, rows in Store(STORED).rows.items():
        known = store.rows.setdefault(replace(run, weights=weights), {})
        known |= {number: row for number, row in rows.items() if number not in known}
    found = []
    for name, label in LABELS.items():
        file = rivals.weights_file(name)
        if file.is_file():
            found.append(Method(name, label, 0, f"weights={weights_hash([file])}", runner(name)))
            continue
        known = [run for run in store.rows if (run.method, run.split, run.weights) == (name, split, weights)]
        whole = [run for run in known if not store.missing(run, numbers)]
        if whole:
            found.append(Method(name, label, 0, whole[-1].settings, runner(name)))
        else:
            print(f"{name} is left out: python3 dev.py train rivals trains it.", flush=True)
    return found


def keep(store: Store, plan: Plan, weights: str, split: str) -> None:
    """Writes the rivals' rows of a published run to STORED, in place of older ones of the same split."""
    new = {
        run: rows
        for run, rows in store.rows.items()
        if run.method in LABELS and run.weights == weights and run.split == split
    }
    older = {run: rows for run, rows in Store(STORED).rows.items() if run.split != split}
    STORED.unlink(missing_ok=True)
    stored = Store(STORED)
    for run, rows in {**older, **new}.items():
        stored.add(run, rows)
