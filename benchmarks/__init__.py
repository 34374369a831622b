"""What the numbers in docs/benchmarks.md come from: `python3 dev.py bench NAME` runs `benchmarks/NAME/run.py`.

A whole run keeps its figures in `benchmarks/NAME/results`, and `python3 dev.py docs` makes the page's tables of them.
"""
