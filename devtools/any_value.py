"""Nodes that give any value to another node's input and take its output, to run one node in ComfyUI's executor."""


class Anything(str):
    """A socket type that fits every other one."""

    def __ne__(self, other):
        return False

    __eq__ = str.__eq__
    __hash__ = str.__hash__


ANYTHING = Anything("*")


class Given:
    """One of `values`, as the output of a node."""

    values: dict[str, object] = {}
    INPUT_TYPES = classmethod(lambda cls: {"required": {"name": ("STRING",)}})
    RETURN_TYPES = (ANYTHING,)
    FUNCTION = "give"

    def give(self, name):
        return (self.values[name],)


class Taken:
    """An output node for nodes that are none themselves."""

    INPUT_TYPES = classmethod(lambda cls: {"required": {"value": (ANYTHING,)}})
    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "take"

    def take(self, value):
        return {}
