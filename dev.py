"""The command line of this repository: python3 dev.py demo | batch | test | bench NAME | docs | serve | train STAGE |
workflows | thumbnails."""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

from devtools import environment

ROOT = Path(__file__).resolve().parent

HELP = """\
python3 dev.py demo                run the whole graph on two photographs; images go to output/
python3 dev.py batch JOBS …        run a workflow once for each row of a table; --help lists the arguments
python3 dev.py test [arguments]    run the tests; arguments go to pytest
python3 dev.py test --fast         run only the tests of phd_ops and of the nodes
python3 dev.py bench NAME          run a benchmark; a whole run stores its figures and writes its tables
python3 dev.py docs                write all tables of docs/benchmarks.md again, from the figures that are stored
python3 dev.py serve [arguments]   start a full ComfyUI with this pack in it; arguments go to ComfyUI
python3 dev.py train STAGE         train a part of the demo model again, or a learned module; --help lists the stages
python3 dev.py workflows           write example_workflows/*.json again, from its folder api/, and subgraphs/*.json
python3 dev.py thumbnails          run these workflows, and write the images of the list of templates and the README

The first command sets up .venv, which takes a few minutes."""


class UsageError(Exception):
    """The command cannot be carried out as given; the message is one sentence for the user."""


def demo(arguments):
    from demo.run import main

    return main(arguments)


def batch(arguments):
    from phd_batch.run import main

    return main(arguments)


FAST_TESTS = ("tests/unit", "tests/nodes")


def test(arguments):
    start = time.monotonic()
    # The root's __init__.py is a package for ComfyUI; tests/pytest.ini keeps pytest from importing it.
    command = [sys.executable, "-m", "pytest", "-c", "tests/pytest.ini"]
    if "--fast" in arguments:
        arguments = [argument for argument in arguments if argument != "--fast"]
        command += FAST_TESTS
    elif not any(argument.replace(os.sep, "/").startswith("tests/") for argument in arguments):
        command.append("tests")
    if not any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments):
        # tests/conftest.py says which tests stay in one process, and begins with the longest.
        command += ["-n", str(min(os.cpu_count() or 1, 4)), "--no-loadscope-reorder"]
    # The tests' networks are so small that threads cost more than they give.
    environment_variables = {"OMP_NUM_THREADS": "1", **os.environ}
    status = subprocess.call([*command, *arguments], cwd=ROOT, env=environment_variables)
    print(f"The tests took {time.monotonic() - start:.0f} s.")
    return status


def bench(arguments):
    check_benchmark(arguments)
    return importlib.import_module(f"benchmarks.{arguments[0]}.run").main(arguments[1:])


def check_benchmark(arguments):
    names = sorted(path.parent.name for path in (ROOT / "benchmarks").glob("*/run.py"))
    if not arguments or arguments[0] not in names:
        asked = "bench needs a name" if not arguments else f"There is no benchmark {arguments[0]!r}"
        raise UsageError(f"{asked}; there are: {', '.join(names) or 'none yet'}.")


def docs(arguments):
    from benchmarks.common import docs as page

    if arguments:
        raise UsageError(f"docs takes no arguments, but got {arguments[0]!r}.")
    for name in page.names():
        page.write(page.tables_of(name))
    print(f"Wrote the tables of {', '.join(page.names())} into {page.PAGE.relative_to(ROOT)}")
    return 0


def serve(arguments):
    import torch

    from devtools.comfyui import find_comfyui
    from devtools.server import has_server, server_command

    comfyui = find_comfyui()
    if comfyui is None or not has_server(comfyui):
        where = "none was found" if comfyui is None else f"{comfyui} has no server"
        raise UsageError(f"serve needs a full ComfyUI, and {where}; set COMFYUI_PATH to one.")
    return replace_process(server_command(comfyui, arguments, on_cpu=not torch.cuda.is_available()))


def train(arguments):
    from devtools.comfyui import activate, device_arguments, get_comfyui

    activate(get_comfyui(), (*device_arguments(), "--use-pytorch-cross-attention"))
    from training.run import main

    return main(arguments)


def workflows(arguments):
    from devtools.comfyui import activate, get_comfyui

    if arguments:
        raise UsageError(f"workflows takes no arguments, but got {arguments[0]!r}.")
    activate(get_comfyui())
    from devtools.blueprint import write_blueprint
    from devtools.object_info import object_info
    from devtools.workflows import write_ui_workflows

    info = object_info()
    for path in [*write_ui_workflows(info), write_blueprint(info)]:
        print(f"Wrote {path.relative_to(ROOT)}")
    return 0


def thumbnails(arguments):
    from devtools.comfyui import activate, device_arguments, get_comfyui

    if arguments:
        raise UsageError(f"thumbnails takes no arguments, but got {arguments[0]!r}.")
    activate(get_comfyui(), device_arguments())
    from devtools.thumbnails import write_thumbnails

    for path in write_thumbnails():
        print(f"Wrote {path.relative_to(ROOT)}")
    return 0


COMMANDS = {"demo": demo, "batch": batch, "test": test, "bench": bench, "serve": serve, "train": train}
COMMANDS |= {"docs": docs, "workflows": workflows, "thumbnails": thumbnails}


def replace_process(command):
    """Goes on as `command`. On Windows, where exec returns to the shell at once, waits for it instead."""
    sys.stdout.flush()
    if os.name == "nt":
        return subprocess.call(command)
    os.execv(command[0], command)


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(HELP)
        return 0
    name, rest = arguments[0], arguments[1:]
    try:
        if name not in COMMANDS:
            raise UsageError(f"There is no command {name!r}; there are: {', '.join(COMMANDS)}.")
        if name == "bench":
            check_benchmark(rest)  # a wrong name should not have to wait for the set-up
        python = environment.ensure()
        if not environment.is_inside():
            return replace_process([str(python), str(ROOT / "dev.py"), *arguments])
        from devtools.comfyui import ComfyUIMissingError
    except (UsageError, environment.SetupError) as error:
        return complain(error)
    try:
        return COMMANDS[name](rest)
    except (UsageError, ComfyUIMissingError) as error:
        return complain(error)


def complain(error):
    print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
