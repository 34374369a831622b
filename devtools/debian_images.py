"""Photographs inside Debian's packages, for `bench quality --photographs` and the module's training.

A package that is not installed is downloaded with apt once and unpacked into `.cache/debian`; nothing is installed.
"""

import functools
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from devtools.paths import CACHE

FOLDER = CACHE / "debian"
GCOMPRIS = "gcompris-qt-data"


def photograph_bytes(package: str, path: str) -> bytes:
    """The file of a photograph. Raises FileNotFoundError where the package cannot be had.

    Args:
        package: one of Debian.
        path: in the package; for GCompris its activity, a slash, and the path in the activity's resources.
    """
    if package != GCOMPRIS:
        return debian_file(package, path).read_bytes()
    activity, rest = path.split("/", 1)
    file = debian_file(GCOMPRIS, f"usr/share/gcompris-qt/rcc/{activity}.rcc")
    return resources(file)[f"gcompris/src/activities/{activity}/resource/{rest}"]


def debian_file(package: str, path: str) -> Path:
    """A file of a Debian package, `path` as in usr/share/…. Raises FileNotFoundError where it cannot be had."""
    for root in (Path("/"), FOLDER / package):
        if (root / path).is_file():
            return root / path
    unpack(package)
    if not (FOLDER / package / path).is_file():
        raise FileNotFoundError(f"Debian's package {package!r} has no file {path!r}.")
    return FOLDER / package / path


@functools.cache
def unpack(package: str) -> None:
    """Downloads a package into FOLDER, once a run."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise FileNotFoundError(f"Debian's package {package!r} is not installed, and there is no apt to download it.")
    if (FOLDER / package).is_dir():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        done = subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, capture_output=True)
        archives = [*Path(folder).glob("*.deb")]
        if done.returncode or not archives:
            raise FileNotFoundError(f"apt could not download Debian's package {package!r}; try apt-get update first.")
        subprocess.run(["dpkg-deb", "-x", archives[0], Path(folder) / "unpacked"], check=True)
        # In one move, so that an interrupted run leaves no incomplete folder.
        (Path(folder) / "unpacked").rename(FOLDER / package)


@functools.cache
def resources(file: Path) -> dict[str, bytes]:
    """The uncompressed files inside a Qt resource file (.rcc), by path.

    The format: a header, then at three offsets a tree of nodes, the files' data and their names. A folder's node has
    the second bit of its flags set, and gives the number of its children and the first of them.
    """
    data = file.read_bytes()
    if data[:4] != b"qres":
        raise ValueError(f"{file} is not a Qt resource file.")
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    size, found = 14 if version < 2 else 22, {}

    def visit(node: int, prefix: str) -> None:
        name_at, flags = struct.unpack_from(">IH", data, tree + node * size)
        (length,) = struct.unpack_from(">H", data, names + name_at)
        # Two bytes of length, four of a hash. The root has no name.
        start = names + name_at + 6
        path = f"{prefix}/{data[start : start + 2 * length].decode('utf-16-be')}" if node else ""
        if flags & 2:
            count, first = struct.unpack_from(">2I", data, tree + node * size + 6)
            for child in range(first, first + count):
                visit(child, path)
        elif flags == 0:
            (at,) = struct.unpack_from(">I", data, tree + node * size + 10)
            (length,) = struct.unpack_from(">I", data, contents + at)
            found[path.lstrip("/")] = data[contents + at + 4 : contents + at + 4 + length]

    visit(0, "")
    return found
