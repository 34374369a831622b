"""`python3 dev.py bench demo`: time and memory of the demo, from the start of the process to the last image written."""

import json
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.common import docs as page
from benchmarks.common.memory import high_water
from demo.run import argument_parser, print_table, run, save


def main(arguments: list[str]) -> int:
    demo = run(argument_parser().parse_args(arguments))
    with tempfile.TemporaryDirectory() as folder:
        save(demo, Path(folder))
    seconds = time.time() - psutil.Process().create_time()
    print_table(demo)
    print(f"{'whole process':<28}{seconds:>9.2f} s, {high_water() / 1e9:.2f} GB at its peak")
    figures = {
        "seconds": round(seconds, 2),
        "graph_seconds": round(sum(demo.run.seconds.values()), 2),
        "peak_memory_gb": round(high_water() / 1e9, 3),
        "model_calls": sum(demo.run.model_calls.values()),
        "untouched_share": round(demo.untouched, 4),
        "outside_equal": demo.kept,
        "nodes": {
            demo.titles[node_id]: {"seconds": round(seconds, 2), "model_calls": demo.run.model_calls[node_id]}
            for node_id, seconds in demo.run.seconds.items()
        },
    }
    # Other images or another model are not what the page shows.
    if not arguments:
        page.publish("demo", figures)
    print(json.dumps(figures))
    return 0 if demo.kept else 1
