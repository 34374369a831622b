"""Creates `.venv`, in which the demo, the tests and the benchmarks run. Uses the standard library only."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from devtools.paths import ROOT

VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "devtools" / "requirements.txt"
REQUIREMENTS_NODEPS = ROOT / "devtools" / "requirements-nodeps.txt"
# Written last, with the hash of the requirements: after an interrupted set-up it is missing, and the next run goes on.
STAMP = VENV / "paste-inpaint-harmonize.stamp"
OLDEST_PYTHON = (3, 10)


class SetupError(Exception):
    """The environment cannot be created; the message is one sentence for the user."""


def ensure() -> Path:
    """Creates `.venv` from the pinned requirements where it is missing, incomplete or out of date.

    Returns the path of its Python. Raises SetupError where it cannot be created.
    """
    if sys.version_info < OLDEST_PYTHON:
        raise SetupError(f"Python 3.10 or newer is needed, and this is {sys.version_info[0]}.{sys.version_info[1]}.")
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = requirements_hash()
    if python.exists() and STAMP.is_file() and STAMP.read_text() == wanted:
        return python

    if has_pip(python):
        STAMP.unlink(missing_ok=True)
    else:
        create()
    torch = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch=="))
    # First and by itself, so that pip picks the build for this machine, whatever the other packages require.
    install(python, "torch, the largest", torch)
    install(python, "what ComfyUI, the pack and the tests import", "-r", str(REQUIREMENTS))
    install(
        python,
        "packages taken without their dependencies",
        "--no-deps",
        "--ignore-requires-python",
        "-r",
        str(REQUIREMENTS_NODEPS),
    )
    STAMP.write_text(wanted)
    return python


def is_inside() -> bool:
    """Whether this process runs in `.venv`."""
    return Path(sys.prefix).resolve() == VENV.resolve()


def requirements_hash() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes() + REQUIREMENTS_NODEPS.read_bytes()).hexdigest()


def has_pip(python: Path) -> bool:
    """False where the environment is missing or incomplete, or where its Python was removed from the system."""
    try:
        return subprocess.run([str(python), "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False


def create() -> None:
    # Debian and its derivatives ship `venv` without the `ensurepip` that it needs.
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetupError("This Python cannot make virtual environments; on Debian or Ubuntu: apt install python3-venv.")
    announce("a virtual environment")
    result = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True)
    if result.returncode != 0:
        raise SetupError(f"Could not make the virtual environment {VENV}{reason(result)}.")


def install(python: Path, step: str, *arguments: str) -> None:
    announce(step)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        problem = f"Setting up .venv failed at this step: {step}{reason(result)}."
        raise SetupError(f"{problem} The same command goes on from here.")


def announce(step: str) -> None:
    print(f"Setting up .venv (once, a few minutes): {step} …", flush=True)


def reason(result: subprocess.CompletedProcess) -> str:
    """The last error that a tool printed, in brackets; empty where it printed none."""
    lines = [line.strip() for line in (result.stdout + "\n" + result.stderr).splitlines() if line.strip()]
    errors = [line[len("ERROR:") :].strip() for line in lines if line.upper().startswith("ERROR:")] or lines
    return f" ({errors[-1].rstrip('.')})" if errors else ""
