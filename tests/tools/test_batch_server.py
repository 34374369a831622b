"""A batch on ComfyUI servers: slow, failing, forgetful and dead ones."""

import contextlib
import json
import sqlite3
import threading
import time

import batch_server
import pytest
from test_batch import NAMES, ROWS, Folder, wait_until, wrong

from devtools.processes import free_port
from phd_batch import drive, run
from phd_batch import server as servers
from phd_batch.faults import UsageError
from phd_batch.server import ServerWorker


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(drive, "BACKOFF", 0.01)
    monkeypatch.setattr(drive, "RESTART", 0.02)
    monkeypatch.setattr(drive, "LONGEST", 0.05)
    monkeypatch.setattr(servers, "LOOK", 0.05)
    monkeypatch.setattr(ServerWorker, "patience", 0.3)


@pytest.fixture
def server():
    with batch_server.serving() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_server_runs_all_rows_and_gets_each_image_once(folder, server):
    folder.table(*ROWS)
    assert folder.run("--server", server.url) == 0
    found = folder.results()
    assert {row["state"] for row in found} == {"done"} and len(set(folder.pixels().values())) == 12
    assert found[4]["identity"] == "0.104" and found[4]["calls"] == "" and found[4]["seconds"] == "0.25"
    assert found[4]["worker"] == server.url.removeprefix("http://")
    assert len([file for file in server.folder.iterdir() if not file.name.startswith("phd_batch")]) == 3
    assert server.history == {} or len(server.history) == 12


def test_two_servers_share_the_rows(folder, server):
    folder.table(*ROWS)
    with batch_server.serving() as other:
        assert folder.run("--server", server.url, "--server", other.url) == 0
        assert len(server.prompts) + len(other.prompts) == 12 and server.prompts and other.prompts


@pytest.mark.parametrize("trouble", ["500", "503", "slow", "cut off", "lost"])
def test_trouble_of_a_server_costs_no_job_a_try(trouble, folder, server):
    folder.table(*ROWS[:3])
    server.trouble = [trouble] * 2 if trouble == "cut off" else [trouble]
    assert folder.run("--server", server.url) == 0
    assert server.trouble == []
    assert {row["tries"] for row in folder.results()} == {"0"}


def test_a_server_that_only_fails_is_given_up_and_the_other_does_the_rows(folder, server):
    folder.table(*ROWS)
    with batch_server.serving() as other:
        other.trouble = ["500"] * 1000
        assert folder.run("--server", server.url, "--server", other.url) in (0, 1)
        states = [row["state"] for row in folder.results()]
        assert states.count("done") >= 10 and not other.prompts
        # What the other one took too often is done by the next start.
        assert folder.run("--server", server.url) == 0


def test_a_prompt_that_comfyui_refuses_is_not_tried_again(folder, server):
    folder.table(*ROWS[:3])
    server.trouble = ["bad prompt"]
    assert folder.run("--server", server.url) == 1
    states = {row["state"]: row["error"] for row in folder.results()}
    assert states["refused"] == "Tint: Value is wrong: amount" and len(server.prompts) == 2


def test_an_error_of_a_node_is_refused_if_the_pack_raised_it(folder, server):
    folder.table(*({"exemplar": "c.png", "Tint.text": text} for text in ("refuse", "fail")))
    assert folder.run("--server", server.url, "--retries", "1") == 1
    found = folder.results()
    assert [(row["state"], row["error"]) for row in found] == [
        ("refused", "PhDTint: text is wrong."),
        ("failed", "Tint: it fails."),
    ]
    assert len(server.prompts) == 3


def test_a_server_that_comes_back_goes_on(folder, monkeypatch):
    monkeypatch.setattr(ServerWorker, "patience", 20)
    folder.table(*ROWS)
    port, status = free_port(), []
    with batch_server.serving(port) as first:
        thread = threading.Thread(target=lambda: status.append(folder.run("--server", first.url)))
        thread.start()
        wait_until(lambda: len(first.prompts) >= 3)
    time.sleep(0.1)
    with batch_server.serving(port) as second:
        thread.join(20)
        assert second.prompts
    assert status == [0] and {row["tries"] for row in folder.results()} == {"0"}


def test_a_server_that_stays_away_is_given_up_and_nothing_is_lost(folder):
    folder.table(*ROWS)
    status = []
    with batch_server.serving() as server:
        thread = threading.Thread(target=lambda: status.append(folder.run("--server", server.url)))
        thread.start()
        wait_until(lambda: len(server.prompts) >= 3)
        url = server.url
    thread.join(20)
    assert status == [1]
    states = [row["state"] for row in folder.results()]
    assert states.count("done") >= 2 and states.count("queued") + states.count("done") == 12
    with batch_server.serving(int(url.rpartition(":")[2])) as server:
        assert folder.run("--server", server.url) == 0


def test_a_job_that_a_killed_driver_left_on_the_server_is_not_run_there_again(folder, server):
    folder.table(*ROWS[:1])
    url = server.url
    assert folder.run("--server", url) == 0
    ran = len(server.prompts)
    (name,) = server.history
    # As if the driver had been killed between the server's end and its own record.
    with contextlib.closing(sqlite3.connect(folder.out / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE jobs SET state = 1, driver = 'gone', result = NULL")
    assert folder.run("--server", url) == 0
    assert len(server.prompts) == ran == 1 and list(server.history) == [name]
    assert folder.results()[0]["state"] == "done"


def test_servers_of_different_versions_are_refused(folder, server, capsys):
    folder.table(*ROWS[:1])
    with batch_server.serving() as other:
        other.version = "2"
        text = wrong(folder, capsys, "--server", server.url, "--server", other.url)
        assert "the servers differ" in text and "ComfyUI 1" in text and "ComfyUI 2" in text
        other.version, other.info = "1", json.loads(json.dumps(other.info))
        other.info["PhDStitch"] = {"input": {"required": {"detail": ["FLOAT", {}]}}}
        assert "the servers differ" in wrong(folder, capsys, "--server", server.url, "--server", other.url)
        # Other models on the disk are no other version.
        del other.info["PhDStitch"]
        other.info["LoadImage"]["input"]["required"]["image"][0].append("more.png")
        assert folder.run("--server", server.url, "--server", other.url) == 0


def test_a_server_without_the_nodes_or_without_an_answer_is_named(folder, server, capsys):
    folder.table(*ROWS[:1])
    server.info = {kind: schema for kind, schema in server.info.items() if kind != "Tint"}
    assert "there is no node 'Tint'" in wrong(folder, capsys, "--server", server.url)
    assert "does not respond" in wrong(folder, capsys, "--server", f"http://127.0.0.1:{free_port()}")
    assert "is not an address" in wrong(folder, capsys, "--server", "ftp://x")
    assert "appears twice" in wrong(folder, capsys, "--server", server.url, "--server", server.url + "/")
    assert "leave it out" in wrong(folder, capsys, "--server", server.url, "--workers", "2")


def test_a_password_goes_to_the_server_and_nowhere_else(folder, server, capsys):
    folder.table(*ROWS[:2])
    url = server.url.replace("http://", "http://me:s3cret@")
    assert folder.run("--server", url, "--events", "jsonl") == 0
    assert server.authorization == {"Basic bWU6czNjcmV0"}
    printed = capsys.readouterr()
    assert "s3cret" not in printed.out + printed.err
    assert not [file for file in folder.path.rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]
    with pytest.raises(UsageError) as caught:
        ServerWorker("http://me:s3cret@host:port")
    assert "s3cret" not in str(caught.value)


def test_names_are_sent_as_hashes(folder, server):
    folder.table({"exemplar": NAMES[1], "seed": 5})
    assert run.main(folder.arguments("--server", server.url)) == 0
    image = server.prompts[0]["1"]["inputs"]["image"]
    assert image.startswith("phd_batch/") and image.endswith(".png") and image.isascii()
