"""The harmonizers of other papers that `dev.py train rivals` trains on RelitScenes' training split.

Their weights are not in the repository. Where they are missing, the rows that were measured with them stand in.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from torch import nn

from benchmarks.quality.methods import Method
from benchmarks.quality.plan import RESULTS
from benchmarks.quality.scenes import Chunk
from benchmarks.quality.sheet import COLORS
from benchmarks.quality.store import Store, weights_hash
from training import rivals
from training.rival_networks import harmonized

LABELS = {"pctnet": "PCT-Net's kind, trained here", "harmonizer": "Harmonizer's kind, trained here"}
STORED, PLOT = RESULTS / "trained_rivals.csv", RESULTS / "rivals_training.png"


@functools.cache
def network(name: str) -> nn.Module:
    return rivals.load(name)


def runner(name: str) -> Callable[[Chunk, int], np.ndarray]:
    def run(chunk: Chunk, seed: int) -> np.ndarray:
        del seed
        pairs = zip(chunk.composites, chunk.matte.numpy(), strict=True)
        return np.stack([harmonized(network(name), *pair) for pair in pairs])

    return run


def trained() -> list[Method]:
    """The rivals whose weights are here."""
    return [
        Method(name, label, 0, f"weights={weights_hash([rivals.weights_file(name)])}", runner(name))
        for name, label in LABELS.items()
        if rivals.weights_file(name).is_file()
    ]


def methods(store: Store, split: str, numbers: Sequence[int], weights: str) -> list[Method]:
    """The rivals whose weights are here, and those whose rows are stored; `store` gets these rows.

    weights: the hash of the demo model's weights, on which the rivals' rows do not depend.
    """
    found = {method.name: method for method in trained()}
    for run, rows in Store(STORED).rows.items():
        run = replace(run, weights=weights)
        store.rows[run] = rows | store.rows.get(run, {})
        if run.split == split and run.method not in found and not store.missing(run, numbers):
            found[run.method] = Method(run.method, LABELS[run.method], 0, run.settings, runner(run.method))
    for name in LABELS.keys() - found.keys():
        print(f"{name} is left out: python3 dev.py train rivals trains it.", flush=True)
    return [found[name] for name in LABELS if name in found]


def publish(store: Store, split: str, weights: str) -> None:
    """Writes the rows of a split to STORED, of the rivals whose weights are here, and their training's curves to PLOT.

    What is stored of others and of other splits stays.
    """
    settings = {method.name: method.settings for method in trained()}
    older = Store(STORED).rows.items()
    kept = {run: rows for run, rows in older if run.method not in settings or run.split != split}
    for run, rows in store.rows.items():
        if (run.split, run.weights) == (split, weights) and run.settings == settings.get(run.method):
            kept[run] = rows
    STORED.unlink(missing_ok=True)
    for run, rows in kept.items():
        Store(STORED).add(run, rows)
    if settings:
        plot_training(PLOT)


def plot_training(file: Path) -> None:
    """The error on the validation split by training steps, of the rivals whose curves are here."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name in LABELS:
        rows = rivals.read_curve(rivals.curve_file(name))
        for group, style in (("own_color", "-"), ("same_color", ":")):
            steps, shares = [row["step"] for row in rows], [row[group] for row in rows]
            color = COLORS[name]
            axes.plot(steps, shares, style, color=color, label=f"{name}, {group.replace('_', ' ')}")
    axes.axhline(1, color=COLORS["paste"])
    axes.set(xlabel=f"steps of {rivals.COUNT} pastes", ylabel="fMSE as a share of the paste's, validation split")
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)
