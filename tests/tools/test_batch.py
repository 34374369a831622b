"""A batch runs every row once, whatever is killed, and leaves whole images and tables."""

import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import batch_worker
import numpy as np
import psutil
import pytest
from PIL import Image

from devtools.paths import ROOT
from devtools.videos import write_video
from phd_batch import drive, run, workers
from phd_batch.ledger import Ledger
from phd_batch.results import FULL
from phd_batch.video import read_frames

STUB = Path(batch_worker.__file__)


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    """Workers that are up at once, and failed jobs that are tried again at once."""
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, str(STUB)))
    monkeypatch.setattr(drive, "BACKOFF", 0.01)
    monkeypatch.setattr(drive, "RESTART", 0.01)
    monkeypatch.setattr(drive, "TEND_SECONDS", 0.05)


class Folder:
    """A folder with a workflow, three images and a table of jobs."""

    def __init__(self, path: Path):
        self.path, self.out = path, path / "out"
        for number, name in enumerate(("a, b.png", "ä ☃\n.png", "c.png")):
            Image.new("RGB", (8, 8), (number, 90, 9)).save(path / name, "PNG")
        (path / "w.json").write_text(json.dumps(batch_worker.WORKFLOW))

    def table(self, *rows: dict) -> None:
        (self.path / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def arguments(self, *arguments: str, jobs: str = "jobs.jsonl") -> list[str]:
        return [str(self.path / jobs), "--workflow", str(self.path / "w.json"), "--out", str(self.out), *arguments]

    def run(self, *arguments: str) -> int:
        return run.main(self.arguments(*arguments))

    def results(self) -> list[dict]:
        with (self.out / "results.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def pixels(self) -> dict[str, bytes]:
        """Of every row's image."""
        return {row["row"]: np.asarray(Image.open(self.out / row["file"])).tobytes() for row in self.results()}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def wait_until(happened) -> None:
    """Waits for what another thread or process does; a test that waits for ever would hide why."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


NAMES = ("a, b.png", "ä ☃\n.png", "c.png")
ROWS = [{"exemplar": NAMES[i % 3], "seed": 100 + i, "Tint.text": "slow"} for i in range(12)]


def test_every_row_gets_its_image_and_its_report(folder):
    folder.table(*ROWS)
    assert folder.run("--workers", "2") == 0
    found = folder.results()
    assert [row["state"] for row in found] == ["done"] * 12 and [row["row"] for row in found] == [
        str(i) for i in range(1, 13)
    ]
    assert found[4]["seed"] == "104" and found[4]["identity"] == "0.104" and found[4]["neglected"] == "false"
    assert found[4]["gain"] == "1 0.9 0.8" and found[4]["calls"] == "2" and found[4]["worker"].startswith("worker ")
    assert len(set(folder.pixels().values())) == 12
    # Nothing else is left.
    assert not (folder.out / ".work").exists()
    assert len(list((folder.out / "images").iterdir())) == 12


def test_a_batch_may_be_started_from_any_folder(folder, monkeypatch):
    folder.table(*ROWS[:2])
    monkeypatch.chdir(folder.path)
    assert run.main(["jobs.jsonl", "--workflow", "w.json", "--out", "out"]) == 0
    assert [row["state"] for row in folder.results()] == ["done"] * 2 and len(folder.pixels()) == 2


def test_a_pattern_does_not_match_the_results_of_an_earlier_start(folder, capsys):
    arguments = ["exemplar=**/*.png", "--inputs", str(folder.path), *folder.arguments()[1:]]
    # The folder of the images itself holds no results.
    assert run.main([*arguments[:-1], str(folder.path)]) == 2 and "holds other files" in capsys.readouterr().err
    for _ in range(2):
        assert run.main(arguments) == 0
        assert [row["exemplar"] for row in folder.results()] == [str(folder.path / name) for name in sorted(NAMES)]


def test_a_second_start_runs_only_what_is_new(folder, capsys):
    folder.table(*ROWS[:3])
    assert folder.run() == 0
    folder.table(*ROWS[:4])
    assert folder.run("--events", "jsonl") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["row"] for event in events if event["event"] == "started"] == [4]
    assert events[-1]["event"] == "ended" and events[-1]["status"] == 0


def test_what_fails_is_tried_again_and_what_is_refused_is_not(folder, capsys):
    texts = ("fail once", "die once", "fail", "refuse", "plain")
    folder.table(*({"exemplar": "c.png", "Tint.text": text} for text in texts))
    assert folder.run("--retries", "1", "--events", "jsonl") == 1
    found = {row["Tint.text"]: row for row in folder.results()}
    assert {text: row["state"] for text, row in found.items()} == {
        "fail once": "done", "die once": "done", "fail": "failed", "refuse": "refused", "plain": "done",
    }  # fmt: skip
    assert found["fail"]["error"] == "it fails." and found["refuse"]["error"] == "text is wrong."
    assert (found["die once"]["tries"], found["fail once"]["tries"], found["fail"]["tries"]) == ("0", "1", "2")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    started = [event["row"] for event in events if event["event"] == "started"]
    assert [started.count(row) for row in range(1, 6)] == [2, 2, 2, 1, 1]


def test_a_job_that_ends_its_worker_every_time_ends_only_itself(folder):
    folder.table({"exemplar": "c.png", "Tint.text": "die"}, *ROWS[:2])
    assert folder.run() == 1
    assert [row["state"] for row in folder.results()] == ["failed", "done", "done"]


def test_rejected_rows_get_other_seeds(folder):
    # The identity is the seed's last three digits; the next seed has three more.
    folder.table(
        {"exemplar": "c.png", "seed": 898}, {"exemplar": "c.png", "seed": 950}, {"exemplar": "c.png", "seed": 1}
    )
    assert folder.run("--reject", "identity < .9", "--tries", "2") == 1
    found = folder.results()
    assert [row["seed"] for row in found] == [str(898 + drive.RESEED), "950", str(1 + drive.RESEED)]
    assert [row["rejected"] for row in found] == ["false", "false", "true"]
    assert [row["identity"] for row in found] == ["0.901", "0.95", "0.004"]


def test_a_full_disk_stops_the_batch_and_costs_nothing(folder, monkeypatch):
    folder.table(*ROWS)
    calls, replace = [], os.replace

    def full_once(*names):
        calls.append(names)
        if len(calls) == 5:
            raise OSError(FULL[0], "No space left on device")
        replace(*names)

    monkeypatch.setattr(os, "replace", full_once)
    assert folder.run() == 1
    states = [row["state"] for row in folder.results()]
    assert states.count("done") == 4 and states.count("queued") == 8
    assert folder.run() == 0
    assert {row["tries"] for row in folder.results()} == {"0"}


@pytest.mark.parametrize("step", ["enter", "claim"])
def test_a_ledger_that_cannot_grow_stops_the_batch_too(step, folder, monkeypatch, capsys):
    folder.table(*ROWS[:3])

    def full(*arguments):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Ledger, step, full)
    assert folder.run() == 1
    assert "the ledger cannot be written (database or disk is full)" in capsys.readouterr().err.lower()
    monkeypatch.undo()
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, str(STUB)))
    assert folder.run() == 0


def test_tables_that_cannot_be_written_are_written_by_the_next_start(folder, monkeypatch, capsys):
    folder.table(*ROWS[:3])
    monkeypatch.setattr(run, "write_tables", lambda *arguments: os.open(folder.path / "none" / "none", 0))
    assert folder.run() == 1 and "3 done." in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, str(STUB)))
    assert folder.run() == 0 and len(folder.results()) == 3


def test_a_worker_without_space_stops_the_batch_too(folder):
    folder.table({"exemplar": "c.png", "Tint.text": "full"})
    assert folder.run() == 1
    assert folder.results()[0]["state"] == "queued"


def test_an_image_that_the_workflow_itself_names_is_taken_from_the_folder(folder, capsys):
    folder.table({"seed": 1})
    assert "Exemplar.image, which no column sets: there is no file x.png" in wrong(folder, capsys)
    Image.new("RGB", (8, 8), (7, 7, 7)).save(folder.path / "x.png")
    assert folder.run() == 0
    before = folder.pixels()
    Image.new("RGB", (8, 8), (8, 8, 8)).save(folder.path / "x.png")
    assert folder.run() == 0 and folder.pixels() != before


def test_an_image_that_changed_or_left_is_another_job(folder):
    folder.table(*ROWS[:3])
    assert folder.run() == 0
    before = folder.pixels()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(folder.path / "c.png")
    assert folder.run() == 0
    after = folder.pixels()
    assert [before[row] == after[row] for row in ("1", "2", "3")] == [True, True, False]


def test_an_image_that_changes_while_the_batch_runs_is_not_used(folder, monkeypatch):
    folder.table({"exemplar": "c.png", "seed": 1, "Tint.text": "slow"}, {"exemplar": "c.png", "seed": 2})
    planned = run.plan

    def then_changed(*arguments):
        kept = planned(*arguments)
        Image.new("RGB", (9, 9)).save(folder.path / "c.png")
        return kept

    monkeypatch.setattr(run, "plan", then_changed)
    assert folder.run() == 1
    assert {row["state"] for row in folder.results()} == {"refused"} and "has changed" in folder.results()[0]["error"]
    monkeypatch.undo()
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, str(STUB)))
    assert folder.run() == 0


def test_another_version_runs_everything_again(folder, monkeypatch, capsys):
    folder.table(*ROWS[:2])
    assert folder.run() == 0
    monkeypatch.setenv("STUB_VERSION", "2")
    assert folder.run() == 0
    assert "0 jobs stay as they are" in capsys.readouterr().err


def wrong(folder, capsys, *arguments: str, **changes) -> str:
    """What is said about a batch that is not begun; nothing was written."""
    before = sorted(folder.path.rglob("*"))
    assert run.main(folder.arguments(*arguments, **changes)) == 2
    assert sorted(folder.path.rglob("*")) == before
    return capsys.readouterr().err


def test_what_is_wrong_is_one_table_and_leaves_no_folder(folder, capsys):
    folder.table(ROWS[0], {"exemplar": "../none.png", "Tint.amount": "much", "promt": "x"})
    assert "promt" in wrong(folder, capsys)
    folder.table(ROWS[0], {"exemplar": "../none.png", "Tint.amount": "much"}, {"exemplar": "none.png"})
    lines = wrong(folder, capsys).splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [["2", "exemplar"], ["2", "Tint.amount"], ["3", "exemplar"]]


def test_a_folder_of_something_else_is_refused(folder, capsys):
    folder.table(*ROWS[:2])
    folder.out.mkdir()
    (folder.out / "holiday.jpg").write_bytes(b"")
    assert "holds other files" in wrong(folder, capsys)
    (folder.out / "holiday.jpg").unlink()
    assert folder.run() == 0
    folder.table({"exemplar": "c.png", "seed": 7})
    workflow = json.loads((folder.path / "w.json").read_text())
    workflow["2"]["inputs"]["text"] = "other"
    (folder.path / "w.json").write_text(json.dumps(workflow))
    capsys.readouterr()
    assert "holds another batch" in wrong(folder, capsys)


def test_wrong_calls_are_one_sentence(folder, capsys, monkeypatch):
    folder.table(*ROWS[:1])
    assert "--workers is 0" in wrong(folder, capsys, "--workers", "0")
    assert "is not a rule" in wrong(folder, capsys, "--reject", "identity <")
    assert "there is no file" in wrong(folder, capsys, jobs="none.csv")
    monkeypatch.setattr(run, "LEAST_BYTES", 1 << 80)
    assert "has too little space" in wrong(folder, capsys)


def test_a_worker_that_does_not_start_is_a_sentence_with_its_last_words(folder, capsys, monkeypatch):
    folder.table(*ROWS[:1])
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", "raise SystemExit('no ComfyUI here')"))
    assert "ended with status 1: no ComfyUI here" in wrong(folder, capsys)


DRIVER = """
import sys
from phd_batch import drive, run, workers
from phd_batch.ledger import Ledger
workers.COMMAND = (sys.executable, sys.argv[1])
drive.RESTART = drive.TEND_SECONDS = 0.05
drive.MOST_LOSSES = 100
sys.exit(run.main(sys.argv[2:]))
"""


def start_driver(folder) -> subprocess.Popen:
    command = [sys.executable, "-c", DRIVER, str(STUB), *folder.arguments("--workers", "2", "--events", "jsonl")]
    with (folder.path / "events.jsonl").open("ab") as events:
        return subprocess.Popen(command, cwd=ROOT, stdout=events, stderr=subprocess.DEVNULL)


def done_rows(folder) -> list[int]:
    """The rows of all "done" events; a process that was killed may have left half a line."""
    lines = (folder.path / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines if line.endswith("}") and line.startswith("{")]
    return [event["row"] for event in events if event["event"] == "done"]


def test_ctrl_c_lets_the_running_jobs_end(folder):
    rows = [{"exemplar": NAMES[i % 3], "seed": i, "Tint.text": "slow"} for i in range(200)]
    folder.table(*rows)
    process = start_driver(folder)
    wait_until(lambda: len(done_rows(folder)) >= 3)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    states = [row["state"] for row in folder.results()]
    assert states.count("done") == len(done_rows(folder)) < 200 and states.count("running") == 0
    assert not (folder.out / ".work").exists()


def test_kills_of_workers_and_drivers_lose_nothing_and_do_nothing_twice(folder):
    rows = [{"exemplar": NAMES[i % 3], "seed": i, "Tint.text": "slow"} for i in range(60)]
    folder.table(*rows)
    drawn, drivers = random.Random(0), [start_driver(folder), start_driver(folder)]
    wait_until(lambda: len(done_rows(folder)) >= 3)
    for number in range(8):
        driver = drivers[number % 2]
        if number in (3, 6):
            driver.kill()
            driver.wait()
            drivers[number % 2] = start_driver(folder)
        else:
            # Those that it had, for the driver may be over by now.
            for child in psutil.Process(driver.pid).children()[:1] if driver.poll() is None else []:
                child.kill()
        time.sleep(drawn.uniform(0.05, 0.2))
    assert [driver.wait(60) for driver in drivers] == [0, 0]
    found = folder.results()
    assert {row["state"] for row in found} == {"done"} and len(found) == 60
    doubled = [row for row in set(done_rows(folder)) if done_rows(folder).count(row) > 1]
    assert doubled == []
    for row, pixels in folder.pixels().items():
        prompt = json.loads(json.dumps(batch_worker.WORKFLOW))
        prompt["2"]["inputs"]["text"], prompt["3"]["inputs"]["seed"] = "slow", int(row) - 1
        name = NAMES[(int(row) - 1) % 3]
        assert pixels == batch_worker.color(prompt, (folder.path / name).read_bytes())[:27].ljust(27, b"\0")


def test_comfyui_itself_runs_the_rows_in_a_process_of_its_own(tmp_path, monkeypatch, comfyui):
    """With a real worker process: the image is that of the same workflow in this process."""
    from devtools.executor import run_workflow

    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-m", "phd_batch.headless"))
    node = batch_worker.node
    workflow = {
        "1": node("LoadImage", "Exemplar", image="x.png"),
        "2": node("ImageInvert", "Invert", image=["1", 0]),
        "3": node("ImageScale", "Scale", image=["2", 0], upscale_method="area", width=8, height=8, crop="disabled"),
        "4": node("SaveImage", "Save", images=["3", 0], filename_prefix="x"),
        "5": node("PhDLoadDemoImages", "Demo"),
        "6": node("PreviewImage", "Preview", images=["5", 0]),
    }
    folder = Folder(tmp_path)
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    frames = np.repeat(np.arange(8, dtype=np.uint8), 8 * 8 * 3).reshape(8, 8, 8, 3)
    write_video(tmp_path / "clip.mkv", frames)
    names = (*NAMES, "clip.mkv")
    folder.table(*({"exemplar": name, "Scale.width": 4 + i} for i, name in enumerate(names)))
    assert folder.run("--save", "Invert.IMAGE", "--save", "Exemplar.MASK", "--chunk", "6") == 0
    import folder_paths

    clip = folder.results()[3]
    assert clip["file"].endswith(".mkv") and len(clip["more_files"].split()) == 2
    shown = np.stack([frame.pixels for frame in read_frames(folder.out / clip["file"])])
    assert shown.shape == (8, 8, 7, 3) and np.array_equal(shown[:, 0, 0, 0], 255 - np.arange(8))
    assert (folder.out / "thumbnails" / f"{Path(clip['file']).stem}.jpg").is_file()
    for number, row in enumerate(folder.results()[:3]):
        copied = Path(folder_paths.get_input_directory()) / "batch.png"
        copied.write_bytes((tmp_path / NAMES[number]).read_bytes())
        workflow["1"]["inputs"]["image"] = "batch.png"
        workflow["3"]["inputs"]["width"] = 4 + number
        (expected,) = run_workflow({name: workflow[name] for name in "1234"}).results["3"]
        found = np.asarray(Image.open(folder.out / row["file"]))
        assert np.array_equal(found, (expected[0].numpy() * 255).clip(0, 255).astype(np.uint8))
        others = [Path(file).name.partition(".")[2] for file in row["more_files"].split()]
        assert others == ["Exemplar.MASK.png", "Invert.IMAGE.png"]


def test_a_clip_that_cannot_be_run_is_refused_and_its_worker_lives(tmp_path, monkeypatch, comfyui):
    """With a real worker process, which keeps its models."""
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-m", "phd_batch.headless"))
    node = batch_worker.node
    pasted = {"background": ["1", 0], "subject": ["5", 0], "x": 0.5, "y": 0.5, "size": 0.5, "rotation": 0.0}
    workflow = {
        "1": node("LoadImage", "Background", image="x.png"),
        "2": node(
            "PhDPasteBlend", "Paste", **pasted, subject_mask=["3", 0], placement="manual", flip=False, feather=1.5
        ),
        "3": node("SolidMask", "Mask", value=1.0, width=8, height=8),
        "4": node("SaveImage", "Save", images=["2", 1], filename_prefix="x"),
        "5": node("EmptyImage", "Subject", width=8, height=8, batch_size=1, color=0),
    }
    workflow["2"]["inputs"] |= {"ring": 2, "shadow": False, "seed": 0, "size_min": 0.4, "size_max": 0.8}
    folder = Folder(tmp_path)
    (tmp_path / "w.json").write_text(json.dumps(workflow))
    write_video(tmp_path / "clip.mkv", np.zeros((3, 8, 8, 3), np.uint8))
    folder.table({"background": "clip.mkv", "Paste.keyframes": "0; x 0.1"}, {"background": "clip.mkv"})
    assert folder.run() == 1
    wrong, right = folder.results()
    assert wrong["state"] == "refused" and "'0; x 0.1' is not a keyframe" in wrong["error"]
    assert right["state"] == "done"
