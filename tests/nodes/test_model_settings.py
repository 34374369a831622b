"""PhDModelSettings: a model's own wishes, as values for widgets."""

import pytest
from node_support import module, refused, run_node, tiny_flux, tiny_model

NAMES = [
    "context", "cfg", "scheduler", "denoise", "anchor_strength", "preset", "steps", "inner_steps", "num_seeds",
]  # fmt: skip


def outputs(model, **quality):
    return dict(zip(NAMES, run_node("PhDModelSettings", model=model, **quality).values, strict=True))


def test_a_model_without_wishes_has_the_nodes_defaults():
    assert outputs(tiny_model("EPS")) == {
        "context": 1.6, "cfg": 4.0, "scheduler": "simple", "denoise": 0.75, "anchor_strength": 0.5,
        "preset": "balanced", "steps": 5, "inner_steps": 3, "num_seeds": 1,
    }  # fmt: skip


def test_quality_is_the_preset_of_a_model_without_wishes_and_the_seeds_of_the_demo_model():
    eps = tiny_model("EPS")
    assert outputs(eps, quality="best") == outputs(eps) | {"preset": "best"}
    demo = run_node("PhDLoadDemoModel").values[0]
    assert outputs(demo, quality="best") == outputs(demo) | {"num_seeds": 12}
    assert "quality" in refused("PhDModelSettings", model=demo, quality="perfect")


def test_built_in_guidance_wants_cfg_1():
    assert outputs(tiny_flux()) == outputs(tiny_model("EPS")) | {"cfg": 1.0}


def test_all_that_the_demo_model_wants_comes_out(pack):
    demo = run_node("PhDLoadDemoModel").values[0]
    given, settings = outputs(demo), module("nodes.model_settings")
    taken = {(node.GET_SCHEMA().node_id, name) for name, nodes in settings.TAKEN_BY.items() for node in nodes}
    wishes = {
        (node_id, name): value
        for node_id, widgets in settings.settings_of(demo).items()
        for name, value in widgets.items()
    }
    assert wishes.keys() <= taken
    assert all(given[name] == value for (_, name), value in wishes.items())


@pytest.mark.parametrize("model", [None, 3])
def test_what_is_no_model_is_refused(model):
    assert refused("PhDModelSettings", model=model).startswith("model is ")
