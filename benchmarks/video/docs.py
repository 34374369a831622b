"""The tables of docs/benchmarks.md, of the figures of the last whole run."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import markdown, results, short

WAYS = {"alone": "each frame by itself", "steady": "steady over the shot"}
WITH_REFERENCE = {"none": "not at all", "each": "in each of 24 frames", "shared": "in five of them"}


def tables() -> dict[str, str]:
    figures = stored("video")
    return {
        "bench video, light": light(figures),
        "bench video, reference": reference(figures),
        "bench video, parts": parts(figures),
        "bench video, speed": speed(figures),
    }


def light(figures: dict) -> str:
    columns = (
        "",
        "flicker",
        "error of the log gain",
        "squared error on the subject",
        "error where a lamp is turned on",
    )
    rows = []
    for way, label in WAYS.items():
        flicker, error, lamp = (short(figures[f"{name}_{way}"], 4) for name in ("flicker", "light_error", "lamp_error"))
        rows.append([label, flicker, error, f"{figures[f'image_error_{way}']:.2e}", lamp])
    return markdown(columns, rows)


def reference(figures: dict) -> str:
    rows = []
    for way, label in WITH_REFERENCE.items():
        light, image = (figures[f"reference_{name}_error_{way}"] for name in ("light", "image"))
        rows.append([label, short(light, 3), f"{image:.2e}"])
    return markdown(("the light reference is sampled", "error of the log gain", "squared error on the subject"), rows)


def parts(figures: dict) -> str:
    ways = {**WAYS, "steady": "the whole clip at once", "parts": "in parts of 24 frames"}
    rows = []
    for way, label in ways.items():
        flicker, step = figures[f"parts_flicker_{way}"], figures[f"parts_step_{way}"]
        rows.append([label, short(flicker, 4), short(step, 3)])
    return markdown(("", "flicker", "largest change of the mean log gain between frames"), rows)


def speed(figures: dict) -> str:
    equal = figures["outside_equal"] and figures["parts_outside_equal"] and figures["outside_equal_720"]
    return results(
        {
            "Crop and Stitch, a frame": f"{figures['seconds_per_frame']:.2f} s",
            "the same against a bare crop and paste-back that neither registers nor relights": (
                f"{figures['paste_back_ratio']:.1f} ×"
            ),
            "Stitch on one image of 3840×2160": f"{figures['stitch_4k_seconds']:.2f} s",
            "the pasted subject's center, from its keyframes' path": f"at most {figures['path_error_px']:.1g} pixels",
            "frames whose light a cut between two clips changes": f"{figures['cut_frames']}",
            "pixels outside the masks": "every bit is the background's" if equal else "CHANGED",
        }
    )
