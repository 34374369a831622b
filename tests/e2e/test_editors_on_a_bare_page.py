"""Each editor alone on a page, with a small imitation of its node: needs a browser and no ComfyUI."""

import functools
import http.server
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from devtools.paths import ROOT
from devtools.server import as_png

pytestmark = pytest.mark.e2e

PAGE = """<!doctype html><meta charset="utf-8"><title>bare</title><body style="margin: 0">
<div id="here" style="width: 440px; height: 320px"></div>
"""
# As much of a node as the editors use, with two Load Image nodes at its inputs.
OPEN = """
const [kind] = arguments
return (async () => {
    const { attachEditor } = await import("/js/dom_widget.mjs")
    const modules = { PlacementEditor: "/js/placement_editor.mjs", PointPicker: "/js/point_picker.mjs" }
    const Editor = (await import(modules[kind]))[kind]
    const loader = image => ({ id: image, type: "LoadImage", mode: 0, widgets: [{ name: "image", value: image }] })
    const graph = { id: "g", loaders: [loader("scene.png"), loader("subject.png")] }
    graph.getNodeById = id => graph.loaders.find(node => node.id === id)
    const inputs = { background: "scene.png", image: "scene.png", subject: "subject.png", subject_mask: "subject.png" }
    inputs.segmenter = "scene.png"
    const values = {
        placement: "manual", x: 0.5, y: 0.5, size: 0.5, rotation: 0, flip: false, feather: 0, ring: 8, shadow: false,
        keyframes: "", box: "", positive_points: "", negative_points: "",
    }
    const node = {
        id: 1, graph, size: [440, 320], properties: {}, type: kind,
        inputs: Object.keys(inputs).map(name => ({ name })),
        widgets: Object.entries(values).map(([name, value]) => ({ name, value })),
        getInputLink(slot) {
            const name = this.inputs[slot].name
            return { origin_id: inputs[name], origin_slot: name === "subject_mask" ? 1 : 0 }
        },
        computeSize: () => [440, 320],
        setSize() {},
        setProperty(name, value) { this.properties[name] = value },
        addDOMWidget(name, type, element, options) {
            document.getElementById("here").replaceChildren(element)
            const widget = { name, type, element, options }
            this.widgets.push(widget)
            return widget
        },
    }
    const steps = [], passed = []
    const frontend = {
        urlOf: file => "/" + file.filename,
        outputsOf: from => (from === node ? window.output : null) ?? null,
        transaction: (node, begins) => steps.push(begins),
        passToGraph: event => passed.push(event.type),
        zoom: () => 1,
        isNodes2: () => false,
        language: () => "en",
    }
    // ComfyUI's masks of files are 1 where they are transparent: a subject needs the inverse.
    if (kind === "PlacementEditor") {
        graph.loaders.push({
            id: "invert", type: "InvertMask", mode: 0, graph, inputs: [{ name: "mask" }],
            getInputLink: () => ({ origin_id: "subject.png", origin_slot: 1 }),
        })
        inputs.subject_mask = "invert"
    }
    const editor = new Editor(node, frontend)
    attachEditor(node, editor, frontend)
    node.onAdded()
    Object.assign(window, { node, editor, steps, passed })
})()
"""
WIDGET = "return node.widgets.find(widget => widget.name === arguments[0]).value"
STATUS_HAS = "return editor.frame.status.textContent.includes(arguments[0])"
CANVAS = "const { x, y, width, height } = editor.frame.canvas.getBoundingClientRect(); return [x, y, width, height]"


class Address(str):
    """Of a web server, with the folder whose files it serves."""

    folder: Path

    def __new__(cls, address: str, folder: Path):
        made = super().__new__(cls, address)
        made.folder = folder
        return made


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A plain web server with the page, the modules and two images."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "js").symlink_to(ROOT / "web" / "js")
    (folder / "index.html").write_text(PAGE)
    scene = np.full((200, 400, 3), 70, np.uint8)
    subject = np.zeros((100, 80, 4), np.uint8)
    subject[20:80, 20:60] = (230, 30, 30, 255)
    (folder / "scene.png").write_bytes(as_png(scene))
    (folder / "subject.png").write_bytes(as_png(subject))

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Address(f"http://127.0.0.1:{server.server_port}/", folder)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def window(chromium):
    """A window of these tests' own: the first one keeps ComfyUI's page."""
    with chromium.new_window():
        chromium.console()  # not that of the pages before
        yield chromium


@pytest.fixture
def bare(window, address):
    """Opens an editor on a fresh page; after the test, no warning and no error may be on the console."""
    chromium = window

    def opened(kind: str):
        chromium.open(address)
        chromium.script(OPEN, kind)
        chromium.wait_for(STATUS_HAS, "400×200", seconds=20)
        chromium.wait_frames()
        return chromium

    yield opened
    assert [text for text in chromium.console() if "favicon" not in text and "gone.png" not in text] == []


def places(browser, margin: float, *points) -> list[tuple[float, float]]:
    x, y, width, height = browser.script(CANVAS)
    scale = min((width - 2 * margin) / 400, (height - 2 * margin) / 200)
    left, top = x + (width - 400 * scale) / 2, y + (height - 200 * scale) / 2
    return [(left + px * scale, top + py * scale) for px, py in points]


LOAD = """
const args = arguments
return (async () => {
    const { loadImage } = await import("/js/images.mjs")
    const [name, points] = args
    const { bitmap, size } = await loadImage("/" + name)
    const canvas = document.createElement("canvas")
    ;[canvas.width, canvas.height] = [bitmap.width, bitmap.height]
    const context = canvas.getContext("2d", { willReadFrequently: true })
    context.drawImage(bitmap, 0, 0)
    const colors = points.map(([x, y]) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3))
    return [[size.width, size.height], [bitmap.width, bitmap.height], colors]
})()
"""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "webp", "png"])
def test_an_image_stands_as_load_image_gives_it(window, address, kind, orientation):
    """Browsers turn some kinds of files by their EXIF orientation; ComfyUI turns them all."""
    folder, exif = address.folder, Image.Exif()
    exif[0x0112] = orientation
    corners = np.zeros((240, 320, 3), np.uint8)
    corners[:120, :160], corners[:120, 160:], corners[120:, :160] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    name = f"turned{orientation}.{kind}"
    Image.fromarray(corners).save(folder / name, exif=exif)
    with Image.open(folder / name) as file:
        upright = np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    height, width = upright.shape[:2]
    points = [[x, y] for x in (20, width - 20) for y in (20, height - 20)]
    window.open(address)
    size, shown, colors = window.script(LOAD, name, points)
    assert size == shown == [width, height]
    np.testing.assert_allclose(colors, [upright[y, x] for x, y in points], atol=8)


def test_a_drag_moves_the_subject_in_one_undo_step(bare):
    browser = bare("PlacementEditor")
    browser.drag(*places(browser, 18, [200, 100], [120, 60]), steps=5)
    assert browser.script(WIDGET, "x") == pytest.approx(0.3, abs=0.005)
    assert browser.script(WIDGET, "y") == pytest.approx(0.3, abs=0.01)
    assert browser.script("return steps") == [True, False]


def test_the_subject_is_drawn_at_its_placement(bare):
    browser = bare("PlacementEditor")
    # The block is 40×60 of the image, its longer side half of the scene's 200 pixels.
    image = browser.screenshot().astype(int)
    inside, beside = (image[round(y), round(x)] for x, y in places(browser, 18, [190, 70], [150, 100]))
    assert inside == pytest.approx([230, 30, 30], abs=6)
    assert beside == pytest.approx([70, 70, 70], abs=6)


def test_two_fingers_resize_the_subject(bare):
    browser = bare("PlacementEditor")
    (x, y) = places(browser, 18, [200, 100])[0]

    def finger(name: str, side: int) -> dict:
        def move(by: float) -> dict:
            return {"type": "pointerMove", "duration": 0, "x": round(x + by), "y": round(y), "origin": "viewport"}

        rest = {"type": "pause", "duration": 60}
        ways = [move(14 * side), {"type": "pointerDown", "button": 0}, rest, move(21 * side), rest, move(28 * side)]
        actions = [*ways, rest, {"type": "pointerUp", "button": 0}]
        return {"type": "pointer", "id": name, "parameters": {"pointerType": "touch"}, "actions": actions}

    count = "window.touches = 0; document.body.addEventListener('touchmove', () => window.touches++, true)"
    browser.script(count)
    browser.command("actions", actions=[finger("first", -1), finger("second", 1)])
    assert browser.script(WIDGET, "size") == pytest.approx(1.0, abs=0.06)
    assert browser.script("return steps") == [True, False]
    # The graph, which would zoom by them, does not get these touches, but those beside the subject.
    assert browser.script("return window.touches") == 0
    (x, y) = places(browser, 18, [60, 60])[0]
    browser.command("actions", actions=[finger("first", -1), finger("second", 1)])
    assert browser.script("return window.touches") > 0


def test_clicks_add_points_and_a_drag_draws_the_box(bare):
    browser = bare("PointPicker")
    browser.drag(*places(browser, 6, [50.5, 60.5]))
    browser.drag(*places(browser, 6, [300, 20]), button=2)
    browser.drag(*places(browser, 6, [100, 40], [380, 180]), steps=4)
    points = [
        [float(v) for v in browser.script(WIDGET, f"{kind}_points").split(",")] for kind in ("positive", "negative")
    ]
    assert points[0] == pytest.approx([50, 60], abs=1)
    assert points[1] == pytest.approx([300, 20], abs=1)
    assert [float(v) for v in browser.script(WIDGET, "box").split(",")] == pytest.approx([100, 40, 280, 140], abs=2)


def test_an_editor_whose_node_is_removed_during_a_drag_ends_it_and_restores_the_placement(bare):
    browser = bare("PlacementEditor")
    (x, y), (to_x, to_y) = places(browser, 18, [200, 100], [120, 60])
    move = {"type": "pointerMove", "duration": 0, "origin": "viewport"}
    start, on = move | {"x": round(x), "y": round(y)}, move | {"x": round(to_x), "y": round(to_y)}
    browser.pointer(start, {"type": "pointerDown", "button": 0}, on)
    browser.script("node.onRemoved(); editor.frame.element.remove()")
    browser.pointer(start, {"type": "pointerUp", "button": 0})
    assert browser.script("return steps") == [True, False]
    assert browser.script(WIDGET, "x") == 0.5  # as it was before
    assert browser.script("return editor.frame.scheduled") == 0


def test_an_undo_step_that_the_wheel_opened_ends_when_the_node_is_removed(bare):
    browser = bare("PlacementEditor")
    # Ctrl+wheel resizes; the step ends when the wheel has rested, or with the node.
    browser.script("editor.beginEdit('wheel'); node.onRemoved()")
    assert browser.script("return steps") == [True, False]


def test_a_recreated_node_still_shows_the_several_images_of_its_last_run(bare):
    browser = bare("PlacementEditor")
    browser.script("window.output = { images: [{ filename: 'a.png' }, { filename: 'b.png' }] }; editor.refresh()")
    assert browser.script("return node.hideOutputImages") is False
    assert browser.script("return Object.hasOwn(node, 'onDrawBackground')") is False


def test_a_stored_workflow_has_no_hole_where_the_editor_is(bare):
    browser = bare("PlacementEditor")
    stored = browser.script(
        "const stored = { widgets_values: [] }; node.onSerialize(stored); return stored.widgets_values"
    )
    assert stored == browser.script("return node.widgets.slice(1).map(widget => widget.value)")


def test_wheel_and_middle_button_are_passed_to_the_graph(bare):
    browser = bare("PlacementEditor")
    (x, y) = places(browser, 18, [200, 100])[0]
    browser.wheel(x, y, 100)
    browser.drag((x, y), (x + 20, y), button=1)
    assert browser.script("return [...new Set(passed)]") == ["wheel", "pointerdown", "pointermove", "pointerup"]
    assert browser.script("return steps") == []


RUN = """
const [scene] = arguments
const placement = { x: 0.5, y: 0.5, size: 0.5, rotation: 0, flip: false }
window.output = {
    images: [],
    phd_placement: [{
        scene: { filename: scene, type: "temp" }, scene_size: [4000, 2000],
        subject: { filename: "subject.png", type: "temp" }, subject_size: [80, 100], placement,
    }],
}
node.onExecuted(window.output)
"""


def test_after_a_run_the_editor_shows_its_images_and_their_full_size(bare):
    browser = bare("PlacementEditor")
    browser.script(RUN, "scene.png")
    browser.wait_for(STATUS_HAS, "4000×2000", seconds=10)


def test_without_the_images_of_the_last_run_those_of_the_inputs_are_shown(bare):
    browser = bare("PlacementEditor")
    browser.script(RUN, "gone.png")
    browser.wait_for("return editor.run === null", seconds=10)
    browser.wait_for(STATUS_HAS, "400×200", seconds=10)
    browser.wait_frames()
    browser.drag(*places(browser, 18, [200, 100], [120, 60]), steps=5)
    assert browser.script(WIDGET, "x") == pytest.approx(0.3, abs=0.005)


RUN_OF_A_CLIP = """
const file = filename => ({ filename, type: "temp" })
const placement = { x: 0.5, y: 0.5, size: 0.5, rotation: 0, flip: false }
window.output = {
    images: [],
    phd_placement: [{
        scene: file("scene.png"), scene_size: [400, 200], placement,
        subject: file("subject.png"), subject_size: [80, 100],
        clip: { frames: 21, scenes: [[0, file("scene.png")], [20, file("later.png")]] },
    }],
}
node.onExecuted(window.output)
"""
GO = "editor.timeline.go(arguments[0])"
PRESS = "[...editor.timeline.element.querySelectorAll('button')].find(one => one.textContent === arguments[0]).click()"


@pytest.fixture
def clip(bare, address):
    """The editor after a run of a clip of 21 frames, the last of which is green."""
    (address.folder / "later.png").write_bytes(as_png(np.full((200, 400, 3), (20, 120, 40), np.uint8)))
    browser = bare("PlacementEditor")
    browser.script(RUN_OF_A_CLIP)
    # Several scenes need not be a clip: the user opens the timeline.
    browser.wait_for("return !editor.timelineButton.hidden", seconds=10)
    assert browser.script("return editor.timeline") is None
    browser.script("editor.timelineButton.click()")
    browser.wait_for("return Boolean(editor.timeline)", seconds=10)
    browser.wait_frames()
    assert browser.script("return editor.timelineButton.hidden")
    return browser


def test_without_a_clip_and_keyframes_there_is_no_timeline(bare):
    browser = bare("PlacementEditor")
    assert browser.script("return [editor.timeline, editor.timelineButton.hidden]") == [None, True]
    browser.script("node.widgets.find(({ name }) => name === 'keyframes').value = '0: x 0.5'; editor.refresh()")
    browser.wait_for("return Boolean(editor.timeline)", seconds=10)


def test_the_timeline_shows_the_clip_s_scene_at_its_frame(clip):
    beside = places(clip, 18, [20, 20])[0]

    def color():
        return clip.screenshot()[round(beside[1]), round(beside[0])].astype(int)

    assert color() == pytest.approx([70, 70, 70], abs=6)
    clip.script(GO, 15)
    clip.wait_for("return editor.timeline.shown === 'later.png'", seconds=10)
    clip.wait_frames()
    assert color() == pytest.approx([20, 120, 40], abs=6)


def test_keyframes_are_set_dragged_eased_and_deleted(clip):
    clip.script(PRESS, "◆")
    assert clip.script(WIDGET, "keyframes") == "0: x 0.5, y 0.5, size 0.5"
    clip.script(GO, 20)
    clip.wait_frames()
    clip.drag(*places(clip, 18, [200, 100], [120, 60]), steps=5)
    first, last = clip.script(WIDGET, "keyframes").splitlines()
    moved = re.fullmatch(r"20: x (.*), y (.*), size 0.5", last)
    assert first == "0: x 0.5, y 0.5, size 0.5"
    assert [float(value) for value in moved.groups()] == pytest.approx([0.3, 0.3], abs=0.01)
    assert clip.script(WIDGET, "x") == 0.5  # the widgets stay
    clip.script(GO, 10)
    assert clip.script("return editor.placement().x") == pytest.approx(0.4, abs=0.003)
    clip.script(PRESS, "▶")
    clip.script(PRESS, "∿")
    assert clip.script(WIDGET, "keyframes").endswith(", ease")
    clip.script(PRESS, "◆")
    assert clip.script(WIDGET, "keyframes") == first
    # Each of them was one undo step.
    assert clip.script("return steps") == [True, False] * 4


def test_the_subject_at_other_keyframes_and_its_path_are_seen(clip):
    text = "0: x 0.2, y 0.5, size 0.3\n20: x 0.8"
    clip.script(f"node.widgets.find(({{ name }}) => name === 'keyframes').value = `{text}`; editor.refresh()")
    clip.script(GO, 10)
    clip.wait_frames()
    image = clip.screenshot().astype(int)
    # The subject's block is 24×36 pixels of the scene's; scenes of the editor's frames are gray or green.
    here, ghosts = (image[round(y), round(x)] for x, y in places(clip, 18, [200, 92], [80, 92]))
    assert here == pytest.approx([230, 30, 30], abs=6)
    assert 90 < ghosts[0] < 180


def test_keyframes_that_cannot_be_read_are_shown(clip):
    clip.script("node.widgets.find(({ name }) => name === 'keyframes').value = 'five: x 3'; editor.refresh()")
    clip.wait_for(STATUS_HAS, 'keyframes cannot be read: "five: x 3"', seconds=10)


def test_an_error_inside_the_editor_is_shown_in_its_status_line(bare):
    browser = bare("PlacementEditor")
    browser.script("node.getInputLink = () => { throw new Error('no such thing') }; node.onConnectionsChange()")
    browser.wait_for(STATUS_HAS, "no such thing", seconds=10)


def test_only_the_latest_of_many_runs_are_remembered(bare):
    for kind, run in (
        ("PlacementEditor", RUN),
        ("PointPicker", "node.onExecuted({ images: [{ filename: arguments[0], type: 'temp' }] })"),
    ):
        browser = bare(kind)
        # Without the images: loading them is not what is tested.
        browser.script("editor.load = editor.showResult = async () => {}")
        browser.script(f"for (let i = 0; i < 500; i++) (function () {{ {run} }})(`run${{i}}.png`)")
        kept = "const { runs, name } = editor.constructor; return [runs.size, runs.get(arguments[0]) !== undefined]"
        count, latest = browser.script(kept, "run499.png")
        assert count <= 128 and latest
