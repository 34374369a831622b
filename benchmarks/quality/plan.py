"""How much `bench quality` measures, and where its results go."""

from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
# The numbers of model calls per scene; methods are compared with each other at MAIN_LEVEL.
LEVELS = (10, 36, 60, 120)
QUICK_LEVELS = LEVELS[:2]
MAIN_LEVEL = 36
# The least number of scenes (one of each stratum); scenes and seeds of a whole run.
LEAST_SCENES, SCENES, SEEDS = 8, 200, 2


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        count: number of scenes.
        seeds: number of seeds for methods that draw noise.
        levels: numbers of model calls, of LEVELS.
        split: of RelitScenes.
        folder: where results are written.
        first: the number of the first scene; the published ones begin with 0.
    """

    count: int
    seeds: int
    levels: tuple[int, ...]
    split: str
    folder: Path
    first: int = 0

    @property
    def numbers(self) -> range:
        """The scenes."""
        return range(self.first, self.first + self.count)

    @property
    def published(self) -> bool:
        """Whether docs/benchmarks.md gets the table of this run."""
        return is_whole(self.count, self.split, self.first) and MAIN_LEVEL in self.levels and self.folder == RESULTS

    @property
    def rows(self) -> Path:
        """The file of all scenes' figures."""
        return self.folder / "quality_scenes.csv"


def is_whole(count: int, split: str, first: int) -> bool:
    """Whether a run measures all scenes of the test split that are published."""
    return (count, split, first) == (SCENES, "test", 0)
