"""What a kit run leaves: kit.json with all figures, kit.html with the images, and the folder of a blind comparison.

Neither file holds a path or the name of a machine, so that both can be posted.
"""

import base64
import html
import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks.common.bootstrap import ratio_interval
from benchmarks.common.table import shortened
from benchmarks.common.votes_page import write_votes_page
from benchmarks.kit import similarity
from benchmarks.kit.families import Found, own_name
from benchmarks.kit.rows import Rows
from phd_ops.pixels.geometry import Box

THUMBNAIL, JPEG_QUALITY = 384, 85
# Shares of the paste's error are means over all scenes; these are means of the figure itself.
MEANS = ("de00", "identity", "boundary", "ring")
SEND = "https://github.com/paste-inpaint-harmonize/paste-inpaint-harmonize/issues"


def scene_figures(rows: list[dict], method: str) -> dict:
    """Means over the scenes with a known truth; empty where there is none."""
    scored = [row["scores"] for row in rows if "scores" in row]
    if not scored:
        return {}
    ours, paste = (np.array([scores[name]["fmse"] for scores in scored]) for name in (method, "paste"))
    figures = {"n": len(scored), "fmse_vs_paste": shortened(float(ours.mean() / paste.mean()))}
    figures |= {
        "fmse_vs_paste_ci": [shortened(end) for end in ratio_interval(ours, paste)],
        "worse": shortened(float((ours > paste).mean())),
    }
    for name in MEANS:
        values = np.array([scores[method][name] for scores in scored], np.float64)
        figures[name] = shortened(float(np.nanmean(values))) if np.isfinite(values).any() else None
    return figures


def similarities(rows: list[dict], read: Callable, measures: dict[str, Callable], method: str) -> dict[str, float]:
    """How alike the subject in the results is to its own image: means over all cases."""
    found = {}
    for name, measure in measures.items():
        values = []
        for row in rows:
            pair = [
                cropped(read(row["images"][shown]), Box(*row["boxes"][box]))
                for shown, box in ((method, "scene"), ("exemplar", "exemplar"))
            ]
            values.append(measure(*pair))
        found[name] = shortened(float(np.mean(values)))
    return found


def cropped(image: np.ndarray, box: Box) -> np.ndarray:
    return np.ascontiguousarray(image[box.slices])


def gathered(rows: Rows, found: list[Found], keys: dict[str, list[str]], not_run: dict[str, str]) -> dict:
    """Everything of the JSON but the versions."""
    measures, missing = similarity.at_hand()
    for name, reason in missing.items():
        print(f"Not measured: {name}, as {reason}.")
    families = {}
    for each in found:
        name = each.family.name
        own = [rows.rows[key] for key in keys.get(name, ())]
        if not own:
            continue
        families[name] = {
            "template": each.family.template,
            "files": [own_name(file) for file in each.files],
            "side": each.family.side,
            "n": len(own),
            "seconds": shortened(float(np.median([row["seconds"] for row in own]))),
            "scenes": {method: scene_figures(own, method) for method in methods_of(own)},
            "similarity": {method: similarities(own, rows.read, measures, method) for method in methods_of(own)},
            "cases": [public(row) for row in own],
        }
    return {"kit": 1, "families": families, "not_run": not_run, "not_measured": missing}


def methods_of(rows: list[dict]) -> list[str]:
    """What is compared: the paste, what an edit model returned, the finished image."""
    return [name for name in rows[0]["images"] if name not in ("exemplar", "truth")]


def public(row: dict) -> dict:
    """A case in the JSON."""
    scores = {
        method: {name: shortened(value) for name, value in figures.items() if np.isfinite(value)}
        for method, figures in row.get("scores", {}).items()
    }
    kept = {name: row[name] for name in ("case", "prompt", "seconds", "stitch_identity", "warnings")}
    return kept | ({"scores": scores} if scores else {})


def write(folder: Path, rows: Rows, kit: dict, keys: dict[str, list[str]]) -> list[Path]:
    """Writes kit.json, kit.html and the blind comparison; their paths. Nothing where no case is finished."""
    if not kit["families"]:
        return []
    written = [folder / "kit.json", folder / "kit.html"]
    written[0].write_text(json.dumps(kit, indent=1, ensure_ascii=False), encoding="utf-8")
    written[1].write_text(page(rows, kit, keys), encoding="utf-8")
    return [*written, *write_votes_page(folder / "votes", *compared(rows, keys))]


def compared(rows: Rows, keys: dict[str, list[str]]) -> tuple[dict[str, dict[str, Path]], dict[str, Path]]:
    """What people compare blindly: method -> case -> image, and the subject's own image by case."""
    images: dict[str, dict[str, Path]] = {}
    subjects: dict[str, Path] = {}
    for row in (rows.rows[key] for own in keys.values() for key in own):
        for method in methods_of([row]):
            images.setdefault(method, {})[row["case"]] = rows.image(row["images"][method])
        subjects[row["case"]] = rows.image(row["images"]["exemplar"])
    return images, subjects


def page(rows: Rows, kit: dict, keys: dict[str, list[str]]) -> str:
    """The page with its images in it."""
    lines = []
    for name, family in kit["families"].items():
        for method, figures in family["scenes"].items():
            lines.append(table_row(family, method, figures, family["similarity"][method], finished=method == name))
    cases: dict[str, list[dict]] = {}
    for key in (key for own in keys.values() for key in own):
        cases.setdefault(rows.rows[key]["case"], []).append(rows.rows[key])
    figures = "".join(case_part(rows, name, own) for name, own in cases.items())
    not_run = "".join(f"<li>{escaped(name)}: {escaped(why)}</li>" for name, why in kit["not_run"].items())
    not_run += "".join(f"<li>{escaped(name)}: {escaped(why)}</li>" for name, why in kit["not_measured"].items())
    versions = ", ".join(f"{name} {value}" for name, value in kit["versions"].items())
    return (
        PAGE.replace("ROWS", "".join(lines))
        .replace("VERSIONS", escaped(f"{kit['device']}; {versions}"))
        .replace("NOTRUN", f"<h2>Not run, not measured</h2><ul>{not_run}</ul>" if not_run else "")
        .replace("SEND", SEND)
        .replace("CASES", figures)
    )


def escaped(text: object) -> str:
    return html.escape(str(text))


def table_row(family: dict, method: str, figures: dict, alike: dict, finished: bool) -> str:
    files = ", ".join(family["files"]) or family["template"]
    cells = [files, f"{method}, finished by the pack" if finished else method.replace("_", " ")]
    if figures:
        low, high = figures["fmse_vs_paste_ci"]
        cells += [f"{figures['fmse_vs_paste']:.3f} [{low:.3f}, {high:.3f}]", f"{100 * figures['worse']:.0f} %"]
        cells += ["" if figures[name] is None else f"{figures[name]:.3f}" for name in MEANS]
    else:
        cells += [""] * (2 + len(MEANS))
    cells += [f"{alike[name]:.3f}" if name in alike else "" for name in similarity.KNOWN]
    cells.append(f"{family['seconds']:.1f}" if finished else "")
    return (
        f"<tr{' class=own' if finished else ''}>" + "".join(f"<td>{escaped(cell)}</td>" for cell in cells) + "</tr>\n"
    )


def case_part(rows: Rows, name: str, own: list[dict]) -> str:
    """A case: the subject, then what each family made, and the truth where it is known."""
    shown = [("the subject's own image", own[0]["images"]["exemplar"]), ("paste", own[0]["images"]["paste"])]
    for row in own:
        shown += [
            (method.replace("_", " "), row["images"][method]) for method in methods_of([row]) if method != "paste"
        ]
    if "truth" in own[0]["images"]:
        shown.append(("truth", own[0]["images"]["truth"]))
    tiles = "".join(
        f'<figure><img alt="" src="{embedded(rows.read(file))}"><figcaption>{escaped(text)}</figcaption></figure>'
        for text, file in shown
    )
    return f"<h3>{escaped(name.replace('_', ' '))}: {escaped(own[0]['prompt'])}</h3><div class=row>{tiles}</div>\n"


def embedded(image: np.ndarray) -> str:
    """A small JPEG as an address that holds it."""
    scale = min(1.0, THUMBNAIL / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    content = io.BytesIO()
    Image.fromarray((small * 255 + 0.5).clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>PhD with your models</title>
<style>
body { font: 14px system-ui, sans-serif; margin: 1rem auto; max-width: 1500px; padding: 0 1rem; background: #18181c;
  color: #ebebeb; }
a { color: #ffb35c; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid #34343c; }
tr.own td { color: #ffd27a; }
h3 { font-size: 14px; font-weight: 600; margin: 1.4em 0 0.4em; }
.row { display: flex; flex-wrap: wrap; gap: 8px; }
figure { margin: 0; width: 256px; }
figure img { width: 100%; display: block; border-radius: 4px; }
figcaption { color: #a0a0a8; padding-top: 2px; }
</style>
<h1>PhD: Paste, Inpaint, Harmonize with your models</h1>
<p>VERSIONS</p>
<table>
<tr><th>files<th>image<th>error / paste's [95 %]<th>worse<th>ΔE00<th>identity<th>edge<th>ring<th>CLIP-I<th>DINO-I
<th>DreamSim<th>seconds</tr>
ROWS</table>
<p><b>error</b>: squared error over the subject on scenes whose truth is known, as a share of the plain paste's; less is
better. <b>worse</b>: the share of scenes in which it is larger than the paste's. The other figures are those of
<code>bench quality</code>. CLIP-I and DINO-I (1 is the same) and DreamSim (0 is the same) compare the subject with its
own image.</p>
<p>To send these results, attach kit.json, and this page if you like, to an issue at <a href="SEND">SEND</a>. They hold
no paths and no names of machines.</p>
NOTRUN
<h2>Images</h2>
CASES
"""
