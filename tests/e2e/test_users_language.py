"""ComfyUI's page in French: what the nodes say, and what stands on them."""

import numpy as np
import pytest

from devtools.comfyui_page import (
    FIND,
    RENDERERS,
    build_graph,
    contains,
    open_comfyui,
    paste_nodes,
    show_editor,
    use_renderer,
)
from devtools.server import as_png

pytestmark = pytest.mark.e2e

SAID = FIND + "return node.widgets.map(w => w.element?.querySelector('.phd-messages')?.textContent ?? '').join('')"
# Toasts by the frontend's version.
TOASTS = """
const toasts = document.querySelectorAll('ol.pointer-events-none > li, .p-toast-message')
return [...toasts].map(toast => toast.innerText).join()
"""
LOCALE = "return app.extensionManager.setting.set('Comfy.Locale', arguments[0]).then(() => true)"
RUN = "return app.queuePrompt(0, 1)"


@pytest.fixture(scope="module")
def french(page, server):
    """ComfyUI's page, loaded in French."""
    page.script(LOCALE, "fr")
    open_comfyui(page, server)
    yield page
    page.script(LOCALE, "en")
    open_comfyui(page, server)


@pytest.fixture(params=list(RENDERERS))
def paste(request, french, server):
    """The id of a Paste & Blend whose subject's mask is empty."""
    server.upload("french_scene.png", as_png(np.full((60, 80, 3), 90, np.uint8)))
    opaque = np.dstack([np.full((20, 20, 3), 200, np.uint8), np.full((20, 20), 255, np.uint8)])
    server.upload("french_subject.png", as_png(opaque))
    use_renderer(french, request.param)
    nodes = paste_nodes("french_scene.png", "french_subject.png")
    nodes["paste"]["links"]["subject_mask"] = ["subject", 1]
    nodes["preview"] = {"type": "PreviewImage", "at": [520, 0], "links": {"images": ["paste", 1]}}
    paste = build_graph(french, nodes)["paste"]
    show_editor(french, paste)
    return paste


def test_after_a_run_the_node_and_the_toast_speak_french_and_the_history_english(french, paste):
    french.script(RUN)
    french.wait_for("return Boolean(app.nodeOutputs[arguments[0]]?.phd_warnings)", paste, seconds=60)
    (warning,) = french.script("return app.nodeOutputs[arguments[0]].phd_warnings", paste)
    assert warning == "The mask of subject 1 is empty: the scene passes through unchanged."
    own = "Le masque du sujet 1 est vide : la scène passe inchangée."
    french.wait_for(contains(SAID, 1), paste, own, seconds=30)
    french.wait_for(contains(TOASTS, 0), own, seconds=30)


def test_a_refusal_stands_on_the_node_in_french(french, paste):
    french.script(FIND + 'node.disconnectInput(node.inputs.findIndex(i => i.name === "subject_mask"))', paste)
    french.script(RUN)
    own = "Le sujet n'a pas d'alpha et aucun masque du sujet n'est relié"
    french.wait_for(contains(SAID, 1), paste, own, seconds=60)
    french.wait_for(contains(TOASTS, 0), own, seconds=30)


OPTION = (
    FIND + "const { value, options } = widget('placement'); return [value, options.getOptionLabel(value), node.title]"
)
SLOT = FIND + "return node.inputs.find(input => input.name === arguments[1]).localized_name"
SHOWN = "return document.body.innerText"


def test_sockets_and_options_are_shown_in_french_and_keep_their_values(french, paste):
    assert french.script(OPTION, paste) == ["manual", "manuel", "Coller et fondre"]
    assert french.script(SLOT, paste, "subject_mask") == "masque du sujet"
    # The classic renderer draws its nodes on a canvas.
    if french.script("return Boolean(LiteGraph.vueNodesMode)"):
        for text in ("manuel", "masque du sujet"):
            french.wait_for(contains(SHOWN, 0), text, seconds=30)
