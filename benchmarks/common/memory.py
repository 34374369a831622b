"""The most memory that a piece of work holds at once."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from devtools.paths import ROOT


def in_fresh_process(module: str, *arguments: object):
    """Runs a module as a program, and returns what it prints as JSON on its last line."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def high_water() -> int:
    """Peak resident memory of this process, in bytes."""
    # On Linux a child process inherits ru_maxrss from its parent; VmHWM starts anew.
    status = Path("/proc/self/status")
    if status.is_file():
        return int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) << 10
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def extra(work: Callable) -> int:
    """Peak memory in bytes that `work` adds to what the process already holds; its return value counts."""
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")
    start = psutil.Process().memory_info().rss
    kept = work()
    peak = high_water() - start
    del kept
    return peak
