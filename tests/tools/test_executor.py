"""Workflows run on ComfyUI's own executor, and each kind of fault is reported as such."""

import copy

import pytest
import torch

from devtools.executor import WorkflowError, run_workflow

INVERT = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 8, "batch_size": 1, "color": 0xFF0000}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}

pytestmark = pytest.mark.usefixtures("comfyui")


def changed(node_id, **inputs):
    workflow = copy.deepcopy(INVERT)
    workflow[node_id]["inputs"].update(inputs)
    return workflow


def test_gives_results_outputs_and_times_of_every_node():
    execution = run_workflow(INVERT)
    (image,) = execution.results["2"]
    assert torch.equal(image, torch.tensor([0.0, 1.0, 1.0]).expand(1, 8, 16, 3))
    (shown,) = execution.outputs["3"]["images"]
    assert shown["type"] == "temp"
    assert list(execution.seconds) == ["1", "2", "3"]
    assert all(seconds >= 0 for seconds in execution.seconds.values())


def test_counts_no_model_calls_where_no_model_runs():
    assert run_workflow(INVERT).model_calls["2"] == 0


def test_leaves_the_workflow_as_it_was_and_runs_it_again():
    workflow = copy.deepcopy(INVERT)
    first, second = run_workflow(workflow), run_workflow(workflow)
    assert workflow == INVERT
    assert list(first.seconds) == list(second.seconds)


def test_reports_start_and_end_of_each_node():
    seen = []
    run_workflow(INVERT, on_progress=lambda node_id, done, total: seen.append((node_id, done == total)))
    assert seen == [("1", False), ("1", True), ("2", False), ("2", True), ("3", False), ("3", True)]


def test_reports_the_steps_of_a_node_that_counts_them(comfyui, monkeypatch):
    import comfy.utils

    import nodes

    class Counting:
        RETURN_TYPES = ("IMAGE",)
        FUNCTION = "count"
        INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",)}})

        def count(self, image):
            bar = comfy.utils.ProgressBar(3)
            bar.update(1)
            bar.update(2)
            return (image,)

    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "Counting", Counting)
    hook = comfy.utils.PROGRESS_BAR_HOOK
    workflow = changed("3", images=["4", 0]) | {"4": {"class_type": "Counting", "inputs": {"image": ["2", 0]}}}
    seen = []
    run_workflow(workflow, on_progress=lambda *progress: seen.append(progress))
    assert [(done, total) for node_id, done, total in seen if node_id == "4"] == [(0, 1), (1, 3), (3, 3)]
    assert comfy.utils.PROGRESS_BAR_HOOK is hook


def test_counts_the_model_calls_of_each_sampler(monkeypatch):
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    import nodes

    config = {
        "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1],
        "channel_mult": [1, 2], "transformer_depth": [0, 0], "transformer_depth_output": [0, 0, 0, 0],
        "transformer_depth_middle": 1, "context_dim": 32, "num_heads": 4, "use_spatial_transformer": True,
        "use_linear_in_transformer": False, "legacy": False, "adm_in_channels": None, "dtype": torch.float32,
        "use_temporal_attention": False,
    }  # fmt: skip

    class TinyModel:
        RETURN_TYPES = ("MODEL", "CONDITIONING")
        FUNCTION = "make"
        INPUT_TYPES = classmethod(lambda cls: {"required": {}})

        def make(self):
            model_config = comfy.supported_models.SD15(dict(config))
            model = comfy.model_base.BaseModel(model_config, comfy.model_base.ModelType.EPS, device="cpu")
            cpu = torch.device("cpu")
            patcher = comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)
            return patcher, [[torch.zeros(1, 4, 32), {}]]

    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "TinyModel", TinyModel)
    sampler = {"seed": 0, "steps": 3, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["1", 1], "negative": ["1", 1], "latent_image": ["2", 0]}
    workflow = {
        "1": {"class_type": "TinyModel", "inputs": {}},
        "2": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "3": {"class_type": "KSampler", "inputs": sampler | links},
        "4": {"class_type": "SaveLatent", "inputs": {"samples": ["3", 0], "filename_prefix": "tiny"}},
    }
    original = comfy.model_base.BaseModel.apply_model
    execution = run_workflow(workflow)
    assert execution.model_calls == {"3": 3}
    assert execution.results["3"][0]["samples"].shape == (1, 4, 8, 8)
    assert comfy.model_base.BaseModel.apply_model is original


def test_names_a_link_to_a_node_that_does_not_exist():
    with pytest.raises(WorkflowError, match="input 'image' is linked to node '99'") as caught:
        run_workflow(changed("2", image=["99", 0]))
    assert (caught.value.node_id, caught.value.node_type) == ("2", "ImageInvert")


def test_names_an_unknown_kind_of_node():
    with pytest.raises(WorkflowError, match="no node 'NoSuchNode'"):
        run_workflow(INVERT | {"2": {"class_type": "NoSuchNode", "inputs": {}}})


def test_names_the_node_and_the_value_of_a_bad_input():
    with pytest.raises(WorkflowError, match="Node 1 .EmptyImage.: Value 0 smaller than min of 1") as caught:
        run_workflow(changed("1", width=0))
    assert caught.value.node_id == "1"


def test_refuses_a_workflow_without_an_output():
    workflow = {node_id: node for node_id, node in INVERT.items() if node_id != "3"}
    with pytest.raises(WorkflowError, match="no outputs") as caught:
        run_workflow(workflow)
    assert caught.value.node_id is None


def test_gives_the_message_of_a_node_that_fails(monkeypatch, caplog):
    import nodes

    class Failing:
        RETURN_TYPES = ("IMAGE",)
        FUNCTION = "fail"
        INPUT_TYPES = classmethod(lambda cls: {"required": {"image": ("IMAGE",)}})

        def fail(self, image):
            raise ValueError("the image is too small.")

    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "Failing", Failing)
    workflow = INVERT | {"2": {"class_type": "Failing", "inputs": {"image": ["1", 0]}}}
    with pytest.raises(WorkflowError) as caught:
        run_workflow(workflow)
    assert (caught.value.node_id, caught.value.node_type) == ("2", "Failing")
    assert caught.value.message == "the image is too small."
    assert "in fail" in caught.value.traceback
    assert caught.value.error_type == "ValueError"
    # ComfyUI logs a warning of its own about models that other tests still hold.
    assert not [record for record in caplog.records if record.module != "model_management"]
