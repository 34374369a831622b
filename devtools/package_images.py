"""The photographs and sprites that the demo and its model use, read from installed packages.

None of them is in the repository: scikit-image and scikit-learn have the photographs in their wheels, and the npm
package `@lobehub/fluent-emoji-3d` has the sprites, which only training needs.
"""

import hashlib
import io
import subprocess
import tarfile
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from devtools.paths import CACHE

# name -> (package, file inside it, caption)
PHOTOGRAPHS = {
    "astronaut": ("skimage", "data/astronaut.png", "an astronaut in an orange suit, a flag, a space shuttle"),
    "cat": ("skimage", "data/chelsea.png", "a cat"),
    "coffee": ("skimage", "data/coffee.png", "a cup of coffee on a wooden table"),
    "rocket": ("skimage", "data/rocket.jpg", "a rocket on a launch pad at dusk, dark blue sky"),
    "motorcycle": ("skimage", "data/motorcycle_left.png", "a red motorcycle in a garage"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg", "galaxies and stars, black sky"),
    "temple": ("sklearn", "datasets/images/china.jpg", "a chinese temple, green trees, a lake, sky"),
    "flower": ("sklearn", "datasets/images/flower.jpg", "an orange flower, dark green leaves"),
}

# Gray textures of scikit-image, colored to the material's usual albedo (linear RGB).
TEXTURES = {
    "brick": ("data/brick.png", "a brick wall", (0.33, 0.13, 0.08)),
    "grass": ("data/grass.png", "green grass", (0.10, 0.22, 0.05)),
    "gravel": ("data/gravel.png", "grey gravel", (0.22, 0.21, 0.20)),
    "sand": ("data/gravel.png", "yellow sand", (0.45, 0.34, 0.20)),
    "snow": ("data/moon.png", "white snow", (0.80, 0.82, 0.85)),
}

# Sprite file (code point) -> the word for it.
SPRITES = {
    "1f34e": "a red apple",
    "1f34f": "a green apple",
    "1f34b": "a yellow lemon",
    "1f34a": "an orange",
    "1f350": "a green pear",
    "1f351": "a peach",
    "1f353": "a strawberry",
    "1f345": "a red tomato",
    "1f346": "an aubergine",
    "1f955": "a carrot",
    "1f34d": "a pineapple",
    "1f344": "a red mushroom",
    "1f33b": "a sunflower",
    "1f339": "a red rose",
    "1f337": "a tulip",
    "1f335": "a cactus",
    "1f332": "an evergreen tree",
    "1f354": "a hamburger",
    "1f369": "a doughnut",
    "1f36a": "a cookie",
    "1f382": "a birthday cake",
    "1f370": "a shortcake",
    "1f950": "a croissant",
    "1f35e": "bread",
    "1f381": "a wrapped present",
    "1f388": "a red balloon",
    "1f3c0": "an orange basketball",
    "26bd": "a soccer ball",
    "1f3c8": "an american football",
    "1f3b8": "a guitar",
    "1f3ba": "a trumpet",
    "1f3a9": "a black top hat",
    "1f451": "a golden crown",
    "1f3c6": "a golden trophy",
    "1f48e": "a blue gem",
    "1f4e6": "a cardboard box",
    "1f4d5": "a red book",
    "1f4d7": "a green book",
    "1f4d8": "a blue book",
    "1f4f7": "a camera",
    "1f4fa": "a television",
    "1f511": "a golden key",
    "1f514": "a golden bell",
    "1f56f": "a candle",
    "1f57a": "a man dancing",
    "1f697": "a red car",
    "1f695": "a yellow taxi",
    "1f68c": "a bus",
    "1f69c": "a tractor",
    "1f680": "a rocket",
    "1f6f8": "a flying saucer",
    "26f5": "a sailboat",
    "1f408": "a cat",
    "1f415": "a dog",
    "1f427": "a penguin",
    "1f422": "a green turtle",
    "1f420": "a tropical fish",
    "1f98b": "a butterfly",
    "1f989": "an owl",
    "1f98a": "a fox",
    "1f418": "a grey elephant",
    "1f430": "a white rabbit",
    "1f43b": "a brown bear",
    "1f47d": "an alien",
    "1f916": "a robot",
    "1f9f8": "a teddy bear",
    "1f6cb": "a couch",
    "1fa91": "a wooden chair",
    "1fad6": "a teapot",
    "2615": "a cup of coffee",
    "1f37a": "a mug of beer",
    "1f3e0": "a house",
}

SPRITE_PACKAGE = "@lobehub/fluent-emoji-3d@1.1.0"
SPRITE_SHA256 = "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58"


def package_file(package: str, path: str) -> Path:
    """Path of a file inside an installed package. Raises FileNotFoundError with the package's name."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"The package {package!r} is not installed; its image {path!r} is needed.")
    file = Path(spec.origin).parent / path
    if not file.is_file():
        raise FileNotFoundError(f"The installed package {package!r} does not carry {path!r}.")
    return file


def photograph_path(name: str) -> Path:
    """Path of one of `PHOTOGRAPHS`."""
    package, path, _ = PHOTOGRAPHS[name]
    return package_file(package, path)


def read_rgb(path: Path) -> np.ndarray:
    """An image file as float32 [H,W,3] in 0..1, RGB."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is not an image that OpenCV can read.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) / 255


def load_sprites() -> dict[str, np.ndarray]:
    """The sprites of `SPRITES`, word -> float32 [256,256,4] RGBA (straight alpha). Fetched once with `npm pack`."""
    archive = CACHE / "lobehub-fluent-emoji-3d-1.1.0.tgz"
    if not archive.is_file():
        CACHE.mkdir(exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", SPRITE_PACKAGE, "--pack-destination", str(CACHE)], check=True)
    data = archive.read_bytes()
    if hashlib.sha256(data).hexdigest() != SPRITE_SHA256:
        raise ValueError(f"{archive} is not {SPRITE_PACKAGE} as pinned; delete it and try again.")
    sprites = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as package:
        for code, word in SPRITES.items():
            for suffix in ("", "-fe0f"):
                try:
                    raw = package.extractfile(f"package/assets/{code}{suffix}.webp").read()
                except KeyError:
                    continue
                image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
                sprites[word] = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA).astype(np.float32) / 255
    return sprites
