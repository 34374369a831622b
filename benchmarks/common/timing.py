"""Times of several functions, measured in turns."""

import statistics
import time
from collections.abc import Callable


def race(repeats: int, runners: dict[str, Callable]) -> dict[str, float]:
    """Median time of each runner in milliseconds.

    The runners take turns, so that a busy machine slows all of them. The first run of each is not counted.
    """
    taken = {name: [] for name in runners}
    for _ in range(repeats + 1):
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(times[1:]) for name, times in taken.items()}
