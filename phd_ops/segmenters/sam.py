"""Segment Anything (Kirillov 2023, arXiv 2304.02643) through the package `segment-anything`: ViT-B, ViT-L, ViT-H.

The network's dimensions are read from the checkpoint's tensors, so that networks of other sizes work too.
"""

import functools
import hashlib
import re
from collections import OrderedDict
from typing import Any

import cv2
import numpy as np
import torch

from ..interrupt import waiting
from ..pixels.geometry import bounding_box
from ..sentence import sentence
from .packages import import_optional
from .prompt import Prompt

# The number of attention heads in the published mask decoders, which their tensors do not show.
DECODER_HEADS = 8
# The embeddings of this many images are kept.
KEPT = 4
# Without a prompt: a grid of GRID×GRID points, of which AT_ONCE go through the decoder at a time.
GRID, AT_ONCE = 8, 16
# A mask is stable if its area hardly changes when the logits' threshold moves by this (SAM's automatic mode).
STABILITY_OFFSET = 1.0
# Shares of the image: a mask above the first is background; one below the second is less likely to be the subject.
BACKGROUND_SHARE, SUBJECT_SHARE = 0.85, 0.04


def build(weights: dict[str, torch.Tensor]) -> Any:
    """`segment_anything.modeling.Sam` with the weights of a state dict, in float32 on the CPU.

    Raises ValueError where the package is missing or the tensors are not those of a complete SAM network.
    """
    modeling = import_optional("segment_anything", "segment-anything").modeling

    def shape(name: str) -> torch.Size:
        return weights[name].shape

    def count(pattern: str) -> int:
        return len({match[1] for match in (re.match(pattern, name) for name in weights) if match})

    try:
        width, _, patch, _ = shape("image_encoder.patch_embed.proj.weight")
        grid = shape("image_encoder.pos_embed")[1]
        depth = count(r"image_encoder\.blocks\.(\d+)\.")
        # A block's relative positions span what it attends to: a window, or the whole grid.
        spans = [(shape(f"image_encoder.blocks.{i}.attn.rel_pos_h")[0] + 1) // 2 for i in range(depth)]
        everywhere = [i for i in range(depth) if spans[i] == grid]
        channels = shape("image_encoder.neck.0.weight")[0]
        decoder = "mask_decoder.transformer.layers"
        network = modeling.Sam(
            image_encoder=modeling.ImageEncoderViT(
                img_size=grid * patch,
                patch_size=patch,
                embed_dim=width,
                depth=depth,
                num_heads=width // shape("image_encoder.blocks.0.attn.rel_pos_h")[1],
                mlp_ratio=shape("image_encoder.blocks.0.mlp.lin1.weight")[0] / width,
                out_chans=channels,
                norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=min(spans),
                global_attn_indexes=everywhere,
            ),
            prompt_encoder=modeling.PromptEncoder(
                embed_dim=channels,
                image_embedding_size=(grid, grid),
                input_image_size=(grid * patch, grid * patch),
                mask_in_chans=shape("prompt_encoder.mask_downscaling.3.weight")[0],
            ),
            mask_decoder=modeling.MaskDecoder(
                num_multimask_outputs=shape("mask_decoder.mask_tokens.weight")[0] - 1,
                transformer=modeling.TwoWayTransformer(
                    depth=count(r"mask_decoder\.transformer\.layers\.(\d+)\."),
                    embedding_dim=channels,
                    mlp_dim=shape(f"{decoder}.0.mlp.lin1.weight")[0],
                    num_heads=DECODER_HEADS,
                ),
                transformer_dim=channels,
                iou_head_depth=count(r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\."),
                iou_head_hidden_dim=shape("mask_decoder.iou_prediction_head.layers.0.weight")[0],
            ),
        )
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    except (KeyError, IndexError, ValueError, ZeroDivisionError, RuntimeError, AssertionError):
        raise ValueError(sentence("it holds parts of a SAM network, but not a complete one.")) from None
    return network.eval()


class SamSegmenter:
    """A SAM network (`segment_anything.modeling.Sam`) and the embeddings of the last images.

    A further prompt on one of these images skips the image encoder, which takes nearly all of the time. The image
    encoder may have any floating-point type and be on any device; prompts and masks are computed in float32.
    """

    def __init__(self, network: Any):
        self.network = network
        self.embeddings: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    @property
    def heavy_part(self) -> torch.nn.Module:
        """The part that may run in 16 bits. The small rest is more accurate in 32."""
        return self.network.image_encoder

    @property
    def working_memory(self) -> int:
        """The approximate bytes needed beside the weights: global attention in the image encoder."""
        weight = self.network.image_encoder.pos_embed
        heads = self.network.image_encoder.blocks[0].attn.num_heads
        return 3 * heads * (weight.shape[1] * weight.shape[2]) ** 2 * weight.element_size()

    def predict(self, image: np.ndarray, prompt: Prompt) -> np.ndarray:
        """The subject that a prompt points at; for an empty prompt, the most salient one that no negative point is on.

        Args:
            image: float [H,W,3] in 0..1, RGB.
            prompt: points and box; a rough mask counts as its bounding box. `candidate` chooses among SAM's three
                masks: the one with the best predicted score, or the largest.
        Returns:
            float32 [H,W] in 0..1, the sigmoid of SAM's logits.
        """
        pointed = prompt.box is not None or len(prompt.positive) > 0
        if not pointed and prompt.rough is not None and bounding_box(prompt.rough, 0.5) is None:
            # An empty rough mask points at nothing.
            return np.zeros(image.shape[:2], np.float32)
        with torch.inference_mode():
            side = self.network.image_encoder.img_size
            height, width = image.shape[:2]
            scale = side / max(height, width)
            inner = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
            embedding = self.embedding(image, inner)
            if prompt.empty:
                logits, scores = self.masks_at_grid(embedding, inner)
                shown = self.without_padding(logits, inner)
                free = are_free(shown, prompt.negative / (width, height))
                if not free.any():
                    return np.zeros((height, width), np.float32)
                chosen = most_salient(shown, scores * free)
            else:
                logits, scores = self.decode(embedding, *self.encode_prompt(prompt, image.shape[:2], inner))
                logits, scores = logits[0], scores[0]
                areas = (self.without_padding(logits, inner) > 0).flatten(1).sum(1)
                chosen = int((areas if prompt.candidate == "largest" else scores).argmax())
            return waiting(self.at_full_size, logits[chosen], inner, (height, width))

    def at_full_size(self, logits: torch.Tensor, inner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
        """Logits [h,w] as a mask of an image of `size`, (height, width); `inner` as in `embedding`."""
        mask = self.network.postprocess_masks(logits[None, None], inner, size)[0, 0]
        return torch.sigmoid(mask).cpu().numpy()

    def embedding(self, image: np.ndarray, inner: tuple[int, int]) -> torch.Tensor:
        """The image encoder's output [1,C,h,w], float32 on the encoder's device, computed once for each image content.

        Args:
            image: float [H,W,3] in 0..1.
            inner: height and width of the image inside the encoder's square input.
        """
        shrinks = inner[0] < image.shape[0]
        given, interpolation = np.asarray(image, np.float32), cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        small = waiting(cv2.resize, given, inner[::-1], interpolation=interpolation)
        small = np.ascontiguousarray(small.reshape(*inner, 3))
        key = hashlib.blake2b(small.tobytes(), digest_size=16, person=f"{inner[0]}x{inner[1]}".encode()).digest()
        weight = self.network.image_encoder.patch_embed.proj.weight
        if key not in self.embeddings:
            pixels = torch.from_numpy(small).permute(2, 0, 1).to(weight.device)[None] * 255
            pixels = self.network.preprocess(pixels).to(weight.dtype)
            self.embeddings[key] = self.network.image_encoder(pixels).float().cpu()
        self.embeddings.move_to_end(key)
        while len(self.embeddings) > KEPT:
            self.embeddings.popitem(last=False)
        return self.embeddings[key].to(weight.device)

    def encode_prompt(self, prompt: Prompt, size: tuple[int, int], inner: tuple[int, int]) -> tuple:
        """A prompt in pixels of the encoder's input: (points, box), as the prompt encoder takes them.

        Points are [1,N,2] with labels [1,N] (1 = subject, 0 = background), or None; the box is [1,4], its two corners,
        or None. `size` and `inner` are the image's (height, width) as given and inside the encoder's input.
        """
        device = self.network.image_encoder.pos_embed.device
        scale = np.array([inner[1] / size[1], inner[0] / size[0]])
        box = prompt.box
        if box is None and prompt.rough is not None:
            box = bounding_box(prompt.rough, 0.5)
        corners = None
        if box is not None:
            x, y, w, h = box
            found = np.concatenate([np.array([x, y]) * scale, np.array([x + w, y + h]) * scale])
            corners = torch.as_tensor(found[None], dtype=torch.float32, device=device)
        points = np.concatenate([prompt.positive, prompt.negative])
        if len(points) == 0:
            return None, corners
        labels = np.repeat([1, 0], [len(prompt.positive), len(prompt.negative)])
        coordinates = torch.as_tensor((points * scale)[None], dtype=torch.float32, device=device)
        return (coordinates, torch.as_tensor(labels[None], device=device)), corners

    def decode(
        self,
        embedding: torch.Tensor,
        points: tuple[torch.Tensor, torch.Tensor] | None,
        box: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [B,3,h,w] of three masks for each of B prompts, and their predicted scores [B,3]."""
        sparse, dense = self.network.prompt_encoder(points=points, boxes=box, masks=None)
        return self.network.mask_decoder(
            image_embeddings=embedding,
            image_pe=self.network.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )

    def masks_at_grid(self, embedding: torch.Tensor, inner: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N,h,w] and predicted scores [N] of the masks at a grid of points."""
        steps = (np.arange(GRID) + 0.5) / GRID
        grid = np.stack(np.meshgrid(steps * inner[1], steps * inner[0]), axis=-1).reshape(-1, 1, 2)
        decoded = []
        for first in range(0, len(grid), AT_ONCE):
            points = torch.as_tensor(grid[first : first + AT_ONCE], dtype=torch.float32, device=embedding.device)
            labels = torch.ones(points.shape[:2], dtype=torch.int64, device=embedding.device)
            decoded.append(self.decode(embedding, (points, labels), None))
        logits, scores = (torch.cat(parts).flatten(0, 1) for parts in zip(*decoded, strict=True))
        return logits, scores

    def without_padding(self, logits: torch.Tensor, inner: tuple[int, int]) -> torch.Tensor:
        """The part of [N,h,w] that the image covers in the encoder's square input."""
        side = self.network.image_encoder.img_size
        rows, columns = (max(1, round(length * logits.shape[-1] / side)) for length in inner)
        return logits[:, :rows, :columns]


def are_free(logits: torch.Tensor, places: np.ndarray) -> torch.Tensor:
    """Which of the masks with logits [N,h,w] cover none of some places [P,2], x and y as shares of the image."""
    columns, rows = torch.as_tensor(places * logits.shape[:0:-1], dtype=torch.int64, device=logits.device).unbind(1)
    return (logits[:, rows, columns] <= 0).all(1)


def most_salient(logits: torch.Tensor, scores: torch.Tensor) -> int:
    """The index of the mask that is most likely the image's subject, of logits [N,h,w] with predicted scores [N].

    The likelihood is a product: the predicted score, the stability, the mean centrality, the share of the image's frame
    that the mask leaves free (squared), and its size up to SUBJECT_SHARE of the image. A mask of more than
    BACKGROUND_SHARE of the image is background.
    """
    count, height, width = logits.shape
    inside = logits > 0
    area = inside.flatten(1).sum(1).float()
    stability = (logits > STABILITY_OFFSET).flatten(1).sum(1) / (logits > -STABILITY_OFFSET).flatten(1).sum(1).clamp(1)
    rows = torch.linspace(-1, 1, height, device=logits.device).square()
    columns = torch.linspace(-1, 1, width, device=logits.device).square()
    central = torch.exp(-(rows[:, None] + columns[None]))
    centrality = (inside * central).flatten(1).sum(1) / area.clamp(1)
    frame = torch.ones(height, width, dtype=torch.bool, device=logits.device)
    frame[1:-1, 1:-1] = False
    framed = inside[:, frame].float().mean(1)
    share = area / (height * width)
    likely = (share / SUBJECT_SHARE).clamp(max=1) * (share < BACKGROUND_SHARE)
    return int((scores.clamp(0) * stability * centrality * (1 - framed).square() * likely).argmax())
