"""The ledger gives each job to one worker, takes up what dead processes left, and plans all rows or none."""

import os
import sqlite3
import subprocess
import sys

import pytest
from batch_support import INFO, images, table, workflow

from phd_batch import ledger as ledgers
from phd_batch.bindings import bind
from phd_batch.faults import Faults
from phd_batch.jobs import read_jobs
from phd_batch.ledger import Ledger
from phd_batch.plan import Bound, Files, plan


@pytest.fixture
def folder(tmp_path):
    images(tmp_path, "a.png", "b.png", "c.png")
    return tmp_path


def planned(folder, rows, columns=("exemplar", "seed"), ledger=None, versions=None, of=None):
    of = of or workflow()
    ledger = ledger or Ledger(folder / "ledger.sqlite")
    jobs = read_jobs([table(folder / "jobs.csv", list(columns), *rows)], None)
    targets, faults = bind(jobs.columns, of, INFO)
    assert not faults
    bound = Bound(of, jobs.columns, targets, versions or {"pack": "1"})
    return ledger, plan(jobs, bound, ledger, {"jobs_digest": jobs.digest})


ROWS = [[name, seed] for seed in range(3) for name in ("a.png", "b.png", "c.png")]


def claims(ledger, worker="w", near=-1):
    while (claim := ledger.claim(worker, near)) is not None:
        near = claim.near
        yield claim


def test_jobs_of_one_image_follow_each_other(folder):
    ledger, _ = planned(folder, ROWS)
    assert [claim.row for claim in claims(ledger)] == [1, 4, 7, 2, 5, 8, 3, 6, 9]
    assert ledger.counts()["running"] == 9


def test_two_workers_take_jobs_of_different_images(folder):
    ledger, _ = planned(folder, ROWS)
    one, two = ledger.claim("1", -1), ledger.claim("2", -1)
    assert (one.row, two.row) == (1, 2)
    assert ledger.claim("1", one.near).row == 4 and ledger.claim("2", two.near).row == 5
    assert one.cells[0][1] == str(folder / "a.png") and one.cells[1] == 0


def test_each_state_is_recorded_once_and_only_by_its_owner(folder):
    ledger, _ = planned(folder, ROWS)
    other = Ledger(folder / "ledger.sqlite")
    claim = ledger.claim("w", -1)
    assert not other.owns(claim) and not other.done(claim, {})
    assert ledger.owns(claim) and ledger.done(claim, {"seed": 1})
    assert not ledger.done(claim, {"seed": 2}) and not ledger.owns(claim)
    assert ledger.refused(ledger.claim("w", -1), "no") and ledger.gave_back(ledger.claim("w", -1))
    assert ledger.counts() == {"queued": 7, "running": 0, "done": 1, "failed": 0, "refused": 1}


def test_a_failed_job_waits_and_has_so_many_tries(folder):
    ledger, _ = planned(folder, ROWS[:1])
    ledger.enter()
    for last in (False, True):
        claim = ledger.claim("w", -1)
        assert claim.tries == last
        ledger.failed(claim, "no", due=0.0 if not last else 1e12)
        assert ledger.left(2) is not last
        ledger.tend(2)
    assert ledger.counts()["failed"] == 1 and ledger.claim("w", -1) is None


def test_a_job_that_ends_every_worker_has_failed_until_the_next_start(folder):
    ledger, _ = planned(folder, ROWS[:1])
    for _ in range(ledgers.MOST_DEATHS):
        claim = ledger.claim("w", -1)
        assert claim.tries == 0
        ledger.lost(claim, "killed")
    ledger.tend(3)
    assert ledger.counts()["failed"] == 1 and not ledger.left(3)
    Ledger(folder / "ledger.sqlite").enter()
    assert ledger.counts()["queued"] == 1


LEAVE = """
import sys
from pathlib import Path
from phd_batch.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.enter()
ledger.claim("w", -1)
print("claimed", flush=True)
sys.stdin.read()
"""


def test_jobs_of_a_killed_process_are_taken_up_and_those_of_a_living_one_are_not(folder):
    ledger, _ = planned(folder, ROWS)
    ledger.enter()
    command = [sys.executable, "-c", LEAVE, str(folder / "ledger.sqlite")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"claimed\n"
        assert ledger.tend(3) == [] and ledger.counts()["running"] == 1
        process.kill()
    assert len(ledger.tend(3)) == 1
    assert ledger.counts()["running"] == 0 and ledger.tend(3) == []


def test_a_driver_of_another_machine_is_dead_after_its_lease(folder):
    ledger, _ = planned(folder, ROWS)
    other = Ledger(folder / "ledger.sqlite")
    ledger.enter()
    other.enter()
    other.claim("w", -1)
    with ledger.changing() as run:
        run("UPDATE drivers SET host = 'elsewhere' WHERE id = ?", (other.id,))
    assert ledger.tend(3) == []
    with ledger.changing() as run:
        run("UPDATE drivers SET beat = beat - ? WHERE id = ?", (2 * ledgers.LEASE, other.id))
    assert ledger.tend(3) == [other.id] and ledger.counts()["running"] == 0
    # It was only asleep: it is there again, without its job.
    other.tend(3)
    assert ledger.tend(3) == []


def test_who_leaves_gives_its_jobs_back(folder):
    ledger, _ = planned(folder, ROWS)
    ledger.enter()
    ledger.claim("w", -1)
    ledger.leave()
    assert ledger.counts()["queued"] == 9


def test_all_faults_are_in_one_table_and_nothing_is_written(folder):
    (folder / "broken.png").write_bytes(b"no image")
    rows = [["a.png", 1], ["none.png", "x"], ["../a.png", 2], ["broken.png", 3], ["a.png", "1"]]
    ledger = Ledger(folder / "ledger.sqlite")
    with pytest.raises(Faults) as caught:
        planned(folder, rows, ledger=ledger)
    found = [(fault.row, fault.column) for fault in caught.value.faults]
    assert found == [(2, "exemplar"), (2, "seed"), (3, "exemplar"), (4, "exemplar"), (5, "")]
    text = str(caught.value)
    assert "there is no file none.png" in text and "is outside" in text and "repeats row 1" in text
    assert not ledger.has_jobs() and ledger.facts() == {}


def test_an_empty_cell_leaves_the_workflows_own_file_if_it_has_one(folder):
    def of(name):
        own = workflow()
        own["2"]["inputs"]["image"] = name
        ledger = Ledger(folder / f"{name}.sqlite")
        return planned(folder, [["a.png", ""], ["", "b.png"]], ("exemplar", "background"), ledger, of=own)[0]

    # The own exemplar, x.png, is in ComfyUI's folder; the own background lies beside the table.
    first, second = (claim.cells for claim in claims(of("c.png")))
    assert first[1][1] == str(folder / "c.png") and second[0] is None
    for name, words in (("none.png", "there is no file none.png"), ("", "the workflow's own value stays: it has no")):
        with pytest.raises(Faults, match=words) as caught:
            of(name)
        assert [(fault.row, fault.column) for fault in caught.value.faults] == [(1, "background")]


def test_many_faults_are_counted(folder):
    with pytest.raises(Faults) as caught:
        planned(folder, [["none.png", seed] for seed in range(300)])
    assert "… and 250 more." in str(caught.value)


def test_a_table_without_rows_is_refused(folder):
    with pytest.raises(Faults, match="has no rows"):
        planned(folder, [])


def test_a_changed_table_keeps_the_jobs_that_are_done(folder):
    ledger, _ = planned(folder, ROWS)
    claim = ledger.claim("w", -1)
    ledger.done(claim, {"files": ["images/a.png"]})
    ledger, kept = planned(folder, [["b.png", 77], *ROWS], ledger=ledger)
    assert kept == 1
    assert ledger.read("SELECT row, state FROM jobs WHERE result IS NOT NULL") == [(2, 2)]
    # Another version, or another image under the same name, is another job.
    images(folder, "x.png", "y.png", "z.png", "a.png")
    assert planned(folder, ROWS, ledger=ledger)[1] == 0
    assert ledger.counts()["queued"] == 9


def test_a_batch_that_another_process_has_planned_meanwhile_is_joined(folder):
    ledger, _ = planned(folder, ROWS)
    ledger.enter()
    ledger.claim("w", -1)
    other = Ledger(folder / "ledger.sqlite")
    assert planned(folder, ROWS, ledger=other)[1] is None
    assert ledger.counts()["running"] == 1


def test_a_batch_that_another_process_runs_is_not_changed(folder):
    ledger, _ = planned(folder, ROWS)
    ledger.enter()
    other = Ledger(folder / "ledger.sqlite")
    images(folder, "x.png", "y.png", "z.png", "a.png")
    with pytest.raises(Faults, match="another process runs this batch"):
        planned(folder, ROWS, ledger=other)
    ledger.leave()
    assert planned(folder, ROWS, ledger=other)[1] == 0


def test_a_plan_that_is_cut_off_leaves_the_old_one(folder):
    ledger, _ = planned(folder, ROWS)
    with pytest.raises(Faults):
        planned(folder, [["none.png", 1]], ledger=ledger)
    assert ledger.counts()["queued"] == 9


def test_a_full_disk_leaves_the_ledger_whole(folder):
    ledger, _ = planned(folder, ROWS)
    pages = ledger.read("PRAGMA page_count")[0][0]
    ledger.read(f"PRAGMA max_page_count = {pages}")
    claim = ledger.claim("w", -1)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        ledger.done(claim, {"report": "x" * 100_000})
    assert ledger.owns(claim) and ledger.gave_back(claim)
    assert ledger.read("PRAGMA integrity_check") == [("ok",)]


def test_an_image_without_transparency_cannot_show_its_subject(folder):
    from PIL import Image

    files = Files(folder)
    with pytest.raises(ValueError, match="a.png has no transparency"):
        files.staged("a.png", alpha=True)
    Image.new("RGBA", (4, 4)).save(folder / "cut.PNG")
    name, path = files.staged("cut.PNG", alpha=True)
    assert len(name) == 68 and name.endswith(".png") and path == str(folder / "cut.PNG")


def test_a_transparent_color_counts_as_transparency_only_where_load_image_reads_it(folder):
    from PIL import Image

    files = Files(folder)
    Image.new("P", (4, 4)).save(folder / "palette.png", transparency=0)
    assert files.staged("palette.png", alpha=True)
    for mode, transparent in (("RGB", (0, 0, 0)), ("L", 0)):
        Image.new(mode, (4, 4)).save(folder / f"{mode}.png", transparency=transparent)
        assert "transparency" in Image.open(folder / f"{mode}.png").info
        with pytest.raises(ValueError, match=f"{mode}.png has no transparency"):
            files.staged(f"{mode}.png", alpha=True)


def test_gray_of_16_bits_is_refused_where_load_image_would_make_it_black_and_white(folder):
    import numpy as np
    from PIL import Image

    Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257).save(folder / "deep.png")
    with pytest.raises(ValueError, match="deep.png is gray of 16 bits.*save it with 8 bits"):
        Files(folder).staged("deep.png")
