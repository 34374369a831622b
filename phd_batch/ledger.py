"""The ledger of a batch: which job is in which state, in one SQLite file that several processes share.

WAL without a sync at every commit: a killed process loses nothing. After a power failure the last changes may be gone,
and those jobs run again; a result is on the disk before its job is recorded as done, never the other way around.
"""

import contextlib
import json
import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUEUED, RUNNING, DONE, FAILED, REFUSED = range(5)
STATES = ("queued", "running", "done", "failed", "refused")
# A driver that was not heard of for this many seconds is dead. One of this machine is, as soon as its process is gone.
LEASE = 60.0
# A job that ended this many workers has failed.
MOST_DEATHS = 5
# Another process may be planning a million rows.
PATIENCE_MS = 600_000

TABLES = """
CREATE TABLE IF NOT EXISTS batch (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS drivers (id TEXT PRIMARY KEY, host TEXT, pid INTEGER, born REAL, beat REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER, sha256 TEXT) WITHOUT ROWID;
"""
# key: see phd_batch.keys. cells: JSON, the values by column. place: in which order they run. near: jobs that share much
# have the same number. claims: how often a worker took it. reseeds: how often it was rejected. due: when a failed one
# is tried again, in seconds since 1970.
JOBS = """
CREATE TABLE {name} (
  row INTEGER PRIMARY KEY, key BLOB NOT NULL, cells TEXT NOT NULL, place INTEGER, near INTEGER,
  state INTEGER NOT NULL DEFAULT 0, claims INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
  deaths INTEGER NOT NULL DEFAULT 0, reseeds INTEGER NOT NULL DEFAULT 0, due REAL, driver TEXT, worker TEXT, error TEXT,
  result TEXT)
"""
INDEXES = """
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, near, place);
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due) WHERE state = 3;
"""


@dataclass(frozen=True)
class Claim:
    """A job that a worker has taken."""

    row: int
    key: str
    cells: list
    near: int
    claims: int
    tries: int
    reseeds: int
    result: dict | None


class Ledger:
    """One process's hold on the ledger. Its methods may be called from any thread."""

    def __init__(self, file: Path):
        self.file = file
        self.id = uuid.uuid4().hex
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute("PRAGMA cache_size = -65536")
        with self.changing() as run:
            for statement in TABLES.split(";"):
                run(statement)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def changing(self) -> Iterator[Any]:
        """One change of the ledger, whole or not at all: gives what runs a statement."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except BaseException:
                # A full disk may have ended the transaction already.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def read(self, statement: str, *values: Any) -> list[tuple]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def many(self, statement: str, rows: Iterable[tuple]) -> None:
        with self._lock:
            self._connection.executemany(statement, rows)

    # What the batch is

    def facts(self) -> dict[str, str]:
        return dict(self.read("SELECT name, value FROM batch"))

    def has_jobs(self) -> bool:
        return bool(self.read("SELECT 1 FROM sqlite_master WHERE name = 'jobs'"))

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        found = dict(self.read("SELECT state, count(*) FROM jobs GROUP BY state"))
        return {name: found.get(state, 0) for state, name in enumerate(STATES)}

    def knows(self, path: str) -> bool:
        """Whether an input file is still the one whose hash is in the keys, by its size and time."""
        return self.read("SELECT size, changed FROM files WHERE path = ?", path) == [size_and_time(path)]

    def knows_all(self) -> bool:
        """Whether every input file is."""
        files = self.read("SELECT path, size, changed FROM files")
        return all(size_and_time(path) == (size, changed) for path, size, changed in files)

    # Drivers

    def enter(self) -> None:
        """This process drives the batch from now on."""
        with self.changing() as run:
            values = (self.id, socket.gethostname(), os.getpid(), born(os.getpid()), time.time())
            run("INSERT INTO drivers VALUES (?, ?, ?, ?, ?)", values)
            run("UPDATE jobs SET state = 0, deaths = 0 WHERE state = 3 AND due IS NULL")

    def others(self) -> bool:
        """Whether another living process drives the batch."""
        drivers = self.read("SELECT id, host, pid, born, beat FROM drivers WHERE id != ?", self.id)
        return not all(self.is_dead(entry, time.time()) for entry in drivers)

    def leave(self) -> None:
        """Gives back what this process has not finished."""
        with self.changing() as run:
            run("UPDATE jobs SET state = ?, driver = NULL WHERE state = ? AND driver = ?", (QUEUED, RUNNING, self.id))
            run("DELETE FROM drivers WHERE id = ?", (self.id,))

    def tend(self, tries: int) -> list[str]:
        """Shows that this process lives, takes up the jobs of dead ones, and requeues failed jobs that are due.

        tries: how many a failed job has. Returns the ids of the drivers that were found dead.
        """
        now, drivers = time.time(), self.read("SELECT id, host, pid, born, beat FROM drivers")
        dead = [row[0] for row in drivers if self.is_dead(row, now)]
        with self.changing() as run:
            here = run("UPDATE drivers SET beat = ? WHERE id = ?", (now, self.id)).rowcount
            if not here:
                # Another process took this one for dead, as after a sleep of the machine.
                values = (self.id, socket.gethostname(), os.getpid(), born(os.getpid()), now)
                run("INSERT INTO drivers VALUES (?, ?, ?, ?, ?)", values)
            for driver in dead:
                run("DELETE FROM drivers WHERE id = ?", (driver,))
            free = "UPDATE jobs SET state = ?, driver = NULL WHERE state = ? AND driver NOT IN (SELECT id FROM drivers)"
            run(free, (QUEUED, RUNNING))
            run("UPDATE jobs SET state = ? WHERE state = 3 AND due <= ? AND tries < ?", (QUEUED, now, tries))
        return dead

    def is_dead(self, entry: tuple, now: float) -> bool:
        driver, host, pid, begun, beat = entry
        if driver == self.id:
            return False
        if host == socket.gethostname() and (is_born := born(pid)) != begun and is_born is not None:
            return True
        return now - beat > LEASE

    # Jobs

    def claim(self, worker: str, near: int) -> Claim | None:
        """The next job, which is then this process's; None where none is queued.

        near: of the worker's job before: another like it comes first, then one like no job that runs now.
        """
        columns = "SELECT row, key, cells, near, claims, tries, reseeds, result FROM jobs WHERE state = 0 "
        with self.changing() as run:
            found = run(columns + "AND near = ? ORDER BY place LIMIT 1", (near,)).fetchone()
            if found is None:
                (most,) = run("SELECT max(near) FROM jobs WHERE state = 1").fetchone()
                after = -1 if most is None else most
                found = run(columns + "AND near > ? ORDER BY near, place LIMIT 1", (after,)).fetchone()
            if found is None:
                found = run(columns + "ORDER BY near, place LIMIT 1").fetchone()
            if found is None:
                return None
            taken = "UPDATE jobs SET state = 1, driver = ?, worker = ?, claims = claims + 1 WHERE row = ?"
            run(taken, (self.id, worker, found[0]))
        row, key, cells, near, claims, tries, reseeds, result = found
        known = json.loads(result) if result else None
        return Claim(row, key.hex(), json.loads(cells), near, claims + 1, tries, reseeds, known)

    def owns(self, claim: Claim) -> bool:
        """Whether the job is still this process's: one that was taken for dead has lost it."""
        found = "SELECT 1 FROM jobs WHERE row = ? AND state = 1 AND driver = ? AND claims = ?"
        return bool(self.read(found, claim.row, self.id, claim.claims))

    def done(self, claim: Claim, result: dict) -> bool:
        """Records a result. False where the job is no longer this process's, and nothing was recorded."""
        return self._end(claim, "state = 2, error = NULL, result = ?", json.dumps(result))

    def rejected(self, claim: Claim, result: dict | None) -> bool:
        """The result does not pass: the job is queued again, for another seed. result: the best so far."""
        return self._end(claim, "state = 0, reseeds = reseeds + 1, result = ?", json.dumps(result))

    def failed(self, claim: Claim, error: str, due: float) -> bool:
        """The job failed, and is tried again at `due` if it has tries left."""
        return self._end(claim, "state = 3, tries = tries + 1, error = ?, due = ?", error, due)

    def refused(self, claim: Claim, error: str) -> bool:
        return self._end(claim, "state = 4, error = ?", error)

    def gave_back(self, claim: Claim) -> bool:
        """The job was not run to its end, and nobody is to blame."""
        return self._end(claim, "state = 0")

    def lost(self, claim: Claim, error: str) -> bool:
        """The job's worker ended. That costs none of its tries, but one that ended many workers has failed.

        Without a time at which it is due, it is queued again by the next start.
        """
        state = f"CASE WHEN deaths + 1 < {MOST_DEATHS} THEN 0 ELSE 3 END"
        return self._end(claim, f"state = {state}, due = NULL, deaths = deaths + 1, error = ?", error)

    def _end(self, claim: Claim, changes: str, *values: Any) -> bool:
        where = "WHERE row = ? AND state = 1 AND driver = ? AND claims = ?"
        with self.changing() as run:
            statement = f"UPDATE jobs SET driver = NULL, {changes} {where}"
            return run(statement, (*values, claim.row, self.id, claim.claims)).rowcount == 1

    def left(self, tries: int) -> bool:
        """Whether any job is queued, running or to be tried again."""
        found = self.read("SELECT 1 FROM jobs WHERE state IN (0, 1) LIMIT 1")
        again = "SELECT 1 FROM jobs WHERE state = 3 AND tries < ? AND due IS NOT NULL LIMIT 1"
        return bool(found or self.read(again, tries))


def size_and_time(path: str) -> tuple[int, int] | None:
    """Of a file; None where there is none."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def born(pid: int) -> float | None:
    """When a process of this machine began, 0 where there is none; None where that cannot be found out."""
    try:
        import psutil
    except ImportError:
        return None
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0
    except psutil.Error:
        return None
