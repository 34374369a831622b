"""The page for blind comparisons in Chromium: keys choose, a reload goes on where it was, the results name no side."""

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.common.votes_page import write_votes_page

pytestmark = pytest.mark.e2e

LEFT, RIGHT, DOWN, BACKSPACE = "\ue012", "\ue014", "\ue015", "\ue003"
# What the page would download.
RESULTS = """
return (async () => {
    let blob = null
    const made = URL.createObjectURL, clicked = HTMLAnchorElement.prototype.click
    URL.createObjectURL = given => { blob = given; return "#" }
    HTMLAnchorElement.prototype.click = () => {}
    document.getElementById("download").click()
    URL.createObjectURL = made
    HTMLAnchorElement.prototype.click = clicked
    return blob.text()
})()
"""
SHOWN = """
const name = id => document.getElementById(id).src.split("/").at(-1).replace(".png", "")
return [name("left"), name("right"), document.getElementById("progress").textContent]
"""


def test_a_person_compares_all_pairs_and_goes_on_after_a_reload(chromium, tmp_path):
    rng = np.random.default_rng(0)
    files = {method: tmp_path / f"{method}.png" for method in ("ours", "paste", "poisson", "subject")}
    for file in files.values():
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(file)
    subject = files.pop("subject")
    write_votes_page(tmp_path / "votes", {name: {"cat": file} for name, file in files.items()}, {"cat": subject})
    address = (tmp_path / "votes" / "page" / "index.html").as_uri()
    with chromium.new_window():
        chromium.open(address)
        chromium.wait_for("return document.getElementById('left').naturalWidth === 64")
        # Messages of other tests' pages.
        chromium.console()
        shown = []
        for key in (LEFT, RIGHT):
            shown.append(chromium.script(SHOWN))
            chromium.keys(key)
        assert chromium.script(SHOWN)[2].startswith("2 of 3 pairs.")
        chromium.open(address)
        assert chromium.script(SHOWN)[2].startswith("2 of 3 pairs.")
        chromium.keys(BACKSPACE)
        assert chromium.script(SHOWN)[:2] == shown[1][:2]
        chromium.keys(DOWN)
        chromium.script("document.getElementById('choose-right').click()")
        assert chromium.script(SHOWN)[2] == "All 3 pairs are done. Download your results."
        found = json.loads(chromium.script(RESULTS))
        assert [message for message in chromium.console() if "favicon" not in message] == []
    assert [(one["left"], one["right"]) for one in found["choices"][:2]] == [tuple(pair[:2]) for pair in shown]
    assert [one["choice"] for one in found["choices"]] == ["left", "tie", "right"]
    key = json.loads((tmp_path / "votes" / "key.json").read_text())
    pairs = {frozenset(key["images"][one[side]]["method"] for side in ("left", "right")) for one in found["choices"]}
    assert len(pairs) == 3 and found["page"] == key["page"] and found["voter"]
