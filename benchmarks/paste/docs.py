"""The table of docs/benchmarks.md, of the figures of the last whole run."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import bold, markdown, percent


def tables() -> dict[str, str]:
    figures = stored("paste")
    columns = ("what is measured", "ours", "others in the same run")
    return {"bench paste": markdown(columns, [*speed(figures), *errors(figures)])}


def speed(figures: dict) -> list[list[str]]:
    def others(ours: float, **theirs: float) -> str:
        return ", ".join(bold(f"{OTHERS[who]} {taken:.0f} ms", taken < ours) for who, taken in theirs.items())

    grown, pasted, poisson = (figures[name] for name in ("grow64_ms", "paste_vs_core_ms", "poisson_vs_cv2_ms"))
    core, pillow = (figures[f"paste_vs_{who}_ms_theirs"] for who in ("core", "pillow"))
    return [
        ["grow a mask by 64 px at 2048²", f"{grown:.1f} ms", others(grown, GrowMask=figures["core_grow64_ms"])],
        [
            "subject of 1024², rotated and scaled, into 2048²",
            f"{figures['paste_vs_cv2']:.2f} × the time of a bare OpenCV warp and composite",
            "",
        ],
        [
            "the same, memory",
            f"{figures['peak_memory_ratio']:.1f} × the background, the composite included",
            "",
        ],
        [
            "plain paste, neither scaled nor rotated",
            f"{pasted:.0f} ms",
            others(pasted, ImageCompositeMasked=core, Pillow=pillow),
        ],
        ["Poisson", f"{poisson:.0f} ms", others(poisson, seamlessClone=figures["poisson_vs_cv2_ms_theirs"])],
        [
            "background of 3840×2160 instead of 1024²",
            f"{figures['nodes_4k_vs_1k']:.1f} × the time of all three nodes",
            "",
        ],
    ]


OTHERS = {
    "GrowMask": "core GrowMask",
    "ImageCompositeMasked": "core ImageCompositeMasked",
    "Pillow": "Pillow on ready 8-bit images",
    "seamlessClone": "cv2.seamlessClone, from float and back,",
}


def errors(figures: dict) -> list[list[str]]:
    core, pillow, straight = (figures[f"{who}_fringe_levels"] for who in ("core", "pillow", "straight_alpha"))
    squares, reinhard = (figures[f"{who}_affine_residual_levels"] for who in ("least_squares", "reinhard"))
    changed = {
        who: figures[f"{key}_changed_outside"]
        for who, key in (("core", "core"), ("Pillow", "pillow"), ("seamlessClone", "seamless_clone"))
    }
    return [
        [
            "growth against what was asked, 0 to 256 px",
            f"at most {figures['grow_px_error_max']:.2f} px off",
            f"core GrowMask {figures['core_grow64_px_error']:.1f} px off at 64 px",
        ],
        [
            "red cut from green onto blue: most green",
            f"{figures['fringe_levels']:.3f} levels",
            f"core {core:.0f}, Pillow {pillow:.0f}, straight alpha {straight:.0f} levels",
        ],
        [
            "tone shift left on a crop, a tenth of it altered",
            f"{figures['affine_residual_levels']:.4f} levels",
            f"least squares {squares:.0f}, mean and deviation {reinhard:.0f} levels",
        ],
        [
            "pixels outside the mask that changed",
            f"{'none' if figures['outside_equal'] else 'some'}, {figures['outside_images']} images, "
            f"{figures['blends']} blends",
            ", ".join(f"{who} {percent(share) if share else 'none'}" for who, share in changed.items()),
        ],
    ]
