"""Sentences for whoever looks at a node, in the browser and in the log."""

import logging
import sys

from comfy_execution.utils import get_executing_context


def tell(text: str) -> None:
    """Writes text onto the running node in the browser. Without a server (headless runs) there is no one to tell."""
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    context = get_executing_context()
    if server is not None and context is not None:
        server.send_progress_text(text, context.node_id, server.client_id)


def warn(text: str) -> None:
    """Says what went otherwise than asked, on the node and in the log."""
    logging.getLogger(__name__).warning(text)
    tell(text)
