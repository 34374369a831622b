"""Which subjects and backgrounds belong to training, validation and test; none belongs to two of them.

A subject is a class in a color (a red apple); a background is a ground with what stands behind it (sand before a brick
wall). The splits share words, not combinations: of every class, seven colors in ten are for training, one is for
validation and two are for the test; backgrounds are divided in the same way. Each split has textures of its own, from
its own seeds and its own parts of the photographs.
"""

SPLITS = ("train", "validation", "test")


def check(split: str) -> str:
    """Returns the split. Raises ValueError for a name that is not in SPLITS."""
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; there are: {', '.join(SPLITS)}.")
    return split


def of_cell(row: int, column: int) -> str:
    """The split of a cell in a table of combinations; every row and every column of ten cells has all three splits."""
    place = (3 * row + 7 * column) % 10
    return "test" if place < 2 else "validation" if place == 2 else "train"
