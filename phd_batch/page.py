"""A page and a contact sheet of a batch's results: the worst first, each with what it was before."""

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phd_batch.ledger import Ledger
from phd_batch.results import results, whole
from phd_batch.video import is_video, read_frames

# In pixels; and how many results a page and a sheet show.
THUMBNAIL, TILE = 320, 200
MOST_CARDS, MOST_TILES, TILE_COLUMNS = 500, 60, 10
THUMBNAILS = "thumbnails"
# The fields that a card shows.
SHOWN = ("state", "identity", "neglected", "suppressed", "drift", "rejected", "seed", "seconds", "worker", "error")


def write_page(folder: Path, ledger: Ledger, columns: tuple[str, ...], before: str | None) -> list[Path]:
    """Writes results.html, its thumbnails, and contact_sheet.jpg; their paths. Nothing without Pillow.

    before: the column of the image that a result is compared with.
    """
    try:
        import PIL  # noqa: F401
    except ImportError:
        return []
    shown = worst_first(results(ledger, columns), MOST_CARDS)
    (folder / THUMBNAILS).mkdir(exist_ok=True)
    cards = [card(folder, row, row.get(before) if before else None) for row in shown]
    written = [folder / "results.html"]
    with whole(written[0]) as temporary:
        temporary.write_text(page(cards, columns, sum(ledger.counts().values())), encoding="utf-8")
    if tiles := list(itertools.islice(sheet_tiles(folder, cards), MOST_TILES)):
        written.append(folder / "contact_sheet.jpg")
        with whole(written[1]) as temporary:
            from devtools.contact_sheet import contact_sheet

            contact_sheet(tiles, TILE_COLUMNS, TILE).save(temporary, quality=85)
    return written


def worst_first(rows: Iterator[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most this many rows: those that failed, those with a flag, then by identity."""
    import heapq

    def merit(row: dict[str, Any]) -> tuple:
        flagged = any(row.get(flag) for flag in ("rejected", "neglected", "suppressed"))
        identity = row.get("identity")
        return (row["state"] == "done", not flagged, 2.0 if identity is None else identity, row["row"])

    return heapq.nsmallest(most, rows, key=merit)


def card(folder: Path, row: dict[str, Any], before: str | None) -> dict[str, Any]:
    """What the page shows of a row, its images as thumbnails."""
    found = dict(row)
    name = f"{row['row']:06d}"
    if row.get("file"):
        name = Path(row["file"]).stem
        found["after"] = thumbnail(folder / row["file"], folder / THUMBNAILS / f"{name}.jpg")
    if before:
        found["before"] = thumbnail(Path(before), folder / THUMBNAILS / f"{name}.before.jpg")
    return found


def thumbnail(source: Path, target: Path) -> str | None:
    """Makes a small JPEG of an image, unless it is there; its path below the folder, None where there is no image."""
    from PIL import ImageOps

    with contextlib.suppress(OSError):
        if target.exists() and target.stat().st_mtime_ns > source.stat().st_mtime_ns:
            return f"{THUMBNAILS}/{target.name}"
        with opened(source) as image:
            image.draft("RGB", (THUMBNAIL, THUMBNAIL))
            image.thumbnail((THUMBNAIL, THUMBNAIL))
            # Load Image turns photos as their EXIF data says, so that the result is upright.
            small = ImageOps.exif_transpose(image).convert("RGB")
        temporary = target.with_suffix(f".{os.getpid()}")
        small.save(temporary, "JPEG", quality=85)
        os.replace(temporary, target)
        return f"{THUMBNAILS}/{target.name}"
    return None


def opened(source: Path) -> Any:
    """An image, or a video's first frame, for Pillow."""
    from PIL import Image

    if not is_video(source.name):
        return Image.open(source)
    pixels = next(read_frames(source)).as_float()[..., :3]
    return Image.fromarray((255 * pixels).round().astype("uint8"))


def sheet_tiles(folder: Path, cards: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The tiles of a contact sheet: every result's label and pixels."""
    import numpy as np
    from PIL import Image

    for found in cards:
        if found.get("after"):
            identity = found.get("identity")
            label = f"row {found['row']}" + ("" if identity is None else f"  {identity:.2f}")
            with Image.open(folder / found["after"]) as image:
                yield label, np.asarray(image.convert("RGB"))


def page(cards: list[dict[str, Any]], columns: tuple[str, ...], total: int) -> str:
    """The page's HTML, with its data in it."""
    names = ("row", "file", "before", "after", *columns, *SHOWN)
    data = [{name: found[name] for name in dict.fromkeys(names) if found.get(name) is not None} for found in cards]
    head = f"{len(cards)} of {total} rows, the worst first" if len(cards) < total else f"{total} rows"
    texts = {"HEAD": head, "SHOWN": script_json(list(dict.fromkeys([*columns, *SHOWN]))), "DATA": script_json(data)}
    return re.sub("|".join(texts), lambda found: texts[found[0]], PAGE)


def script_json(value: Any) -> str:
    """A value as it stands in a page's script. Names of files and columns may contain anything, also a tag."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Results of a batch</title>
<style>
body { font: 14px system-ui, sans-serif; margin: 1rem; background: #18181c; color: #ebebeb; }
#cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 12px; }
figure { margin: 0; padding: 8px; background: #26262c; border-radius: 6px; overflow-wrap: anywhere; }
figure.flagged { outline: 2px solid #d08030; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; min-height: 60px; }
.pair img { width: 100%; display: block; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 8px; margin: 6px 0 0; }
dt { color: #a0a0a8; } dd { margin: 0; }
a { color: inherit; }
</style>
<h1>HEAD</h1>
<p>
<label>Sort by <select id="sort">
<option value="flags">flags</option><option value="identity">identity</option><option value="row">row</option>
<option value="seconds">seconds</option></select></label>
<label><input id="only" type="checkbox"> flagged only</label>
</p>
<p>Left: before. Right: after.</p>
<div id="cards"></div>
<script>
const shown = SHOWN, data = DATA;
const flags = (row) => row.state !== "done" || row.rejected || row.neglected || row.suppressed ? 1 : 0;
const number = (value) => (typeof value === "number" ? value : Infinity);
const orders = {
  flags: (a, b) => flags(b) - flags(a) || number(a.identity) - number(b.identity),
  identity: (a, b) => number(a.identity) - number(b.identity),
  row: (a, b) => a.row - b.row,
  seconds: (a, b) => number(b.seconds) - number(a.seconds),
};
function element(tag, parent, text) {
  const made = parent.appendChild(document.createElement(tag));
  if (text !== undefined) made.textContent = text;
  return made;
}
function draw() {
  const cards = document.getElementById("cards"), only = document.getElementById("only").checked;
  cards.replaceChildren();
  const rows = data.filter((row) => !only || flags(row));
  rows.sort(orders[document.getElementById("sort").value]);
  for (const row of rows) {
    const figure = element("figure", cards);
    figure.className = flags(row) ? "flagged" : "";
    const pair = element("div", figure);
    pair.className = "pair";
    for (const side of ["before", "after"]) {
      const link = element("a", pair);
      if (!row[side]) continue;
      if (side === "after") link.href = row.file;
      const image = element("img", link);
      image.src = row[side];
      image.loading = "lazy";
      image.alt = side;
    }
    const list = element("dl", figure);
    element("dt", list, "row");
    element("dd", list, row.row);
    for (const name of shown) {
      if (row[name] === undefined || row[name] === false || row[name] === "") continue;
      element("dt", list, name);
      element("dd", list, row[name]);
    }
  }
}
document.getElementById("sort").addEventListener("change", draw);
document.getElementById("only").addEventListener("change", draw);
draw();
</script>
"""
