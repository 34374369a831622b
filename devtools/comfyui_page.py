"""ComfyUI's page in a browser: loads it, builds a graph in it, and shows an editor of the pack."""

from devtools.browser import Browser
from devtools.server import Server

RENDERERS = {"classic": False, "nodes2": True}

# A graph from descriptions of its nodes, by their names; returns their ids.
BUILD = """
const [descriptions] = arguments
app.clean()
app.graph.clear()
const nodes = {}
for (const { name, type, at, width, extra, values = {}, links = {} } of descriptions) {
    const node = nodes[name] = LiteGraph.createNode(type)
    app.graph.add(node)
    node.pos = at
    if (width) node.setSize([width, node.computeSize()[1] + extra])
    for (const [widget, value] of Object.entries(values)) node.widgets.find(w => w.name === widget).value = value
    for (const [input, [source, slot]] of Object.entries(links)) nodes[source].connect(slot, node, input)
}
app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState()
return Object.fromEntries(Object.entries(nodes).map(([name, node]) => [name, node.id]))
"""
# `node` and `widget(name)` for a node's id, also inside the subgraph that is shown.
FIND = """
const node = app.canvas.graph.getNodeById(arguments[0]), widget = name => node.widgets.find(w => w.name === name)
const editor = () => widget("phd_canvas").element, canvas = () => editor().querySelector("canvas")
"""
STATUS = FIND + "return editor().querySelector('.phd-status').textContent"
CANVAS = FIND + "const { x, y, width, height } = canvas().getBoundingClientRect(); return [x, y, width, height]"
CANVAS_WIDTH = FIND + "return canvas().clientWidth"
# Where the upper side of a node goes in the window, in pixels: below the page's own bars.
TOP = 130
# Moves the view so that the upper end of a node, where its canvas is, lies in the window.
LOOK = (
    FIND
    + """
const { ds } = app.canvas, [, scale, left, top] = arguments
ds.scale = scale
ds.offset = [-node.pos[0] + left / scale, -node.pos[1] + top / scale]
app.canvas.setDirty(true, true)
"""
)
# True when a node's canvas has a size and has not moved since the last six looks.
SETTLED = (
    FIND
    + """
const { x, y, width, height } = canvas().getBoundingClientRect(), place = [node.id, x, y, width, height].join()
window.phdLooks = window.phdPlace === place ? window.phdLooks + 1 : 0
window.phdPlace = place
return canvas().clientWidth > 0 && window.phdLooks >= 6
"""
)
# Selects a node and presses the button that runs the graph as far as this node.
RUN_TO_NODE = (
    FIND
    + """
app.canvas.deselectAll()
app.canvas.select(node)
return app.extensionManager.command.execute("PhD.RunToNode").then(() => true)
"""
)


def open_comfyui(browser: Browser, server: Server) -> None:
    """Loads the server's page and waits for its graph and for the pack's nodes."""
    browser.open(server.address)
    browser.wait_for("return Boolean(window.app?.graph && app.extensionManager)")
    browser.wait_for("return Boolean(window.LiteGraph?.registered_node_types.PhDStitch)")


def use_renderer(browser: Browser, name: str) -> None:
    """Draws nodes with a renderer of RENDERERS."""
    setting = "return app.extensionManager.setting.set('Comfy.VueNodes.Enabled', arguments[0])"
    browser.script(setting, RENDERERS[name])


def paste_nodes(scene: str, subject: str, width: int = 460, extra: int = 120, **values) -> dict[str, dict]:
    """Paste & Blend with its background, a subject, and the transparency of the subject's file as its mask.

    `width` is the node's, `extra` the height beyond its rows; `values` are of its widgets.
    """
    links = {"background": ["background", 0], "subject": ["subject", 0], "subject_mask": ["invert", 0]}
    return {
        "background": {"type": "LoadImage", "at": [-420, 0], "values": {"image": scene}},
        "subject": {"type": "LoadImage", "at": [-420, 460], "values": {"image": subject}},
        "invert": {"type": "InvertMask", "at": [-420, 900], "links": {"mask": ["subject", 1]}},
        "paste": {
            "type": "PhDPasteBlend",
            "at": [0, 0],
            "width": width,
            "extra": extra,
            "values": values,
            "links": links,
        },
    }


def build_graph(browser: Browser, nodes: dict[str, dict]) -> dict[str, str | int]:
    """Replaces the graph, without the results of earlier runs; the nodes' ids by their names."""
    # A list, because WebDriver sorts the keys of an object.
    return browser.script(BUILD, [{"name": name} | node for name, node in nodes.items()])


def show_editor(browser: Browser, node: str | int, scale: float = 1.0, left: int = 160) -> None:
    """Zooms to `scale`, with the node's left side at this pixel of the window, and waits until it is."""
    browser.script(LOOK, node, scale, left, TOP)
    browser.wait_for(SETTLED, node, seconds=30)
    browser.wait_frames()


def wait_for_status(browser: Browser, node: str | int, text: str, seconds: float = 30) -> None:
    """Waits until the status line of a node's editor contains a text."""
    browser.wait_for(contains(STATUS, 1), node, text, seconds=seconds)


def contains(source: str, argument: int) -> str:
    """A function body: whether the text that `source` returns contains that argument."""
    head, tail = source.rsplit("return ", 1)
    return f"{head}return ({tail}).includes(arguments[{argument}])"
