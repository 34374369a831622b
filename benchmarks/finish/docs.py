"""The tables of docs/benchmarks.md, of the figures of the last run of each kind of damage at each side."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import least_in_bold, markdown, percent, results, short

METHODS = {
    "mask": "composited by mask",
    "sift": "SIFT, homography, mask",
    "poisson": "Poisson",
    "stitch_before": "Stitch without registration",
    "ours": "Stitch",
}
KINDS = {
    "shift6_tint": "moved by 6 pixels, with a tint",
    "tint_field": "a tint that grows across the image",
    "shift6": "moved by 6 pixels",
    "zoom2": "zoomed by 2 %",
    "kontext_crop": "cropped to 4 : 3 and resized",
    "none": "neither moved nor tinted",
}
UNITS = ("none", "shift6_tint", "all")
UNITS_METHODS = ("mask", "sift", "poisson", "ours")
ALL = "all kinds of damage together (soft skin, zoom and shift, a growing tint, JPEG)"


def tables() -> dict[str, str]:
    parts = stored("finish")
    return {
        "bench finish, errors": errors(parts),
        "bench finish, more": more(parts),
        "bench finish, iHarmony4's units": units(parts),
    }


def errors(parts: dict) -> str:
    rows = []
    for kind, label in KINDS.items():
        figures = parts[f"1024, {kind}"]
        ratios, edges = ([figures[f"{method}.{name}"] for method in METHODS] for name in ("fmse_ratio", "edge"))
        pairs = zip(
            least_in_bold(ratios, [ratio_text(value) for value in ratios]),
            least_in_bold(edges, [edge_text(value) for value in edges]),
            strict=True,
        )
        rows.append([label, *map(" / ".join, pairs)])
    return markdown(("the returned image", *METHODS.values()), rows)


def ratio_text(value: float) -> str:
    return short(value, 2 if value >= 0.1 else 3)


def edge_text(value: float) -> str:
    return short(value, 2 if value >= 1 else 3)


def both(figures: dict) -> str:
    return f"{ratio_text(figures['ours.fmse_ratio'])} / {edge_text(figures['ours.edge'])}"


def more(parts: dict) -> str:
    tinted, shadow, pose = (parts[f"1024, {kind}"] for kind in ("shift6_tint", "shadow_outside", "pose"))
    together, large, smaller = parts["1024, all kinds"], parts["registration of 2048²"], parts["512, shift6_tint"]
    worse = {who: percent(tinted[f"{who}.worse"]) for who in ("ours", "sift", "mask")}
    return results(
        {
            f"{ALL}, Stitch": both(parts["1024, all"]),
            "scenes worse than their paste, moved and tinted": (
                f"Stitch {worse['ours']}, SIFT {worse['sift']}, by mask {worse['mask']}"
            ),
            "identity, moved and tinted": (
                f"Stitch {short(tinted['ours.identity'], 3)}, SIFT {short(tinted['sift.identity'], 3)}"
            ),
            "a new shadow outside the mask: its area that `keep_changes` keeps": short(shadow["changes_kept"], 3),
            "the same: unchanged area that it touches": short(shadow["changes_touched"], 4),
            "a subject in another pose is noticed": (
                f"in {round(pose['pose_noticed'] * pose['scenes'])} of {pose['scenes']} scenes"
            ),
            "an image that did not move": (
                "the same bits as without registration" if parts["1024, none"]["none_equal"] else "OTHER BITS"
            ),
            "pixels outside the masks": "every bit is the background's" if together["outside_equal"] else "CHANGED",
            "what registration leaves, all kinds": (
                f"{together['residual_median']:.3f} pixels at the median, "
                f"{together['residual_95']:.2f} in 95 % of scenes"
            ),
            "registration and color shift of an image of 2048²": (
                f"{large['seconds_2048']:.1f} s, memory of {large['memory_2048']:.1f} images"
            ),
            f"{smaller['scenes']} scenes of 512², moved and tinted, Stitch": (
                f"{both(smaller)}, identity {short(smaller['ours.identity'], 3)}"
            ),
        }
    )


def units(parts: dict) -> str:
    rows = []
    for kind in UNITS:
        figures = parts[f"512, {kind}"]
        scores = [[figures[f"{method}.{name}"] for name in ("mse_255", "fmse_255", "psnr")] for method in UNITS_METHODS]
        texts = [f"{mse:.1f} / {fmse:.0f} / {psnr:.1f}" for mse, fmse, psnr in scores]
        errors = [mse for mse, *_ in scores]
        rows.append([KINDS.get(kind, "all kinds of damage together"), *least_in_bold(errors, texts)])
    return markdown(("the returned image", *(METHODS[method] for method in UNITS_METHODS)), rows)
