"""The two editors in ComfyUI's real frontend, in both of its renderers, used with a real pointer and keyboard."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from devtools.comfyui_page import (
    CANVAS,
    CANVAS_WIDTH,
    FIND,
    RENDERERS,
    RUN_TO_NODE,
    STATUS,
    build_graph,
    contains,
    paste_nodes,
    show_editor,
    use_renderer,
    wait_for_status,
)
from devtools.server import as_png
from devtools.workflows import WORKFLOWS
from phd_ops.pixels.geometry import Placement, Size, mapped

pytestmark = pytest.mark.e2e

SCENE, SUBJECT = Size(640, 400), Size(120, 160)
# The block in the subject's file; its box and margins are known to a pixel.
BLOCK = (30, 20, 90, 140)
SHIFT, CONTROL = "\ue008", "\ue009"
RIGHT, DOWN, ESCAPE = "\ue014", "\ue015", "\ue00c"

VALUES = FIND + 'return Object.fromEntries(["x", "y", "size", "rotation", "flip"].map(n => [n, widget(n).value]))'
VALUE = FIND + "return widget(arguments[1]).value"
SET_VALUE = FIND + "const [, name, value] = arguments; widget(name).value = value; widget(name).callback?.(value)"
REDRAW = "app.canvas.setDirty(true, true);"
CAPTURE = "app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();"
UNDO_STEPS = "return app.extensionManager.workflow.activeWorkflow.changeTracker.undoQueue.length"
EXECUTE = "return app.extensionManager.command.execute(arguments[0])"
RUN = "return app.queuePrompt(0, 1)"
HAS_IMAGES = "return Boolean(app.nodeOutputs[arguments[0]]?.images?.length)"
VIEW = "const { ds } = app.canvas; return [ds.scale, ...ds.offset]"
SIZE = f"{SCENE.width}×{SCENE.height}"
AS_RUN = "result of the last run"
HAS_MENU = "return Boolean(document.querySelector('.litecontextmenu, [role=menu]'))"


# What a node said in its last run, as it stands on the node.
SAID = FIND + "return node.widgets.map(w => w.element?.querySelector('.phd-messages')?.textContent ?? '').join('')"


class Editor:
    """The editor of a node in the page."""

    margin: int  # between the canvas and the image, in pixels of the canvas

    def __init__(self, browser, nodes: dict[str, dict], name: str, status: str = SIZE):
        self.browser = browser
        # The frontend keeps 50 steps; those of the tests before would fill them.
        browser.script(UNDO_STEPS + " = 0")
        self.ids = build_graph(browser, nodes)
        self.id = self.ids[name]
        self.show()
        self.wait_until(status)

    def show(self, scale: float = 1.0) -> None:
        show_editor(self.browser, self.id, scale)

    def wait_until(self, status: str) -> None:
        wait_for_status(self.browser, self.id, status)

    def value(self, name: str):
        return self.browser.script(VALUE, self.id, name)

    def set_value(self, name: str, value) -> None:
        """Sets a widget as a user who types does."""
        self.browser.script(SET_VALUE + ";" + REDRAW, self.id, name, value)

    def image_in_window(self) -> tuple[np.ndarray, float]:
        """The image's upper left corner in the window, [2], and window pixels per pixel of the image."""
        x, y, width, height = self.browser.script(CANVAS, self.id)
        zoom = width / self.browser.script(CANVAS_WIDTH, self.id)
        inner = width / zoom - 2 * self.margin, height / zoom - 2 * self.margin
        scale = min(inner[0] / SCENE.width, inner[1] / SCENE.height) * zoom
        return np.array([x + (width - SCENE.width * scale) / 2, y + (height - SCENE.height * scale) / 2]), scale

    def window(self, *points) -> list[tuple[float, float]]:
        """Points of the image [N,2], in pixels, where they are in the window."""
        (left, top), scale = self.image_in_window()
        return [(left + px * scale, top + py * scale) for px, py in points]

    def drag(self, *points, steps: int = 6) -> None:
        self.browser.drag(*self.window(*points), steps=steps)

    def click(self, point, button: int = 0) -> None:
        self.browser.drag(*self.window(point), button=button)

    def undo_steps(self) -> int:
        return self.browser.script(UNDO_STEPS)


class PasteEditor(Editor):
    """The placement editor of a Paste & Blend node, with a preview of its result."""

    margin = 18

    def __init__(self, browser, status: str = SIZE, **values):
        nodes = paste_nodes("editor_scene.png", "editor_subject.png", **{"feather": 0, "ring": 16} | values)
        nodes["preview"] = {"type": "PreviewImage", "at": [520, 0], "links": {"images": ["paste", 1]}}
        super().__init__(browser, nodes, "paste", status)

    @property
    def placement(self) -> Placement:
        return Placement(**self.browser.script(VALUES, self.id))

    def center(self) -> np.ndarray:
        return np.array([self.placement.x * SCENE.width, self.placement.y * SCENE.height])

    def drag_subject(self, by, steps: int = 6) -> np.ndarray:
        """Drags the subject by pixels of the scene; returns where its center must be then."""
        start = self.center()
        self.drag(start, start + by, steps=steps)
        return start + by

    def drag_subject_from(self, x: float, by) -> None:
        """Drags a subject whose x, as a fraction of the scene, another node's widget has."""
        start = np.array([x * SCENE.width, self.center()[1]])
        self.drag(start, start + by)

    def corners(self) -> np.ndarray:
        box = np.array([[0, 0], [BLOCK[2], 0], [BLOCK[2], BLOCK[3]], [0, BLOCK[3]]], float)
        return mapped(self.placement.matrix(Size(*BLOCK[2:]), SCENE), box)

    def run(self) -> dict:
        """Runs the graph; the file of the composite that it made."""
        self.browser.script(RUN)
        self.browser.wait_for(HAS_IMAGES, self.ids["preview"], seconds=120)
        self.wait_until(AS_RUN)
        return self.browser.script("return app.nodeOutputs[arguments[0]].images[0]", self.ids["preview"])


class PointEditor(Editor):
    """The point picker of a Segment node."""

    margin = 6

    def __init__(self, browser, image: str = "editor_scene.png", **values):
        nodes = {
            "image": {"type": "LoadImage", "at": [-420, 0], "values": {"image": image}},
            "segmenter": {"type": "PhDLoadSegmenter", "at": [-420, 460]},
            "segment": {
                "type": "PhDSegment",
                "at": [0, 0],
                "width": 460,
                "extra": 120,
                "values": values,
                "links": {"image": ["image", 0], "segmenter": ["segmenter", 0]},
            },
        }
        super().__init__(browser, nodes, "segment")

    @property
    def prompt(self) -> dict[str, str]:
        return {name: self.value(name) for name in ("positive_points", "negative_points", "box")}


def scene_image() -> np.ndarray:
    """Gray, with a little of every other color, so that a bright subject stands out."""
    y, x = np.mgrid[0 : SCENE.height, 0 : SCENE.width]
    return np.stack([60 + x // 16, 70 + y // 16, np.full_like(x, 80)], -1).astype(np.uint8)


def subject_image() -> np.ndarray:
    """RGBA: a red block whose left half is green, in the middle of nothing."""
    image = np.zeros((SUBJECT.height, SUBJECT.width, 4), np.uint8)
    x, y, width, height = BLOCK
    image[y : y + height, x : x + width] = (230, 20, 20, 255)
    image[y : y + height, x : x + width // 2] = (20, 230, 20, 255)
    return image


@pytest.fixture(scope="module")
def files(server):
    """The images of these tests, in the server's input folder."""
    server.upload("editor_scene.png", as_png(scene_image()))
    server.upload("editor_subject.png", as_png(subject_image()))


@pytest.fixture(scope="module", params=RENDERERS)
def renderer(files, page, request):
    """Runs a test with each renderer; all tests with one renderer follow each other, so that it changes once."""
    use_renderer(page, request.param)
    yield request.param
    use_renderer(page, "classic")


@pytest.fixture
def paste(page, renderer):
    return PasteEditor(page)


@pytest.fixture
def keep(page, renderer):
    """Stores a screenshot to look at in the folder PHD_SCREENSHOTS; without one, does nothing."""
    folder = os.environ.get("PHD_SCREENSHOTS")

    def store(name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(page.screenshot()).save(Path(folder) / f"{name}_{renderer}.png")

    return store


def block_in(image: np.ndarray) -> np.ndarray:
    """The corners of the bright block in an image, float [4,2]."""
    image = image.astype(int)
    bright = np.maximum(image[..., 0], image[..., 1]) - image[..., 2] > 110
    contours, _ = cv2.findContours(bright.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)
    return cv2.boxPoints(cv2.minAreaRect(largest))


def matched(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest distance between corners, each with the nearest one."""
    return float(np.abs(found[:, None] - wanted[None]).max(-1).min(1).max())


def test_the_subject_is_dragged_and_its_numbers_follow(paste, keep):
    wanted = paste.drag_subject([-150, -60])
    keep("moved")
    assert np.abs(paste.center() - wanted).max() <= 2
    assert paste.placement.size == 0.6 and paste.placement.rotation == 0


def test_one_drag_is_one_undo_step_and_undo_reverts_it_and_leaves_an_editor_that_works(paste):
    before, steps = paste.placement, paste.undo_steps()
    paste.drag_subject([-120, -50], steps=15)
    assert paste.placement != before
    assert paste.undo_steps() == steps + 1
    paste.browser.script(EXECUTE, "Comfy.Undo")
    paste.wait_until(SIZE)
    assert paste.placement == before
    paste.browser.script(EXECUTE, "Comfy.Redo")
    paste.wait_until(SIZE)
    assert abs(paste.placement.x - before.x) > 0.1
    paste.show()
    wanted = paste.drag_subject([100, 30])
    assert np.abs(paste.center() - wanted).max() <= 2


def test_a_dragged_corner_resizes_and_the_opposite_one_stays(paste):
    corners = paste.corners()
    to = corners[0] + 0.5 * (corners[2] - corners[0]) * [0.5, 0.5]
    paste.drag(corners[2], to + [0, 0])
    after = paste.corners()
    assert paste.placement.size < 0.4
    assert np.abs(after[0] - corners[0]).max() <= 2


def test_the_handle_rotates(paste):
    start = paste.placement
    (x0, y0), (x1, _) = paste.window(paste.corners()[0], paste.corners()[1])
    handle = ((x0 + x1) / 2, y0 - 22)
    (cx, cy) = paste.window(paste.center())[0]
    arm = cy - handle[1]
    angle = np.radians(-30)
    paste.browser.drag(handle, (cx - arm * np.sin(angle), cy - arm * np.cos(angle)), steps=8)
    assert paste.placement.rotation == pytest.approx(-30, abs=1.5)
    assert (paste.placement.x, paste.placement.y) == (start.x, start.y)


def test_keys_move_resize_rotate_flip_and_reset(paste):
    paste.click([10, 10])  # the canvas gets the keyboard
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


def hold_key(browser, key: str, down: bool) -> None:
    action = {"type": "keyDown" if down else "keyUp", "value": key}
    browser.command("actions", actions=[{"type": "key", "id": "keyboard", "actions": [action]}])


def test_ctrl_and_wheel_resize_and_the_graph_does_not_zoom(paste):
    zoom = paste.browser.script(VIEW)[0]
    x, y = (round(v) for v in paste.window(paste.center())[0])
    paste.browser.drag((x, y))
    hold_key(paste.browser, CONTROL, True)
    paste.browser.wheel(x, y, -100)
    hold_key(paste.browser, CONTROL, False)
    assert paste.placement.size > 0.65
    assert paste.browser.script(VIEW)[0] == zoom


def test_the_wheel_alone_zooms_the_graph_and_the_middle_button_pans_it(paste):
    x, y = paste.window(paste.center())[0]
    scale, *offset = paste.browser.script(VIEW)
    paste.browser.drag((x, y), (x - 40, y - 30), button=1, steps=4)
    assert np.abs(np.array(paste.browser.script(VIEW)[1:]) - offset).max() > 20
    paste.browser.wheel(x, y, 100)
    paste.browser.wait_for("return app.canvas.ds.scale < arguments[0]", scale, seconds=10)
    assert paste.placement == Placement(0.5, 0.6, 0.6, 0.0, False)


def test_a_typed_number_moves_the_image(paste):
    def seen():
        paste.browser.wait_frames()
        return block_in(paste.browser.screenshot()).mean(0)

    before = seen()
    paste.set_value("x", 0.25)
    moved = seen() - before
    (x0, _), (x1, _) = paste.window([0, 0], [0.25 * SCENE.width, 0])
    assert moved == pytest.approx([x0 - x1, 0], abs=2)


@pytest.mark.parametrize("zoom", [0.7, 1.0, 1.6])
def test_the_result_has_the_subject_where_the_editor_showed_it(paste, server, keep, zoom):
    paste.show(zoom)
    paste.drag_subject([-90, -40])
    paste.drag(paste.corners()[2], paste.corners()[2] + [-20, -26])
    for key in ("r", "f"):
        paste.browser.keys(key)
    paste.browser.wait_frames()
    keep(f"live_{zoom}")
    # Both before the run, which writes its messages onto the node for a while and so moves the canvas.
    corner, scale = paste.image_in_window()
    live = block_in(paste.browser.screenshot())
    executed = block_in(server.image(paste.run()))
    keep(f"run_{zoom}")
    # In the window's own pixels, that is within two of the scene's.
    shown = corner + scale * (executed + 0.5)
    # The outline, which covers the block's edge, counts too.
    assert matched(live + 0.5, shown) <= max(2 * scale, 1.5) + zoom / 2
    # The numbers give the same place as the image that was made with them.
    assert matched(executed + 0.5, paste.corners()) <= 2


def test_a_reload_of_the_workflow_keeps_the_placement(paste):
    paste.drag_subject([-100, -30])
    before = paste.placement
    stored = paste.browser.script("return app.graph.serialize()")
    (node,) = (node for node in stored["nodes"] if node["type"] == "PhDPasteBlend")
    assert len(node["widgets_values"]) == 18  # nothing of the editor's own
    assert "phd_canvas" not in json.dumps(paste.browser.script("return app.graphToPrompt()")["output"])
    paste.browser.script("return app.loadGraphData(arguments[0]).then(() => true)", stored)
    paste.show()
    paste.wait_until(SIZE)
    assert paste.placement == before
    wanted = paste.drag_subject([60, 0])
    assert np.abs(paste.center() - wanted).max() <= 2


def test_a_random_placement_cannot_be_dragged_and_can_be_kept(page, renderer, keep):
    paste = PasteEditor(page, "run once to see where it goes", placement="random", seed=5)
    before = paste.placement
    paste.drag_subject([50, 0])
    assert paste.placement == before
    page.script(RUN)
    paste.wait_until("where the last run placed it")
    drawn = page.script("return app.nodeOutputs[arguments[0]].phd_placement[0].placement", paste.id)
    keep("random")
    press_keep = """
    const buttons = [...editor().querySelectorAll("button")]
    return buttons.find(button => !button.hidden && button.textContent.startsWith("Keep")).click()
    """
    page.script(FIND + press_keep, paste.id)
    assert paste.placement == Placement(**drawn)
    assert paste.value("placement") == "manual"


def test_keyframes_are_dragged_on_the_timeline_and_undone(paste, keep):
    paste.set_value("keyframes", "0: x 0.3, y 0.5\n24: x 0.7")
    paste.browser.script(CAPTURE)
    slider = "const one = document.querySelector('.phd-timeline input'); "
    paste.browser.wait_for("return Boolean(document.querySelector('.phd-timeline'))", seconds=20)
    paste.browser.script(slider + "one.value = 12; one.dispatchEvent(new Event('input'))")
    paste.browser.wait_frames()
    paste.show()
    keep("timeline")
    paste.drag([0.5 * SCENE.width, 0.5 * SCENE.height], [0.5 * SCENE.width, 0.25 * SCENE.height])
    keep("timeline_dragged")
    first, middle, last = paste.value("keyframes").splitlines()
    assert (first, last) == ("0: x 0.3, y 0.5", "24: x 0.7") and middle.startswith("12: x 0.5")
    assert paste.placement.x == 0.5  # the widgets stay
    paste.browser.script(EXECUTE, "Comfy.Undo")
    paste.wait_until(SIZE)
    assert paste.value("keyframes") == "0: x 0.3, y 0.5\n24: x 0.7"


def test_stitch_shows_before_and_after_beside_a_line_that_is_dragged(page, renderer, keep):
    nodes = paste_nodes("editor_scene.png", "editor_subject.png", feather=0, ring=16)
    nodes["sampled"] = {"type": "LoadImage", "at": [-420, 1300], "values": {"image": "editor_scene.png"}}
    links = {"sampled": ["sampled", 0], "paste": ["paste", 0]}
    # Only the model's own pixels: the subject is gone, as nothing else is in them.
    values = {"detail": 0.0, "color_fix": 0.0}
    nodes["stitch"] = {"type": "PhDStitch", "at": [520, 0], "links": links, "values": values}
    nodes["preview"] = {"type": "PreviewImage", "at": [1020, 0], "links": {"images": ["stitch", 0]}}
    ids = build_graph(page, nodes)
    show_editor(page, ids["stitch"])
    page.script(RUN)
    wait_for_status(page, ids["stitch"], "identity", seconds=120)
    # By now it has the image's shape.
    page.wait_for(FIND + "return canvas().clientHeight > 0.55 * canvas().clientWidth", ids["stitch"], seconds=30)
    show_editor(page, ids["stitch"])
    keep("before_after")
    x, y, width, height = page.script(CANVAS, ids["stitch"])
    left, right = (round(x + width / 2 + by) for by in (-12, 12))
    row = round(y + height * 0.6 + 20)
    seen = page.screenshot().astype(int)
    assert seen[row, left] == pytest.approx([20, 230, 20], abs=12)
    assert seen[row, right].max() < 130
    page.drag((x + width / 2, y + 30), (x + width - 8, y + 30), steps=4)
    page.wait_frames()
    assert page.screenshot().astype(int)[row, right] == pytest.approx([230, 20, 20], abs=12)


def test_insert_subject_shows_its_result_and_lets_the_subject_be_dragged_on(page, renderer, keep):
    nodes = {
        "background": {"type": "LoadImage", "at": [-420, 0], "values": {"image": "editor_scene.png"}},
        "subject": {"type": "LoadImage", "at": [-420, 460], "values": {"image": "editor_subject.png"}},
        "invert": {"type": "InvertMask", "at": [-420, 900], "links": {"mask": ["subject", 1]}},
        "demo": {"type": "PhDLoadDemoModel", "at": [-420, 1000]},
    }
    links = {"background": ["background", 0], "subject": ["subject", 0], "subject_mask": ["invert", 0]}
    links |= {"model": ["demo", 0], "clip": ["demo", 1], "vae": ["demo", 2]}
    # Another seed for each renderer: what is cached would not be run again.
    values = {"quality": "fast", "size": 0.3, "seed": list(RENDERERS).index(renderer)}
    insert = {"type": "PhDInsertSubject", "at": [0, 0], "width": 460, "extra": 0, "links": links, "values": values}
    preview = {"type": "PreviewImage", "at": [520, 0], "links": {"images": ["insert", 0]}}
    ids = build_graph(page, nodes | {"insert": insert, "preview": preview})
    show_editor(page, ids["insert"])
    wait_for_status(page, ids["insert"], SIZE)
    page.script(RUN)
    wait_for_status(page, ids["insert"], AS_RUN, seconds=180)
    keep("insert_subject")
    show_editor(page, ids["insert"])
    x, y, width, height = page.script(CANVAS, ids["insert"])
    before = page.script(VALUE, ids["insert"], "x")
    center = (x + width / 2, y + height * 0.58)
    page.drag(center, (center[0] - 60, center[1]), steps=4)
    assert page.script(VALUE, ids["insert"], "x") < before - 0.05


def numbers(text: str) -> list[float]:
    return [float(number) for number in text.replace(";", ",").split(",")] if text else []


def test_clicks_add_points_and_a_drag_draws_the_box_in_pixels_of_the_image(page, renderer, keep):
    points = PointEditor(page)
    points.click([100, 50])
    points.click([400.5, 300.5])
    points.click([600, 20], button=2)
    points.drag([50, 40], [580, 380], steps=5)
    page.wait_frames()
    keep("points")
    found = points.prompt
    assert numbers(found["positive_points"]) == pytest.approx([100, 50, 400, 300], abs=1.5)
    assert numbers(found["negative_points"]) == pytest.approx([600, 20], abs=1.5)
    assert numbers(found["box"]) == pytest.approx([50, 40, 530, 340], abs=2.5)
    # A click gives a whole pixel.
    assert all(number == int(number) for text in found.values() for number in numbers(text))


def test_shift_makes_a_point_negative(page, renderer):
    points = PointEditor(page)
    hold_key(page, SHIFT, True)
    points.click([100, 50])
    hold_key(page, SHIFT, False)
    assert points.prompt["positive_points"] == ""
    assert numbers(points.prompt["negative_points"]) == pytest.approx([100, 50], abs=1.5)


def test_a_point_is_moved_by_a_drag_and_removed_by_a_click_and_undo_brings_it_back(page, renderer):
    points = PointEditor(page, positive_points="100, 50; 300.5, 200", negative_points="500,100")
    points.drag([100.5, 50.5], [200.5, 350.5], steps=4)
    assert numbers(points.prompt["positive_points"]) == pytest.approx([200, 350, 300.5, 200], abs=1.5)
    steps = points.undo_steps()
    points.click([301, 200.5])
    assert numbers(points.prompt["positive_points"]) == pytest.approx([200, 350], abs=1.5)
    assert points.prompt["negative_points"] == "500,100"  # what is not touched stays as it was typed
    assert points.undo_steps() == steps + 1
    page.script(EXECUTE, "Comfy.Undo")
    points.wait_until(SIZE)
    assert len(numbers(points.prompt["positive_points"])) == 4
    points.show()
    points.drag([50, 40], [580, 380], steps=5)
    assert numbers(points.prompt["box"]) == pytest.approx([50, 40, 530, 340], abs=2.5)


def test_points_that_cannot_be_parsed_are_reported_and_not_overwritten(page, renderer, keep):
    points = PointEditor(page, positive_points="100, 50")
    points.set_value("positive_points", "here")
    points.wait_until("cannot be read")
    keep("points_error")
    points.click([200, 200])
    assert points.prompt["positive_points"] == "here"


def test_the_mask_of_the_last_run_is_drawn_over_the_image(page, renderer, server, keep):
    image = scene_image()
    image[100:300, 200:440] = (230, 40, 20)
    server.upload("editor_block.png", as_png(image))
    points = PointEditor(page, "editor_block.png", box="180, 80, 280, 240")
    page.script(RUN_TO_NODE, points.id)
    page.wait_for(HAS_IMAGES, points.id, seconds=120)
    mask_button = "[...editor().querySelectorAll('button')].find(button => button.textContent === 'Mask')"
    page.wait_for(FIND + f"return !{mask_button}.disabled", points.id, seconds=30)
    page.wait_frames()
    keep("points_mask")
    shown = page.screenshot().astype(int)
    inside, outside = (shown[round(y), round(x)] for x, y in points.window([320.0, 150.0], [60.0, 350.0]))
    # The subject is as it was; what is around it is darker, whatever its color.
    assert inside == pytest.approx([230, 40, 20], abs=8)
    assert outside == pytest.approx(image[350, 60] * (1 - 150 / 255), abs=8)
    # A white line on a black one runs around the subject.
    (left, y), (right, _) = points.window([188.0, 200.0], [212.0, 200.0])
    across = shown[round(y), round(left) : round(right)].sum(-1)
    assert across.max() > 690 and across.min() < 60


FAULTS = {
    "an image that is gone": ('app.graph.nodes[0].widgets[0].value = "gone.png"', "cannot be shown"),
    "an empty file": ('app.graph.nodes[0].widgets[0].value = "empty.png"', "cannot be shown"),
    "a number of the wrong type": ('widget("x").value = "left"', "must be a number"),
    "a number out of range": ('widget("size").value = -3', "must be a number"),
    "no background": ("node.disconnectInput(1)", "Connect a background"),
    "a muted source": ("app.graph.nodes[0].mode = 2", "Run once"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_editor_shows_what_is_wrong(server, page, renderer, fault, keep):
    if fault == "an empty file":
        server.upload("empty.png", b"")
    paste = PasteEditor(page)
    page.console()
    source, status = FAULTS[fault]
    page.script(f"{FIND} {source}; {REDRAW} {CAPTURE}", paste.id)
    paste.wait_until(status)
    keep("fault_" + fault.replace(" ", "_"))
    start = page.script(VALUES, paste.id)
    x, y, width, height = page.script(CANVAS, paste.id)
    page.drag((x + width / 2, y + height / 2), (x + width / 2 + 40, y + height / 2 + 20), steps=3)
    assert ours(page.console()) == []
    assert page.script(VALUES, paste.id) == start


def test_a_mask_that_is_1_around_the_subject_and_a_missing_one_are_reported(paste):
    paste.browser.script(FIND + 'app.graph.nodes[1].connect(1, node, "subject_mask")', paste.id)
    paste.wait_until("looks inverted")
    paste.browser.script(FIND + 'node.disconnectInput(node.inputs.findIndex(i => i.name === "subject_mask"))', paste.id)
    paste.wait_until("Connect a mask")


def test_a_handle_outside_the_canvas_stands_at_its_border_and_resizes_without_a_jump(paste):
    for name, value in {"size": 3.0, "x": 0.5, "y": 0.5, "rotation": 10.0}.items():
        paste.set_value(name, value)
    paste.browser.wait_frames()
    x, y, width, height = paste.browser.script(CANVAS, paste.id)
    corner = np.array([x + width - 8, y + height - 8])
    paste.browser.drag(corner, corner - [3, 2])
    assert paste.placement.size == pytest.approx(3.0, rel=0.03)
    assert paste.placement.size != 3.0
    size = paste.placement.size
    paste.browser.drag(corner, corner - [90, 60], steps=5)
    assert paste.placement.size < 0.9 * size
    # The handle for rotating stands at the upper border.
    for name, value in {"size": 3.0, "x": 0.5, "y": 0.5}.items():
        paste.set_value(name, value)
    paste.browser.wait_frames()
    (left, top), (right, _) = paste.window(*paste.corners()[:2])
    handle = np.array([(left + right) / 2 - 22 * np.sin(np.radians(10)), y + 8])
    paste.browser.drag(handle, handle + [-60, 5], steps=4)
    assert paste.placement.rotation > 13


def test_the_editor_is_drawn_with_the_windows_pixels_where_the_graph_is_zoomed_in(paste):
    paste.show(3.0)
    sharp = "const { width, clientWidth } = canvas(); return Math.abs(width / clientWidth - 3) < 0.1"
    paste.browser.wait_for(FIND + sharp, paste.id, seconds=5)


def test_a_large_window_shows_the_editor_and_gives_it_back(paste, keep):
    press = "; [...editor().querySelectorAll('button')].find(button => button.textContent === 'Large').click()"
    width = paste.browser.script(CANVAS_WIDTH, paste.id)
    paste.browser.script(FIND + press, paste.id)
    paste.browser.wait_for(CANVAS_WIDTH + " > 2 * arguments[1]", paste.id, width, seconds=10)
    paste.browser.wait_frames()
    keep("large")
    wanted = paste.drag_subject([-90, -40])
    assert np.abs(paste.center() - wanted).max() <= 2
    paste.browser.script("document.querySelector('dialog.phd-large').close()")
    paste.browser.wait_for(CANVAS_WIDTH + " === arguments[1]", paste.id, width, seconds=10)


def test_a_right_click_opens_the_nodes_menu(paste):
    x, y = paste.window([20, 20])[0]
    paste.browser.drag((x, y), button=2)
    paste.browser.wait_for(HAS_MENU, seconds=10)
    paste.browser.keys(ESCAPE)
    paste.browser.script("LiteGraph.closeAllContextMenus(window)")
    paste.browser.wait_for(f"return !(() => {{ {HAS_MENU} }})()", seconds=10)


def test_the_second_of_two_chained_nodes_shows_where_the_first_ones_subject_is_now(paste, keep):
    second = """
    const other = node.clone()
    app.graph.add(other)
    other.pos = [600, 0]
    node.connect(0, other, "paste")
    app.graph.nodes[1].connect(0, other, "subject")
    app.graph.nodes[2].connect(0, other, "subject_mask")
    const value = (name, to) => { other.widgets.find(w => w.name === name).value = to }
    value("size", 0.2)
    value("x", 0.9)
    const shown = LiteGraph.createNode("PreviewImage")
    app.graph.add(shown)
    shown.pos = [0, 2000]
    other.connect(1, shown, "images")
    return [other.id, shown.id]
    """
    first = paste.id
    paste.id, shown = paste.browser.script(FIND + second, paste.id)
    paste.browser.script(RUN)
    paste.browser.wait_for(HAS_IMAGES, shown, seconds=120)
    paste.show()
    paste.wait_until(AS_RUN)
    paste.id, other = first, paste.id
    for name, value in {"x": 0.3, "y": 0.3, "size": 0.4}.items():
        paste.set_value(name, value)
    corners = paste.corners()
    paste.id = other
    paste.browser.wait_for(STATUS + f" === '{SIZE}'", paste.id, seconds=30)
    paste.show()
    keep("chained")
    found = block_in(paste.browser.screenshot()) + 0.5
    corner, scale = paste.image_in_window()
    assert matched(found, corner + scale * corners) <= max(2 * scale, 1.5)


# Toasts by the frontend's version: a list of its own, before that one of PrimeVue.
FIND_TOASTS = "const toasts = () => [...document.querySelectorAll('ol.pointer-events-none > li, .p-toast-message')];"
TOASTS = FIND_TOASTS + "return toasts().map(toast => toast.innerText)"
HAS_TOAST = FIND_TOASTS + "return toasts().some(toast => toast.innerText.includes(arguments[0]))"
CLOSE_TOASTS = (
    FIND_TOASTS
    + """
const { toast } = app.extensionManager
if (toast.dismissAll) toast.dismissAll()
else toast.removeAll()
return !toasts().length
"""
)


def test_a_run_that_warns_shows_the_warning_as_a_toast(page, renderer, keep):
    paste = PasteEditor(page)
    page.wait_for(CLOSE_TOASTS, seconds=30)
    page.script(FIND + 'app.graph.nodes[0].connect(1, node, "subject_mask")', paste.id)
    paste.wait_until("mask is empty")
    page.script(RUN)
    page.wait_for("return Boolean(app.nodeOutputs[arguments[0]]?.phd_warnings)", paste.id, seconds=60)
    of_file, warning = page.script("return app.nodeOutputs[arguments[0]].phd_warnings", paste.id)
    assert "file without transparency" in of_file and "scene passes through unchanged" in warning
    for text in (of_file, warning):
        page.wait_for(HAS_TOAST, text, seconds=60)
    keep("toast")
    assert all("Warning from " in toast for toast in page.script(TOASTS))
    page.wait_for(CLOSE_TOASTS, seconds=30)
    # On the node the sentence stays, also when undo or a reload of the workflow makes it anew.
    page.wait_for(contains(SAID, 1), paste.id, warning, seconds=30)
    page.script("return app.loadGraphData(app.graph.serialize()).then(() => true)")
    page.wait_for(contains(SAID, 1), paste.id, warning, seconds=30)


def test_a_node_that_fails_says_why_in_a_toast_and_on_itself(page, renderer, keep):
    paste = PasteEditor(page)
    page.wait_for(CLOSE_TOASTS, seconds=30)
    page.script(FIND + 'node.disconnectInput(node.inputs.findIndex(i => i.name === "subject_mask"))', paste.id)
    page.script(RUN)
    why = "no subject_mask is connected"
    page.wait_for(HAS_TOAST, why, seconds=60)
    page.wait_for(contains(SAID, 1), paste.id, why, seconds=30)
    keep("failed")
    page.wait_for(CLOSE_TOASTS, seconds=30)


def test_a_node_that_is_still_running_warns_by_an_event(page, renderer):
    paste = PasteEditor(page)
    page.wait_for(CLOSE_TOASTS, seconds=30)
    event = "app.api.dispatchCustomEvent('phd_warnings', { node: String(arguments[0]), warnings: [arguments[1]] })"
    page.script(event, paste.id, "Out of memory: one image at a time.")
    page.wait_for(HAS_TOAST, "one image at a time", seconds=30)
    page.wait_for(HAS_TOAST, page.script(FIND + "return node.title", paste.id), seconds=30)
    page.wait_for(CLOSE_TOASTS, seconds=30)


def test_a_run_without_warnings_shows_no_toast(page, renderer):
    paste = PasteEditor(page)
    page.wait_for(CLOSE_TOASTS, seconds=30)
    paste.run()
    assert page.script(TOASTS) == []


def test_8k_images_are_reduced_for_display_and_edited_in_their_own_pixels(page, renderer, server):
    large = np.zeros((4320, 7680, 3), np.uint8)
    large[:, ::64] = 120
    server.upload("editor_large.png", as_png(large))
    paste = PasteEditor(page)
    source = 'const { widgets } = app.graph.nodes[0]; widgets.find(w => w.name === "image").value = "editor_large.png";'
    page.script(source + CAPTURE)
    paste.wait_until("7680×4320")
    # Seven pixels of the scene are one on the screen, and a key still moves by one of the scene.
    paste.click([10, 10])
    page.keys(RIGHT)
    assert paste.placement.x * 7680 == pytest.approx(3841, abs=0.1)


def test_a_copied_node_has_an_editor_of_its_own(paste):
    copy = """
    app.canvas.copyToClipboard([node])
    app.canvas.pasteFromClipboard({ connectInputs: true })
    """
    paste.drag_subject([-100, -60])
    before, first = paste.placement, paste.id
    paste.browser.script(FIND + copy, paste.id)
    (paste.id,) = paste.browser.script(
        "return app.graph.nodes.filter(n => n.type === 'PhDPasteBlend' && n.id !== arguments[0]).map(n => n.id)", first
    )
    paste.show()
    paste.wait_until(SIZE)
    assert paste.placement == before
    paste.drag_subject([150, 0])
    assert paste.placement != before
    paste.id = first
    assert paste.placement == before


# Links x to a node of its own, whose value is known before a run or not.
LINK_X = """
    const given = LiteGraph.createNode(arguments[1])
    app.graph.add(given)
    if (arguments[1] === "PrimitiveFloat") given.widgets[0].value = 0.2
    given.connect(0, node, "x")
"""


def test_a_number_that_comes_from_a_link_is_shown_where_it_puts_the_subject_and_not_changed(paste, keep):
    before = paste.placement
    paste.browser.script(FIND + LINK_X, paste.id, "PrimitiveFloat")
    paste.wait_until("Set by a link, so it cannot be changed here: x.")
    keep("linked_x")
    paste.drag_subject_from(0.2, [-60, -60])
    assert paste.placement.x == before.x
    assert paste.placement.y < before.y - 0.1


def test_a_link_whose_number_only_a_run_tells_shows_no_subject_in_a_wrong_place(paste, keep):
    before = paste.placement
    paste.browser.script(FIND + LINK_X, paste.id, "SamplingPercentToSigma")
    paste.wait_until("Set by a link, so run once to see where it goes: x.")
    keep("linked_x_unknown")
    paste.drag_subject([-100, -60])
    assert paste.placement == before


def ours(messages: list[str]) -> list[str]:
    """Errors and warnings of the pack's own code; and uncaught ones, whoever threw them."""
    return [text for text in messages if "/js/" in text and "extensions/" in text or "Uncaught" in text]


def test_twenty_nodes_at_once_all_show_their_images(page, renderer, keep):
    paste = PasteEditor(page)
    copies = """
    for (let index = 0; index < 19; index++) {
        const copy = node.clone()
        app.graph.add(copy)
        copy.pos = [500 * (index % 5 + 1), 1300 * Math.floor(index / 5)]
        app.graph.nodes[0].connect(0, copy, "background")
        app.graph.nodes[1].connect(0, copy, "subject")
        app.graph.nodes[2].connect(0, copy, "subject_mask")
    }
    """
    page.script(FIND + copies, paste.id)
    statuses = """
    const all = app.graph.nodes.filter(node => node.type === "PhDPasteBlend")
    const texts = all.map(node => node.widgets[0].element.querySelector(".phd-status").textContent)
    return texts.filter(text => text.includes(arguments[0])).length === 20
    """
    page.wait_for(statuses, SIZE, seconds=60)
    page.script("app.graph.nodes.filter(n => n.type === 'PhDPasteBlend').forEach(n => app.graph.remove(n))")
    assert ours(page.console()) == []


def test_the_editor_works_inside_a_subgraph(page, renderer, keep):
    paste = PasteEditor(page)
    convert = FIND + "window.made = app.graph.convertToSubgraph(new Set([node])); return made.subgraph.nodes[0].id"
    paste.id = page.script(convert, paste.id)
    page.wait_frames()
    page.script("app.canvas.openSubgraph(made.subgraph, made.node)")
    try:
        page.wait_for("return app.canvas.graph === made.subgraph", seconds=30)
        page.wait_frames()
        paste.show()
        paste.wait_until(SIZE)
        wanted = paste.drag_subject([-80, -60])
        keep("subgraph")
        assert np.abs(paste.center() - wanted).max() <= 2
        # A number that the subgraph shows outside is the editor's as well.
        show_outside = """
        made.subgraph.addInput("x", "FLOAT").connect(node.inputs.find(input => input.name === "x"), node)
        """
        outside = "return made.node.widgets.find(widget => widget.name === 'x').value"
        page.script(FIND + show_outside, paste.id)
        paste.wait_until(SIZE)
        before = page.script(outside)
        paste.drag_subject_from(before, [64, 0])
        assert page.script(outside) == pytest.approx(before + 0.1, abs=0.005)
        # The result comes while the subgraph is not shown: once, in the editor.
        page.script("app.canvas.setGraph(app.graph.rootGraph ?? app.graph)")
        page.script(RUN)
        page.wait_for("return Object.values(app.nodeOutputs).some(output => output.phd_placement)", seconds=120)
        page.script("app.canvas.openSubgraph(made.subgraph, made.node)")
        page.wait_for("return app.canvas.graph === made.subgraph", seconds=30)
        page.wait_frames(20)
        paste.show()
        paste.wait_until(AS_RUN)
        names = page.script(FIND + "return node.widgets.map(widget => widget.name)", paste.id)
        assert [name for name in names if name.startswith("$$")] == []
        assert not page.script(FIND + "return Boolean(node.imgs?.length)", paste.id)
    finally:
        page.script("app.canvas.setGraph(app.graph.rootGraph ?? app.graph)")


def test_a_node_that_was_collapsed_can_be_edited_again(paste):
    for _ in range(2):
        paste.browser.script(f"{FIND} node.collapse(); {REDRAW}", paste.id)
        paste.browser.wait_frames()
    paste.show()
    wanted = paste.drag_subject([-80, -60])
    assert np.abs(paste.center() - wanted).max() <= 2


def test_the_shipped_workflow_opens_and_no_console_message_is_ours(page, renderer, keep):
    workflow = json.loads((WORKFLOWS / "Step by step (all nodes).json").read_text(encoding="utf-8"))
    page.console()
    page.script("return app.loadGraphData(arguments[0]).then(() => true)", workflow)
    (paste_id,) = (node["id"] for node in workflow["nodes"] if node["type"] == "PhDPasteBlend")
    show_editor(page, paste_id, 0.9)
    page.wait_for(STATUS + ".length > 0", paste_id, seconds=30)
    keep("workflow")
    assert ours(page.console()) == []
