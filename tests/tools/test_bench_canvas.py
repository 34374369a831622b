"""The part of `dev.py bench canvas` that needs no browser."""

from benchmarks.canvas.run import SCRIPTS, holds, measure_code


def test_the_browsers_code_is_small():
    section = measure_code()
    assert holds("gzip_kb", section.figures["gzip_kb"])
    files = [path for path in SCRIPTS.iterdir() if path.is_file()]
    assert ("files", f"{len(files):9d}") in section.rows
