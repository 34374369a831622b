"""`dev.py batch JOBS --workflow FILE --out FOLDER`: checks a table of jobs, and runs it."""

import argparse
import contextlib
import hashlib
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from phd_batch import graph
from phd_batch.bindings import FILE, MODEL_ENDINGS, bind, check_values, own_files
from phd_batch.clip_parts import CHUNK
from phd_batch.clips import is_matte, video_fault
from phd_batch.drive import Batch, Events, Settings, drive
from phd_batch.faults import Failed, Fault, Faults, UsageError, WorkerLost
from phd_batch.jobs import Jobs, read_jobs
from phd_batch.keys import canonical
from phd_batch.ledger import Ledger
from phd_batch.outcome import Where, Worker
from phd_batch.page import write_page
from phd_batch.plan import STAGED, Bound, Files, plan
from phd_batch.ray_workers import ray_workers, start_ray, stop_ray
from phd_batch.reject import parse_rule
from phd_batch.results import write_tables
from phd_batch.server import ServerWorker
from phd_batch.video import is_video
from phd_batch.workers import LocalWorker

LEDGER = "ledger.sqlite"
WORK = ".work"
# A folder with less free space is not begun with.
LEAST_BYTES = 50 << 20

DESCRIPTION = "Runs a workflow once for each row of a table, on this machine, on ComfyUI servers, or on a Ray cluster."
EPILOG = """\
A column is named after the input that it sets: "Title.input", such as "Paste & Blend.x". Short names for the
workflows that come with the pack: exemplar, background, mask, prompt, x, y, size, seed. An empty cell leaves the
workflow's value.
The same command continues where it stopped. Exit status: 0 all done, 1 some failed, 2 nothing was run, 130 stopped."""


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="batch", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "jobs", nargs="+", metavar="JOBS", help="a CSV, JSONL or Parquet file; or patterns: 'exemplar=cut/*.png' …"
    )
    parser.add_argument("--workflow", required=True, metavar="FILE", help="workflow in the API format")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for the ledger and the results")
    parser.add_argument("--inputs", metavar="FOLDER", help="folder of the images (default: the folder of JOBS)")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (default: one per GPU, or 1)"
    )
    parser.add_argument("--server", action="append", default=[], metavar="URL", help="a running ComfyUI; repeatable")
    parser.add_argument(
        "--ray", nargs="?", const="", metavar="ADDRESS", help="a Ray cluster; without an address, one on this machine"
    )
    parser.add_argument(
        "--save", action="append", default=[], metavar="TITLE.OUTPUT", help="also save this; repeatable"
    )
    parser.add_argument(
        "--chunk", type=int, default=CHUNK, metavar="N", help=f"frames of a video run at once (default: {CHUNK})"
    )
    parser.add_argument(
        "--retries", type=int, default=2, metavar="N", help="how often a failed job is retried (default: 2)"
    )
    parser.add_argument("--reject", metavar="RULE", help="which results to reject: 'identity < .9 or neglected'")
    parser.add_argument("--tries", type=int, default=3, metavar="N", help="seeds per rejected row (default: 3)")
    parser.add_argument("--events", choices=["jsonl"], help="print what happens as JSON lines on stdout")
    parser.add_argument("--per-worker", action="store_true", help="also print a line for each job that ends")
    return parser


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    try:
        return run(options)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except sqlite3.OperationalError as error:
        print(f"--out: the ledger cannot be written ({error}). Start the same command again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(options: argparse.Namespace) -> int:
    rule = parse_rule(options.reject) if options.reject else None
    for name, least in (("workers", 1), ("retries", 0), ("tries", 1), ("chunk", 1)):
        if (value := getattr(options, name)) is not None and value < least:
            raise UsageError(f"--{name} is {value}; it must be {least} or more.")
    workflow = graph.read_workflow(Path(options.workflow).expanduser())
    out = Path(options.out).expanduser()
    jobs = read_jobs(options.jobs, options.inputs, out if (out / LEDGER).is_file() else None)
    ledger, is_new = open_ledger(out)
    runners: Sequence[Worker] = ()
    try:
        # Workers run in another folder.
        work = (out / WORK / ledger.id).absolute()
        work.mkdir(parents=True)
        runners = make_runners(options, work)
        batch = prepare(options, workflow, jobs, ledger, runners)
        is_new = False
        settings = Settings(options.retries + 1, rule, options.tries if rule else 1, options.per_worker)
        runners = more_runners(options, work, runners, batch.where)
        ended = drive(batch, runners, settings, Events(options.events is not None))
        try:
            written = write_results(out, batch)
        except (UsageError, OSError) as error:
            # The jobs are recorded; the next start writes the tables.
            print(f"{ended} {error}", file=sys.stderr)
            return max(1, ended.status)
    finally:
        close_runners(runners)
        close_ledger(ledger, out, is_new)
    print(f"{ended} Wrote {', '.join(file.name for file in written)} in {out}.", file=sys.stderr)
    return ended.status


def write_results(out: Path, batch: Batch) -> list[Path]:
    columns = batch.bound.columns
    tables = write_tables(out, batch.ledger, columns)
    return [*tables, *write_page(out, batch.ledger, columns, before_column(batch.bound))]


def before_column(bound: Bound) -> str | None:
    """The column whose image a result is compared with: the background, or else the first that is an image."""
    images = [column for column in bound.columns if any(target.kind == FILE for target in bound.targets[column])]
    return next((column for column in images if "background" in column.lower()), images[0] if images else None)


def open_ledger(out: Path) -> tuple[Ledger, bool]:
    """The ledger in a folder, and whether the folder held none."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out: {out} is a file; a folder is needed.")
    is_new = not (out / LEDGER).is_file()
    if is_new and out.is_dir() and any(entry.name != WORK for entry in out.iterdir()):
        raise UsageError(f"--out: {out} holds other files and no batch; name a new folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(out).free < LEAST_BYTES:
            if is_new:
                out.rmdir()
            raise UsageError(f"--out: {out} has too little space: less than {LEAST_BYTES >> 20} MB is free.")
        return Ledger(out / LEDGER), is_new
    except OSError as error:
        raise UsageError(f"--out: {out} cannot be written ({error.strerror}).") from None
    except sqlite3.DatabaseError as error:
        raise UsageError(f"--out: {out / LEDGER} is not the ledger of a batch ({error}).") from None


def close_ledger(ledger: Ledger, out: Path, is_new: bool) -> None:
    """Ends this process's part. A folder in which nobody planned anything is as it was before."""
    shutil.rmtree(out / WORK / ledger.id, ignore_errors=True)
    is_new = is_new and not ledger.has_jobs()
    ledger.close()
    with contextlib.suppress(OSError):
        # Fails where another process works there, which then needs the ledger.
        (out / WORK).rmdir()
        if is_new:
            for file in out.glob(f"{LEDGER}*"):
                file.unlink()
            out.rmdir()


def make_runners(options: argparse.Namespace, work: Path) -> Sequence[Worker]:
    """What answers for all: the first worker, or every server."""
    if options.server and options.workers:
        raise UsageError("--workers sets how many processes are started here; leave it out with --server.")
    if options.ray is not None:
        return ray_workers(start_ray(options.ray, options.workers), options.server, options.workers)
    if options.server:
        servers = [ServerWorker(url) for url in options.server]
        names = [server.name for server in servers]
        if twice := {name for name in names if names.count(name) > 1}:
            raise UsageError(f"--server: {', '.join(twice)} appears twice.")
        return servers
    return [LocalWorker(0, work, options.workers or 1)]


def close_runners(runners: Sequence[Worker]) -> None:
    for runner in runners:
        runner.close()
    stop_ray()


def more_runners(options: argparse.Namespace, work: Path, runners: Sequence[Worker], where: Where) -> Sequence[Worker]:
    """All workers: one for each GPU, if their number is not given."""
    if options.server or options.ray is not None:
        return runners
    count = options.workers or where.gpus or 1
    return [*runners, *(LocalWorker(number, work, count) for number in range(1, count))]


def prepare(
    options: argparse.Namespace, workflow: dict, jobs: Jobs, ledger: Ledger, runners: Sequence[Worker]
) -> Batch:
    """The batch, its jobs in the ledger: as they stand there, or else checked and planned. Raises UsageError."""
    where = ask_where(runners, {node["class_type"] for node in workflow.values()})
    bound = bind_all(options, workflow, jobs, where, runners[0].model_version)
    facts = {
        "jobs": jobs.name,
        "jobs_digest": jobs.digest,
        "folder": str(jobs.folder.resolve()),
        "workflow_digest": hashlib.sha256(canonical(bound.workflow).encode()).hexdigest(),
        "versions": canonical(bound.versions),
    }
    known = ledger.facts()
    if known != facts or not ledger.knows_all():
        if (
            known
            and known["jobs_digest"] != facts["jobs_digest"]
            and known["workflow_digest"] != facts["workflow_digest"]
        ):
            message = f"--out: {options.out} holds another batch, of {known['jobs']}; name a new folder."
            raise UsageError(message)
        kept = plan(jobs, bound, ledger, facts)
        if known and kept is not None:
            print(f"The batch has changed; {kept} jobs stay as they are.", file=sys.stderr)
    own = graph.outputs_of(workflow, where.info)
    return Batch(bound, ledger, where, Path(options.out).expanduser(), own[0] if own else "")


def ask_where(runners: Sequence[Worker], kinds: set[str]) -> Where:
    """What the jobs run on. Raises UsageError where it does not start, or workers differ."""
    places, faults = [], []
    for runner in runners:
        try:
            places.append(runner.where(kinds))
        except (WorkerLost, Failed) as error:
            faults.append(Fault(None, "", str(error)))
    if faults:
        raise Faults(faults)
    if len({canonical(place.versions) for place in places}) > 1:
        pairs = zip(runners, places, strict=True)
        found = [Fault(None, "", f"{runner.name} has {versions_text(place)}.") for runner, place in pairs]
        raise Faults([Fault(None, "", "the servers differ, and would not give the same results:"), *found])
    return places[0]


def versions_text(place: Where) -> str:
    return f"ComfyUI {place.versions.get('comfyui')}, nodes {place.versions.get('nodes')}"


def bind_all(
    options: argparse.Namespace, workflow: dict, jobs: Jobs, where: Where, model_version: Callable[[str], str]
) -> Bound:
    """The workflow made ready, with all columns bound. Raises Faults."""
    workflow = graph.with_own_images(graph.without_previews(workflow, where.info), jobs.columns)
    workflow, wrong = graph.with_saved(workflow, options.save, where.info)
    targets, faults = bind(jobs.columns, workflow, where.info)
    faults = [*graph.check_workflow(workflow, where.info), *wrong, *faults]
    if faults:
        raise Faults(faults)
    bound = {(target.node, target.input) for each in targets.values() for target in each}
    chunk = 0 if options.server or options.ray is not None else options.chunk
    workflow, files, missing = with_own_files(workflow, where.info, bound, jobs.folder, chunk)
    faults = [*check_values(workflow, where.info, bound), *missing]
    if faults:
        raise Faults(faults)
    models = {value: model_version(value) for value in sorted(model_names(workflow, where.info))}
    versions = {**where.versions, "models": models} | ({} if chunk in (0, CHUNK) else {"chunk": chunk})
    return Bound(workflow, jobs.columns, targets, versions, model_version, files, chunk)


def with_own_files(
    workflow: dict, info: dict, bound: set, folder: Path, chunk: int
) -> tuple[dict, dict[str, str], list[Fault]]:
    """The workflow with the files that it names taken from the folder of inputs, and these by their staged names.

    chunk: see `Bound`.
    """
    files, faults, store = {}, [], Files(folder.resolve())
    workflow = {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in workflow.items()}
    for node_id, name, value in own_files(workflow, info, bound):
        place = f"{graph.title(workflow[node_id])}.{name}"
        try:
            if is_video(value) and (why := video_fault(workflow, node_id, chunk)):
                raise ValueError(f"{value}: {why}.")
            staged, path = store.staged(value, is_video(value) and is_matte(workflow, node_id))
        except ValueError as error:
            faults.append(Fault(None, "", f"{place}, which no column sets: {error}"))
            continue
        files[staged] = path
        workflow[node_id]["inputs"][name] = f"{STAGED}/{staged}"
    return workflow, files, faults


def model_names(workflow: dict, info: dict) -> set[str]:
    """The model files that the workflow itself names."""
    values = (value for node in workflow.values() for value in node["inputs"].values())
    return {value for value in values if isinstance(value, str) and value.lower().endswith(MODEL_ENDINGS)}
