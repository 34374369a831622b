"""Stopping long work on pixels soon after the user asked for it.

`phd_ops` knows no ComfyUI, so the caller passes in a check: a function that raises once the user has asked to
stop. It is held by a context variable, since an argument for it would run through thirty functions that have nothing
to do with it. Without a check, as in a notebook, nothing is checked. The check stays in the thread that passed it in.

On an image of 8192×8192 pixels one call of numpy or OpenCV can take seconds. So work on single pixels is done in
`bands`, and a call that gives other bits in bands, such as a warp, goes through `waiting`.
"""

import concurrent.futures
import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import numpy as np

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Item = TypeVar("Item")

# Bands have about this many pixels. They also stay in the processor's cache.
BAND = 2**18
# In seconds, between two checks while a call runs.
PATIENCE = 0.05
# Threads that are reused: OpenCV keeps 0.9 kB for every one that ever called it. A call that an interrupt left behind
# holds one to its end.
WORKERS = concurrent.futures.ThreadPoolExecutor(4, "paste-inpaint-harmonize")
CHECK: ContextVar[Callable[[], None] | None] = ContextVar("check", default=None)
# Whether this is one of these threads: a call that waits for another one there may wait forever.
IN_WORKER: ContextVar[bool] = ContextVar("in_worker", default=False)
# As many images are worked on side by side as there are processors, but no more, since each takes memory.
SIDE_BY_SIDE = min(os.cpu_count() or 1, 4)
# Linux's allocator gives memory back to the system once twice its largest freed block is free, and to take it again is
# slow. A freed block of nearly 32 MB, which need never be written, makes it keep up to 64 MB for each thread.
np.empty(2**25 - 2**13, np.uint8)


class StoppedError(Exception):
    """Ends the work on an image whose batch has been stopped."""


@contextlib.contextmanager
def checking(given: Callable[[], None]) -> Iterator[None]:
    """Within it, long work calls the given check now and then. What that raises ends the work."""
    token = CHECK.set(given)
    try:
        yield
    finally:
        CHECK.reset(token)


def check() -> None:
    """Called between the steps of long work: raises if the user has asked to stop."""
    given = CHECK.get()
    if given is not None:
        given()


def bands(height: int, width: int, rows: int = 1) -> Iterator[slice]:
    """The rows of an image, `rows` or more at a time, from top to bottom, with a check before each band."""
    step = max(rows, BAND // max(width, 1))
    for top in range(0, height, step):
        check()
        yield slice(top, min(top + step, height))


def by_bands(function: Callable[..., np.ndarray], *images: np.ndarray) -> np.ndarray:
    """A function of images of one height, at least 1, whose value at a pixel depends on that pixel alone.

    It makes new arrays, never one that it was given.
    """
    result = np.empty(0)
    for rows in bands(*images[0].shape[:2]):
        band = function(*(image[rows] for image in images))
        if rows.start == 0:
            if len(band) == len(images[0]):
                return band
            result = np.empty((len(images[0]), *band.shape[1:]), band.dtype)
        result[rows] = band
    return result


def copy(source: np.ndarray, out: np.ndarray) -> None:
    """Copies an image [H,W,...] into another one by bands: memory that was never used is slow to write."""
    for rows in bands(*source.shape[:2]):
        out[rows] = source[rows]


def picked(image: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The pixels [N,...] of an image [H,W,...] where a mask, bool [H,W], is true, from top to bottom; by bands."""
    found, done = np.empty((np.count_nonzero(chosen), *image.shape[2:]), image.dtype), 0
    for rows in bands(*chosen.shape):
        some = image[rows][chosen[rows]]
        found[done : done + len(some)] = some
        done += len(some)
    return found


def waiting(function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
    """Calls a function that cannot be stopped in another thread, with checks while it runs.

    After an interrupt the call goes on to its end, and what it gives is dropped. So it should take seconds at most.
    """
    if CHECK.get() is None or IN_WORKER.get():
        return function(*arguments, **named)
    # Python waits for it at its end: OpenCV cannot be stopped in the middle of a call.
    call = WORKERS.submit(function, *arguments, **named)
    try:
        return done(call)
    finally:
        # One that waits for a worker need not start any more.
        call.cancel()


@contextlib.contextmanager
def meanwhile(
    function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Iterator[concurrent.futures.Future[Result]]:
    """Calls a function in another thread while the body of the `with` runs; it is done when that ends.

    After an interrupt, or an error in the body, its work ends at its next check.
    """
    if IN_WORKER.get():
        call = concurrent.futures.Future()
        call.set_result(function(*arguments, **named))
        yield call
        return
    stopped = threading.Event()
    call = WORKERS.submit(in_worker, stopped, functools.partial(function, *arguments, **named))
    try:
        yield call
        done(call)
    finally:
        stopped.set()
        call.cancel()


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """A function of each of some items, such as the images of a batch, in their order; some run side by side.

    Results that nobody has taken yet are few, so that a long batch takes no more memory than a short one. After an
    interrupt, or an error, the other items' work ends at its next check.
    """
    if len(items) < 2 or IN_WORKER.get():
        yield from map(function, items)
        return
    stopped, left = threading.Event(), deque(items)
    calls: deque[concurrent.futures.Future[Result]] = deque()
    try:
        while left or calls:
            running = [call for call in calls if not call.done()]
            if left and len(running) < SIDE_BY_SIDE and len(calls) <= SIDE_BY_SIDE:
                calls.append(WORKERS.submit(in_worker, stopped, functools.partial(function, left.popleft())))
            elif calls[0] in running:
                wait_for(running)
            else:
                check()
                yield calls.popleft().result()
    finally:
        stopped.set()
        for call in calls:
            call.cancel()


def in_worker(stopped: threading.Event, function: Callable[[], Result]) -> Result:
    """Calls a function in one of WORKERS. Its checks raise once `stopped` is set."""

    def check_stopped() -> None:
        if stopped.is_set():
            raise StoppedError

    token = IN_WORKER.set(True)
    try:
        with checking(check_stopped):
            return function()
    finally:
        IN_WORKER.reset(token)


def done(call: concurrent.futures.Future[Result]) -> Result:
    """The result of a call in another thread, with checks until it is there."""
    wait_for([call])
    return call.result()


def wait_for(calls: Sequence[concurrent.futures.Future]) -> None:
    """Returns once one of some calls in other threads has ended, with checks until then."""
    check()
    while not concurrent.futures.wait(calls, PATIENCE, concurrent.futures.FIRST_COMPLETED).done:
        check()
