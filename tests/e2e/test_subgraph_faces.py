"""Editors of nodes inside a subgraph, on the subgraph's node, in both renderers."""

import contextlib
import json

import numpy as np
import pytest
from test_editors import (
    AS_RUN,
    CAPTURE,
    EXECUTE,
    HAS_IMAGES,
    RUN,
    SCENE,
    SIZE,
    SUBJECT,
    VALUE,
    PasteEditor,
    PointEditor,
    ours,
    scene_image,
    subject_image,
)

from devtools import blueprint
from devtools.comfyui_page import CANVAS, FIND, RENDERERS, STATUS, show_editor, use_renderer
from devtools.server import as_png

pytestmark = pytest.mark.e2e

CONVERT = FIND + "window.made = app.graph.convertToSubgraph(new Set([node])); return made.subgraph.nodes[0].id"
ENTER = "app.canvas.openSubgraph(made.subgraph, made.node)"
LEAVE = "app.canvas.setGraph(app.graph.rootGraph ?? app.graph)"
PRESS = FIND + "; [...editor().querySelectorAll('button')].find(b => b.textContent === 'On the subgraph').click()"
HOSTS = "return app.graph.nodes.filter(node => node.isSubgraphNode?.()).map(node => node.id)"
HAS_EDITOR = FIND + "return node.widgets.some(w => w.name === 'phd_canvas')"
PLACEMENT = ("x", "y", "size", "rotation", "flip")


@pytest.fixture(scope="module", params=RENDERERS)
def renderer(page, server, request):
    server.upload("editor_scene.png", as_png(scene_image()))
    server.upload("editor_subject.png", as_png(subject_image()))
    use_renderer(page, request.param)
    yield request.param
    use_renderer(page, "classic")


@contextlib.contextmanager
def inside(page):
    """Shows the inside of the subgraph that was made for a while."""
    page.script(ENTER)
    try:
        page.wait_for("return app.canvas.graph === made.subgraph", seconds=30)
        # The page moves the view when it enters.
        page.wait_frames()
        yield
    finally:
        page.script(LEAVE)
        page.wait_frames()


def put_out(page, editor) -> None:
    """Puts an editor's node into a subgraph, and presses the button that shows the editor outside."""
    inner = page.script(CONVERT, editor.id)
    page.wait_frames()
    with inside(page):
        show_editor(page, inner)
        page.script(PRESS, inner)
    editor.inner, editor.id = inner, page.script("return made.node.id")
    page.wait_for(HAS_EDITOR, editor.id, seconds=30)
    editor.show()


@pytest.fixture
def face(page, renderer):
    """A placement editor on the node of a subgraph."""
    page.console()
    editor = PasteEditor(page)
    put_out(page, editor)
    editor.wait_until(SIZE)
    yield editor
    assert ours(page.console()) == []


def inner_values(page, inner) -> list:
    find = "const widget = name => made.subgraph.getNodeById(arguments[0]).widgets.find(w => w.name === name);"
    return page.script(find + f"return {json.dumps(PLACEMENT)}.map(name => widget(name).value)", inner)


def test_the_subject_is_dragged_outside_and_the_numbers_there_follow(page, face):
    before = inner_values(page, face.inner)
    wanted = face.drag_subject([-80, -60])
    assert np.abs(face.center() - wanted).max() <= 2
    # A value that is shown outside is kept outside.
    assert inner_values(page, face.inner) == before
    face.set_value("x", 0.25)
    page.wait_frames(8)
    wanted = face.drag_subject([64, 0])
    assert np.abs(face.center() - wanted).max() <= 2


def test_it_works_on_after_undo(page, face):
    page.script(CAPTURE)
    before = face.center()
    face.drag_subject([-80, -60])
    page.script(EXECUTE, "Comfy.Undo")
    page.wait_for(HAS_EDITOR, face.id, seconds=30)
    face.show()
    face.wait_until(SIZE)
    assert np.abs(face.center() - before).max() <= 1
    wanted = face.drag_subject([-60, -40])
    assert np.abs(face.center() - wanted).max() <= 2


def test_it_shows_the_run_of_what_it_shows(page, face):
    face.drag_subject([-80, -60])
    face.run()
    outside = page.script(
        "return app.graphToPrompt().then(({ output }) => "
        "Object.values(output).find(node => node.class_type === 'PhDPasteBlend').inputs)"
    )
    assert [outside[name] for name in PLACEMENT] == [face.value(name) for name in PLACEMENT]
    face.wait_until(AS_RUN)


# A second node for the same subgraph, with the same images, and a background of its own where a file is named.
ADD_OTHER = """
const [file] = arguments, other = LiteGraph.createNode(made.node.type)
app.graph.add(other)
other.pos = [made.node.pos[0], made.node.pos[1] + 700]
const slotOf = name => made.node.inputs.findIndex(input => input.name === name)
for (const name of ["subject", "background", "subject_mask"]) {
    const link = app.graph.links.get(made.node.inputs[slotOf(name)].link)
    app.graph.getNodeById(link.origin_id).connect(link.origin_slot, other, slotOf(name))
}
if (!file) return
const scene = LiteGraph.createNode("LoadImage"), preview = LiteGraph.createNode("PreviewImage")
app.graph.add(scene)
app.graph.add(preview)
scene.widgets.find(widget => widget.name === "image").value = file
scene.connect(0, other, slotOf("background"))
other.connect(0, preview, 0)
return preview.id
"""


def test_a_node_does_not_show_the_run_of_another_one_of_its_subgraph(page, face):
    preview = page.script(ADD_OTHER, "editor_subject.png")
    first, second = page.script(HOSTS)
    page.wait_for(HAS_EDITOR, second, seconds=30)
    page.script("app.graph.getNodeById(arguments[0]).widgets.find(w => w.name === 'x').value = 0.3", second)
    page.script(RUN)
    for shown in (face.ids["preview"], preview):
        page.wait_for(HAS_IMAGES, shown, seconds=120)
    page.wait_frames(12)
    sizes = [page.script(STATUS, host).split(" ")[0] for host in (first, second)]
    assert sizes == [SIZE, f"{SUBJECT.width}×{SUBJECT.height}"]


def test_two_nodes_of_one_subgraph_are_placed_one_by_one(page, face):
    """As a copy with its own numbers."""
    page.script(ADD_OTHER)
    first, second = page.script(HOSTS)
    page.wait_for(HAS_EDITOR, second, seconds=30)
    before = [page.script(VALUE, first, name) for name in PLACEMENT]
    face.id = second
    face.show()
    face.wait_until(SIZE)
    wanted = face.drag_subject([-80, -60])
    assert np.abs(face.center() - wanted).max() <= 2
    assert [page.script(VALUE, first, name) for name in PLACEMENT] == before


def test_a_reload_brings_it_back(page, face):
    face.drag_subject([-80, -60])
    values = [face.value(name) for name in PLACEMENT]
    page.script("return app.loadGraphData(app.graph.serialize()).then(() => true)")
    page.wait_for(HAS_EDITOR, face.id, seconds=30)
    face.show()
    face.wait_until(SIZE)
    assert [face.value(name) for name in PLACEMENT] == values
    wanted = face.drag_subject([60, 40])
    assert np.abs(face.center() - wanted).max() <= 2


def test_pressed_again_the_button_takes_it_in_with_its_numbers(page, face):
    face.drag_subject([-80, -60])
    values = [face.value(name) for name in PLACEMENT]
    with inside(page):
        show_editor(page, face.inner)
        page.script(PRESS, face.inner)
        page.wait_frames(8)
        assert inner_values(page, face.inner) == values
        assert not page.script("return made.node.widgets.some(w => w.name === 'phd_canvas' || w.name === 'x')")


ENTRIES = "[...document.querySelectorAll('.litemenu-entry, [role=menuitem]')]"
PROMOTE = f"{ENTRIES}.find(entry => entry.innerText === 'Promote Widget: phd_canvas')"


def test_promote_widget_in_the_node_s_menu_shows_it_outside(page, renderer):
    editor = PasteEditor(page)
    inner = page.script(CONVERT, editor.id)
    page.wait_frames()
    with inside(page):
        show_editor(page, inner)
        left, top, _, height = page.script(CANVAS, inner)
        page.drag((left + 20, top + height - 30), button=2)
        page.wait_for(f"return Boolean({PROMOTE})", seconds=30)
        page.script(f"{PROMOTE}.click()")
    editor.id = page.script("return made.node.id")
    page.wait_for(HAS_EDITOR, editor.id, seconds=30)
    editor.show()
    wanted = editor.drag_subject([-80, -60])
    assert np.abs(editor.center() - wanted).max() <= 2


def test_points_are_picked_outside(page, renderer):
    editor = PointEditor(page)
    put_out(page, editor)
    editor.wait_until(f"{SCENE.width}×{SCENE.height}")
    editor.click((200, 120))
    assert [float(part) for part in editor.value("positive_points").split(",")] == pytest.approx([200, 120], abs=3)
    editor.drag((40, 50), (140, 150))
    assert [round(float(part)) for part in editor.value("box").split(",")] == pytest.approx([40, 50, 100, 100], abs=4)


def test_a_subgraph_in_a_subgraph_shows_it_on_both(page, face):
    page.script(
        """
        window.outer = app.graph.convertToSubgraph(new Set([made.node]))
        const inner = outer.subgraph.nodes[0]
        for (const name of ["x", "y", "size", "rotation", "flip"])
            outer.subgraph.addInput(name, "*").connect(inner.inputs.find(input => input.name === name), inner)
        """
    )
    face.id = page.script("return outer.node.id")
    page.wait_for(HAS_EDITOR, face.id, seconds=30)
    face.show()
    face.wait_until(SIZE)
    wanted = face.drag_subject([-80, -60])
    assert np.abs(face.center() - wanted).max() <= 2
    face.run()
    assert page.script("return outer.subgraph.nodes[0].widgets.some(w => w.name === 'phd_canvas')")


BUILD_AROUND = """
const [host] = app.graph.nodes
const images = LiteGraph.createNode("PhDLoadDemoImages")
app.graph.add(images)
images.pos = [-400, 0]
for (const [slot, name] of ["background", "subject", "subject_mask"].entries())
    images.connect(slot, host, host.inputs.findIndex(input => input.name === name))
return host.id
"""


def test_the_blueprint_s_node_shows_it_before_a_run(page, renderer):
    stored = json.loads(blueprint.FILE.read_text(encoding="utf-8"))
    page.script("return app.loadGraphData(arguments[0]).then(() => true)", stored)
    node = page.script(BUILD_AROUND)
    page.wait_for(HAS_EDITOR, node, seconds=30)
    show_editor(page, node)
    page.wait_for(STATUS + "=== arguments[1]", node, "640×427", seconds=30)
    x = page.script(VALUE, node, "x")
    left, top, width, height = page.script(CANVAS, node)
    center = (left + width / 2, top + 0.6 * height)
    page.drag(center, (center[0] - 60, center[1]), steps=5)
    page.wait_frames()
    assert page.script(VALUE, node, "x") < x - 0.05
    # All widgets of the face are seen, also those that are folded away inside.
    hidden = FIND + "return node.widgets.filter(w => w.hidden ?? w.options?.hidden).map(w => w.name)"
    assert page.script(hidden, node) == []
