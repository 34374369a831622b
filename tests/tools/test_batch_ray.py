"""A batch on Ray: the same rows, and an actor that is killed is replaced."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import batch_server
import pytest
import ray
from test_batch import ROWS, Folder, wait_until

from phd_batch import drive, run


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch):
    """Ray reads this once in a process."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


def test_without_ray_a_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    folder = Folder(tmp_path)
    folder.table(*ROWS[:1])
    monkeypatch.setitem(sys.modules, "ray", None)
    assert folder.run("--ray") == 2
    assert "pip install 'ray[default]'" in capsys.readouterr().err


def test_actors_drive_servers_and_a_killed_one_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(drive, "RESTART", 0.05)
    folder, kept = Folder(tmp_path), []
    folder.table(*ROWS)
    make = run.make_runners

    def keep(*arguments):
        kept.extend(make(*arguments))
        return kept

    monkeypatch.setattr(run, "make_runners", keep)
    with batch_server.serving() as server:
        status = []
        thread = threading.Thread(target=lambda: status.append(folder.run("--ray", "--server", server.url)))
        thread.start()
        wait_until(lambda: len(server.prompts) >= 3)
        os.kill(kept[0].process(), signal.SIGKILL)
        thread.join(60)

    assert status == [0] and {row["tries"] for row in folder.results()} == {"0"}
    assert len(set(folder.pixels().values())) == 12
    assert not ray.is_initialized()


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The address of a cluster on this machine, as `ray start` leaves it running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    head = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--include-dashboard=false"]
    place = ["--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=1"]
    process = subprocess.Popen([*head, *place], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def test_a_named_cluster_is_joined_and_an_own_one_started_beside_it(tmp_path, capsys):
    with cluster() as address, batch_server.serving() as server:
        for name, arguments in {"joined": ("--ray", address), "own": ("--ray",)}.items():
            (tmp_path / name).mkdir()
            folder = Folder(tmp_path / name)
            folder.table(*ROWS[:2])
            assert folder.run(*arguments, "--server", server.url) == 0, capsys.readouterr().err
            assert len(folder.pixels()) == 2
