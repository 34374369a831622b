"""The rivals of `bench quality` that are trained here: their transforms, their training, and what stands in for their
weights."""

import numpy as np
import pytest
import torch

from benchmarks.quality import trained_rivals
from benchmarks.quality.store import MethodRun, Store
from relit_scenes.descriptions import STRATA
from training import rivals, run
from training.module_data import Paste
from training.rival_networks import FILTERS, NETWORKS, FilterPredictor, PixelwiseTransform, curve, harmonized, merged

IMAGE = torch.tensor([0.2, 0.5, 0.8]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
MATTE = torch.ones(1, 1, 16, 16)


def filtered(**values: float) -> list[float]:
    arguments = torch.tensor([[values.get(name, 0.0) for name in FILTERS]])
    return FilterPredictor.applied(arguments, IMAGE, MATTE)[0, :, 3, 3].tolist()


class Flat(rivals.PasteStore):
    """One paste: the truth is half as bright as the composite's subject."""

    def __init__(self):
        matte = np.zeros((128, 128), np.uint8)
        matte[32:96, 32:96] = 255
        scene = np.full((128, 128, 3), 120, np.uint8)
        truth = np.where(matte[..., None] > 0, 60, scene)
        self.prompts, self.stack = ["a cube"], np.dstack([truth, scene, scene, matte, matte]).astype(np.uint8)

    def draw(self, rng, first):
        return Paste.of_stack(self.stack, "a cube")


# Transforms


@pytest.mark.parametrize("name", NETWORKS)
def test_an_untrained_rival_changes_nothing(name):
    network, rng = NETWORKS[name]().eval(), np.random.default_rng(0)
    image, matte = rng.random((40, 72, 3), np.float32), rng.random((40, 72), np.float32)
    np.testing.assert_allclose(harmonized(network, image, matte), image, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_rival_leaves_pixels_without_matte_as_they_are_to_the_bit(name):
    torch.manual_seed(0)
    network, rng = NETWORKS[name]().eval(), np.random.default_rng(0)
    for parameter in network.parameters():
        parameter.data.add_(0.02 * torch.randn(parameter.shape))
    image, matte = rng.random((48, 48, 3), np.float32), np.zeros((48, 48), np.float32)
    matte[8:40, 8:40] = 1
    found = harmonized(network, image, matte)
    assert np.array_equal(found[matte == 0], image[matte == 0])
    assert np.abs(found - image)[matte > 0].max() > 0.01 and found.min() >= 0 and found.max() <= 1


def test_a_field_of_transforms_maps_each_pixel_by_its_own_matrix_and_offset():
    field = torch.zeros(1, 12, 2, 2)
    field[:, 1] = 0.5  # red gains half of green
    field[:, 11] = -0.1  # blue's offset
    mapped = PixelwiseTransform.applied(field, IMAGE, MATTE)[0, :, 3, 3].tolist()
    assert mapped == pytest.approx([0.2 + 0.25, 0.5, 0.7])
    field[..., 1] = 0.0  # the right half stays
    mapped = PixelwiseTransform.applied(field, IMAGE, MATTE)[0]
    assert mapped[:, 3, 0].tolist() == pytest.approx([0.45, 0.5, 0.7])
    assert mapped[:, 3, 15].tolist() == pytest.approx([0.2, 0.5, 0.8])


def test_each_filter_does_what_its_name_says():
    luma = 0.2126 * 0.2 + 0.7152 * 0.5 + 0.0722 * 0.8
    assert filtered() == pytest.approx([0.2, 0.5, 0.8])
    assert filtered(temperature=0.2) == pytest.approx([0.2 * np.exp(0.1), 0.5, 0.8 * np.exp(-0.1)])
    assert filtered(brightness=0.1) == pytest.approx([value * np.exp(0.1) for value in (0.2, 0.5, 0.8)])
    assert filtered(contrast=-1) == pytest.approx([luma] * 3, abs=1e-3)
    assert filtered(saturation=-1) == pytest.approx([luma] * 3)
    dark, bright = filtered(shadows=0.5), filtered(highlights=0.5)
    assert dark[0] - 0.2 > dark[2] - 0.8 > 0 and bright[2] - 0.8 > bright[0] - 0.2 > 0


def test_the_tone_curves_keep_black_and_white_and_stay_monotonic():
    values = torch.linspace(0, 1, 200).view(1, 1, 1, -1).expand(1, 3, 1, -1)
    assert curve(torch.tensor([0.0, 1.0])).tolist() == [0, 0]
    for name in ("highlights", "shadows"):
        for end in (-1.0, 1.0):
            arguments = torch.tensor([[end * (each == name) for each in FILTERS]])
            mapped = FilterPredictor.applied(arguments, values, torch.ones(1, 1, 1, 200))[0, 0, 0]
            assert (mapped.diff() >= 0).all() and mapped[0] == 0 and mapped[-1] == 1


def test_the_first_rival_is_as_large_as_the_paper_s():
    assert 4e6 < sum(parameter.numel() for parameter in PixelwiseTransform().parameters()) < 5e6


# Training


def test_the_loss_is_the_error_over_the_subject_by_its_size():
    truth, result, matte = torch.zeros(2, 3, 20, 20), torch.zeros(2, 3, 20, 20), torch.zeros(2, 1, 20, 20)
    result[:] = 0.5
    matte[0, :, :, :10] = 1  # 200 pixels
    matte[1, :, :5, :10] = 1  # 50 pixels, fewer than the least that are divided by
    assert rivals.subject_loss(result, truth, matte).item() == pytest.approx((0.25 + 0.125) / 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_rival_learns_and_goes_on_where_it_was_stopped(name, tmp_path):
    training, store = rivals.started(name), Flat()
    losses = [*rivals.steps_of(training, store, 12)]
    assert losses[-1] < losses[0]
    training.save(tmp_path / "rival.pt")
    again = rivals.started(name)
    again.load(tmp_path / "rival.pt")
    assert again.step == 12
    network = rivals.averaged(name, again)
    assert all(torch.equal(value, training.average[f"rival.{key}"]) for key, value in network.state_dict().items())
    rivals.save(network, tmp_path / "rival.safetensors")
    _, composite, matte = rivals.batch_of(store, 0, 1)
    half = NETWORKS[name]()
    half.load_state_dict(rivals.load_file(tmp_path / "rival.safetensors"))
    torch.testing.assert_close(
        merged(half.eval(), composite, matte), merged(network, composite, matte), atol=2e-2, rtol=0
    )


def test_validation_is_the_share_of_the_paste_s_error():
    scenes = rivals.validation_scenes(len(STRATA), kinds=("solid",))
    assert {scene.description.stratum for scene in scenes} == {*STRATA}
    network = PixelwiseTransform().eval()
    assert rivals.shares(network, scenes) == pytest.approx({"own_color": 1, "same_color": 1}, abs=1e-3)


def test_a_curve_forgets_what_came_after_the_last_checkpoint(tmp_path):
    rows = [{"step": step, "loss": 0.1, "own_color": 0.5, "same_color": 0.75} for step in (250, 500)]
    rivals.write_curve(tmp_path / "curve.csv", rows)
    assert rivals.read_curve(tmp_path / "curve.csv", 450) == rows[:1]
    assert rivals.read_curve(tmp_path / "none.csv", 450) == []


@pytest.mark.parametrize(("stage", "only"), [("rivals", "published"), ("evaluate", "pctnet")])
def test_a_stage_refuses_what_another_one_trains(stage, only, capsys):
    with pytest.raises(SystemExit):
        run.main([stage, "--only", only])
    assert f"--only for {stage} is" in capsys.readouterr().err


# Rows that stand in for weights


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "WORK", tmp_path)
    monkeypatch.setattr(trained_rivals, "STORED", tmp_path / "stored.csv")
    monkeypatch.setattr(trained_rivals, "PLOT", tmp_path / "training.png")
    return Store(tmp_path / "rows.csv")


def row(store: Store) -> dict:
    return {"stratum": "mixed", "calls": 0, "seconds": 0.1, **dict.fromkeys(store.figures, 0.5)}


def test_a_rival_without_weights_and_rows_is_left_out_with_a_sentence(stored, capsys):
    assert trained_rivals.methods(stored, "test", range(2), "demo") == []
    assert "pctnet is left out: python3 dev.py train rivals trains it." in capsys.readouterr().out


def test_stored_rows_stand_in_for_missing_weights_whatever_the_demo_model(stored, capsys):
    Store(trained_rivals.STORED).add(
        MethodRun("old", "test", "pctnet", 0, "weights=abc", 0), {0: row(stored), 1: row(stored)}
    )
    (method,) = trained_rivals.methods(stored, "test", range(2), "new")
    assert (method.name, method.calls, method.settings) == ("pctnet", 0, "weights=abc")
    assert stored.missing(MethodRun("new", "test", "pctnet", 0, "weights=abc", 0), range(2)) == []
    assert trained_rivals.methods(stored, "test", range(3), "new") == []


def test_a_published_run_keeps_the_rows_of_the_weights_that_are_here(stored):
    rivals.save(NETWORKS["pctnet"](), rivals.weights_file("pctnet"))
    (method,) = trained_rivals.trained()
    Store(trained_rivals.STORED).add(MethodRun("demo", "test", "harmonizer", 0, "weights=abc", 0), {0: row(stored)})
    Store(trained_rivals.STORED).add(MethodRun("demo", "test", "pctnet", 0, "weights=older", 0), {0: row(stored)})
    Store(trained_rivals.STORED).add(
        MethodRun("demo", "photographs", "pctnet", 0, "weights=older", 0), {0: row(stored)}
    )
    stored.add(MethodRun("demo", "test", "pctnet", 0, method.settings, 0), {0: row(stored)})
    stored.add(MethodRun("demo", "validation", "pctnet", 0, method.settings, 0), {0: row(stored)})
    trained_rivals.publish(stored, "test", "demo")
    kept = {(run.split, run.method, run.settings) for run in Store(trained_rivals.STORED).rows}
    assert kept == {
        ("test", "pctnet", method.settings),
        ("test", "harmonizer", "weights=abc"),
        ("photographs", "pctnet", "weights=older"),
    }
    assert trained_rivals.PLOT.is_file()
