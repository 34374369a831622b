"""The class names of published networks, and the other spellings that users may write."""

import difflib

from ..quote import MOST_QUOTED, quoted
from ..sentence import sentence

BACKGROUND = "background"
VOC = (
    BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
# COCO's category numbers run to 90; these were never used.
COCO_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
# What a user or the other data set may write -> Pascal VOC's word.
SYNONYMS = {
    "airplane": "aeroplane", "motorcycle": "motorbike", "couch": "sofa", "tv": "tvmonitor", "television": "tvmonitor",
    "plane": "aeroplane", "human": "person", "people": "person", "man": "person", "woman": "person", "table":
    "diningtable", "plant": "pottedplant", "phone": "cellphone", "bike": "bicycle",
}  # fmt: skip


def labels_for(classes: int) -> tuple[str, ...]:
    """The label set that a network with this number of classes was most likely trained on."""
    if classes == 1:
        return ("subject",)
    if classes == 2:
        return (BACKGROUND, "subject")
    if classes == len(VOC):
        return VOC
    if classes == len(COCO):
        return COCO
    if classes == len(COCO) + 1:
        return (BACKGROUND, *COCO)
    if classes == 91:
        names = iter(COCO)
        return (BACKGROUND, *(f"unused {i}" if i in COCO_UNUSED else next(names) for i in range(1, 91)))
    return (BACKGROUND, *(f"class {i}" for i in range(1, classes)))


def normalized(name: str) -> str:
    """A class name without case, spaces and punctuation, in one spelling for all of its synonyms."""
    name = "".join(letter for letter in name.lower() if letter.isalnum())
    return SYNONYMS.get(name, name)


def class_index(name: str, labels: tuple[str, ...]) -> int:
    """The index of a class in a label set. Raises ValueError that lists the known classes."""
    known = [normalized(label) for label in labels]
    if normalized(name) in known:
        return known.index(normalized(name))
    near = difflib.get_close_matches(name[:MOST_QUOTED].lower(), labels, n=1)
    names = ", ".join(label for label in labels if normalized(label) != BACKGROUND and not label.startswith("unused"))
    if near:
        raise ValueError(
            sentence(
                "class_name is {value}, which this network does not know; did you mean {near!r}? It "
                "knows: {names}. auto takes the most frequent.",
                value=quoted(name),
                near=near[0],
                names=names,
            )
        )
    raise ValueError(
        sentence(
            "class_name is {value}, which this network does not know. It knows: {names}. auto takes the most frequent.",
            value=quoted(name),
            names=names,
        )
    )
