"""The browser's code against the types that ComfyUI's frontend publishes."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
INSTALL = ["ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]


@pytest.fixture(scope="module")
def compiler():
    """TypeScript and the frontend's types, of the versions that package-lock.json names."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("needs node and npm on the PATH")
    lock, installed = HERE / "package-lock.json", HERE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = subprocess.run([npm, *INSTALL], cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"npm could not install TypeScript: {done.stderr.strip()[-300:]}")
    return [node, str(HERE / "node_modules" / "typescript" / "bin" / "tsc")]


def test_the_browsers_code_keeps_to_its_types_and_the_frontends(compiler):
    done = subprocess.run([*compiler, "-p", str(HERE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_only_the_frontends_public_modules_are_imported():
    scripts = HERE.parent.parent / "web" / "js"
    for path in scripts.rglob("*.*"):
        imports = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("import ")]
        named = {line.split('"')[1] for line in imports}
        outside = {name for name in named if not (path.parent / name).resolve().is_relative_to(scripts)}
        allowed = {"../../../scripts/app.js", "../../../scripts/api.js"} if path.suffix == ".js" else set()
        assert outside <= allowed, f"{path.name} imports {outside - allowed}"
