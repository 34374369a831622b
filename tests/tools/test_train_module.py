"""Training a module: for the demo model and for tiny bases of Stable Diffusion 1 and SDXL, on a folder of images."""

from contextlib import nullcontext

import comfy.model_base
import comfy.model_management
import comfy.supported_models
import cv2
import numpy as np
import pytest
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from safetensors.torch import load_file, save_file

from devtools.comfyui import load_pack
from devtools.tiny_networks import UNET
from training import image_folder, module, module_base, module_for_checkpoint
from training.image_folder import FolderError, ImageFolder, Paste, listed, load, variant
from training.module_base import Base, base_of
from training.module_data import batch_of, encoded, other_light, relit_here, ring_around
from training.module_for_checkpoint import Request, check_memory, measured, train_base, train_on_folder
from training.random_checkpoint import UNETS, random_checkpoint
from training.run import main as train_main

SIDE = 64
FAMILIES = {
    "SD 1.5": (comfy.supported_models.SD15, comfy.model_base.BaseModel, {}),
    "SDXL": (
        comfy.supported_models.SDXL,
        comfy.model_base.SDXL,
        {"num_classes": "sequential", "adm_in_channels": 2816},
    ),
}


class MeanVae:
    """Stands in for a VAE: the mean color of 8×8 pixels, and its mean over the channels.

    Like those of ComfyUI's VAE, its weights ask for gradients.
    """

    def __init__(self):
        self.scale = torch.nn.Parameter(torch.ones(1))

    def encode(self, images):
        color = torch.nn.functional.avg_pool2d(images.movedim(-1, 1) * 2 - 1, 8)
        return torch.cat([color, color.mean(1, keepdim=True)], 1) * self.scale

    def decode(self, latents):
        return torch.nn.functional.interpolate(latents[:, :3] / 2 + 0.5, scale_factor=8).movedim(1, -1)


def tiny_base(family: str) -> Base:
    """A base of ComfyUI's own classes with few channels and seeded weights."""
    config_class, model_class, more = FAMILIES[family]
    # The published configurations name the encoder's heads in other places.
    config = config_class({**UNET, **more, "in_channels": 4})
    model = model_class(config, comfy.model_base.ModelType.EPS, device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.diffusion_model.named_parameters():
            spread = torch.randn(weight.shape, generator=generator) / max(weight[0].numel(), 1) ** 0.5
            weight.copy_(spread if weight.ndim > 1 else torch.full_like(weight, float(not name.endswith("bias"))))

    def prompts(texts):
        context = torch.stack([torch.full((77, 32), len(text) / 50) for text in texts])
        pooled = torch.zeros(len(texts), 1280)
        adm = model.encode_adm(pooled_output=pooled, device="cpu")
        return {"c_crossattn": context} if adm is None else {"c_crossattn": context, "y": adm}

    return base_of(model, MeanVae(), prompts)


@pytest.fixture
def folders(tmp_path):
    """A function that writes images with their masks and captions; returns both folders."""
    images, masks = tmp_path / "images", tmp_path / "masks"

    def write(count: int, side: int = 96):
        images.mkdir(exist_ok=True)
        masks.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        for place in range(count):
            image = np.full((side, side + 16, 3), rng.integers(60, 200, 3), np.uint8)
            mask = np.zeros((side, side + 16), np.uint8)
            cv2.circle(mask, (side // 2, side // 2), side // 4, 255, -1)
            image[mask > 0] = rng.integers(0, 255, 3)
            cv2.imwrite(str(images / f"{place}.png"), image)
            cv2.imwrite(str(masks / f"{place}.png"), mask)
            (images / f"{place}.txt").write_text(f"thing {place}\n")
        return images, masks

    return write


def request(folders, tmp_path, **changes) -> Request:
    images, masks = folders
    given = {"base": tmp_path / "base", "images": images, "out": tmp_path / "module.safetensors", "masks": masks}
    return Request(**{**given, "side": SIDE, "count": 8, **changes})


# Training


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_falls_on_eight_images(family, folders, tmp_path):
    base = tiny_base(family)
    found = listed(*folders(8))
    images = ImageFolder(base, found, SIDE, tmp_path / "encoded", log=lambda line: None)
    training = module.started(base, rate=2e-3)
    # One batch and one draw of noise: nothing but learning changes the loss.
    batch = images.batch(0, 8)
    losses = []
    for _ in range(40):
        loss = module.step_loss(base, training.modules["module"], batch, 0)
        training.update(loss)
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0], losses


def test_the_mean_error_over_a_block_of_a_subject_counts_and_texture_does_not():
    channels, subject = torch.ones(2), torch.zeros(1, 1, 8, 8)
    subject[..., :4, :4] = 1
    even = torch.full((1, 2, 8, 8), 0.5)
    texture = even * (1 - 2 * (torch.arange(8) % 2))
    assert module.block_loss(even, channels, subject).item() == pytest.approx(module.BLOCK_WEIGHT * 0.25)
    assert module.block_loss(texture, channels, subject).item() == pytest.approx(0)
    # A subject that covers half of each cell has the same light.
    assert module.block_loss(even, channels, subject / 2).item() == pytest.approx(module.BLOCK_WEIGHT * 0.25)
    # Light that rises across it has no mean, but its blocks do.
    slope = torch.cat([even[..., :4], -even[..., :4]], 3)
    assert module.block_loss(slope, channels, torch.ones(1, 1, 8, 8)).item() == pytest.approx(
        module.BLOCK_WEIGHT * 0.25
    )
    assert module.block_loss(even, channels, torch.zeros(1, 1, 8, 8)).item() == 0


def test_activations_that_are_computed_again_give_the_same_gradients(folders, tmp_path, monkeypatch):
    found, gradients = listed(*folders(2)), {}
    monkeypatch.setattr(module, "autocast", lambda device: nullcontext())
    for name, limit in {"kept": module_base.LARGE, "computed again": 0}.items():
        monkeypatch.setattr(module_base, "LARGE", limit)
        base = tiny_base("SDXL")
        images = ImageFolder(base, found, SIDE, tmp_path / "encoded", log=lambda line: None)
        network = module.network_for(base)
        with torch.no_grad():
            # Zero outputs would pass no gradient on.
            for layer in (*network.zero_convs, network.middle_block_out):
                for parameter in layer.parameters():
                    parameter.fill_(0.01)
        # Kept activations take as many calls of a block as there are passes, otherwise one more.
        calls = []
        blocks = [block for block in network.modules() if isinstance(block, BasicTransformerBlock)]
        blocks[0].norm1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        module.step_loss(base, network, images.batch(0, 2), 0).backward()
        assert len(calls) == (1 if limit else 2)
        gradients[name] = {name: parameter.grad for name, parameter in network.named_parameters()}
    for name, gradient in gradients["kept"].items():
        # The two use different kernels for attention.
        again, scale = gradients["computed again"][name], float(gradient.abs().max())
        torch.testing.assert_close(again, gradient, rtol=1e-3, atol=1e-5 + 1e-3 * scale)


def test_a_checkpoint_file_trains_a_module(folders, tmp_path, monkeypatch):
    small = {"num_res_blocks": [1, 1], "channel_mult": [1, 1], "transformer_depth": [1, 0],
             "transformer_depth_output": [1, 1, 0, 0]}  # fmt: skip
    monkeypatch.setattr(image_folder, "VARIANTS", 1)
    monkeypatch.setattr(module_for_checkpoint, "SHOWN", 1)
    asked = request(folders(1), tmp_path, base=tmp_path / "base.safetensors", steps=1, count=1)
    save_file(random_checkpoint({**UNETS["sd15"], **small}), asked.base)
    train_on_folder(asked)
    loaded = load_pack().nodes.learned_module.read_module(asked.out)
    assert type(loaded.latent_format).__name__ == "SD15"


def test_training_that_would_not_fit_is_refused(monkeypatch):
    base = tiny_base("SD 1.5")
    check_memory(base)
    monkeypatch.setattr(comfy.model_management, "get_free_memory", lambda device: 2**20)
    with pytest.raises(ValueError, match=r"takes 0\.\d GiB beside the base.* but 0\.0 GiB are free"):
        check_memory(base)


def test_the_base_stays_frozen_and_a_new_module_changes_nothing(folders, tmp_path):
    base = tiny_base("SD 1.5")
    images = ImageFolder(base, listed(*folders(2)), SIDE, tmp_path / "encoded", log=lambda line: None)
    batch, training = images.batch(0, 2), module.started(base)
    before = {name: value.clone() for name, value in base.model.state_dict().items()}
    residuals = training.modules["module"](None, batch.condition, torch.zeros(2), base.prompts(["", ""])["c_crossattn"])
    assert all(not part.any() for parts in residuals.values() for part in parts)
    for step in range(3):
        training.update(module.step_loss(base, training.modules["module"], batch, step))
    assert all(torch.equal(value, before[name]) for name, value in base.model.state_dict().items())
    assert all(value.grad is None for value in base.model.parameters())


def test_training_resumes_at_its_last_checkpoint_as_if_it_had_not_stopped(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 2)
    base, found = tiny_base("SD 1.5"), listed(*folders(2))
    runs = {}
    for name, stops in {"whole": [], "stopped": [5]}.items():
        folder = tmp_path / name
        folder.mkdir()
        images = ImageFolder(base, found, SIDE, folder, log=lambda line: None)

        def batch(step: int, count: int, stops=stops, images=images):
            if step in stops:
                stops.remove(step)
                raise KeyboardInterrupt
            return images.batch(step, count)

        given = {"folder": folder, "out": folder / "out.safetensors", "log": lambda line: None, "count": 2}
        if stops:
            with pytest.raises(KeyboardInterrupt):
                module.train(base, batch, 6, **given)
            assert module.resumed(base, folder / "module.pt").step == 4
        module.train(base, batch, 6, **given)
        runs[name] = torch.load(folder / "module.pt", weights_only=True)
    assert runs["whole"]["step"] == runs["stopped"]["step"] == 6
    for name, value in runs["whole"]["modules"].items():
        torch.testing.assert_close(runs["stopped"]["modules"][name], value, rtol=0, atol=0)


def test_a_stop_in_the_middle_of_saving_keeps_the_last_checkpoint(folders, tmp_path, monkeypatch):
    base = tiny_base("SD 1.5")
    images = ImageFolder(base, listed(*folders(2)), SIDE, tmp_path / "encoded", log=lambda line: None)
    given = {"folder": tmp_path, "out": tmp_path / "out.safetensors", "log": lambda line: None, "count": 2}
    module.train(base, images.batch, 2, **given)
    real = torch.save

    def stopped(state, file):
        real({"half": torch.zeros(1)}, file)
        raise OSError(28, "No space left on device", str(tmp_path / "module.partial"))

    monkeypatch.setattr(torch, "save", stopped)
    with pytest.raises(OSError):
        module.train(base, images.batch, 4, **given)
    monkeypatch.undo()
    assert module.resumed(base, tmp_path / "module.pt").step == 2


def test_training_starts_from_a_files_weights(folders, tmp_path):
    base = tiny_base("SD 1.5")
    images = ImageFolder(base, listed(*folders(2)), SIDE, tmp_path / "encoded", log=lambda line: None)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    out, given = first / "out.safetensors", {"log": lambda line: None, "count": 2}
    module.train(base, images.batch, 2, folder=first, out=out, **given)
    assert module.resumed(base, second / "module.pt", out).step == 0
    network = module.resumed(base, second / "module.pt", out).modules["module"]
    for name, value in load_file(out).items():
        torch.testing.assert_close(network.state_dict()[name], value.float(), rtol=0, atol=0)


def test_the_learning_rate_falls_to_the_planned_end(folders, tmp_path, monkeypatch):
    base, rates = tiny_base("SD 1.5"), []
    images = ImageFolder(base, listed(*folders(2)), SIDE, tmp_path / "encoded", log=lambda line: None)
    monkeypatch.setattr(module, "WARMUP", 2)
    monkeypatch.setattr(module, "set_rate", lambda optimizer, rate: rates.append(rate / module.RATE))
    module.train(base, images.batch, 6, folder=tmp_path, out=tmp_path / "o", log=lambda line: None, count=2)
    assert rates[0] == pytest.approx(0.5) and max(rates) == pytest.approx(1)
    assert rates[2:] == sorted(rates[2:], reverse=True) and rates[-1] < 0.2


def test_a_checkpoint_of_another_base_is_refused(folders, tmp_path):
    images = ImageFolder(tiny_base("SD 1.5"), listed(*folders(2)), SIDE, tmp_path / "a", log=lambda line: None)
    module.train(tiny_base("SD 1.5"), images.batch, 1, folder=tmp_path, out=tmp_path / "out.safetensors",
                 log=lambda line: None, count=2)  # fmt: skip
    with pytest.raises(ValueError, match="belongs to another base"):
        module.resumed(tiny_base("SDXL"), tmp_path / "module.pt")


def test_a_loss_that_is_not_finite_ends_training_and_is_not_saved(folders, tmp_path, monkeypatch):
    base = tiny_base("SD 1.5")
    images = ImageFolder(base, listed(*folders(2)), SIDE, tmp_path / "encoded", log=lambda line: None)
    monkeypatch.setattr(module, "step_loss", lambda *given: torch.tensor(float("nan"), requires_grad=True))
    with pytest.raises(FloatingPointError):
        module.train(base, images.batch, 4, folder=tmp_path, out=tmp_path / "o", log=lambda line: None, count=2)
    assert not (tmp_path / "module.pt").exists()


def test_a_whole_run_leaves_a_module_a_log_and_a_sheet(folders, tmp_path):
    asked = request(folders(3), tmp_path, steps=3, count=2)
    train_base(tiny_base("SDXL"), asked, listed(asked.images, asked.masks))
    work = tmp_path / "module.safetensors.training"
    assert cv2.imread(str(work / "sheet.png")).shape == (3 * SIDE, 4 * SIDE, 3)
    assert "step 3 loss" in (work / "module.log").read_text()
    loaded = load_pack().nodes.learned_module.read_module(asked.out)
    assert type(loaded.latent_format).__name__ == "SDXL"


def test_a_dry_run_encodes_no_more_images_than_a_step_has(folders, tmp_path):
    asked = request(folders(5), tmp_path, count=2, dry_run=True)
    train_base(tiny_base("SD 1.5"), asked, listed(asked.images, asked.masks))
    work = tmp_path / "module.safetensors.training"
    assert len([*(work / "encoded").iterdir()]) == 2
    assert not asked.out.exists() and "GiB at most" in (work / "module.log").read_text()


def test_a_dry_run_prints_parameters_memory_and_time(folders, tmp_path):
    base, asked = tiny_base("SD 1.5"), request(folders(2), tmp_path, steps=36000, count=2)
    images = ImageFolder(base, listed(asked.images, asked.masks), SIDE, tmp_path / "e", log=lambda line: None)
    line = measured(base, images.batch, asked)
    size = sum(value.numel() for value in base.model.diffusion_model.parameters()) / 1e6
    assert f"base {size:.1f} million parameters" in line and "GiB" in line
    seconds, hours = (float(line.split(" step: ")[1].split(" s")[0]), float(line.split("about ")[1].split(" ")[0]))
    assert hours == pytest.approx(10 * seconds, abs=0.2)


# What a step is made of


def test_prompts_are_right_empty_or_those_of_another_scene():
    generator = torch.Generator().manual_seed(0)
    given = [module.given_prompts(["a", "b"], generator) for _ in range(500)]
    first = [pair[0] for pair in given]
    assert {*first} == {"a", "", "b"}
    assert first.count("a") / 500 == pytest.approx(module.RIGHT, abs=0.06)
    assert first.count("") / 500 == pytest.approx(module.NONE, abs=0.06)


def test_noise_levels_lie_between_the_clean_image_and_pure_noise():
    levels = module.noise_levels(2000, torch.Generator().manual_seed(0))
    assert levels.min() > 0 and levels.max() == 1
    assert (levels == 1).float().mean().item() == pytest.approx(module.PURE_NOISE, abs=0.03)


def test_a_variant_changes_the_light_of_the_subject_alone_and_hides_it(folders):
    images, masks = folders(1)
    paste = load(listed(images, masks)[0], SIDE, None)
    for seed in range(6):
        found = variant(paste, [seed])
        outside = found.matte == 0
        assert np.array_equal(found.composite[outside], found.truth[outside])
        assert np.abs(found.composite[~outside].astype(int) - found.truth[~outside]).mean() > 1
        assert (found.hidden[found.matte > 0] > 0).all()
        assert found.reference is None


def test_another_light_is_smooth_and_keeps_black_black():
    image = np.full((32, 32, 3), 120, np.uint8)
    image[:4] = 0
    lit = other_light(np.random.default_rng(3), image)
    assert not lit[:4].any()
    # A slope, up to rounding.
    assert np.abs(np.diff(lit[4:].astype(int), n=2, axis=1)).max() <= 3
    assert (np.diff(lit[4:].astype(int), axis=1).mean((0, 1)) != 0).all()


def test_without_a_reference_the_condition_holds_nothing_of_one():
    base = tiny_base("SD 1.5")
    image = np.full((SIDE, SIDE, 3), 200, np.uint8)
    matte = np.zeros((SIDE, SIDE), np.uint8)
    matte[16:48, 16:48] = 255
    given = Paste(image, image, matte, ring_around(np.random.default_rng(0), matte), image // 2, "a")
    seen = encoded(base, batch_of([given, relit_here(np.random.default_rng(1), given)])).condition
    assert seen.shape == (2, 11, 8, 8)
    assert seen[0, 6:10].any() and (seen[0, 10] == 1).all()
    assert not seen[1, 6:].any()


# Bad folders


def refused(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as stopped:
        train_main(["module", *map(str, arguments)])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_command_line_refuses_what_it_cannot_use_in_one_sentence(capsys, folders, tmp_path):
    images, masks = folders(1)
    out, base = tmp_path / "out.safetensors", tmp_path / "base.safetensors"
    base.write_bytes(b"no checkpoint")
    given = ["--base", base, "--images", images, "--out", out]
    assert "either --masks" in refused(capsys, *given)
    assert "is not a file" in refused(capsys, "--base", tmp_path / "none", *given[2:], "--masks", masks)
    assert "is not a folder" in refused(capsys, *given, "--masks", tmp_path / "none")
    assert "cannot be read as a checkpoint" in refused(capsys, *given, "--masks", masks)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no images" in refused(capsys, "--base", base, "--images", empty, "--out", out, "--masks", masks)
    assert "holds no mask for 0.png" in refused(capsys, *given, "--masks", empty)


def test_images_that_cannot_be_used_are_named_and_left_out(folders, tmp_path):
    images, masks = folders(5)
    cv2.imwrite(str(images / "1.png"), np.zeros((1, 1, 3), np.uint8))
    (images / "2.png").write_bytes((images / "2.png").read_bytes()[:100])
    cv2.imwrite(str(masks / "3.png"), np.zeros((96, 112), np.uint8))
    cv2.imwrite(str(masks / "4.png"), np.full((50, 50), 255, np.uint8))
    lines = []
    used = ImageFolder(tiny_base("SD 1.5"), listed(images, masks), SIDE, tmp_path / "encoded", log=lines.append)
    assert [caption for _, caption in used.files] == ["thing 0"]
    for line, reason in zip(lines, ("1×1 pixels", "cannot be read", "no subject", "its mask has 50×50"), strict=False):
        assert reason in line and line.endswith("; it is left out.")
    assert lines[-1] == f"1 of 5 images are used, {image_folder.VARIANTS} lights each."


def test_a_folder_of_nothing_but_broken_images_is_refused(folders, tmp_path):
    images, masks = folders(2)
    for file in images.glob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(FolderError, match="None of the 2 images"):
        ImageFolder(tiny_base("SD 1.5"), listed(images, masks), SIDE, tmp_path / "e", log=lambda line: None)


def test_a_segmenter_stands_in_for_masks_and_images_are_encoded_once(folders, tmp_path, monkeypatch):
    images, _ = folders(2)
    calls = []

    def segment(image):
        calls.append(image.shape)
        return (np.arange(image.shape[1]) < image.shape[1] // 2).astype(np.float32)[None].repeat(image.shape[0], 0)

    for _ in range(2):
        used = ImageFolder(tiny_base("SD 1.5"), listed(images, None), SIDE, tmp_path / "e", segment, lambda line: None)
        assert len(used.files) == 2
    assert calls == [(96, 112, 3)] * 2


def test_a_request_needs_masks_or_a_segmenter_but_not_both(folders, tmp_path):
    for changes in ({"masks": None}, {"segmenter": tmp_path / "a.onnx"}):
        with pytest.raises(FolderError, match="either --masks"):
            train_on_folder(request(folders(1), tmp_path, **changes))
