"""Which subjects and which backgrounds belong to training, validation and test; none belongs to two.

A subject is a class in a color (a red apple), a background is a ground with what stands behind it (sand before a brick
wall). Words are shared, combinations are not: of every class seven colors in ten are trained on, one is for
validation and two are for the test, and likewise for the backgrounds. Textures are drawn anew for each split, from
seeds and from parts of photographs that no other split reads.
"""

SPLITS = ("train", "validation", "test")


def check(split: str) -> str:
    """The split itself. Raises ValueError for another word."""
    if split not in SPLITS:
        raise ValueError(f"There is no split {split!r}; there are: {', '.join(SPLITS)}.")
    return split


def of_cell(row: int, column: int) -> str:
    """The split of a cell in a table of combinations: a Latin square, so that every row and column has all three."""
    place = (3 * row + 7 * column) % 10
    return "test" if place < 2 else "validation" if place == 2 else "train"
