"""DeepLab by class name: each library's networks with random weights, and a stand-in that sees colors."""

import json

import numpy as np
import pytest
import torch

from phd_ops.segmenters import checkpoint
from phd_ops.segmenters.deeplab import DeepLab
from phd_ops.segmenters.labels import COCO, VOC, class_index, labels_for
from phd_ops.segmenters.prompt import Prompt

LABELS = ("background", "red thing", "green thing", "blue thing")


class Colors(torch.nn.Module):
    """Takes each pixel's strongest color for its class, and gray for background."""

    def __init__(self):
        super().__init__()
        self.sharp = torch.nn.Parameter(torch.tensor(20.0))

    def forward(self, x):
        return self.sharp * torch.cat([torch.full_like(x[:, :1], 1.0), x - x.mean(1, keepdim=True)], 1)


def seer(labels=LABELS, side=64):
    return DeepLab(Colors(), "segmentation-models-pytorch", labels, side)


def scene(height=60, width=80):
    """Gray, with a large red, a small green and a small blue rectangle."""
    image = np.full((height, width, 3), 0.5, np.float32)
    for (top, left, bottom, right), channel in (((5, 5, 40, 30), 0), ((10, 50, 25, 70), 1), ((40, 50, 50, 60), 2)):
        image[top:bottom, left:right] = np.eye(3)[channel] * 0.9
    return image


def center_of(mask):
    rows, columns = np.nonzero(mask > 0.5)
    return rows.mean(), columns.mean()


@pytest.mark.parametrize(
    ("prompt", "center"),
    [
        (Prompt(), (22, 17)),
        (Prompt(class_name="AUTO "), (22, 17)),
        (Prompt(class_name=""), (22, 17)),
        (Prompt(class_name="green thing"), (17, 60)),
        (Prompt(class_name="Blue_Thing"), (45, 55)),
        (Prompt(positive=np.array([[60.0, 15.0]])), (17, 60)),
        (Prompt(box=(45, 35, 30, 20)), (45, 55)),
        (Prompt(class_name="red thing", box=(45, 35, 30, 20)), (22, 17)),
    ],
)
def test_a_class_is_found_by_its_name_by_a_prompt_or_by_its_size(prompt, center):
    found = seer().predict(scene(), prompt)
    assert (found.shape, found.dtype) == ((60, 80), np.float32)
    assert center_of(found) == pytest.approx(center, abs=1.5)


@pytest.mark.parametrize("prompt", [Prompt(), Prompt(box=(0, 45, 30, 15))])
def test_where_there_is_background_only_nothing_is_found(prompt):
    assert not seer().predict(scene() if prompt.box else np.full((9, 9, 3), 0.5, np.float32), prompt).any()


def test_a_class_that_is_not_in_the_label_set_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match=r"class_name is 'gren thing'.*did you mean 'green thing'\?.*red thing, green"):
        seer().predict(scene(), Prompt(class_name="gren thing"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (500, 3)])
def test_any_image_gets_a_mask_of_its_size(shape):
    assert seer().predict(np.zeros((*shape, 3), np.float32), Prompt(class_name="red thing")).shape == shape


def test_published_label_sets():
    assert labels_for(21)[15] == "person" and labels_for(21)[12] == "dog"
    # COCO's numbers have gaps: 13 is the stop sign, 90 the toothbrush.
    assert labels_for(91)[13] == "stop sign" and labels_for(91)[90] == "toothbrush" and labels_for(91)[1] == "person"
    assert len(labels_for(91)) == 91 and len(COCO) == 80 and len(VOC) == 21
    assert labels_for(81)[1] == "person" and labels_for(80)[0] == "person"
    assert labels_for(150)[149] == "class 149"


@pytest.mark.parametrize(
    ("name", "labels", "index"),
    [("dog", VOC, 12), ("Airplane", VOC, 1), ("tv", VOC, 20), ("potted plant", VOC, 16), ("sofa", COCO, 57)],
)
def test_the_other_data_set_s_word_is_understood(name, labels, index):
    assert class_index(name, labels) == index


def smp_network(encoder="tu-mobilenetv2_050", classes=2, **words):
    import segmentation_models_pytorch

    torch.manual_seed(0)
    return segmentation_models_pytorch.DeepLabV3Plus(
        encoder_name=encoder, encoder_weights=None, classes=classes, decoder_channels=32, **words
    ).eval()


def same(found, given, image):
    """Whether two networks give one answer."""
    with torch.inference_mode():
        x = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
        answers = [network(x) for network in (found, given)]
    return torch.equal(*(getattr(answer, "logits", answer) for answer in answers))


@pytest.mark.parametrize("encoder", ["tu-mobilenetv2_050", "mobilenet_v2", "resnet18"])
@pytest.mark.parametrize("named", [True, False])
def test_a_network_of_segmentation_models_pytorch_is_known_by_its_tensors(encoder, named):
    given = smp_network(encoder, classes=21)
    found = checkpoint.build(given.state_dict(), {"encoder": encoder} if named else {})
    assert found.labels == VOC and found.side == 512
    assert same(found.network, given, np.random.default_rng(0).random((64, 64, 3)).astype(np.float32))


def test_metadata_tell_labels_and_side():
    metadata = {"encoder": "tu-mobilenetv2_050", "labels": json.dumps(["background", "cup"]), "side": "192"}
    found = checkpoint.build(smp_network().state_dict(), metadata)
    assert (found.labels, found.side) == (("background", "cup"), 192)
    assert found.predict(scene(), Prompt(class_name="cup")).shape == (60, 80)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"labels": "[1, 2, 3]"}, "2 classes"),
        ({"labels": "{"}, "2 classes"),
        ({"side": "-3"}, "side"),
        ({"side": "1e9"}, "side"),
        ({"encoder": "resnet18"}, "none of the encoders"),
        ({"encoder": "hf-hub:someone/something"}, "names the encoder"),
        ({"encoder": "tu-hf-hub:someone/something"}, "names the encoder"),
        ({"encoder": "tu-nonsense"}, "none of the encoders"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(metadata, message):
    with pytest.raises(ValueError, match=message):
        checkpoint.build(smp_network().state_dict(), {"encoder": "tu-mobilenetv2_050"} | metadata)


def test_a_training_head_and_a_prefix_are_no_obstacle():
    weights = smp_network(aux_params={"classes": 3}).state_dict()
    assert any("classification_head" in name for name in weights)
    found = checkpoint.build({f"model.{name}": value for name, value in weights.items()}, {})
    assert found.labels == ("background", "subject")


def test_google_s_network_is_built_by_transformers():
    import transformers

    torch.manual_seed(0)
    config = transformers.MobileNetV2Config(depth_multiplier=0.35, output_stride=8, num_labels=21, layer_norm_eps=0.001)
    given = transformers.MobileNetV2ForSemanticSegmentation(config).eval()
    found = checkpoint.build(given.state_dict(), {})
    assert found.labels == VOC and found.library == "transformers"
    assert same(found.network, given, np.random.default_rng(0).random((64, 64, 3)).astype(np.float32))
    assert found.predict(scene(), Prompt(class_name="dog")).shape == (60, 80)


def test_torchvision_s_network_is_built_by_torchvision():
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

    torch.manual_seed(0)
    given = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).eval()
    found = checkpoint.build(given.state_dict(), {})
    assert found.labels == VOC and found.library == "torchvision"
    assert found.predict(scene(), Prompt(class_name="dog")).shape == (60, 80)


def test_a_missing_package_is_named(monkeypatch):
    weights = smp_network().state_dict()
    monkeypatch.setitem(__import__("sys").modules, "segmentation_models_pytorch", None)
    with pytest.raises(ValueError, match="segmentation-models-pytorch, which is not installed; install it"):
        checkpoint.build(weights, {})


def test_a_network_in_16_bits_answers_in_32():
    half = seer()
    half.heavy_part.to(torch.bfloat16)
    found = half.predict(scene(), Prompt(class_name="green thing"))
    assert found.dtype == np.float32 and center_of(found) == pytest.approx((17, 60), abs=1.5)
