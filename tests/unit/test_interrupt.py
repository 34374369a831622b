"""Long work on pixels hears an interrupt between its steps, and its bits do not depend on where those are."""

import itertools
import threading
import time

import cv2
import numpy as np
import pytest

from phd_ops import interrupt
from phd_ops.interrupt import SIDE_BY_SIDE, bands, by_bands, check, checking, each, meanwhile, picked, waiting
from phd_ops.pixels.foreground import cut_out
from phd_ops.pixels.geometry import Box, Placement, Size
from phd_ops.pixels.layers import Layers
from phd_ops.pixels.masks import fill_holes, grow, stabilize
from phd_ops.pixels.paste import BLENDS, PasteOptions, Subject, paste, warp_exemplar
from phd_ops.pixels.relight import log_light, pixel_weight
from phd_ops.pixels.resample import blur, resize
from phd_ops.pixels.stitch import StitchOptions, fades_in_window, stitch
from phd_ops.segmenters.find_subjects import find_subjects
from phd_ops.segmenters.prompt import Prompt
from phd_ops.segmenters.refine_mask import MaskRefinement

HEIGHT, WIDTH = 90, 110
IMAGE = np.random.default_rng(0).random((HEIGHT, WIDTH, 3), np.float32)
SCENE = np.random.default_rng(1).random((HEIGHT, WIDTH, 3), np.float32)
MATTE = np.zeros((HEIGHT, WIDTH), np.float32)
cv2.ellipse(MATTE, (50, 45), (38, 30), 20, 0, 360, 1, -1)
MATTE = cv2.GaussianBlur(MATTE, (0, 0), 2)
SUBJECT, PLACEMENT = Subject(IMAGE, MATTE), Placement(0.4, 0.5, 0.9, rotation=30)


class StoppedError(Exception):
    pass


def stop():
    raise StoppedError


def pasted(**options):
    return paste(SCENE, SUBJECT, PLACEMENT, PasteOptions(color_match=0.5, **options)).composite


def segmented():
    refinement = MaskRefinement(keep="prompted", grow=3, edge=4)
    prompts = [Prompt(positive=np.array([[50.0, 45]])), Prompt()]
    return find_subjects(lambda colors, prompt: MATTE, IMAGE, prompts, refinement).mask


def stitched():
    change = grow(MATTE, 8)
    layers = Layers(SCENE, pasted(blend="alpha"), MATTE, change, *fades_in_window(change, Box(0, 0, WIDTH, HEIGHT), 4))
    sampled = np.clip(0.8 * layers.composite + 0.05, 0, 1)
    return stitch(layers, [resize(sampled, Size(88, 72))], options=StitchOptions(keep_surround=0.7)).image


WORK = {
    "stitch": stitched,
    **{f"paste, {blend}": lambda blend=blend: pasted(blend=blend, softness=6.0) for blend in BLENDS},
    "paste, reduced": lambda: paste(SCENE, SUBJECT, Placement(size=0.3)).composite,
    "light reference": lambda: warp_exemplar(SUBJECT, PLACEMENT, Size(200, 150))[0],
    "segment": segmented,
    "cut out": lambda: cut_out(IMAGE, MATTE),
    "resize": lambda: resize(IMAGE, Size(300, 200)),
    "blur": lambda: blur(IMAGE, 3.3),
    "wide blur": lambda: blur(IMAGE, 30.0),
    "stabilize": lambda: stabilize(MATTE),
    "grow": lambda: grow(MATTE, 5),
    "fill holes": lambda: fill_holes(1 - MATTE),
    "light": lambda: log_light(IMAGE) * pixel_weight(IMAGE),
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_bits_do_not_depend_on_the_bands(work, monkeypatch):
    monkeypatch.setattr(interrupt, "BAND", 10**9)
    whole = work()
    monkeypatch.setattr(interrupt, "BAND", 3 * WIDTH)
    with checking(lambda: None):
        np.testing.assert_array_equal(work(), whole)


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_what_the_check_raises_ends_the_work(work):
    with checking(stop), pytest.raises(StoppedError):
        work()


def test_bands_are_all_rows_once_with_a_check_before_each(monkeypatch):
    monkeypatch.setattr(interrupt, "BAND", 25)
    calls = []
    with checking(lambda: calls.append(1)):
        found = [(rows.start, rows.stop, len(calls)) for rows in bands(11, 10)]
    assert found == [(0, 2, 1), (2, 4, 2), (4, 6, 3), (6, 8, 4), (8, 10, 5), (10, 11, 6)]
    assert [rows.stop for rows in bands(11, 1000, rows=4)] == [4, 8, 11]
    assert list(bands(0, 10)) == []


def test_a_function_by_bands_is_that_of_the_whole_images(monkeypatch):
    monkeypatch.setattr(interrupt, "BAND", 2 * WIDTH)
    both = by_bands(lambda colors, alpha: np.dstack([colors, alpha]) > 0.5, IMAGE, MATTE)
    assert both.shape == (HEIGHT, WIDTH, 4) and both.dtype == bool
    np.testing.assert_array_equal(both, np.dstack([IMAGE, MATTE]) > 0.5)


@pytest.mark.parametrize("mask", [MATTE > 0.5, MATTE > 2, MATTE >= 0])
def test_pixels_are_picked_as_numpy_picks_them(mask, monkeypatch):
    monkeypatch.setattr(interrupt, "BAND", 2 * WIDTH)
    for image in (IMAGE, MATTE):
        np.testing.assert_array_equal(picked(image, mask), image[mask])


def test_without_a_check_nothing_is_checked_and_calls_run_in_their_own_thread():
    check()
    assert waiting(threading.get_ident) == threading.get_ident()


def test_a_check_ends_with_its_context_and_stays_in_its_thread():
    with checking(stop):
        other = threading.Thread(target=lambda: (check(), heard.append(1)))
        heard = []
        other.start()
        other.join()
        with checking(lambda: heard.append(2)):
            check()
        with pytest.raises(StoppedError):
            check()
    check()
    assert heard == [1, 2]


def test_waiting_gives_back_results_and_passes_errors_on():
    with checking(lambda: None):
        assert waiting(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            waiting(divmod, 7, 0)


def test_an_interrupt_does_not_wait_for_the_call():
    checks, go, ended = itertools.count(), threading.Event(), threading.Event()

    def call():
        go.wait(10)
        ended.set()

    def check():
        if next(checks) == 2:
            raise StoppedError

    with checking(check), pytest.raises(StoppedError):
        waiting(call)
    assert not ended.is_set()
    go.set()
    assert ended.wait(10)


def test_calls_share_a_few_threads():
    """OpenCV keeps memory for every thread that ever called it: with one per call a server grew by 2 MB in 100 runs."""
    with checking(lambda: None):
        used = {waiting(threading.current_thread) for _ in range(200)}
    assert threading.current_thread() not in used
    assert len(used) <= 4 and all(thread.is_alive() for thread in used)


def test_calls_that_interrupts_left_behind_hold_no_other_up_for_ever():
    checks, go, started = itertools.count(), threading.Event(), []

    def call():
        started.append(1)
        go.wait(10)

    def check():
        if next(checks) % 2:
            raise StoppedError

    for _ in range(6):
        with checking(check), pytest.raises(StoppedError):
            waiting(call)
    go.set()
    with checking(lambda: None):
        assert waiting(divmod, 7, 2) == (3, 1)
    assert len(started) <= 4


def test_each_gives_results_in_order_from_the_long_lived_threads():
    def work(number):
        return number, waiting(threading.current_thread)

    results = list(each(work, range(40)))
    assert [number for number, _ in results] == list(range(40))
    used = {thread for _, thread in results}
    assert threading.current_thread() not in used and len(used) <= 4
    assert all(thread.is_alive() for thread in used)


def test_each_starts_another_item_while_the_first_one_takes_long(monkeypatch):
    monkeypatch.setattr(interrupt, "SIDE_BY_SIDE", 2)
    begun = threading.Event()

    def work(number):
        if number == 2:
            begun.set()
        return number != 0 or begun.wait(5)

    assert list(each(work, range(3))) == [True] * 3


def test_each_works_on_few_items_ahead_of_what_is_taken():
    started = []
    results = each(started.append, range(40))
    for taken in range(1, 6):
        next(results)
        assert len(started) <= taken + SIDE_BY_SIDE
    results.close()
    assert len(started) <= 5 + SIDE_BY_SIDE


def work_until_stopped(ended):
    try:
        for _ in range(10_000):
            check()
            time.sleep(0.001)
    finally:
        ended.set()


def test_an_error_in_one_item_ends_the_others():
    ended = threading.Event()

    def work(number):
        if number == 0:
            raise ZeroDivisionError
        work_until_stopped(ended)

    with pytest.raises(ZeroDivisionError):
        list(each(work, range(2)))
    assert SIDE_BY_SIDE == 1 or ended.wait(5)


def test_an_interrupt_ends_the_items_that_are_worked_on():
    checks, ended = itertools.count(), threading.Event()

    def work(number):
        work_until_stopped(ended)

    def stop_soon():
        if next(checks) == 2:
            raise StoppedError

    with checking(stop_soon), pytest.raises(StoppedError):
        list(each(work, range(3)))
    assert ended.wait(5)


def test_meanwhile_calls_in_another_thread_and_is_done_at_its_end():
    with meanwhile(threading.get_ident) as call:
        pass
    assert call.done() and call.result() != threading.get_ident()


def test_meanwhile_an_error_in_the_call_is_raised_at_the_end():
    went_on = []
    with pytest.raises(ZeroDivisionError), meanwhile(divmod, 1, 0):
        went_on.append(True)
    assert went_on


def test_meanwhile_an_error_in_the_body_ends_the_call():
    started, ended = threading.Event(), threading.Event()

    def work():
        started.set()
        work_until_stopped(ended)

    with pytest.raises(ZeroDivisionError), meanwhile(work):
        assert started.wait(5)
        raise ZeroDivisionError
    assert ended.wait(5)


def test_meanwhile_an_interrupt_ends_the_call():
    checks, ended = itertools.count(), threading.Event()

    def stop_soon():
        if next(checks) == 2:
            raise StoppedError

    with checking(stop_soon), pytest.raises(StoppedError), meanwhile(work_until_stopped, ended):
        pass
    assert ended.wait(5)


def test_meanwhile_inside_the_work_on_a_batch_takes_no_further_thread():
    def work(_):
        with meanwhile(threading.get_ident) as call:
            return call.result() == threading.get_ident()

    assert all(each(work, range(3)))
