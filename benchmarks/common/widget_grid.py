"""A grid of widgets' values, of which a benchmark chooses the best for a workflow."""

import copy
import itertools
from collections.abc import Iterable

from benchmarks.common.titled_workflow import WorkflowInputError, title_of, titled


def grid(texts: Iterable[str], workflow: dict) -> list[dict[tuple[str, str], object]]:
    """All combinations of `TITLE.WIDGET=VALUE,VALUE,…`, each as (lower-case title, widget) -> value.

    Raises WorkflowInputError for a text of another form, and for a node or a widget that the workflow does not have.
    """
    axes = []
    for text in texts:
        where, equals, values = text.partition("=")
        title, dot, widget = where.rpartition(".")
        if not (equals and dot and values):
            raise WorkflowInputError(f"--grid: {text!r} is not of the form TITLE.WIDGET=VALUE,VALUE.")
        name = titled(workflow).get(title.strip().lower())
        if name is None:
            known = ", ".join(node["_meta"]["title"] for node in workflow.values() if title_of(node))
            raise WorkflowInputError(f"--grid: no node is titled {title!r}; there are {known}.")
        now = workflow[name]["inputs"].get(widget)
        if now is None or isinstance(now, list):
            raise WorkflowInputError(f"--grid: the node titled {title} has no widget {widget!r}.")
        axes.append([((title.strip().lower(), widget), like(now, value.strip(), text)) for value in values.split(",")])
    return [dict(chosen) for chosen in itertools.product(*axes)]


def like(now: object, text: str, whole: str) -> object:
    """A value of the widget's own type. A widget of whole numbers may get a fraction: JSON writes 1.0 as 1."""
    try:
        if isinstance(now, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(now, int | float):
            return int(text) if text.lstrip("-").isdecimal() else float(text)
    except (KeyError, ValueError):
        raise WorkflowInputError(
            f"--grid: {text!r} in {whole!r} is not a value for a widget that holds {now!r}."
        ) from None
    return text


def changed(workflow: dict, values: dict[tuple[str, str], object]) -> dict:
    """A copy of the workflow with these widgets."""
    workflow = copy.deepcopy(workflow)
    titles = titled(workflow)
    for (title, widget), value in values.items():
        workflow[titles[title]]["inputs"][widget] = value
    return workflow


def as_text(values: dict[tuple[str, str], object]) -> str:
    return " ".join(f"{title}.{widget}={value}" for (title, widget), value in values.items())
