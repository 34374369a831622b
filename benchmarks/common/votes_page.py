"""A page on which people compare images blindly, two at a time: `bench votes` turns their results into scores.

The folder `page` is what people get. It names no method: its images have names made with a secret, and key.json, which
says what they are, lies beside it.
"""

import hashlib
import itertools
import json
import secrets
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

KEY, PAGE_FOLDER = "key.json", "page"


def write_votes_page(folder: Path, images: dict[str, dict[str, Path]], subjects: dict[str, Path]) -> list[Path]:
    """Writes page/index.html with its images, and key.json; their paths. Nothing where there are no two methods.

    Written again, an image that has not changed keeps its name, so that earlier results still count.

    Args:
        images: method -> case -> image file. Where a case's images differ in size, the smallest is the size of all.
        subjects: case -> the subject's own image, which is shown above the pair.
    """
    by_case: dict[str, dict[str, Path]] = {}
    for method, files in images.items():
        for case, file in files.items():
            by_case.setdefault(case, {})[method] = file
    by_case = {case: files for case, files in by_case.items() if len(files) > 1}
    if not by_case:
        return []
    page = folder / PAGE_FOLDER
    page.mkdir(parents=True, exist_ok=True)
    secret = earlier_secret(folder / KEY) or secrets.token_hex(16)
    names, pairs = {}, []
    for case, files in by_case.items():
        shown = equally_large({method: read(file) for method, file in files.items()})
        own = {method: stored(page, secret, method, case, image) for method, image in shown.items()}
        subject = stored(page, secret, "subject", case, read(subjects[case]))
        names |= {name: {"method": method, "case": case} for method, name in own.items()}
        pairs += [[*sorted(pair), subject] for pair in itertools.combinations(own.values(), 2)]
    used = {name for pair in pairs for name in pair}
    for file in page.glob("*.png"):
        if file.stem not in used:
            file.unlink()
    # The order of methods must not show.
    content = {"page": digest(secret, "page"), "pairs": sorted(pairs)}
    (folder / KEY).write_text(json.dumps({"page": content["page"], "secret": secret, "images": names}, indent=1))
    (page / "index.html").write_text(HTML.replace("CONTENT", json.dumps(content)), encoding="utf-8")
    return [page / "index.html", folder / KEY]


def earlier_secret(key: Path) -> str | None:
    try:
        return json.loads(key.read_text(encoding="utf-8"))["secret"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read(file: Path) -> np.ndarray:
    """uint8 [H,W,3]."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def equally_large(images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All at the size of the smallest."""
    height, width = min(image.shape[:2] for image in images.values())
    return {
        name: image
        if image.shape[:2] == (height, width)
        else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        for name, image in images.items()
    }


def stored(page: Path, secret: str, method: str, case: str, image: np.ndarray) -> str:
    """Stores an image without anything else in its file; its name without the ending."""
    name = digest(secret, method, case, hashlib.sha256(image.tobytes()).hexdigest())
    Image.fromarray(image).save(page / f"{name}.png")
    return name


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Which image is better?</title>
<style>
body { font: 16px system-ui, sans-serif; margin: 0 auto; padding: 12px; max-width: 1400px; background: #18181c;
  color: #ebebeb; text-align: center; }
h1 { font-size: 20px; margin: 0.3em; }
#subject { height: 120px; border-radius: 4px; }
#pair { display: grid; grid-template-columns: 1fr 1fr; gap: 10px; margin: 10px 0; }
#pair img { width: 100%; max-height: 68vh; object-fit: contain; display: block; cursor: pointer; border-radius: 4px; }
button { font: inherit; margin: 0 6px; padding: 6px 16px; color: inherit; background: #34343c; border: 0;
  border-radius: 4px; cursor: pointer; }
p { color: #a0a0a8; margin: 8px; }
.done #vote { display: none; }
</style>
<h1>In which image does the subject look more as if it had been there when the photograph was taken?</h1>
<div id="vote">
<p>The subject's own image: it should stay itself.</p>
<img id="subject" alt="the subject's own image">
<div id="pair"><img id="left" alt="left image"><img id="right" alt="right image"></div>
<button id="choose-left">Left (←)</button>
<button id="choose-tie">Equal (↓)</button>
<button id="choose-right">Right (→)</button>
</div>
<p id="progress"></p>
<button id="undo">Back (Backspace)</button>
<button id="download">Download your results</button>
<script>
const content = CONTENT;
const byId = (id) => document.getElementById(id);
const place = `votes-${content.page}`;
const random = (limit) => crypto.getRandomValues(new Uint32Array(1))[0] % limit;

function shuffled(values) {
  const list = [...values];
  for (let i = list.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

// What was kept belongs to pairs that may have changed since.
function begin() {
  const known = new Map(content.pairs.map((pair) => [pair.slice(0, 2).join(), pair]));
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(place));
  } catch {}
  const choices = (kept?.choices ?? []).filter((one) => known.delete([one.left, one.right].sort().join()));
  const voter = kept?.voter ?? Array.from({ length: 4 }, () => random(2 ** 32).toString(36)).join("");
  const open = shuffled(known.values()).map(([a, b, subject]) => (random(2) ? [a, b, subject] : [b, a, subject]));
  return { voter, choices, open };
}

const state = begin();
let keeps = true;

function keep() {
  try {
    localStorage.setItem(place, JSON.stringify({ voter: state.voter, choices: state.choices }));
  } catch {
    keeps = false;
  }
}

function show() {
  const total = state.choices.length + state.open.length;
  document.body.className = state.open.length ? "" : "done";
  const words = state.open.length ? `${state.choices.length} of ${total} pairs.` : `All ${total} pairs are done.`;
  const kept = keeps ? "You may stop at any time; this browser keeps your place." : "This browser keeps no progress.";
  byId("progress").textContent = `${words} ${state.open.length ? kept : "Download your results."}`;
  const [pair, next] = state.open;
  if (!pair) return;
  [byId("left").src, byId("right").src, byId("subject").src] = pair.map((name) => `${name}.png`);
  for (const name of next ?? []) new Image().src = `${name}.png`;
}

function choose(choice) {
  const pair = state.open.shift();
  if (!pair) return;
  state.choices.push({ left: pair[0], right: pair[1], subject: pair[2], choice });
  keep();
  show();
}

function undo() {
  const last = state.choices.pop();
  if (!last) return;
  state.open.unshift([last.left, last.right, last.subject]);
  keep();
  show();
}

function download() {
  const choices = state.choices.map(({ left, right, choice }) => ({ left, right, choice }));
  const text = JSON.stringify({ page: content.page, voter: state.voter, choices }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = `votes_${state.voter.slice(0, 8)}.json`;
  link.click();
}

const keys = { ArrowLeft: () => choose("left"), ArrowRight: () => choose("right"), ArrowDown: () => choose("tie") };
keys.Backspace = undo;
addEventListener("keydown", (event) => {
  if (event.repeat || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
for (const side of ["left", "tie", "right"]) byId(`choose-${side}`).addEventListener("click", () => choose(side));
for (const side of ["left", "right"]) byId(side).addEventListener("click", () => choose(side));
byId("undo").addEventListener("click", undo);
byId("download").addEventListener("click", download);
keep();
show();
</script>
"""
