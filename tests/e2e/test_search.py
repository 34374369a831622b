"""The page's search for nodes finds ours by what people type."""

import pytest

pytestmark = pytest.mark.e2e

OPEN = "return app.extensionManager.command.execute('Workspace.SearchBox.Toggle').then(() => true)"
FIND_BOX = "const box = document.querySelector('input[aria-controls=results-list]');"
TYPE = FIND_BOX + "box.value = arguments[0]; box.dispatchEvent(new Event('input', { bubbles: true }))"
SHOWN = "[...document.querySelectorAll('#results-list [role=option]')].map(option => option.innerText.split('\\n')[0])"
PHRASES = {
    "Paste & Blend": ["paste subject", "insert object", "composite", "shadow", "poisson", "seamless"],
    "Segment / Cut Out Subject": ["cut out", "remove background", "matting", "grabcut", "segment anything"],
    "Harmonize Sampler": ["relight", "harmonise"],
    "Stitch & Relight": ["uncrop", "crop and stitch", "relight"],
    "Load Segmenter": ["sam", "segment anything"],
    "Masked Inpaint Sampler": ["lanpaint", "outpaint"],
}


@pytest.fixture(scope="module")
def search(page):
    """Opens the search; returns what finds a node."""
    page.script(OPEN)
    page.wait_for(FIND_BOX + "return Boolean(box)", seconds=30)

    def finds(phrase: str, node: str) -> None:
        page.script(TYPE, phrase)
        page.wait_for(f"return {SHOWN}.includes(arguments[0])", node, seconds=15)

    yield finds
    page.keys("\ue00c")


@pytest.mark.parametrize(
    ("node", "phrase"), [(node, phrase) for node, phrases in PHRASES.items() for phrase in phrases]
)
def test_a_node_is_found_by_what_people_type(search, node, phrase):
    search(phrase, node)
