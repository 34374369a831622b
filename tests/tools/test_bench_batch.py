"""What `dev.py bench batch` judges by is right; its long parts run by hand."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from benchmarks.batch import ledger, run
from benchmarks.batch.chaos import Phase, judge
from benchmarks.batch.timing import rate
from benchmarks.common.table import Section
from phd_batch.ledger import JOBS, Ledger


def test_the_ledger_keeps_its_bounds_but_for_times_in_small(capsys):
    ledger.main(500)
    figures = json.loads(capsys.readouterr().out)
    assert {name for name in run.WANTED if name.startswith("ledger")} <= set(figures)
    assert 0 < figures["ledger_share"] < 1


@pytest.fixture
def phase(tmp_path):
    """A phase with three done jobs, of images in three colors."""
    found = Phase(tmp_path, "some")
    (found.out / "images").mkdir(parents=True)
    book = Ledger(found.out / "ledger.sqlite")
    with book.changing() as change:
        change(JOBS.format(name="jobs"))
        for row in (1, 2, 3):
            Image.new("RGB", (4, 4), (row, 0, 0)).save(found.out / "images" / f"{row}.png")
            result = json.dumps({"files": [f"images/{row}.png"]})
            change("INSERT INTO jobs (row, key, cells, state, result) VALUES (?, x'00', '[]', 2, ?)", (row, result))
    book.close()
    events = "".join(json.dumps({"event": "done", "row": row}) + "\n" for row in (1, 2, 3))
    found.log.write_text(events + '{"event": "do')
    return found


def judged(phase, count=3):
    section = Section("", figures={"lost": 0, "doubled": 0, "corrupt": 0})
    expected = {row: np.full((4, 4, 3), (row, 0, 0), np.uint8) for row in range(1, 5)}
    judge(section, phase, expected, count)
    counts = ("lost", "doubled", "corrupt")
    assert [section.figures[f"some_{name}"] for name in counts] == [section.figures[name] for name in counts]
    return tuple(section.figures[name] for name in counts)


def test_a_sound_phase_is_found_sound(phase):
    assert judged(phase) == (0, 0, 0)


def test_what_is_lost_doubled_or_corrupt_is_found(phase):
    assert judged(phase, 4) == (1, 0, 0)
    with phase.log.open("a") as log:
        log.write('\n{"event": "done", "row": 2}\n{"event": "started", "row": 3}\n')
    assert judged(phase) == (0, 1, 0)
    images = phase.out / "images"
    Image.new("RGB", (4, 4), (9, 0, 0)).save(images / "1.png")
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:40])
    (images / "odd.png").write_bytes(b"")
    assert judged(phase) == (0, 1, 3)


def test_kills_and_a_full_disk_are_counted(phase):
    phase.kills = Counter(driver=2)
    with phase.log.open("a") as log:
        log.write('\n{"event": "no_space", "row": 2}\n')
    section = Section("", figures={"lost": 0, "doubled": 0, "corrupt": 0})
    judge(section, phase, phase.images(), 3)
    assert "2 × driver" in section.rows[0][1] and "1 × disk" in section.rows[0][1]
    assert section.figures["some_killed_driver"] == 2 and section.figures["some_killed_disk"] == 1


def test_the_rate_counts_from_when_every_worker_has_loaded_its_models():
    ends = [(10.0, "1"), (11.0, "1"), (11.5, "2"), (12.0, "1"), (12.5, "2"), (13.5, "1")]
    assert rate([{"time": time, "worker": worker} for time, worker in ends]) == 1.5
