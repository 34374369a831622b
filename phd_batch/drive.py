"""Gives the jobs of a ledger to workers until none is left: one thread a worker, which it waits for."""

import contextlib
import errno
import json
import random
import shutil
import signal
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phd_batch import graph
from phd_batch.bindings import FILE, SEEDS
from phd_batch.faults import Failed, NoSpace, Refused, WorkerLost
from phd_batch.keys import resolved
from phd_batch.ledger import Claim, Ledger
from phd_batch.outcome import Outcome, Task, Where, Worker
from phd_batch.plan import STAGED, Bound
from phd_batch.progress import Progress
from phd_batch.reject import Rule
from phd_batch.results import file_label, file_name, publish, summary

# In seconds: before a failed job is tried again, doubled with each try; and before a lost worker is
# looked for again, doubled up to the longest.
BACKOFF, RESTART, LONGEST = 2.0, 1.0, 15.0
# A worker that was lost so often, with no job done between, is given up: more often than for two jobs that end workers.
MOST_LOSSES = 12
TEND_SECONDS = 2.0
# After a count, at least this many times its duration passes until the next.
COUNT_SHARE = 100
# Between seeds of a rejected row.
RESEED = 1_000_003


@dataclass(frozen=True)
class Batch:
    """What is to be done, and where the results go.

    Attributes:
        main: the node whose image is a job's result; others are saved beside it.
    """

    bound: Bound
    ledger: Ledger
    where: Where
    out: Path
    main: str

    def labels(self) -> dict[str, str]:
        """For each node that saves, what its files have after the job's name."""
        nodes = graph.outputs_of(self.bound.workflow, self.where.info)
        workflow = self.bound.workflow
        return {node: "" if node == self.main else file_label(graph.title(workflow[node])) for node in nodes}


@dataclass(frozen=True)
class Settings:
    """How often a failed job is run in all, which results are rejected, and with how many seeds a row is run."""

    tries: int
    rule: Rule | None = None
    seeds: int = 1
    per_worker: bool = False


@dataclass(frozen=True)
class Ended:
    """How the batch stands."""

    counts: dict[str, int]
    rejected: int
    reason: str
    status: int

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items() if count or state == "done")
        rejected = f" ({self.rejected} with a rejected result)" if self.rejected else ""
        return f"{self.reason}{counts}{rejected}."


class Events:
    """Prints what happens, a JSON object a line, if that is wanted."""

    def __init__(self, wanted: bool):
        self.wanted = wanted
        self._lock = threading.Lock()

    def __call__(self, event: str, **fields: Any) -> None:
        if self.wanted:
            line = json.dumps({"event": event, "time": round(time.time(), 3), **fields})
            with self._lock:
                try:
                    print(line, flush=True)
                except BrokenPipeError:
                    # Whoever read them has left; the batch goes on.
                    self.wanted = False


class Driver:
    """What the threads of one run share."""

    def __init__(self, batch: Batch, settings: Settings, events: Events):
        self.batch, self.settings, self.events = batch, settings, events
        self.ledger = batch.ledger
        self.labels = batch.labels()
        self.progress = Progress(batch.ledger.counts(), settings.per_worker)
        self.draining = threading.Event()
        self.count_at = 0.0
        self.reason = ""
        self.error: BaseException | None = None

    def drain(self, reason: str) -> None:
        """Lets the running jobs end and starts no others."""
        if not self.draining.is_set():
            self.reason = reason
            self.draining.set()
            self.progress.say(reason.strip())

    def serve(self, runner: Worker) -> None:
        """One worker's thread: its jobs one after another."""
        near, lost = -1, 0
        try:
            if not self.is_up(runner):
                return
            while not self.draining.is_set():
                claim = self.ledger.claim(runner.name, near)
                if claim is None:
                    if not self.ledger.left(self.settings.tries):
                        return
                    self.draining.wait(0.2)
                    continue
                near = claim.near
                lost = 0 if self.work(runner, claim) else lost + 1
                if lost >= MOST_LOSSES:
                    self.progress.say(f"Gave up on {runner.name}: it was lost {lost} times in a row.")
                    return
                if lost and not self.is_up(runner):
                    return
        except sqlite3.OperationalError as error:
            if "full" not in str(error):
                self.error = error
            self.drain(f"The ledger cannot be written ({error}). ")
        except BaseException as error:
            self.error = error
            self.drain("An error ended the batch. ")

    def is_up(self, runner: Worker) -> bool:
        """Waits until a worker answers. False where it does not within its patience, or has other versions."""
        begun, wait = time.monotonic(), RESTART
        while not self.draining.is_set():
            try:
                versions = runner.where(self.batch.where.kinds).versions
            except (WorkerLost, Failed) as error:
                if time.monotonic() - begun > runner.patience:
                    self.progress.say(f"Gave up on {runner.name}: {error}")
                    return False
                self.draining.wait(wait)
                wait = min(2 * wait, LONGEST)
                continue
            if versions != self.batch.where.versions:
                self.progress.say(f"Gave up on {runner.name}: its versions have changed ({versions}).")
            return versions == self.batch.where.versions
        return False

    def work(self, runner: Worker, claim: Claim) -> bool:
        """Runs one job and records how it ended. False where its worker was lost."""
        self.progress.began(runner.name, claim.row)
        self.events("started", row=claim.row, worker=runner.name, attempt=claim.claims)
        begun, state, error = time.perf_counter(), "done", ""
        try:
            task = self.task(claim)
            state = self.take(claim, task, runner.run(task))
        except Refused as refusal:
            state, error = "refused", str(refusal)
            self.ledger.refused(claim, error)
        except Failed as failure:
            state, error = "failed", str(failure)
            due = time.time() + BACKOFF * 2**claim.tries * random.uniform(0.8, 1.2)
            self.ledger.failed(claim, error, due)
        except WorkerLost as loss:
            state, error = "lost", str(loss)
            self.ledger.lost(claim, error)
            self.progress.say(f"Row {claim.row}: {error}")
        except NoSpace as full:
            state, error = "no space", str(full)
            self.ledger.gave_back(claim)
            self.drain(f"{full} Free some space, then start the same command again. ")
        seconds = time.perf_counter() - begun
        self.progress.ended(runner.name, claim.row, state, seconds)
        self.events(state.replace(" ", "_"), row=claim.row, worker=runner.name, seconds=round(seconds, 4), error=error)
        return state != "lost"

    def task(self, claim: Claim) -> Task:
        """The prompt of a job and the files that it names. Raises Refused for a file that has changed."""
        bound = self.batch.bound
        targets, values = bound.all_targets(), bound.values(claim.cells)
        staged = [
            f"{STAGED}/{value}" if target.kind == FILE and value else value
            for target, value in zip(targets, values, strict=True)
        ]
        prompt = resolved(bound.workflow, list(zip(targets, staged, strict=True)))
        for node, name in seed_inputs(prompt):
            inputs = prompt[node]["inputs"]
            inputs[name] = (inputs[name] + claim.reseeds * RESEED) % 2**64
        for node in prompt.values():
            if "filename_prefix" in node["inputs"]:
                # Another one at every attempt: ComfyUI does not save again what it has in its cache.
                node["inputs"]["filename_prefix"] = f"{STAGED}/{claim.key[:16]}_{claim.claims}"
        named = [*bound.files.items(), *(cell for cell in claim.cells if isinstance(cell, list))]
        files = {f"{STAGED}/{name}": path for name, path in named}
        for file in files.values():
            if not self.ledger.knows(file):
                raise Refused(f"{file} has changed since the batch began; start the same command again.")
        name = uuid.uuid5(uuid.NAMESPACE_OID, f"{claim.key} {claim.reseeds} {claim.tries}")
        return Task(prompt, files, str(name), claim.claims > 1, bound.chunk)

    def take(self, claim: Claim, task: Task, outcome: Outcome) -> str:
        """Publishes and records a result; what became of the job."""
        found = summary(outcome)
        found["seed"] = next((task.prompt[node]["inputs"][name] for node, name in seed_inputs(task.prompt)), None)
        rejected = self.settings.rule is not None and self.settings.rule(found)
        found |= {"rejected": rejected} if self.settings.rule else {}
        again = rejected and claim.reseeds + 1 < self.settings.seeds
        if not self.ledger.owns(claim):
            return "taken over"
        if rejected and claim.result and not is_better(found, claim.result):
            found = claim.result
        else:
            work = self.batch.out / ".work" / self.ledger.id
            found["files"] = publish(self.batch.out, work, file_name(claim), self.labels, outcome)
        recorded = self.ledger.rejected(claim, found) if again else self.ledger.done(claim, found)
        return ("rejected" if again else "done") if recorded else "taken over"


def seed_inputs(prompt: dict) -> list[tuple[str, str]]:
    """(node id, input) of every sampler's seed that is no link."""
    found = []
    for node_id, node in prompt.items():
        name = SEEDS.get(node["class_type"], ("", 0))[0]
        if isinstance(node["inputs"].get(name), int):
            found.append((node_id, name))
    return found


def is_better(one: dict, other: dict) -> bool:
    """Whether a rejected result should replace another: one that passes always does, else that of higher identity."""
    if not one.get("rejected", False):
        return True
    return (one.get("identity") or -1) > (other.get("identity") or -1)


def drive(batch: Batch, runners: Sequence[Worker], settings: Settings, events: Events) -> Ended:
    """Runs all jobs; Ctrl-C lets the running ones end. Raises what ended a thread unexpectedly."""
    ledger, driver = batch.ledger, Driver(batch, settings, events)
    ledger.enter()
    try:
        clear_dead(batch, ledger.tend(settings.tries))
        events("began", counts=ledger.counts(), workers=[runner.name for runner in runners])
        threads = [threading.Thread(target=driver.serve, args=(runner,), daemon=True) for runner in runners]
        with interrupts_drain(driver, runners):
            for thread in threads:
                thread.start()
            tended = time.monotonic()
            while alive := [thread for thread in threads if thread.is_alive()]:
                alive[0].join(0.2)
                driver.progress.draw({runner.name: runner.frames for runner in runners})
                if time.monotonic() - tended > TEND_SECONDS:
                    tended = time.monotonic()
                    tend(driver)
        driver.progress.close()
        if driver.error is not None:
            raise driver.error
    finally:
        # Where the disk is full, the next start takes up what this one leaves.
        with contextlib.suppress(sqlite3.OperationalError):
            ledger.leave()
    return end(driver)


def tend(driver: Driver) -> None:
    try:
        clear_dead(driver.batch, driver.ledger.tend(driver.settings.tries))
        start = time.monotonic()
        # Counting a million rows takes a while, in which no worker has the ledger.
        if start >= driver.count_at:
            driver.progress.counted(driver.ledger.counts())
            driver.count_at = time.monotonic() + COUNT_SHARE * (time.monotonic() - start)
    except sqlite3.OperationalError as error:
        driver.drain(f"The ledger cannot be written ({error}). ")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


def clear_dead(batch: Batch, drivers: list[str]) -> None:
    """Removes the temporary files of drivers that ended without doing so."""
    for driver in drivers:
        shutil.rmtree(batch.out / ".work" / driver, ignore_errors=True)


def end(driver: Driver) -> Ended:
    counts = driver.ledger.counts()
    (rejected,) = driver.ledger.read(
        "SELECT count(*) FROM jobs WHERE state = 2 AND json_extract(result, '$.rejected')"
    )[0]
    unfinished = counts["queued"] + counts["running"]
    reason = driver.reason
    if unfinished and not reason:
        reason = "No worker is left. "
    status = 0 if counts["done"] == sum(counts.values()) and not rejected else 1
    if reason.startswith(STOPPED):
        status = 130
    driver.events("ended", counts=counts, rejected=rejected, status=status)
    return Ended(counts, rejected, reason, status)


STOPPED = "Stopped: "


@contextlib.contextmanager
def interrupts_drain(driver: Driver, runners: Sequence[Worker]) -> Iterator[None]:
    """Ctrl-C, or SIGTERM, lets the running jobs end; the second one ends them."""

    def interrupted(number: int, frame: Any) -> None:
        if driver.draining.is_set():
            for runner in runners:
                runner.close()
            raise KeyboardInterrupt
        driver.drain(f"{STOPPED}waiting for the running jobs; stop again to end them now. ")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
