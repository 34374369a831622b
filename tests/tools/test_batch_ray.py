"""A batch on Ray: the same rows, and an actor that is killed is replaced. Only where Ray is installed."""

import importlib.util
import os
import signal
import sys
import threading

import batch_server
import pytest
from test_batch import ROWS, Folder, wait_until

from phd_batch import drive, run

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is optional.")


def test_without_ray_a_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    folder = Folder(tmp_path)
    folder.table(*ROWS[:1])
    monkeypatch.setitem(sys.modules, "ray", None)
    assert folder.run("--ray") == 2
    assert "pip install 'ray[default]'" in capsys.readouterr().err


@needs_ray
def test_actors_drive_servers_and_a_killed_one_is_replaced(tmp_path, monkeypatch):
    import ray

    monkeypatch.setattr(drive, "RESTART", 0.05)
    folder, kept = Folder(tmp_path), []
    folder.table(*ROWS)
    make = run.make_runners

    def keep(*arguments):
        kept.extend(make(*arguments))
        return kept

    monkeypatch.setattr(run, "make_runners", keep)
    try:
        with batch_server.serving() as server:
            status = []
            thread = threading.Thread(target=lambda: status.append(folder.run("--ray", "--server", server.url)))
            thread.start()
            wait_until(lambda: len(server.prompts) >= 3)
            os.kill(kept[0].process(), signal.SIGKILL)
            thread.join(60)

        assert status == [0] and {row["tries"] for row in folder.results()} == {"0"}
        assert len(set(folder.pixels().values())) == 12
    finally:
        ray.shutdown()
