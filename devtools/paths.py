"""Where things are in this repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
OUTPUT = ROOT / "output"
DEMO_WEIGHTS = ROOT / "demo" / "weights"
