"""Segment Anything: small networks of its own classes with random weights stand in for the published ones."""

import functools

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor, modeling

from phd_ops.segmenters import checkpoint, sam
from phd_ops.segmenters.prompt import Prompt

SIDE, PATCH, WIDTH, CHANNELS = 128, 16, 32, 32


def tiny(seed=0, width=WIDTH, depth=3, heads=2, window=3, everywhere=(1,)):
    torch.manual_seed(seed)
    grid = SIDE // PATCH
    network = modeling.Sam(
        modeling.ImageEncoderViT(
            img_size=SIDE, patch_size=PATCH, embed_dim=width, depth=depth, num_heads=heads, out_chans=CHANNELS,
            norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=window,
            global_attn_indexes=everywhere,
        ),
        modeling.PromptEncoder(
            embed_dim=CHANNELS, image_embedding_size=(grid, grid), input_image_size=(SIDE, SIDE), mask_in_chans=8
        ),
        modeling.MaskDecoder(
            num_multimask_outputs=3, transformer_dim=CHANNELS, iou_head_depth=3, iou_head_hidden_dim=16,
            transformer=modeling.TwoWayTransformer(depth=2, embedding_dim=CHANNELS, mlp_dim=64, num_heads=8),
        ),
    )  # fmt: skip
    # The published networks' own first values leave the positions at 0.
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.1)
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return tiny()


@pytest.fixture
def segmenter(network):
    return checkpoint.build(network.state_dict(), {})


def make_image(height=90, width=120, seed=0):
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


def points(*places):
    return np.array(places, float).reshape(-1, 2)


AT = Prompt(positive=points((50, 40)))


@pytest.mark.parametrize("sizes", [{}, {"width": 48, "heads": 3}, {"depth": 4, "everywhere": (0, 3)}, {"window": 5}])
def test_the_kind_of_network_is_read_from_its_tensors(sizes):
    given = tiny(**sizes)
    built = checkpoint.build(given.state_dict(), {}).network
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(built.image_encoder(x), given.image_encoder(x))


def test_a_half_precision_checkpoint_gives_a_full_precision_network(network):
    halved = {name: value.half() for name, value in network.state_dict().items()}
    built = checkpoint.build(halved, {}).network
    assert {value.dtype for value in built.parameters()} == {torch.float32}


def test_a_training_tool_s_prefix_is_no_obstacle(network):
    prefixed = {f"module.{name}": value for name, value in network.state_dict().items()}
    assert isinstance(checkpoint.build(prefixed, {}), sam.SamSegmenter)


@pytest.mark.parametrize(
    "prompt",
    [
        AT,
        Prompt(positive=points((50, 40), (70, 60)), negative=points((5, 5))),
        Prompt(box=(20, 10, 60, 50)),
        Prompt(box=(20, 10, 60, 50), positive=points((50, 40)), negative=points((90, 80))),
    ],
)
def test_the_mask_is_that_of_the_package_s_own_predictor(network, segmenter, prompt):
    # Of the network's own size nothing is resized, and both see the same pixels.
    image = (make_image(SIDE, SIDE) * 255).round().astype(np.uint8)
    predictor = SamPredictor(network)
    predictor.set_image(image)
    box = None if prompt.box is None else np.array([20, 10, 80, 60])
    placed = np.concatenate([prompt.positive, prompt.negative])
    labels = np.array([1] * len(prompt.positive) + [0] * len(prompt.negative))
    given = (placed, labels) if len(placed) else (None, None)
    logits, scores, _ = predictor.predict(*given, box=box, multimask_output=True, return_logits=True)
    wanted = 1 / (1 + np.exp(-logits[scores.argmax()]))
    found = segmenter.predict(image.astype(np.float32) / 255, prompt)
    assert np.allclose(found, wanted, atol=1e-4)
    assert found.std() > 0


def test_the_largest_of_three_masks_can_be_asked_for(segmenter):
    image = make_image()
    best, largest = (segmenter.predict(image, Prompt(positive=AT.positive, candidate=c)) for c in ("best", "largest"))
    with torch.inference_mode():
        inner = (96, 128)
        encoded = segmenter.encode_prompt(AT, image.shape[:2], inner)
        logits, scores = segmenter.decode(segmenter.embedding(image, inner), *encoded)
        areas = (logits[0, :, :24] > 0).flatten(1).sum(1)
        shown = segmenter.network.postprocess_masks(logits[0][:, None], inner, image.shape[:2]).sigmoid()[:, 0].numpy()
    assert np.allclose(best, shown[scores[0].argmax()], atol=1e-6)
    assert np.allclose(largest, shown[areas.argmax()], atol=1e-6)


def counted(segmenter):
    """How often the image encoder runs from now on, as a list that grows."""
    calls = []
    segmenter.network.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    return calls


def test_the_same_image_is_encoded_once(segmenter):
    calls, image = counted(segmenter), make_image()
    first = segmenter.predict(image, AT)
    other = segmenter.predict(image.copy(), Prompt(box=(10, 10, 40, 40)))
    assert len(calls) == 1
    assert not np.array_equal(first, other)
    assert np.array_equal(segmenter.predict(image, AT), first)
    segmenter.predict(make_image(seed=1), AT)
    assert len(calls) == 2


def test_images_of_other_shapes_are_not_taken_for_each_other(segmenter):
    calls, image = counted(segmenter), np.full((64, 128, 3), 0.5, np.float32)
    segmenter.predict(image, AT)
    segmenter.predict(image.transpose(1, 0, 2), AT)
    assert len(calls) == 2


def test_only_the_last_few_embeddings_are_kept(segmenter):
    for seed in range(sam.KEPT + 3):
        segmenter.predict(make_image(40, 40, seed), AT)
    assert len(segmenter.embeddings) == sam.KEPT
    calls = counted(segmenter)
    segmenter.predict(make_image(40, 40, sam.KEPT + 2), AT)
    assert not calls
    segmenter.predict(make_image(40, 40, 0), AT)
    assert calls


def test_two_networks_do_not_share_embeddings(network):
    one, other = checkpoint.build(network.state_dict(), {}), checkpoint.build(tiny(seed=1).state_dict(), {})
    assert not np.array_equal(one.predict(make_image(), AT), other.predict(make_image(), AT))


def test_a_rough_mask_stands_for_its_box(segmenter):
    rough = np.zeros((90, 120), np.float32)
    rough[10:60, 20:80] = 1
    found = segmenter.predict(make_image(), Prompt(rough=rough))
    assert np.array_equal(found, segmenter.predict(make_image(), Prompt(box=(20, 10, 60, 50))))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5), (700, 300)])
@pytest.mark.parametrize("prompt", [Prompt(), Prompt(positive=points((0, 0)))])
def test_any_image_gets_a_mask_of_its_size(segmenter, shape, prompt):
    found = segmenter.predict(make_image(*shape), prompt)
    assert (found.shape, found.dtype) == (shape, np.float32)
    assert found.min() >= 0 and found.max() <= 1


def test_the_encoder_may_run_in_16_bits(network):
    halved = checkpoint.build(network.state_dict(), {})
    halved.heavy_part.to(torch.bfloat16)
    full = checkpoint.build(network.state_dict(), {}).predict(make_image(), AT)
    found = halved.predict(make_image(), AT)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - full).max() < 0.1


def logits_of(*boxes, side=40):
    """Confident masks that are 1 in (top, left, bottom, right)."""
    logits = torch.full((len(boxes), side, side), -9.0)
    for index, (top, left, bottom, right) in enumerate(boxes):
        logits[index, top:bottom, left:right] = 9
    return logits


WHOLE, CENTER, CORNER, SPECK = (0, 0, 40, 40), (12, 12, 30, 30), (0, 0, 15, 15), (19, 19, 21, 21)


def test_the_most_salient_mask_is_large_and_central_and_not_the_background():
    logits = logits_of(WHOLE, CORNER, CENTER, SPECK)
    assert sam.most_salient(logits, torch.ones(4)) == 2
    assert sam.most_salient(logits[[0, 1]], torch.ones(2)) == 1


@pytest.mark.parametrize(
    ("negative", "left"), [([], 10), ([(61, 64)], 30), ([(61, 64), (105, 105)], None)], ids=["none", "one", "on all"]
)
def test_negative_points_alone_rule_out_the_masks_that_they_are_on(segmenter, negative, left):
    logits = logits_of((10, 10, 30, 30), (30, 30, 36, 40))
    segmenter.masks_at_grid = lambda embedding, inner: (logits, torch.ones(len(logits)))
    found = segmenter.predict(make_image(128, 128), Prompt(negative=points(*negative)))
    columns = np.nonzero((found > 0.5).any(0))[0]
    assert columns.min() == pytest.approx(left * SIDE / 40, abs=2) if left else len(columns) == 0


def test_a_mask_with_a_low_score_is_less_salient():
    logits = logits_of(CENTER, (10, 10, 30, 30))
    assert sam.most_salient(logits, torch.tensor([0.2, 0.9])) == 1
    assert sam.most_salient(logits, torch.tensor([0.9, 0.2])) == 0


def test_an_unstable_mask_is_less_salient():
    unsure = logits_of(CENTER, CENTER)
    unsure[0, 20:40] = 0.5
    assert sam.most_salient(unsure, torch.ones(2)) == 1


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("mask_decoder.hf_token.weight", "SAM-HQ"),
        ("sam_mask_decoder.iou_token.weight", "SAM 2"),
        ("memory_attention.layers.0.norm1.weight", "SAM 2"),
        ("image_encoder.patch_embed.seq.0.c.weight", "MobileSAM"),
        ("vision_encoder.layers.0.attn.qkv.weight", "transformers"),
        ("model.diffusion_model.input_blocks.0.0.weight", "diffusion"),
    ],
)
def test_unsupported_checkpoints_are_refused_by_name(network, name, what):
    with pytest.raises(ValueError, match=what) as refused:
        checkpoint.build({**network.state_dict(), name: torch.zeros(2, 2)}, {})
    assert "ViT-B" in str(refused.value)


@pytest.mark.parametrize("missing", ["image_encoder.neck.0.weight", "prompt_encoder.no_mask_embed.weight"])
def test_a_checkpoint_with_parts_missing_is_refused(network, missing):
    weights = {name: value for name, value in network.state_dict().items() if name != missing}
    with pytest.raises(ValueError, match="parts of a SAM network"):
        checkpoint.build(weights, {})


@pytest.mark.parametrize("weights", [{}, {"a": 1}, {"layer.weight": torch.zeros(3)}, [], None])
def test_any_other_checkpoint_is_refused(weights):
    with pytest.raises(ValueError, match="not a segmenter that this pack knows; supported are SAM"):
        checkpoint.build(weights, {})


def test_a_missing_package_is_named(network, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "segment_anything", None)
    with pytest.raises(ValueError, match="needs the package segment-anything, which is not installed; install it"):
        checkpoint.build(network.state_dict(), {})
