"""What the README's numbers come from: `python3 dev.py bench NAME` runs `benchmarks/NAME/run.py`."""
