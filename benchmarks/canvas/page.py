"""The page of the canvas benchmark: a graph, drags on it, and the times that the page took."""

import math

from devtools.browser import Browser
from devtools.comfyui_page import CANVAS, FIND, build_graph, paste_nodes, show_editor, wait_for_status

TURNS = 3

# The core node that is dragged for comparison, beside the editor; it shows the same scene.
PREPARE = """
const [paste, background, subject] = [...arguments].map(id => app.graph.getNodeById(id))
for (const node of [background, subject]) {
    node.widgets.find(w => w.name === "image").callback?.(node.widgets[0].value)
}
background.pos = [paste.pos[0] - 420, paste.pos[1] + paste.size[1] - 600]
window.phd = { paste, background }
"""
# Where the subject's center and the core node's title are in the window.
PLACES = """
const canvas = phd.paste.widgets.find(w => w.name === "phd_canvas").element.querySelector("canvas")
const { x, y, width, height } = canvas.getBoundingClientRect()
const scale = Math.min((width - 36) / arguments[0], (height - 36) / arguments[1])
const value = name => phd.paste.widgets.find(w => w.name === name).value
const subject = [
    x + width / 2 + (value("x") - 0.5) * arguments[0] * scale,
    y + height / 2 + (value("y") - 0.5) * arguments[1] * scale,
]
const [left, top] = phd.background.pos, [right, down] = app.canvas.ds.offset
const { left: canvasLeft, top: canvasTop } = app.canvas.canvas.getBoundingClientRect()
return { subject, core: [canvasLeft + left + right + 150, canvasTop + top + down - 14] }
"""
# Times every call of our code that a pointer causes, in the modules that the page itself has imported.
WATCH = """
const [address] = arguments
return import(address).then(({ EditorFrame }) => {
    const spent = window.phdSpent = { handler: [], frame: [] }
    const { animate } = EditorFrame.prototype
    EditorFrame.prototype.animate = function () {
        const start = performance.now()
        animate.call(this)
        spent.frame.push(performance.now() - start)
    }
    const listen = EventTarget.prototype.addEventListener
    EventTarget.prototype.addEventListener = function (name, action, options) {
        const timed = name === "pointermove" && this.closest?.(".phd-editor")
        return listen.call(this, name, timed ? event => {
            const start = performance.now()
            action.call(this, event)
            spent.handler.push(performance.now() - start)
        } : action, options)
    }
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) window.phdLong?.push(entry.duration)
    }).observe({ type: "longtask" })
})
"""
START = """
// The buffer of resource timings is small, and full once the frontend is loaded.
performance.clearResourceTimings()
window.phdFrames = []
window.phdLong = []
window.phdSpent.handler.length = window.phdSpent.frame.length = 0
window.phdStart = performance.now()
// Only the loop that started last counts.
const frames = window.phdFrames
const count = time => {
    if (window.phdFrames !== frames) return
    frames.push(time)
    requestAnimationFrame(count)
}
requestAnimationFrame(count)
"""
STOP = """
const frames = window.phdFrames
window.phdFrames = null
const requests = performance.getEntriesByType("resource").filter(entry => entry.startTime >= window.phdStart)
return { frames, long: window.phdLong, ...window.phdSpent, requests: requests.map(entry => entry.name) }
"""
# Rows of widgets that a node of a type shows when it is new, without the editor.
ROWS = """
const [type, isNodes2] = arguments
app.clean()
app.graph.clear()
const node = LiteGraph.createNode(type)
app.graph.add(node)
node.pos = [100, 150]
app.canvas.ds.scale = 1
app.canvas.ds.offset = [0, 0]
app.canvas.setDirty(true, true)
const shown = isNodes2
    ? () => [...document.querySelectorAll(`[data-node-id="${node.id}"] .lg-node-widget`)].map(e => e.dataset.widgetName)
    : () => node.widgets.filter(widget => node.isWidgetVisible(widget)).map(widget => widget.name)
let frames = 20
return new Promise(done => {
    const rows = () => shown().filter(name => name !== "phd_canvas").length
    const next = () => (frames-- > 0 ? requestAnimationFrame(next) : done(rows()))
    next()
})
"""
UNDO = """
const { changeTracker } = app.extensionManager.workflow.activeWorkflow
changeTracker.captureCanvasState()
return app.extensionManager.command.execute("Comfy.Undo").then(() => true)
"""
PICKER = {
    "image": {"type": "LoadImage", "at": [-420, 0], "values": {"image": "bench_scene.png"}},
    "segment": {"type": "PhDSegment", "at": [0, 0], "width": 460, "extra": 0, "links": {"image": ["image", 0]}},
}
LOADED = """
const ours = performance.getEntriesByType("resource").filter(entry => entry.name.startsWith(arguments[0]))
return [Math.min(...ours.map(e => e.startTime)), Math.max(...ours.map(e => e.responseEnd)), ours.length]
"""


def build(browser: Browser, scene: str, subject: str, status: str) -> None:
    """A graph with the placement editor and a core node in the window; waits until the editor shows `status`."""
    ids = build_graph(browser, paste_nodes(scene, subject, width=620, extra=180))
    browser.script(PREPARE, ids["paste"], ids["background"], ids["subject"])
    wait_for_status(browser, ids["paste"], status, seconds=60)
    show_editor(browser, ids["paste"], left=520)


def drag(browser: Browser, start: tuple[float, float], moves: int) -> dict:
    """Drags in circles from a point of the window back to it; returns what the page counted meanwhile."""
    x, y = start
    turns = [2 * math.pi * TURNS * i / moves for i in range(1, moves + 1)]
    points = [(x + 80 * math.sin(turn), y + 16 * math.cos(turn) - 16) for turn in turns]
    browser.script(START)
    browser.drag(start, *points, pause=4)
    return browser.script(STOP)


def works_after_undo(browser: Browser, nodes: dict[str, dict], name: str, widget: str) -> bool:
    """Whether a drag in the editor of node `name` sets a widget, also after an undo has made the node anew."""
    node = build_graph(browser, nodes)[name]
    show_editor(browser, node)
    browser.wait_for(FIND + "return Boolean(canvas().width > 300)", node, seconds=30)
    value = FIND + f"return widget('{widget}').value"
    for again in (False, True):
        if again:
            browser.script(UNDO)
            browser.wait_frames(12)
            show_editor(browser, node)
        before = browser.script(value, node)
        x, y, width, height = browser.script(CANVAS, node)
        center = (x + 0.5 * width, y + 0.55 * height)
        browser.drag(center, (center[0] - 60, center[1] - 40), steps=5)
        browser.wait_frames()
        if browser.script(value, node) == before:
            return False
    return True
