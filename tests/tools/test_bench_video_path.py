"""The figures of `bench video` about places over time, on short clips."""

from benchmarks.video.path import masked_pixels, measure_path, path_error, tracked_errors
from phd_ops.pixels.geometry import Size


def test_the_pasted_subject_lies_on_the_keyframes_path():
    assert path_error(Size(320, 180), 9) < 0.05


def test_a_smoothed_track_is_nearer_to_the_path_and_jitters_less():
    found = tracked_errors()
    assert found["tracked_error_px"] < 0.75 * found["found_error_px"]
    assert found["tracked_jitter_px"] < 0.25 * found["found_jitter_px"]


def test_a_window_for_each_frame_shows_the_model_more_of_the_subject():
    found = masked_pixels()
    assert found["window_per_frame"] > 8 * found["one_window"]


def test_all_of_it_is_in_one_section():
    section = measure_path(frames=13)
    assert section.figures["path_error_px"] < 0.05 and section.figures["window_gain"] > 8
    assert any("window for each frame" in label for label, _ in section.rows)
