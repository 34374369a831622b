"""What the benchmark of the canvas does in the page: builds a graph, drags on it, and takes times there."""

import math
import time

from devtools.browser import Browser

TURNS = 3

# Two images into Paste & Blend, its canvas in the window, and the same scene in a core node to compare with.
BUILD = """
const [scene, subject] = arguments
app.graph.clear()
const add = (type, x, y) => {
    const node = LiteGraph.createNode(type)
    app.graph.add(node)
    node.pos = [x, y]
    return node
}
const background = add("LoadImage", -420, 0), exemplar = add("LoadImage", -420, 460)
const invert = add("InvertMask", -420, 900)
background.widgets.find(w => w.name === "image").value = scene
exemplar.widgets.find(w => w.name === "image").value = subject
exemplar.setSize([360, 380])
for (const node of [background, exemplar]) node.widgets.find(w => w.name === "image").callback?.(node.widgets[0].value)
const paste = add("PhDPasteBlend", 0, 0)
background.connect(0, paste, "background")
exemplar.connect(0, paste, "subject")
exemplar.connect(1, invert, 0)
invert.connect(0, paste, "subject_mask")
const [, height] = paste.computeSize()
paste.setSize([620, height + 180])
window.phd = { paste, background }
"""
LOOK = """
const { paste, background } = phd, { ds } = app.canvas
ds.scale = 1
ds.offset = [520 - paste.pos[0], 780 - paste.pos[1] - paste.size[1]]
background.pos = [-420, paste.pos[1] + paste.size[1] - 600]
app.canvas.setDirty(true, true)
return new Promise(done => setTimeout(done, 500))
"""
WORDS = "return phd.paste.widgets.at(-1).element.querySelector('.phd-words').textContent"
# Where the subject's middle and the core node's title are in the window.
PLACES = """
const { x, y, width, height } = phd.paste.widgets.at(-1).element.querySelector("canvas").getBoundingClientRect()
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
# Times every call of ours that a pointer causes; the modules are the very ones that the page runs.
WATCH = """
const [address] = arguments
return import(address).then(({ Frame }) => {
    const spent = window.phdSpent = { handler: [], frame: [] }
    const { frame } = Frame.prototype
    Frame.prototype.frame = function () {
        const start = performance.now()
        frame.call(this)
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
// Its buffer is small, and full once the frontend is loaded.
performance.clearResourceTimings()
window.phdFrames = []
window.phdLong = []
window.phdSpent.handler.length = window.phdSpent.frame.length = 0
window.phdStart = performance.now()
// Only the loop that was begun last counts.
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
LOADED = """
const ours = performance.getEntriesByType("resource").filter(entry => entry.name.startsWith(arguments[0]))
return [Math.min(...ours.map(e => e.startTime)), Math.max(...ours.map(e => e.responseEnd)), ours.length]
"""


def wait_for_words(browser: Browser, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in browser.script(WORDS):
        if time.monotonic() > deadline:
            raise TimeoutError(f"The editor never said {words!r}, but {browser.script(WORDS)!r}.")
        time.sleep(0.1)


def drag(browser: Browser, start: list[float], moves: int) -> dict:
    """Drags in circles from a place in the window back to it, and what the page counted meanwhile."""
    x, y = start
    turns = [2 * math.pi * TURNS * i / moves for i in range(1, moves + 1)]
    places = [(x + 80 * math.sin(turn), y + 16 * math.cos(turn) - 16) for turn in turns]
    browser.script(START)
    browser.drag(start, *places, pause=4)
    return browser.script(STOP)
