"""The editors on the canvas, in a real frontend in both of its renderers, moved by a real pointer."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from devtools.browser import as_png
from devtools.workflows import WORKFLOWS
from phd_ops.pixels.geometry import Placement, Size, mapped

pytestmark = pytest.mark.e2e

RENDERERS = {"classic": False, "nodes2": True}
SCENE, SUBJECT = Size(640, 400), Size(120, 160)
# Of the image and the subject in it: the box and its margins are known to a pixel.
CUT = (30, 20, 90, 140)
SHIFT, CONTROL, ALT = "\ue008", "\ue009", "\ue00a"
LEFT, UP, RIGHT, DOWN = "\ue012", "\ue013", "\ue014", "\ue015"

# Two Load Image nodes into Paste & Blend, the file's transparency as its mask, and a preview behind.
BUILD = """
const [scene, subject, make] = arguments
app.graph.clear()
const add = (type, x, y) => {
    const node = LiteGraph.createNode(type)
    app.graph.add(node)
    node.pos = [x, y]
    return node
}
const background = add("LoadImage", 0, 0), exemplar = add("LoadImage", 0, 420), invert = add("InvertMask", 0, 820)
background.widgets.find(w => w.name === "image").value = scene
exemplar.widgets.find(w => w.name === "image").value = subject
const paste = add("PhDPasteBlend", 340, 0)
paste.setSize([460, paste.computeSize()[1] + 120])
background.connect(0, paste, "background")
exemplar.connect(0, paste, "subject")
exemplar.connect(1, invert, 0)
invert.connect(0, paste, "subject_mask")
const show = add("PreviewImage", 860, 0)
paste.connect(0, show, 0)
const values = { feather: 0, ring: 16, ...make }
for (const [name, value] of Object.entries(values)) {
    paste.widgets.find(w => w.name === name).value = value
}
app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState()
return paste.id
"""
FIND = "const node = app.graph.getNodeById(arguments[0]), widget = name => node.widgets.find(w => w.name === name);"
VALUES = FIND + 'return Object.fromEntries(["x", "y", "size", "rotation", "flip"].map(n => [n, widget(n).value]))'
WORDS = FIND + 'return widget("phd_canvas").element.querySelector(".phd-words").textContent'
PLACE = (
    FIND
    + """
const { x, y, width, height } = widget("phd_canvas").element.querySelector("canvas").getBoundingClientRect()
return [x, y, width, height]
"""
)
LOOK = (
    FIND
    + """
// The editor's lower end, where its canvas is, into the window.
const { ds } = app.canvas, scale = arguments[1]
ds.scale = scale
ds.offset = [-node.pos[0] + 160 / scale, -node.pos[1] - node.size[1] + 780 / scale]
app.canvas.setDirty(true, true)
return new Promise(done => setTimeout(done, 400))
"""
)
CAPTURE = "app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState()"
PAUSE = "return new Promise(done => setTimeout(done, 500))"
STEPS = "return app.extensionManager.workflow.activeWorkflow.changeTracker.undoQueue.length"


class Paste:
    """A Paste & Blend node in the page, and a hand on its editor."""

    margin = 18

    def __init__(self, browser, words: str = f"{SCENE.width}×{SCENE.height}", **values):
        self.browser = browser
        self.id = browser.script(BUILD, "canvas_scene.png", "canvas_subject.png", values)
        self.look(1.0)
        self.wait_until(words)

    def look(self, scale: float) -> None:
        self.browser.script(LOOK, self.id, scale)
        shown = FIND + 'return widget("phd_canvas").element.querySelector("canvas").clientWidth > 0'
        self.browser.wait_for(shown, self.id, seconds=30)

    def wait_until(self, words: str) -> None:
        self.browser.wait_for(
            WORDS.replace("return ", "return (") + f").includes({json.dumps(words)})", self.id, seconds=30
        )

    @property
    def words(self) -> str:
        return self.browser.script(WORDS, self.id)

    @property
    def placement(self) -> Placement:
        return Placement(**self.browser.script(VALUES, self.id))

    def window(self, *points) -> list[tuple[float, float]]:
        """Points of the scene [N,2], in pixels, where they are in the window."""
        x, y, width, height = self.browser.script(PLACE, self.id)
        zoom = self.browser.script(
            FIND + 'return widget("phd_canvas").element.querySelector("canvas").clientWidth', self.id
        )
        zoom = width / zoom
        inner = width / zoom - 2 * self.margin, height / zoom - 2 * self.margin
        scale = min(inner[0] / SCENE.width, inner[1] / SCENE.height) * zoom
        left, top = x + (width - SCENE.width * scale) / 2, y + (height - SCENE.height * scale) / 2
        return [(left + px * scale, top + py * scale) for px, py in points]

    def center(self) -> np.ndarray:
        return np.array([self.placement.x * SCENE.width, self.placement.y * SCENE.height])

    def drag(self, *points, steps: int = 6) -> None:
        self.browser.drag(*self.window(*points), steps=steps)

    def corners(self) -> np.ndarray:
        box = np.array([[0, 0], [CUT[2], 0], [CUT[2], CUT[3]], [0, CUT[3]]], float)
        return mapped(self.placement.matrix(Size(*CUT[2:]), SCENE), box)

    def run(self) -> np.ndarray:
        """Runs the graph; the composite that it made, uint8 [H,W,3]."""
        self.browser.script("return app.queuePrompt(0, 1)")
        preview = "app.graph.nodes.find(n => n.type === 'PreviewImage')"
        self.browser.wait_for(f"return Boolean(app.nodeOutputs[{preview}.id]?.images?.length)", seconds=120)
        self.wait_until("as run")
        return self.browser.script(f"return app.nodeOutputs[{preview}.id].images[0]")


def scene_image() -> np.ndarray:
    """Gray, with a little of every other color, so that a bright subject stands out."""
    y, x = np.mgrid[0 : SCENE.height, 0 : SCENE.width]
    return np.stack([60 + x // 16, 70 + y // 16, np.full_like(x, 80)], -1).astype(np.uint8)


def subject_image() -> np.ndarray:
    """RGBA: a red block whose left half is green, in the middle of nothing."""
    image = np.zeros((SUBJECT.height, SUBJECT.width, 4), np.uint8)
    x, y, width, height = CUT
    image[y : y + height, x : x + width] = (230, 20, 20, 255)
    image[y : y + height, x : x + width // 2] = (20, 230, 20, 255)
    return image


@pytest.fixture(scope="module")
def page(server, browser):
    server.upload("canvas_scene.png", as_png(scene_image()))
    server.upload("canvas_subject.png", as_png(subject_image()))
    browser.open_comfyui(server)
    browser.console()
    yield browser
    browser.script("return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")


@pytest.fixture(params=RENDERERS)
def renderer(page, request):
    page.script(
        "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])", RENDERERS[request.param]
    )
    return request.param


@pytest.fixture
def paste(page, renderer):
    return Paste(page)


@pytest.fixture
def keep(page, renderer, request, tmp_path_factory):
    """Stores a screenshot, for people to look at: in the folder PHD_SCREENSHOTS, else in pytest's own."""
    folder = Path(os.environ.get("PHD_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def store(name: str) -> None:
        Image.fromarray(page.screenshot()).save(folder / f"{name}_{renderer}.png")

    return store


def subject_in(image: np.ndarray) -> np.ndarray:
    """Where the bright block is in an image: its outermost points, float [4,2], clockwise from the topmost."""
    image = image.astype(int)
    bright = np.maximum(image[..., 0], image[..., 1]) - image[..., 2] > 110
    contours, _ = cv2.findContours(bright.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    return cv2.boxPoints(cv2.minAreaRect(largest))


def matched(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest distance between corners, each with the nearest one."""
    return float(np.abs(found[:, None] - wanted[None]).max(-1).min(1).max())


def test_the_subject_is_dragged_and_its_numbers_follow(paste, keep):
    start = paste.center()
    paste.drag(start, start + [-150, -60])
    keep("moved")
    assert np.abs(paste.center() - (start + [-150, -60])).max() <= 2
    assert paste.placement.size == 0.6 and paste.placement.rotation == 0


def test_one_drag_is_one_step_of_the_history_and_undo_takes_it_back(paste):
    before, steps = paste.placement, paste.browser.script(STEPS)
    paste.drag(paste.center(), paste.center() + [-120, -50], steps=15)
    assert paste.placement != before
    assert paste.browser.script(STEPS) == steps + 1
    paste.browser.script("return app.extensionManager.command.execute('Comfy.Undo')")
    paste.wait_until("640×400")
    assert paste.placement == before
    paste.browser.script("return app.extensionManager.command.execute('Comfy.Redo')")
    paste.wait_until("640×400")
    assert abs(paste.placement.x - before.x) > 0.1


def test_a_corner_sizes_and_the_opposite_one_stays(paste):
    corners = paste.corners()
    to = corners[0] + 0.5 * (corners[2] - corners[0]) * [0.5, 0.5]
    paste.drag(corners[2], to + [0, 0])
    after = paste.corners()
    assert paste.placement.size < 0.4
    assert np.abs(after[0] - corners[0]).max() <= 2


def test_the_handle_turns(paste):
    start = paste.placement
    (x0, y0), (x1, _) = paste.window(paste.corners()[0], paste.corners()[1])
    handle = ((x0 + x1) / 2, y0 - 22)
    (cx, cy) = paste.window(paste.center())[0]
    arm = cy - handle[1]
    angle = np.radians(-30)
    paste.browser.drag(handle, (cx - arm * np.sin(angle), cy - arm * np.cos(angle)), steps=8)
    assert paste.placement.rotation == pytest.approx(-30, abs=1.5)
    assert (paste.placement.x, paste.placement.y) == (start.x, start.y)


def test_keys_move_size_turn_flip_and_reset(paste):
    paste.browser.drag(*paste.window([10, 10]))  # the canvas gets the keyboard
    start = paste.center()
    paste.browser.keys(RIGHT)
    paste.browser.keys(SHIFT, DOWN)
    assert np.abs(paste.center() - (start + [1, 10])).max() < 0.01
    paste.browser.keys("+")
    assert paste.placement.size > 0.6
    paste.browser.keys("r")
    paste.browser.keys("f")
    assert (paste.placement.rotation, paste.placement.flip) == (15, True)
    paste.browser.keys("0")
    assert paste.placement == Placement(0.5, 0.6, 0.6, 0.0, False)


def test_the_wheel_sizes_with_control_and_leaves_the_graph_where_it_is(paste):
    zoom = paste.browser.script("return app.canvas.ds.scale")
    x, y = (round(v) for v in paste.window(paste.center())[0])
    paste.browser.drag((x, y))
    hold = {"type": "key", "id": "keyboard", "actions": [{"type": "keyDown", "value": CONTROL}]}
    paste.browser.command("actions", actions=[hold])
    paste.browser.wheel(x, y, -100)
    paste.browser.command("actions", actions=[hold | {"actions": [{"type": "keyUp", "value": CONTROL}]}])
    assert paste.placement.size > 0.65
    assert paste.browser.script("return app.canvas.ds.scale") == zoom


def test_the_wheel_alone_and_the_middle_button_move_the_graph(paste):
    view = "const { ds } = app.canvas; return [ds.scale, ...ds.offset]"
    x, y = paste.window(paste.center())[0]
    scale, *offset = paste.browser.script(view)
    paste.browser.drag((x, y), (x - 40, y - 30), button=1, steps=4)
    assert np.abs(np.array(paste.browser.script(view)[1:]) - offset).max() > 20
    paste.browser.wheel(x, y, 100)
    paste.browser.script(PAUSE)
    assert paste.browser.script(view)[0] < scale
    assert paste.placement == Placement(0.5, 0.6, 0.6, 0.0, False)


def test_a_typed_number_moves_the_image(paste):
    def seen():
        return subject_in(paste.browser.screenshot()).mean(0)

    before = seen()
    set_x = FIND + 'widget("x").value = 0.25; widget("x").callback?.(0.25); app.canvas.setDirty(true, true)'
    paste.browser.script(set_x, paste.id)
    paste.browser.script(PAUSE)
    moved = seen() - before
    (x0, _), (x1, _) = paste.window([0, 0], [0.25 * SCENE.width, 0])
    assert moved == pytest.approx([x0 - x1, 0], abs=2)


@pytest.mark.parametrize("zoom", [0.7, 1.0, 1.6])
def test_what_the_editor_shows_is_what_is_executed(paste, server, keep, zoom):
    paste.look(zoom)
    paste.drag(paste.center(), paste.center() + [-90, -40])
    paste.drag(paste.corners()[2], paste.corners()[2] + [-20, -26])
    for key in ("r", "f"):
        paste.browser.keys(key)
    paste.browser.script(PAUSE)
    keep(f"live_{zoom}")
    live = subject_in(paste.browser.screenshot())
    composite = server.make_image(paste.run())
    executed = subject_in(composite)
    keep(f"run_{zoom}")
    # In the window's own pixels, that is within two of the scene's.
    shown = np.array(paste.window(*executed + 0.5))
    (x0, _), (x1, _) = paste.window([0, 0], [1, 0])
    assert matched(live + 0.5, shown) <= max(2 * (x1 - x0), 1.5)
    # The numbers say the same as the image that was made with them.
    assert matched(executed + 0.5, paste.corners()) <= 2


def test_a_reload_of_the_workflow_shows_the_same_place(paste):
    paste.drag(paste.center(), paste.center() + [-100, -30])
    before = paste.placement
    stored = paste.browser.script("return app.graph.serialize()")
    (node,) = (node for node in stored["nodes"] if node["type"] == "PhDPasteBlend")
    assert len(node["widgets_values"]) == 17  # nothing of the editor's own
    assert "phd_canvas" not in json.dumps(paste.browser.script("return app.graphToPrompt()")["output"])
    paste.browser.script("return app.loadGraphData(arguments[0]).then(() => true)", stored)
    paste.look(1.0)
    paste.wait_until("640×400")
    assert paste.placement == before
    start = paste.center()
    paste.drag(start, start + [60, 0])
    assert np.abs(paste.center() - (start + [60, 0])).max() <= 2


def test_random_placement_is_a_ghost_that_can_be_kept(page, renderer, keep):
    paste = Paste(page, "run once to see where it goes", placement="random", seed=5)
    before = paste.placement
    paste.drag(paste.center(), paste.center() + [50, 0])
    assert paste.placement == before
    paste.browser.script("return app.queuePrompt(0, 1)")
    paste.wait_until("where the last run put it")
    drawn = paste.browser.script("return app.nodeOutputs[arguments[0]].phd_placement[0].placement", paste.id)
    keep("ghost")
    buttons = (
        FIND
        + """
    const buttons = [...widget("phd_canvas").element.querySelectorAll("button")]
    return buttons.find(button => !button.hidden && button.textContent.startsWith("Keep")).click()
    """
    )
    paste.browser.script(buttons, paste.id)
    assert paste.placement == Placement(**drawn)
    assert paste.browser.script(FIND + 'return widget("placement").value', paste.id) == "manual"


PICK = """
const [image, values] = arguments
app.graph.clear()
const add = (type, x, y) => {
    const node = LiteGraph.createNode(type)
    app.graph.add(node)
    node.pos = [x, y]
    return node
}
const source = add("LoadImage", 0, 0), model = add("PhDLoadSegmenter", 0, 420), segment = add("PhDSegment", 340, 0)
source.widgets.find(w => w.name === "image").value = image
segment.setSize([460, segment.computeSize()[1] + 120])
source.connect(0, segment, "image")
model.connect(0, segment, "segmenter")
for (const [name, value] of Object.entries(values)) segment.widgets.find(w => w.name === name).value = value
app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState()
return segment.id
"""
PROMPT = (
    FIND
    + """
return Object.fromEntries(["positive_points", "negative_points", "box"].map(name => [name, widget(name).value]))
"""
)


class Pick(Paste):
    """A Segment node in the page, and a hand on its picker."""

    margin = 6

    def __init__(self, browser, image: str = "canvas_scene.png", **values):
        self.browser = browser
        self.id = browser.script(PICK, image, values)
        self.look(1.0)
        self.wait_until(f"{SCENE.width}×{SCENE.height}")

    @property
    def prompt(self) -> dict:
        return self.browser.script(PROMPT, self.id)

    def click(self, point, button: int = 0) -> None:
        self.browser.drag(*self.window(point), button=button)


def numbers(text: str) -> list[float]:
    return [float(number) for number in text.replace(";", ",").split(",")] if text else []


def test_clicks_put_points_and_drags_the_box_in_pixels_of_the_image(page, renderer, keep):
    pick = Pick(page)
    pick.click([100, 50])
    pick.click([400.5, 300.5])
    pick.click([600, 20], button=2)
    pick.browser.drag(*pick.window([50, 40], [580, 380]), steps=5)
    page.script(PAUSE)
    keep("picker")
    found = pick.prompt
    assert numbers(found["positive_points"]) == pytest.approx([100, 50, 400, 300], abs=1.5)
    assert numbers(found["negative_points"]) == pytest.approx([600, 20], abs=1.5)
    assert numbers(found["box"]) == pytest.approx([50, 40, 530, 340], abs=2.5)
    # A click names a whole pixel.
    assert all(number == int(number) for text in found.values() for number in numbers(text))


def test_shift_makes_a_point_negative(page, renderer):
    pick = Pick(page)
    hold = {"type": "key", "id": "keyboard", "actions": [{"type": "keyDown", "value": SHIFT}]}
    pick.browser.command("actions", actions=[hold])
    pick.click([100, 50])
    pick.browser.command("actions", actions=[hold | {"actions": [{"type": "keyUp", "value": SHIFT}]}])
    assert pick.prompt["positive_points"] == ""
    assert numbers(pick.prompt["negative_points"]) == pytest.approx([100, 50], abs=1.5)


def test_a_point_is_moved_by_a_drag_and_removed_by_a_click_and_undo_brings_it_back(page, renderer):
    pick = Pick(page, positive_points="100, 50; 300.5, 200", negative_points="500,100")
    pick.browser.drag(*pick.window([100.5, 50.5], [200.5, 350.5]), steps=4)
    assert numbers(pick.prompt["positive_points"]) == pytest.approx([200, 350, 300.5, 200], abs=1.5)
    steps = pick.browser.script(STEPS)
    pick.click([301, 200.5])
    assert numbers(pick.prompt["positive_points"]) == pytest.approx([200, 350], abs=1.5)
    assert pick.prompt["negative_points"] == "500,100"  # what is not touched stays as it was typed
    assert pick.browser.script(STEPS) == steps + 1
    pick.browser.script("return app.extensionManager.command.execute('Comfy.Undo')")
    pick.wait_until("640×400")
    assert len(numbers(pick.prompt["positive_points"])) == 4


def test_what_cannot_be_read_is_said_and_not_overwritten(page, renderer, keep):
    pick = Pick(page, positive_points="100, 50")
    page.script(
        FIND + 'widget("positive_points").value = "here"; widget("positive_points").callback?.("here")', pick.id
    )
    pick.wait_until("cannot be read")
    keep("picker_fault")
    pick.click([200, 200])
    assert pick.prompt["positive_points"] == "here"


def test_the_mask_of_the_last_run_lies_over_the_image(page, renderer, server, keep):
    image = scene_image()
    image[100:300, 200:440] = (230, 40, 20)
    server.upload("canvas_block.png", as_png(image))
    pick = Pick(page, "canvas_block.png", box="180, 80, 280, 240")
    page.script("return app.queuePrompt(0, 1)")
    page.wait_for("return Boolean(app.nodeOutputs[arguments[0]]?.images?.length)", pick.id, seconds=120)
    page.script(PAUSE)
    keep("picker_mask")
    shown = page.screenshot().astype(int)
    inside, outside = (shown[round(y), round(x)] for x, y in pick.window([320.0, 150.0], [60.0, 350.0]))
    # Half orange, (255, 140, 0), over red; the scene beside it is as it was.
    assert inside == pytest.approx([241, 83, 11], abs=12)
    assert outside == pytest.approx(image[350, 60], abs=8)


FAULTS = {
    "an image that is gone": ('app.graph.nodes[0].widgets[0].value = "gone.png"', "cannot be shown"),
    "an empty file": ('app.graph.nodes[0].widgets[0].value = "empty.png"', "cannot be shown"),
    "a number of the wrong type": ('node.widgets.find(w => w.name === "x").value = "left"', "must be a number"),
    "a number out of range": ('node.widgets.find(w => w.name === "size").value = -3', "must be a number"),
    "no background": ("node.disconnectInput(0)", "Connect a background"),
    "a muted source": ("app.graph.nodes[0].mode = 2", "Run once"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_in_place(server, page, renderer, fault, keep):
    server_input = "empty.png"
    if fault == "an empty file":
        server.upload(server_input, b"")
    paste = Paste(page)
    page.console()
    source, words = FAULTS[fault]
    page.script(FIND + source + "; app.canvas.setDirty(true, true);" + CAPTURE, paste.id)
    paste.wait_until(words)
    keep("fault_" + fault.replace(" ", "_"))
    start = paste.browser.script(VALUES, paste.id)
    page.drag(*[(300, 600), (340, 620)], steps=3)
    assert ours(page.console()) == []
    assert paste.browser.script(VALUES, paste.id) == start


def test_a_run_that_warns_says_so_in_a_toast(page, renderer, keep):
    paste = Paste(page)
    page.script(FIND + 'app.graph.nodes[0].connect(1, node, "subject_mask")', paste.id)
    paste.wait_until("mask is empty")
    page.script("return app.queuePrompt(0, 1)")
    page.wait_for("return document.body.innerText.includes('scene passes through unchanged')", seconds=60)
    keep("toast")


def test_images_of_8k_are_reduced_for_view_and_pointed_at_in_their_own_pixels(page, renderer, server):
    large = np.zeros((4320, 7680, 3), np.uint8)
    large[:, ::64] = 120
    server.upload("canvas_large.png", as_png(large))
    paste = Paste(page)
    source = 'const { widgets } = app.graph.nodes[0]; widgets.find(w => w.name === "image").value = "canvas_large.png";'
    page.script(source + CAPTURE)
    paste.wait_until("7680×4320")
    # A pixel of the scene is a seventh of one that is seen, and a key still moves by one.
    page.drag(*paste.window([10, 10]))
    page.keys(RIGHT)
    assert paste.placement.x * 7680 == pytest.approx(3841, abs=0.1)


def test_a_copy_has_an_editor_of_its_own(paste):
    copied = (
        FIND
        + """
    app.canvas.copyToClipboard([node])
    app.canvas.pasteFromClipboard({ connectInputs: true })
    """
    )
    paste.drag(paste.center(), paste.center() + [-100, -60])
    before, first = paste.placement, paste.id
    paste.browser.script(copied, paste.id)
    (paste.id,) = paste.browser.script(
        "return app.graph.nodes.filter(n => n.type === 'PhDPasteBlend' && n.id !== arguments[0]).map(n => n.id)", first
    )
    paste.look(1.0)
    paste.wait_until("640×400")
    assert paste.placement == before
    paste.drag(paste.center(), paste.center() + [150, 0])
    assert paste.placement != before
    paste.id = first
    assert paste.placement == before


def test_a_number_that_comes_from_a_link_is_left_alone(paste):
    link = """
    const given = LiteGraph.createNode("PrimitiveFloat")
    app.graph.add(given)
    given.connect(0, node, "x")
    """
    paste.browser.script(FIND + link, paste.id)
    paste.wait_until("x: taken from a link")
    before = paste.placement
    paste.drag(paste.center(), paste.center() + [-100, -60])
    assert paste.placement.x == before.x
    assert paste.placement.y < before.y - 0.1


def ours(messages: list[str]) -> list[str]:
    """Errors and warnings of the pack's own code; and uncaught ones, whoever threw them."""
    return [text for text in messages if "/js/" in text and "extensions/" in text or "Uncaught" in text]


def test_twenty_nodes_at_once_all_show_their_images(page, renderer, keep):
    paste = Paste(page)
    copies = (
        FIND
        + """
    for (let index = 0; index < 19; index++) {
        const copy = node.clone()
        app.graph.add(copy)
        copy.pos = [340 + 500 * (index % 5 + 1), 1300 * Math.floor(index / 5)]
        app.graph.nodes[0].connect(0, copy, "background")
        app.graph.nodes[1].connect(0, copy, "subject")
        app.graph.nodes[2].connect(0, copy, "subject_mask")
    }
    """
    )
    page.script(copies, paste.id)
    words = """
    const all = app.graph.nodes.filter(node => node.type === "PhDPasteBlend")
    const said = all.map(node => node.widgets.at(-1).element.querySelector(".phd-words").textContent)
    return said.filter(words => words.includes("640×400")).length === 20
    """
    page.wait_for(words, seconds=60)
    page.script("app.graph.nodes.filter(n => n.type === 'PhDPasteBlend').forEach(n => app.graph.remove(n))")
    assert ours(page.console()) == []


def test_it_works_inside_a_subgraph(page, renderer, keep):
    paste = Paste(page)
    convert = FIND + "window.made = app.graph.convertToSubgraph(new Set([node])); return made.subgraph.nodes[0].id"
    paste.id = page.script(convert, paste.id)
    page.script(PAUSE)
    page.script("app.canvas.openSubgraph(made.subgraph, made.node)")
    try:
        find = "app.graph.getNodeById(arguments[0])"
        inside = {
            name: globals()[name].replace(find, "app.canvas.graph.getNodeById(arguments[0])")
            for name in ("WORDS", "VALUES", "PLACE", "LOOK", "FIND")
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, source in inside.items():
                patch.setitem(globals(), name, source)
            page.script(PAUSE)
            paste.look(1.0)
            paste.wait_until("640×400")
            start = paste.center()
            paste.drag(start, start + [-80, -60])
            keep("subgraph")
            assert np.abs(paste.center() - (start + [-80, -60])).max() <= 2
            page.script("return app.queuePrompt(0, 1)")
            paste.wait_until("as run")
    finally:
        page.script("app.canvas.setGraph(app.graph.rootGraph ?? app.graph)")


def test_collapsed_and_opened_again_it_goes_on(paste):
    for _ in range(2):
        paste.browser.script(FIND + "node.collapse(); app.canvas.setDirty(true, true)", paste.id)
        paste.browser.script(PAUSE)
    paste.look(1.0)
    start = paste.center()
    paste.drag(start, start + [-80, -60])
    assert np.abs(paste.center() - (start + [-80, -60])).max() <= 2


def test_the_shipped_workflow_runs_and_no_console_message_is_ours(page, renderer, keep):
    workflow = json.loads((WORKFLOWS / "phd_demo.json").read_text(encoding="utf-8"))
    page.console()
    page.script("return app.loadGraphData(arguments[0]).then(() => true)", workflow)
    (paste_id,) = (node["id"] for node in workflow["nodes"] if node["type"] == "PhDPasteBlend")
    page.script(LOOK, paste_id, 0.9)
    words = WORDS.replace("return ", "return (") + ").length > 0"
    page.wait_for(words, paste_id, seconds=30)
    keep("workflow")
    assert ours(page.console()) == []
