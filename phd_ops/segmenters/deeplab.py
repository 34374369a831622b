"""DeepLabV3+ (Chen 2018, arXiv 1802.02611) and DeepLabV3: a subject by its class name. Supported libraries:

    segmentation-models-pytorch   DeepLabV3Plus with an encoder of ENCODERS, or the one named in the file
    transformers                  MobileNetV2 DeepLabV3+, as Google published it for Pascal VOC
    torchvision                   DeepLabV3 with its three backbones

The library and network of a checkpoint are recognized by its tensors. The metadata of a safetensors file may add what
tensors do not show: `encoder`, `labels` (a JSON list), `side` (of the input, in pixels).
"""

import json
import re
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..interrupt import waiting
from ..pixels.masks import resize_mask
from ..pixels.resample import clip
from ..quote import quoted
from ..sentence import sentence
from .labels import BACKGROUND, class_index, labels_for, normalized
from .onnx_salient import MEAN, STD
from .packages import import_optional
from .prompt import AUTO, Prompt

# Encoders of segmentation-models-pytorch, tried in this order where the file does not name its own.
ENCODERS = (
    "mobilenet_v2", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5",
    "se_resnext50_32x4d", "xception", "tu-mobilenetv2_050", "tu-mobilenetv2_100",
    "timm-mobilenetv3_small_100", "timm-mobilenetv3_large_100", "timm-resnest50d",
)  # fmt: skip
TORCHVISION = ("deeplabv3_resnet50", "deeplabv3_resnet101", "deeplabv3_mobilenet_v3_large")
DEPTH_MULTIPLIERS = (1.0, 0.75, 0.5, 0.35, 1.4)
# Input sides are multiples of the networks' stride.
STRIDE = 32
# Parts of a checkpoint's tensor names that inference does not need: counters and heads used in training.
UNUSED = ("num_batches_tracked", "aux_classifier.", "classification_head.")

# Two tensors that identify each library's DeepLab; the second belongs to the last layer, [classes,...].
HEADS = {
    "segmentation-models-pytorch": ("decoder.aspp.0.project.0.weight", "segmentation_head.0.weight"),
    "transformers": (
        "mobilenet_v2.conv_stem.first_conv.convolution.weight",
        "segmentation_head.classifier.convolution.weight",
    ),
    "torchvision": ("classifier.0.convs.0.0.weight", "classifier.4.weight"),
}


def library_of(weights: dict[str, torch.Tensor]) -> str | None:
    """The library whose DeepLab a state dict belongs to, by the tensors of HEADS; None for any other network."""

    def has(name: str) -> bool:
        return name in weights and weights[name].ndim == 4

    return next((library for library, names in HEADS.items() if all(map(has, names))), None)


def smp_networks(classes: int, width: int, encoder: str | None) -> Iterator[Callable[[], torch.nn.Module]]:
    """Constructors of DeepLabV3Plus with `width` decoder channels, for the named encoder or for each of ENCODERS."""
    smp = import_optional("segmentation_models_pytorch", "segmentation-models-pytorch")
    # Names with other characters could make timm download a network.
    if encoder is not None and not re.fullmatch(r"[\w.-]+", encoder):
        raise ValueError(
            sentence(
                "its metadata names the encoder {encoder}, which segmentation-models-pytorch does not have.",
                encoder=quoted(encoder),
            )
        )
    for name in ENCODERS if encoder is None else (encoder,):
        # No pretrained weights are downloaded: the checkpoint has its own.
        yield lambda name=name: smp.DeepLabV3Plus(
            encoder_name=name, encoder_weights=None, decoder_channels=width, classes=classes
        )


def transformers_networks(classes: int) -> Iterator[Callable[[], torch.nn.Module]]:
    """Constructors of MobileNetV2 DeepLabV3+, for each of DEPTH_MULTIPLIERS."""
    transformers = import_optional("transformers", "transformers")
    for multiplier in DEPTH_MULTIPLIERS:
        # The settings with which Google's checkpoints were converted.
        config = transformers.MobileNetV2Config(
            depth_multiplier=multiplier, output_stride=8, num_labels=classes, layer_norm_eps=0.001
        )
        yield lambda config=config: transformers.MobileNetV2ForSemanticSegmentation(config)


def torchvision_networks(classes: int) -> Iterator[Callable[[], torch.nn.Module]]:
    """Constructors of DeepLabV3, for each backbone of TORCHVISION."""
    models = import_optional("torchvision.models.segmentation", "torchvision")
    for name in TORCHVISION:
        make = getattr(models, name)
        yield lambda make=make: make(weights=None, weights_backbone=None, num_classes=classes, aux_loss=False)


def first_match(
    constructors: Iterator[Callable[[], torch.nn.Module]], weights: dict[str, torch.Tensor]
) -> torch.nn.Module | None:
    """The first network whose tensors match `weights` in name and shape, with these loaded; None if none does."""
    wanted = {name: value.shape for name, value in weights.items() if not any(part in name for part in UNUSED)}
    for construct in constructors:
        try:
            # On the meta device tensors have shapes and take no memory.
            with torch.device("meta"):
                shapes = {name: value.shape for name, value in construct().state_dict().items()}
        # A file may name any network of timm as its encoder. Those that cannot be dilated, or cannot be built on the
        # meta device, raise whatever error their authors chose. In every case the file does not hold this network.
        except (ValueError, KeyError, RuntimeError, TypeError, AttributeError, AssertionError):
            continue
        if {name: value for name, value in shapes.items() if not any(part in name for part in UNUSED)} == wanted:
            network = construct()
            network.load_state_dict({name: weights[name].float() for name in wanted}, strict=False)
            return network.eval()
    return None


def build(weights: dict[str, torch.Tensor], metadata: dict[str, str]) -> "DeepLab":
    """A DeepLab with the weights of a state dict, in float32 on the CPU.

    Raises ValueError where its library is missing or does not have this network, or where the metadata do not fit.
    """
    library = library_of(weights)
    if library is None:
        raise ValueError(sentence("this is not a DeepLab."))
    classes = weights[HEADS[library][1]].shape[0]
    if library == "segmentation-models-pytorch":
        width = weights["decoder.aspp.0.project.0.weight"].shape[0]
        network = first_match(smp_networks(classes, width, metadata.get("encoder")), weights)
    elif library == "transformers":
        network = first_match(transformers_networks(classes), weights)
    else:
        network = first_match(torchvision_networks(classes), weights)
    if network is None:
        known = {"segmentation-models-pytorch": ENCODERS, "torchvision": TORCHVISION}.get(library, ("MobileNetV2",))
        raise ValueError(
            sentence(
                "this is a DeepLab of {library}, but with none of the encoders known here: {known}.",
                library=library,
                known=", ".join(known),
            )
        )
    labels = read_labels(metadata.get("labels"), classes)
    side = metadata.get("side", "512")
    if not side.isdecimal() or not STRIDE <= int(side) <= 4096:
        raise ValueError(
            sentence(
                "its metadata gives {value} as its input's side; it must be a whole number from {least} to 4096.",
                value=quoted(side),
                least=STRIDE,
            )
        )
    return DeepLab(network, library, labels, int(side))


def read_labels(text: str | None, classes: int) -> tuple[str, ...]:
    """The class names in a file's metadata, a JSON list; where it has none, those of the data set with as many."""
    if text is None:
        return labels_for(classes)
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    labels = tuple(map(str, names)) if isinstance(names, list) else ()
    if len(labels) != classes:
        raise ValueError(
            sentence(
                "it has {classes} classes, and its metadata names {named} of them.", classes=classes, named=len(labels)
            )
        )
    return labels


class DeepLab:
    """A network, its classes, and the longer side of its input in pixels."""

    def __init__(self, network: torch.nn.Module, library: str, labels: tuple[str, ...], side: int):
        self.network, self.library, self.labels, self.side = network, library, labels, side

    @property
    def heavy_part(self) -> torch.nn.Module:
        """The part that may run in 16 bits."""
        return self.network

    @property
    def working_memory(self) -> int:
        """The approximate bytes needed beside the weights: four layers of 256 channels at a quarter of the side."""
        return 4 * 256 * (self.side // 4) ** 2 * next(self.network.parameters()).element_size()

    def predict(self, image: np.ndarray, prompt: Prompt) -> np.ndarray:
        """The pixels of a class.

        Args:
            image: float [H,W,3] in 0..1, RGB.
            prompt: `class_name`; AUTO takes the most frequent foreground class at the points, in the box, in the rough
                mask, or else in the image.
        Returns:
            float32 [H,W] in 0..1, the probability of that class at each pixel; 0 where AUTO finds only background.
        Raises ValueError for a class that the network does not know.
        """
        asked = None if is_auto(prompt.class_name) else class_index(prompt.class_name, self.labels)
        height, width = image.shape[:2]
        with torch.inference_mode():
            probabilities = self.probabilities(image)
            classes = probabilities.argmax(0).cpu().numpy()
            index = self.most_frequent(classes, prompt, image.shape) if asked is None else asked
            if index is None:
                return np.zeros((height, width), np.float32)
            probability = probabilities[index].float().cpu().numpy()
        return clip(waiting(cv2.resize, probability, (width, height), interpolation=cv2.INTER_LINEAR))

    def probabilities(self, image: np.ndarray) -> torch.Tensor:
        """The probability of each class at each pixel, [classes,h,w] at the size of the network's input."""
        scale = self.side / max(image.shape[:2])
        rows, columns = (max(1, round(length * scale / STRIDE)) * STRIDE for length in image.shape[:2])
        given = np.asarray(image, np.float32)
        small = waiting(cv2.resize, given, (columns, rows), interpolation=cv2.INTER_AREA)
        mean, std = (np.float32(0.5), np.float32(0.5)) if self.library == "transformers" else (MEAN, STD)
        weight = next(self.network.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(((small - mean) / std).transpose(2, 0, 1)[None]))
        output = self.network(pixels.to(weight.device, weight.dtype))
        if self.library == "torchvision":
            output = output["out"]
        elif self.library == "transformers":
            output = output.logits
        logits = F.interpolate(output.float(), (rows, columns), mode="bilinear", align_corners=False)[0]
        return logits.sigmoid() if len(logits) == 1 else logits.softmax(0)

    def most_frequent(self, classes: np.ndarray, prompt: Prompt, shape: tuple[int, ...]) -> int | None:
        """The foreground class with most pixels where the prompt points; None where there is only background.

        Args:
            classes: int [h,w], the class of each pixel.
            prompt: in pixels of the image.
            shape: of the image, (H, W, ...).
        """
        if len(self.labels) == 1:
            return 0
        region = np.zeros(classes.shape, np.uint8)
        scale = np.array([classes.shape[1] / shape[1], classes.shape[0] / shape[0]])
        if len(prompt.positive):
            for x, y in (prompt.positive * scale).astype(int):
                cv2.circle(region, (int(x), int(y)), 1, 1, -1)
        elif prompt.box is not None:
            x, y, w, h = np.array(prompt.box) * np.tile(scale, 2)
            region[max(0, int(y)) : max(0, int(np.ceil(y + h))), max(0, int(x)) : max(0, int(np.ceil(x + w)))] = 1
        elif prompt.rough is not None:
            region = (resize_mask(prompt.rough, *classes.shape[::-1]) > 0.5).astype(np.uint8)
        else:
            region[:] = 1
        counts = np.bincount(classes[region == 1], minlength=len(self.labels))
        if normalized(self.labels[0]) == BACKGROUND:
            counts[0] = 0
        return int(counts.argmax()) if counts.any() else None


def is_auto(name: str) -> bool:
    """Whether a class name leaves the choice to the network, as an empty one does too."""
    return name.strip().lower() in ("", AUTO)
