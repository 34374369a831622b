"""Ten kinds of wrong wires, as prompts: what a user may connect by mistake, and must be refused in a sentence."""

import functools

from devtools.server import Server

IMAGES, MODEL, TEXT, PASTE, OTHER, SMALL, CROP, OTHER_CROP, SMALL_CROP = map(str, range(1, 10))
WRONG, SHOWN = "20", "21"
# Outputs of Paste & Blend and of Crop Around Subject.
COMPOSITE, MATTE, RING, HARMONIZE = 1, 3, 4, 6
WINDOW, LATENT = 1, 6


def node(class_type: str, **inputs) -> dict:
    return {"class_type": class_type, "inputs": inputs}


def paste(**changes) -> dict:
    images = {"background": [IMAGES, 0], "subject": [IMAGES, 1], "subject_mask": [IMAGES, 2]}
    return node("PhDPasteBlend", **images, **changes)


def crop(**sockets) -> dict:
    return node("PhDCrop", side=128, **sockets)


def right_nodes() -> dict[str, dict]:
    """Three pastes and their crops."""
    loaded = {"model": [MODEL, 0], "vae": [MODEL, 2]}
    return {
        IMAGES: node("PhDLoadDemoImages"),
        MODEL: node("PhDLoadDemoModel"),
        TEXT: node("CLIPTextEncode", clip=[MODEL, 1], text="a rocket"),
        PASTE: paste(),
        OTHER: paste(x=0.3),
        SMALL: paste(size=0.5, ring=4),
        CROP: crop(paste=[PASTE, 0], **loaded),
        OTHER_CROP: crop(paste=[OTHER, 0], **loaded),
        SMALL_CROP: crop(paste=[SMALL, 0], **loaded),
    }


def stitch(**sockets) -> dict:
    return node("PhDStitch", **sockets)


def wrong_nodes() -> dict[str, dict]:
    """A node with wrong wires, by what is wrong."""
    latent, vae = {"latent": [CROP, LATENT]}, {"vae": [MODEL, 2]}
    scene = {"background": [IMAGES, 0], "composite": [PASTE, COMPOSITE], "sampled": [PASTE, COMPOSITE]}
    masks = {"inpaint_mask": [PASTE, HARMONIZE], "harmonize_mask": [PASTE, RING]}
    prompts = {"model": [MODEL, 0], "positive": [TEXT, 0], "negative": [TEXT, 0]}
    return {
        "a latent without its crop": stitch(**latent, **vae),
        "a latent with the paste in place of its crop": stitch(paste=[PASTE, 0], **latent, **vae),
        "the crop of another paste": stitch(crop=[OTHER_CROP, 0], **latent, **vae),
        "a crop and another paste": stitch(sampled=[CROP, WINDOW], crop=[CROP, 0], paste=[OTHER, 0]),
        "the window without its crop": stitch(sampled=[SMALL_CROP, WINDOW], paste=[SMALL, 0]),
        "the whole image as the window": stitch(sampled=[PASTE, COMPOSITE], crop=[CROP, 0]),
        "Stitch's masks swapped": stitch(**scene, subject_matte=[PASTE, HARMONIZE], harmonize_mask=[PASTE, MATTE]),
        "the ring as what may change": stitch(**scene, subject_matte=[PASTE, MATTE], harmonize_mask=[PASTE, RING]),
        "Crop's masks swapped": crop(composite=[PASTE, COMPOSITE], **masks),
        "the whole mask for a window": node("PhDMaskedInpaintSampler", **latent, mask=[PASTE, RING], **prompts),
    }


@functools.cache
def defaults(server: Server, class_type: str) -> dict:
    """The values that a node's widgets have at first."""
    required = server.get(f"/object_info/{class_type}").json()[class_type]["input"].get("required", {})
    options = {name: (spec[1:] or [{}])[0] for name, spec in required.items()}
    return {name: given["default"] for name, given in options.items() if "default" in given}


def with_defaults(server: Server, described: dict) -> dict:
    return described | {"inputs": defaults(server, described["class_type"]) | described["inputs"]}


def answer(server: Server, wired: dict) -> tuple[str, str]:
    """The id of the node that failed and its message; both empty where the prompt ran."""
    nodes = right_nodes() | {WRONG: wired, SHOWN: node("PreviewAny", source=[WRONG, 0])}
    status = server.run({name: with_defaults(server, each) for name, each in nodes.items()})["status"]
    failed = [detail for event, detail in status["messages"] if event == "execution_error"]
    return (failed[0]["node_id"], failed[0]["exception_message"].strip()) if failed else ("", "")


def refusals(server: Server) -> dict[str, str]:
    """The sentence that refuses each kind; empty where it is not refused. Raises where right wires are."""
    right = stitch(crop=[CROP, 0], latent=[CROP, LATENT], vae=[MODEL, 2])
    if (wrong := answer(server, right)) != ("", ""):
        raise RuntimeError(f"Right wires were refused: {wrong[1]}")
    said = {}
    for kind, wired in wrong_nodes().items():
        where, message = answer(server, wired)
        said[kind] = message if where == WRONG and message.endswith(".") and "\n" not in message else ""
    return said
