"""The demo model's training data: scenes are rendered once, survive an interruption, and some of each are hidden."""

import numpy as np
import pytest

from training import data, module_data
from training.data import LEFT, RIGHT, WHOLE, RelitStore, augmented, hidden_cells
from training.demo_scenes import Layer
from training.module_data import PasteStore, demo_paste

SIDE = 8


@pytest.fixture
def rendered(monkeypatch):
    """The seeds that were rendered, by a renderer of plain images."""
    seeds = []

    def training_scene(seed, side):
        seeds.append(seed)
        return np.full((side, side, 4), seed, np.uint8), f"scene {seed}, warm light from the left"

    monkeypatch.setattr(data, "training_scene", training_scene)
    return seeds


def test_a_store_renders_each_scene_once_even_after_an_interruption(tmp_path, rendered):
    store = RelitStore(tmp_path, SIDE, most=6)
    store.grow(3)
    store.grow(2)
    again = RelitStore(tmp_path, SIDE, most=6)
    assert len(again) == 3
    again.grow(100)
    assert rendered == [0, 1, 2, 3, 4, 5] and len(again) == 6
    assert [again.images[i, 0, 0, 0] for i in range(6)] == rendered
    assert again.prompts[4] == "scene 4, warm light from the left"


def test_a_scene_whose_prompt_was_not_written_is_rendered_again(tmp_path, rendered):
    store = RelitStore(tmp_path, SIDE, most=4)
    store.grow(2)
    with store.prompts_file.open("a") as file:
        file.write("scene 2, cut o")
    again = RelitStore(tmp_path, SIDE, most=4)
    again.grow(3)
    assert rendered == [0, 1, 2] and again.prompts[2].startswith("scene 2, warm")
    assert RelitStore(tmp_path, SIDE, most=4).prompts == again.prompts


def test_draws_come_from_the_first_scenes_only(tmp_path, rendered):
    store = RelitStore(tmp_path, SIDE, most=20)
    store.grow(20)
    rng = np.random.default_rng(0)
    assert {int(store.draw(rng, 3)[0][0, 0, 0]) for _ in range(60)} == {0, 1, 2}


def test_the_prompt_of_a_mirrored_scene_names_the_other_side():
    image = np.arange(SIDE * SIDE * 4, dtype=np.uint8).reshape(SIDE, SIDE, 4)
    seen, prompts = set(), set()
    for seed in range(40):
        shown, prompt = augmented(np.random.default_rng(seed), image, f"a cat, dim light {LEFT}")
        mirrored = not np.array_equal(shown, image)
        np.testing.assert_array_equal(shown, image[:, ::-1] if mirrored else image)
        assert prompt in ("a cat", f"a cat, dim light {RIGHT if mirrored else LEFT}")
        seen.add(mirrored)
        prompts.add(prompt)
    assert len(seen) == 2 and len(prompts) == 3


def test_hidden_is_everything_or_the_subject_or_its_ring_or_a_rectangle():
    subject = np.zeros((64, 64), np.uint8)
    subject[17:47, 20:33] = 255
    inner, touched = np.s_[3:5, 3:4], np.s_[2:6, 2:5]
    rng = np.random.default_rng(0)
    drawn = [hidden_cells(rng, subject) for _ in range(600)]
    assert all(cells.dtype == np.float32 and cells.shape == (8, 8) and cells.any() for cells in drawn)
    assert abs(np.mean([cells.all() for cells in drawn]) - WHOLE) < 0.06
    parts = [cells for cells in drawn if not cells.all()]
    covering = [cells for cells in parts if cells[touched].all()]
    rings = [cells for cells in parts if not cells[inner].any() and cells[touched].any()]
    assert len(covering) > 0.5 * len(parts) and len(rings) > 0.1 * len(parts)


def test_without_a_subject_a_rectangle_is_hidden():
    rng = np.random.default_rng(0)
    for _ in range(60):
        cells = hidden_cells(rng, np.zeros((64, 64), np.uint8))
        rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        assert cells[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


# Pastes of the learned module


@pytest.fixture
def pastes(monkeypatch):
    """The seeds that were rendered, by a renderer of plain images."""
    seeds = []

    def rendered_paste(seed):
        seeds.append(seed)
        plain = np.full((SIDE, SIDE, 3), seed, np.uint8)
        return module_data.Paste(plain, plain + 1, plain[..., 0], plain[..., 0], plain + 2, f"paste {seed}")

    monkeypatch.setattr(module_data, "draw_scene", lambda seed, split: seed)
    monkeypatch.setattr(module_data, "render_scene", lambda seed, side: seed)
    monkeypatch.setattr(module_data, "rendered_paste", rendered_paste)
    return seeds


def test_a_store_of_pastes_renders_each_once_even_after_an_interruption(tmp_path, pastes):
    PasteStore(tmp_path, SIDE, most=5).grow(2)
    store = PasteStore(tmp_path, SIDE, most=5)
    with store.prompts_file.open("a") as file:
        file.write("paste 2, cut o")
    again = PasteStore(tmp_path, SIDE, most=5)
    again.grow(9)
    assert pastes == [0, 1, 2, 3, 4]
    drawn = [again.draw(np.random.default_rng(seed), 3) for seed in range(40)]
    assert {paste.prompt for paste in drawn} == {"paste 0", "paste 1", "paste 2"}
    for paste in drawn:
        value = int(paste.prompt[-1])
        parts = (paste.truth, paste.composite, paste.reference, paste.matte, paste.hidden)
        assert [np.unique(part).tolist() for part in parts] == [[value], [value + 1], [value + 2], [value], [value]]


def test_a_paste_of_the_demos_own_images_differs_from_its_truth_in_the_hidden_part_alone():
    class Renderer:
        """Two plain backgrounds, and a square as subject."""

        def subject(self, rng, side):
            alpha = np.zeros((side, side, 1), np.float32)
            alpha[24:40, 24:40] = 1
            return Layer(0.3 * alpha.repeat(3, 2), alpha, 24, 40, 40), "a square"

        def background(self, rng, side):
            return np.full((side, side, 3), rng.uniform(0.05, 0.6), np.float32), "a wall"

    paste = demo_paste(Renderer(), np.random.default_rng(2), 64)
    inside = paste.matte > 0
    assert paste.prompt.startswith("a square, a wall")
    assert np.abs(paste.composite[inside].astype(int) - paste.truth[inside]).mean() > 3
    assert np.array_equal(paste.composite[inside], paste.reference[inside])
    assert (paste.hidden[inside] > 0).all()
    # Without its shadow, which may lie beyond the ring, the rest is the same.
    assert (paste.composite[~inside].astype(int) >= paste.truth[~inside]).all()
