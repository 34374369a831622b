"""DeepLabV3+ (Chen 2018, arXiv 1802.02611) and DeepLabV3, by class name, through the libraries that keep them:

    segmentation-models-pytorch   DeepLabV3Plus with any encoder listed here, or named in the file
    transformers                  MobileNetV2 DeepLabV3+, as Google published it for Pascal VOC
    torchvision                   DeepLabV3 with its three backbones

Which of them a checkpoint holds is read from its tensors. Metadata of a safetensors file may say what tensors do not:
`encoder`, `labels` (a JSON list), `side` (of the input, in pixels).
"""

import json
import re
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..pixels.masks import resize_mask
from .labels import BACKGROUND, index_of, labels_of, plain
from .onnx_salient import MEAN, STD
from .packages import needed
from .prompt import AUTO, Prompt

# Of segmentation-models-pytorch; tried in turn where the file does not name its encoder.
ENCODERS = (
    "mobilenet_v2", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
    "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5",
    "se_resnext50_32x4d", "xception", "tu-mobilenetv2_050", "tu-mobilenetv2_100",
    "timm-mobilenetv3_small_100", "timm-mobilenetv3_large_100", "timm-resnest50d",
)  # fmt: skip
TORCHVISION = ("deeplabv3_resnet50", "deeplabv3_resnet101", "deeplabv3_mobilenet_v3_large")
DEPTH_MULTIPLIERS = (1.0, 0.75, 0.5, 0.35, 1.4)
# The networks' strides; sides are multiples of it.
STRIDE = 32
# A checkpoint's own counters and training heads are not needed.
SPARE = ("num_batches_tracked", "aux_classifier.", "classification_head.")

HEADS = {
    "segmentation-models-pytorch": ("decoder.aspp.0.project.0.weight", "segmentation_head.0.weight"),
    "transformers": (
        "mobilenet_v2.conv_stem.first_conv.convolution.weight",
        "segmentation_head.classifier.convolution.weight",
    ),
    "torchvision": ("classifier.0.convs.0.0.weight", "classifier.4.weight"),
}


def library_of(weights: dict[str, torch.Tensor]) -> str | None:
    """Which library's DeepLab a state dict is, by its heads' tensors; None where it is none."""

    def has(name: str) -> bool:
        return name in weights and weights[name].ndim == 4

    return next((library for library, names in HEADS.items() if all(map(has, names))), None)


def smp_networks(classes: int, width: int, encoder: str | None) -> Iterator[Callable[[], torch.nn.Module]]:
    smp = needed("segmentation_models_pytorch", "segmentation-models-pytorch")
    # A name with more in it could have timm look for a network elsewhere.
    if encoder is not None and not re.fullmatch(r"[\w.-]+", encoder):
        raise ValueError(f"names the encoder {encoder!r}, which segmentation-models-pytorch does not have")
    for name in ENCODERS if encoder is None else (encoder,):
        # No weights are fetched: the checkpoint brings its own.
        yield lambda name=name: smp.DeepLabV3Plus(
            encoder_name=name, encoder_weights=None, decoder_channels=width, classes=classes
        )


def transformers_networks(classes: int) -> Iterator[Callable[[], torch.nn.Module]]:
    transformers = needed("transformers", "transformers")
    for multiplier in DEPTH_MULTIPLIERS:
        # As Google's checkpoints were converted.
        config = transformers.MobileNetV2Config(
            depth_multiplier=multiplier, output_stride=8, num_labels=classes, layer_norm_eps=0.001
        )
        yield lambda config=config: transformers.MobileNetV2ForSemanticSegmentation(config)


def torchvision_networks(classes: int) -> Iterator[Callable[[], torch.nn.Module]]:
    models = needed("torchvision.models.segmentation", "torchvision")
    for name in TORCHVISION:
        make = getattr(models, name)
        yield lambda make=make: make(weights=None, weights_backbone=None, num_classes=classes, aux_loss=False)


def fitting(
    makers: Iterator[Callable[[], torch.nn.Module]], weights: dict[str, torch.Tensor]
) -> torch.nn.Module | None:
    """The first network whose tensors have the names and shapes of `weights`, with those; None where none has."""
    wanted = {name: value.shape for name, value in weights.items() if not any(spare in name for spare in SPARE)}
    for make in makers:
        try:
            # On the meta device a network has shapes and takes no memory.
            with torch.device("meta"):
                shapes = {name: value.shape for name, value in make().state_dict().items()}
        # A file may name any of timm's networks as its encoder. Those that cannot be dilated, or not be built without
        # values, fail in as many ways as there are authors, and mean all the same: it is not this one.
        except (ValueError, KeyError, RuntimeError, TypeError, AttributeError, AssertionError):
            continue
        if {name: value for name, value in shapes.items() if not any(spare in name for spare in SPARE)} == wanted:
            network = make()
            network.load_state_dict({name: weights[name].float() for name in wanted}, strict=False)
            return network.eval()
    return None


def build(weights: dict[str, torch.Tensor], metadata: dict[str, str]) -> "DeepLab":
    """A DeepLab with the weights of a state dict, float32, on the CPU.

    Raises ValueError where its library is missing, or does not have this network.
    """
    library = library_of(weights)
    classes = weights[HEADS[library][1]].shape[0]
    if library == "segmentation-models-pytorch":
        width = weights["decoder.aspp.0.project.0.weight"].shape[0]
        network = fitting(smp_networks(classes, width, metadata.get("encoder")), weights)
    elif library == "transformers":
        network = fitting(transformers_networks(classes), weights)
    else:
        network = fitting(torchvision_networks(classes), weights)
    if network is None:
        known = {"segmentation-models-pytorch": ENCODERS, "torchvision": TORCHVISION}.get(library, ("MobileNetV2",))
        raise ValueError(f"is a DeepLab of {library}, but with none of the encoders known here: {', '.join(known)}")
    labels = read_labels(metadata.get("labels"), classes)
    side = metadata.get("side", "512")
    if not side.isdecimal() or not STRIDE <= int(side) <= 4096:
        raise ValueError(f"says that its input's side is {side!r}; it must be a whole number from {STRIDE} to 4096")
    return DeepLab(network, library, labels, int(side))


def read_labels(told: str | None, classes: int) -> tuple[str, ...]:
    if told is None:
        return labels_of(classes)
    try:
        told = json.loads(told)
    except (ValueError, RecursionError):
        told = None
    labels = tuple(map(str, told)) if isinstance(told, list) else ()
    if len(labels) != classes:
        raise ValueError(f"has {classes} classes, and its metadata names {len(labels)} of them")
    return labels


class DeepLab:
    """A network, the classes it knows, and the side of its input."""

    def __init__(self, network: torch.nn.Module, library: str, labels: tuple[str, ...], side: int):
        self.network, self.library, self.labels, self.side = network, library, labels, side

    @property
    def heavy_part(self) -> torch.nn.Module:
        """What may run in 16 bits."""
        return self.network

    @property
    def working_memory(self) -> int:
        """About the bytes that an image takes beside the weights: some layers of 256 channels at a quarter's size."""
        return 4 * 256 * (self.side // 4) ** 2 * next(self.network.parameters()).element_size()

    def predict(self, image: np.ndarray, prompt: Prompt) -> np.ndarray:
        """The subject by its class.

        Args:
            image: float [H,W,3] in 0..1, RGB.
            prompt: `class_name`; with AUTO the class that most of the points, the box, the rough mask or else of the
                image has.
        Returns:
            float32 [H,W] in 0..1, how likely each pixel is of that class; 0 where AUTO sees background only.
        Raises ValueError for a class that the network does not know.
        """
        wanted = None if plain_auto(prompt.class_name) else index_of(prompt.class_name, self.labels)
        height, width = image.shape[:2]
        with torch.inference_mode():
            shares = self.shares(image)
            found = self.chosen(shares.argmax(0).cpu().numpy(), prompt, image.shape) if wanted is None else wanted
            if found is None:
                return np.zeros((height, width), np.float32)
            share = shares[found].float().cpu().numpy()
        return np.clip(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)

    def shares(self, image: np.ndarray) -> torch.Tensor:
        """How likely each pixel is of each class, [classes,h,w], at the network's own size."""
        scale = self.side / max(image.shape[:2])
        rows, columns = (max(1, round(length * scale / STRIDE)) * STRIDE for length in image.shape[:2])
        small = cv2.resize(image.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
        mean, std = (np.float32(0.5), np.float32(0.5)) if self.library == "transformers" else (MEAN, STD)
        weight = next(self.network.parameters())
        pixels = torch.from_numpy(np.ascontiguousarray(((small - mean) / std).transpose(2, 0, 1)[None]))
        answer = self.network(pixels.to(weight.device, weight.dtype))
        if self.library == "torchvision":
            answer = answer["out"]
        elif self.library == "transformers":
            answer = answer.logits
        logits = F.interpolate(answer.float(), (rows, columns), mode="bilinear", align_corners=False)[0]
        return logits.sigmoid() if len(logits) == 1 else logits.softmax(0)

    def chosen(self, classes: np.ndarray, prompt: Prompt, size: tuple[int, ...]) -> int | None:
        """The foreground class with most pixels where the prompt points, [h,w] of class numbers; None for none."""
        if len(self.labels) == 1:
            return 0
        region = np.zeros(classes.shape, np.uint8)
        scale = np.array([classes.shape[1] / size[1], classes.shape[0] / size[0]])
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
        if plain(self.labels[0]) == BACKGROUND:
            counts[0] = 0
        return int(counts.argmax()) if counts.any() else None


def plain_auto(name: str) -> bool:
    """Whether a class name leaves the choice to the network; an empty one does too."""
    return name.strip().lower() in ("", AUTO)
