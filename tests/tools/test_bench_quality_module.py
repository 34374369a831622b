"""`bench quality --module`: its figures, and a short run."""

import json

import numpy as np
import pytest
from bench_support import has_sprites, ran
from PIL import Image

from benchmarks.common.drawing import BACK
from benchmarks.common.subject_scores import FIGURES
from benchmarks.quality import module, module_sheet, run
from training.demo_scenes import SceneRenderer


def rows(fmse: list[float], edge: float, shadow: float) -> list[dict]:
    return [{**dict.fromkeys(FIGURES, 1.0), "fmse": error, "boundary": edge, "shadow_iou": shadow} for error in fmse]


def test_figures_are_shares_of_the_pastes_at_four_calls():
    found = {("paste", "right", 0): rows([2, 4, 6], 0.5, 0.0), ("truth", "right", 0): rows([1, 1, 1], 0.2, 0.6)}
    for which, factor in (("right", 1), ("none", 1.5), ("wrong", 2)):
        found["module_reference", which, 4] = rows([factor, factor, 7 * factor], 0.25, 0.1)
        found["module_stitch", which, 4] = rows([2 * factor] * 3, 0.3, 0.1)
        found["module", which, 4] = rows([3 * factor] * 3, 0.6, 0.2)
    for which, error in (("right", 1), ("one", 2), ("none", 3), ("wrong", 4)):
        found["both", which, 32] = rows([error] * 3, 0.2, 0.1)
    figures = module.section_of(found).figures
    assert figures == pytest.approx({
        "own_color.module": 0.75, "own_color.module_stitch": 0.5, "own_color.module_reference": 0.75,
        "own_color.module_reference_worse": 1 / 3, "own_color.module_wrong_prompt": 2,
        "own_color.module_no_prompt": 1.5, "own_color.module_shadow_iou": 0.2, "own_color.module_edge": 0.5,
        "own_color.truth_shadow_iou": 0.6, "own_color.module_both": 0.25,
        "own_color.module_both_worse": 0, "own_color.module_both_one_prompt": 0.5,
        "own_color.module_both_no_prompt": 3, "own_color.module_both_wrong_prompt": 4,
    })  # fmt: skip
    assert set(module.WANTED) <= set(figures)


def test_calls_are_steps_times_seeds():
    assert all(calls == steps * seeds for calls, (steps, seeds, _) in module.SETTINGS.items())
    for calls, (steps, seeds, steps_without, seeds_without, _) in module.BOTH.items():
        assert calls == steps * seeds + 2 * steps_without * seeds_without
    assert module.MAIN_CALLS in module.QUICK


@pytest.mark.skipif(not has_sprites(), reason="needs the sprites")
def test_a_short_run_prints_the_table_and_one_line_of_json(pack, tmp_path):
    status, lines, _ = ran(run.main, tmp_path, "--module", "--scenes", "8")
    figures = json.loads(lines[-1])
    assert figures["own_color.module_reference"] < 0.8
    # The mean light of two runs with different errors is nearer than that of the worse of them.
    assert figures["own_color.module_both"] < 0.8
    assert any(line.split()[:5] == ["both,", "one", "prompt,", "32", "calls"] for line in lines)
    # Seven of eight scenes have a color of their own.
    assert "7 scenes of their own color" in lines[1]
    assert status == (0 if all(" holds" in line for line in lines if "→" in line) else 1)


# The sheet


@pytest.mark.skipif(not has_sprites(), reason="needs the sprites")
def test_the_sheet_has_a_row_for_each_image_and_truths_where_they_are_known(pack, tmp_path, monkeypatch):
    color = {"module": 0.2, "module_stitch": 0.4, "module_reference": 0.6}

    def flat(chunk, value):
        return np.full_like(chunk.composites, value)

    monkeypatch.setattr(module, "ran", lambda chunk, *_: {name: flat(chunk, value) for name, value in color.items()})
    monkeypatch.setattr(module_sheet, "with_reference", lambda **_: lambda chunk, seed: flat(chunk, 0.8))
    made = module_sheet.cases()
    monkeypatch.setattr(module_sheet, "cases", lambda: made)
    image = np.asarray(Image.open(module_sheet.save(tmp_path / "sheet.png")).convert("RGB"))
    step = module_sheet.TILE + module_sheet.GAP
    for row, given in enumerate(made):
        # A point off the middle, where nothing is written.
        tiles = image[module_sheet.LABEL + row * step + 20, 20::step]
        assert (tiles[1:5] == np.array([51, 102, 153, 204])[:, None]).all()
        assert (tiles[5] == BACK).all() == (given.truth is None)
        inside = given.matte > 0
        assert (given.composite != (given.background if given.truth is None else given.truth))[inside].any()
        assert (given.harmonize_mask > 0)[inside].all()
    assert len(made) == len(module_sheet.PASTES) + len(module_sheet.SCENES)


@pytest.mark.skipif(not has_sprites(), reason="needs the sprites")
def test_a_seed_that_draws_another_subject_is_refused():
    with pytest.raises(ValueError, match="choose another seed"):
        module_sheet.drawn(SceneRenderer(), "a zebra", 22)
