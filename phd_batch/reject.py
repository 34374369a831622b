"""Rules by which results are rejected, such as "identity < .9 or neglected"."""

import ast
import operator
from collections.abc import Callable
from typing import Any

from phd_batch.faults import UsageError

COMPARISONS = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

Rule = Callable[[dict[str, Any]], bool]


def parse_rule(text: str) -> Rule:
    """A rule over the fields of a result. A comparison with a field that is not there is false.

    Names, numbers, comparisons, `and`, `or`, `not` and brackets are understood; anything else is a UsageError.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise UsageError(f"--reject: {text!r} is not a rule. Write one such as 'identity < .9 or neglected'.") from None
    check(tree, text)
    return lambda fields: bool(value_of(tree, fields))


def check(node: ast.AST, text: str) -> None:
    if isinstance(node, ast.BoolOp):
        parts = node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        parts = [node.operand]
    elif isinstance(node, ast.Compare) and all(type(each) in COMPARISONS for each in node.ops):
        parts = [node.left, *node.comparators]
    elif isinstance(node, ast.Name) or (isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str))):
        parts = []
    else:
        part = ast.get_source_segment(text.strip(), node) or text  # type: ignore[arg-type]
        raise UsageError(f"--reject: {part!r} is not understood; use names, numbers, comparisons, and, or, not.")
    for part in parts:
        check(part, text)


def value_of(node: Any, fields: dict[str, Any]) -> Any:
    if isinstance(node, ast.BoolOp):
        values = (value_of(each, fields) for each in node.values)
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.UnaryOp):
        value = value_of(node.operand, fields)
        return not value if isinstance(node.op, ast.Not) else -value
    if isinstance(node, ast.Compare):
        values = [value_of(each, fields) for each in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        return all(holds(COMPARISONS[type(each)], one, other) for each, one, other in pairs)
    return fields.get(node.id) if isinstance(node, ast.Name) else node.value


def holds(comparison: Callable, one: Any, other: Any) -> bool:
    if one is None or other is None:
        return False
    try:
        return comparison(one, other)
    except TypeError:
        return False
