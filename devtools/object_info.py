"""What a server's /object_info says, of the nodes that run without one."""

import json

from devtools.comfyui import register_pack
from devtools.executor import load_core_extras


def object_info() -> dict:
    """A server's /object_info for the nodes that shipped workflows may use. ComfyUI must be active."""
    from comfy_api.internal import _ComfyNodeInternal

    import nodes

    load_core_extras()
    register_pack()
    info = {}
    for name, node in nodes.NODE_CLASS_MAPPINGS.items():
        if issubclass(node, _ComfyNodeInternal):
            info[name] = node.GET_NODE_INFO_V1()
        else:
            inputs = node.INPUT_TYPES()
            outputs = node.RETURN_TYPES
            info[name] = {
                "input": inputs,
                "input_order": {kind: list(entries) for kind, entries in inputs.items()},
                "output": outputs,
                "output_name": getattr(node, "RETURN_NAMES", outputs),
                "output_node": getattr(node, "OUTPUT_NODE", False),
            }
    return json.loads(json.dumps(info))
