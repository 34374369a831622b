"""What starting a program of its own needs: a free port, and an end for the process."""

import socket
import subprocess


class MissingError(Exception):
    """What is needed is not on this machine; the message names it."""


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def stop(process: subprocess.Popen) -> None:
    """Ends a process and waits for its end; kills it after 20 seconds."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
