"""The tables of docs/benchmarks.md, of the figures of the last whole run."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import markdown, percent, results, short

SEGMENTERS = {
    "grabcut": "GrabCut from a box",
    "u2netp": "u2netp (salient-object ONNX)",
    "u2netp, then grabcut": "u2netp, then GrabCut",
    "deeplab (demo weights)": "the demo DeepLabV3+ (1.5 MB), from a box",
}


def tables() -> dict[str, str]:
    figures = stored("segment")
    return {"bench segment, masks": masks(figures), "bench segment, prompts": prompts(figures)}


def masks(figures: dict) -> str:
    rows = []
    for name, label in SEGMENTERS.items():
        overlaps = figures["iou"][name], figures["iou_photographs"][name]["quokka"]
        rows.append([label, *(short(overlap, 3) for overlap in overlaps), percent(figures["edge"][name]["gain"])])
    return markdown(("", "RelitScenes, held out", "the quokka's polygon", "edge error reduced by"), rows)


def prompts(figures: dict) -> str:
    return results(
        {
            "first prompt on an image": f"{figures['sam_first']:.1f} s",
            "another prompt on the same image": f"{1000 * figures['sam_next']:.0f} ms, "
            f"1/{figures['reprompt_speedup']:.0f} of the first one's time",
            "peak memory beside the weights": f"{figures['sam_peak_megabytes']:.0f} MB",
        }
    )
