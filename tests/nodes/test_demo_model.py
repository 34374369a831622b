"""PhDLoadDemoModel: core nodes work with it unchanged."""

import shutil

import comfy.model_sampling
import cv2
import numpy as np
import pytest
import torch
from node_support import Taken, module, refused, run_node

import nodes as core
from devtools.executor import run_workflow
from devtools.package_images import photograph_path, read_rgb

demo_weights = module("nodes.demo_weights")

SAMPLER = {"seed": 0, "steps": 2, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}


@pytest.fixture(scope="module")
def loaded(pack):
    return run_node("PhDLoadDemoModel").values


def encode(clip, text):
    return core.CLIPTextEncode().encode(clip, text)[0][0][0]


def astronaut(height, width):
    image = read_rgb(photograph_path("astronaut"))
    return torch.from_numpy(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))[None]


def test_core_nodes_work_with_it():
    core.NODE_CLASS_MAPPINGS.update(PhDTestTaken=Taken)
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["5", 0]}
    workflow = {
        "1": {"class_type": "PhDLoadDemoModel", "inputs": {}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a cat"}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "EmptyImage", "inputs": {"width": 100, "height": 75, "batch_size": 1, "color": 0x808080}},
        "5": {"class_type": "VAEEncode", "inputs": {"pixels": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "KSampler", "inputs": SAMPLER | links},
        "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["1", 2]}},
        "8": {"class_type": "PreviewImage", "inputs": {"images": ["7", 0]}},
    }
    execution = run_workflow(workflow)
    assert execution.model_calls == {"6": 2}
    # Core's encoder cuts to whole 8×8 cells.
    assert execution.results["5"][0]["samples"].shape == (1, 32, 9, 12)
    (image,) = execution.results["7"]
    assert image.shape == (1, 72, 96, 3)
    assert image.isfinite().all() and image.std() > 0.01


def test_an_empty_latent_of_core_s_own_gets_the_model_s_channels(loaded):
    model, clip, vae, _ = loaded
    cond = core.CLIPTextEncode().encode(clip, "a red apple")[0]
    (latent,) = core.EmptyLatentImage().generate(64, 64)
    sampled = core.KSampler().sample(
        model, SAMPLER["seed"], 2, 2.0, "euler", "simple", cond, cond, latent, denoise=1.0
    )[0]
    assert sampled["samples"].shape == (1, 32, 8, 8)
    assert core.VAEDecode().decode(vae, sampled)[0].shape == (1, 64, 64, 3)


def test_flow_and_noise_prediction_estimate_the_same_clean_latent(loaded):
    """At noise levels that both have exactly."""
    flow, noise = loaded[0].model, run_node("PhDLoadDemoModel", prediction="noise").values[0].model
    assert isinstance(noise.model_sampling, comfy.model_sampling.EPS)
    generator = torch.Generator().manual_seed(0)
    clean, drawn = (torch.randn(3, 32, 8, 8, generator=generator) for _ in range(2))
    context = torch.randn(3, 77, 128, generator=generator)
    mask = torch.zeros(3, 1, 8, 8)
    mask[..., 2:6, 1:7] = 1
    given = {"c_crossattn": context, "c_concat": torch.cat([mask, (1 - mask) * clean], 1)}
    sigma = noise.model_sampling.sigmas[[40, 500, 999]]
    t, across = sigma / (1 + sigma), sigma.view(-1, 1, 1, 1)
    with torch.no_grad():
        wanted = flow.apply_model((clean + across * drawn) / (1 + across), t, **given)
        found = noise.apply_model(clean + across * drawn, sigma, **given)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-4)


@pytest.fixture(scope="module")
def redrawn(loaded):
    """What core makes of a latent in the middle cells, from noise alone."""
    model, clip, *_ = loaded
    cond = core.CLIPTextEncode().encode(clip, "a red apple")[0]
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48, 16:48] = 1

    def run(samples, masked=True):
        latent = {"samples": samples}
        if masked:
            (latent,) = core.SetLatentNoiseMask().set_mask(latent, mask)
        given = (model, 0, 2, 1.0, "euler", "simple", cond, cond, latent)
        return core.KSampler().sample(*given, denoise=1.0)[0]["samples"]

    return run


def test_it_sees_the_image_outside_the_mask_and_nothing_inside(redrawn):
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., 2:6, 2:6] = 1
    one, other = torch.randn(2, 1, 32, 8, 8, generator=torch.Generator().manual_seed(0))
    drawn = redrawn(one)
    torch.testing.assert_close(redrawn(torch.where(inside > 0, other, one)), drawn, rtol=0, atol=0)
    elsewhere = redrawn(torch.where(inside > 0, one, other))
    assert (elsewhere - drawn)[..., 2:6, 2:6].abs().mean() > 0.1
    assert torch.equal(drawn[inside.expand_as(drawn) == 0], one[inside.expand_as(one) == 0])


def test_without_a_mask_it_sees_nothing(redrawn):
    one, other = torch.randn(2, 1, 32, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(redrawn(one, masked=False), redrawn(other, masked=False))


def test_a_photograph_survives_the_autoencoder(loaded):
    vae = loaded[2]
    image = astronaut(256, 256)
    (latent,) = core.VAEEncode().encode(vae, image)
    (back,) = core.VAEDecode().decode(vae, latent)
    error = (back.float() - image).square().mean()
    assert -10 * torch.log10(error) >= 24


@pytest.mark.parametrize(("height", "width"), [(61, 90), (8, 8), (9, 200), (128, 72)])
def test_sizes_that_are_no_multiple_of_eight(loaded, height, width):
    vae = loaded[2]
    (latent,) = core.VAEEncode().encode(vae, astronaut(height, width))
    assert latent["samples"].shape == (1, 32, height // 8, width // 8)
    (back,) = core.VAEDecode().decode(vae, latent)
    assert back.shape == (1, height // 8 * 8, width // 8 * 8, 3)


def test_a_batch_goes_through_the_autoencoder_item_by_item(loaded):
    vae = loaded[2]
    images = torch.cat([astronaut(64, 64), astronaut(64, 64).flip(2)])
    (encoded,) = core.VAEEncode().encode(vae, images)
    (alone,) = core.VAEEncode().encode(vae, images[1:])
    torch.testing.assert_close(encoded["samples"][1:], alone["samples"], rtol=1e-4, atol=1e-4)


def test_trained_words_have_an_effect(loaded):
    clip = loaded[1]
    assert not torch.allclose(encode(clip, "a red apple"), encode(clip, "a green apple"), atol=1e-3)


def test_unknown_words_have_no_effect(loaded):
    """Their embeddings are zero, so all of them give the same context."""
    clip = loaded[1]
    table = clip.cond_stage_model.clip_l.transformer.text_model.embeddings.token_embedding.weight
    words = []
    for word in ("parliament", "economics", "wikipedia", "philosophy"):
        tokens = [token for token, *_ in clip.tokenize(word)["l"][0]]
        # One token between start and end, and none that the model was taught.
        if tokens[2] == 49407 and not table[tokens[1]].any():
            words.append(word)
    assert len(words) >= 2
    first, second = (encode(clip, f"a {word} on a table") for word in words[:2])
    assert torch.equal(first, second)
    tokens = clip.tokenize(f"a {words[0]} on a table")
    weighted = [
        (torch.zeros(table.shape[1]) if token == clip.tokenize(words[0])["l"][0][1][0] else token, weight)
        for token, weight in tokens["l"][0]
    ]
    by_hand = clip.encode_from_tokens({"l": [weighted]})
    torch.testing.assert_close(by_hand, first, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["unet", "text", "codec"])
def test_a_damaged_file_is_named(tmp_path, monkeypatch, name):
    shutil.copytree(demo_weights.WEIGHTS, tmp_path / "weights")
    file = tmp_path / "weights" / f"{name}.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    monkeypatch.setattr(demo_weights, "WEIGHTS", tmp_path / "weights")
    message = refused("PhDLoadDemoModel")
    assert f"demo/weights/{name}.safetensors is damaged" in message and "hash" in message and "Reinstall" in message


@pytest.mark.parametrize("content", [None, "", "{}", "[]"])
def test_damaged_hashes_are_named(tmp_path, monkeypatch, content):
    shutil.copytree(demo_weights.WEIGHTS, tmp_path / "weights")
    hashes = tmp_path / "weights" / "sha256.json"
    hashes.unlink() if content is None else hashes.write_text(content)
    monkeypatch.setattr(demo_weights, "WEIGHTS", tmp_path / "weights")
    message = refused("PhDLoadDemoModel")
    assert "demo/weights/sha256.json" in message and "einstall" in message


def test_two_loads_do_not_share_state(loaded):
    again = run_node("PhDLoadDemoModel").values
    assert again[0].model is not loaded[0].model
    assert torch.equal(encode(again[1], "a cat"), encode(loaded[1], "a cat"))


def test_comfyuis_latent_preview_shows_the_image(loaded):
    import latent_preview

    model, _, vae, _ = loaded
    image = astronaut(256, 256)
    latent = vae.encode(image)
    shown_by = latent_preview.Latent2RGBPreviewer(
        model.model.latent_format.latent_rgb_factors, model.model.latent_format.latent_rgb_factors_bias
    )
    shown = torch.from_numpy(np.array(shown_by.decode_latent_to_preview(latent))) / 255
    reduced = torch.nn.functional.avg_pool2d(image.movedim(-1, 1), 8)[0].movedim(0, -1)
    assert shown.shape == reduced.shape
    assert (shown - reduced).abs().mean() < 0.02
