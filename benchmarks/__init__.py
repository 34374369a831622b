"""What the numbers in docs/benchmarks.md come from: `python3 dev.py bench NAME` runs `benchmarks/NAME/run.py`."""
