"""PhDInsertSubject: the long graph in one node."""

import copy
import json

import pytest
import torch
from node_support import NODE_TESTS, ROOT, block, make_image, module, run_node, tiny_flux, tiny_model

import nodes as core
from devtools.executor import WorkflowError, new_executor, run_workflow

TEMPLATE = ROOT / "example_workflows" / "api" / "Insert a subject (CPU demo).json"
BY_HAND = NODE_TESTS / "by_hand" / "phd_demo.json"


@pytest.fixture(scope="module", autouse=True)
def small_presets(pack):
    presets = module("nodes.sampler_inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.INPAINT_PRESETS, "fast", (2, 1))
        yield


def with_module(**changes):
    """The template, where the demo model's module does the work."""
    workflow = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    workflow["3"]["inputs"] |= {"quality": "fast", "light": 1.0, **changes}
    return workflow


def template(**changes):
    """The template without the module: the model inpaints and harmonizes by itself."""
    workflow = with_module(**changes)
    del workflow["3"]["inputs"]["module"]
    return workflow


def by_hand():
    """The graph with a wire for everything, with the images and the settings of Insert Subject."""
    workflow = json.loads(BY_HAND.read_text(encoding="utf-8"))
    workflow["1"] = {"class_type": "PhDLoadDemoImages", "inputs": {}}
    workflow["5"]["inputs"] |= {"background": ["1", 0], "subject": ["1", 1], "subject_mask": ["1", 2], "feather": 1.5}
    workflow["16"]["inputs"]["background"] = ["1", 0]
    for node_id in ("2", "3", "4", "17"):
        del workflow[node_id]
    workflow["11"]["inputs"] |= {"preset": "fast", "cfg": 1.0}
    workflow["14"]["inputs"] |= {"preset": "custom", "steps": 4, "inner_steps": 0, "num_seeds": 1, "cfg": 1.0}
    workflow["14"]["inputs"] |= {"denoise": 0.75, "anchor_strength": 0.5}
    workflow["17"] = {"class_type": "PreviewImage", "inputs": {"images": ["16", 0]}}
    return workflow


def test_its_image_is_that_of_the_long_graph():
    long = run_workflow(by_hand())
    short = run_workflow(template())
    image, mask, before, report = short.results["3"]
    assert torch.equal(image, long.results["16"][0]) and torch.equal(mask, long.results["16"][1])
    assert torch.equal(before, long.results["5"][1])
    # The long graph decodes the latent before Stitch, which then looks whether the image has moved.
    ours, theirs = (dict(json.loads(text)[0]) for text in (report, long.results["16"][2]))
    assert (ours.pop("registration"), theirs.pop("registration")) == ("not needed", "matched")
    assert theirs.pop("residual_pixels") < 1 and ours.pop("residual_pixels") is None
    assert ours == theirs
    assert len(template()) <= 8


def test_with_a_module_one_run_of_a_single_step_does_everything():
    long = by_hand()
    del long["11"], long["12"], long["13"]
    long["8b"] = {"class_type": "PhDApplyModule", "inputs": {"module": ["7", 3], "strength": 1.0, "latent": ["10", 0]}}
    long["8b"]["inputs"] |= {"positive": ["8", 0], "negative": ["9", 0], "reference_latent": ["18", 0]}
    long["8b"]["inputs"] |= {"subject_matte": ["6", 5], "mask": ["6", 3]}
    long["14"]["inputs"] |= {"latent": ["10", 0], "positive": ["8b", 0], "negative": ["8b", 1]}
    long["14"]["inputs"] |= {"steps": 1, "denoise": 1.0, "anchor_strength": 0.0}
    del long["14"]["inputs"]["reference_latent"]
    for name in ("sampled", "sampled_reference"):
        del long["16"]["inputs"][name]
    long["16"]["inputs"] |= {"latent": ["14", 0], "vae": ["7", 2]}
    ours, wanted = run_workflow(with_module()), run_workflow(long)
    assert sum(ours.model_calls.values()) == sum(wanted.model_calls.values()) == 1
    assert torch.equal(ours.results["3"][0], wanted.results["16"][0])
    assert not torch.equal(ours.results["3"][0], ours.results["3"][2])


def test_better_quality_takes_more_seeds_with_the_demo_model():
    calls = {quality: run_workflow(with_module(quality=quality)).model_calls for quality in ("balanced", "best")}
    assert {quality: sum(made.values()) for quality, made in calls.items()} == {"balanced": 4, "best": 12}


def test_a_given_cfg_takes_the_place_of_what_suits_the_model():
    found = {cfg: run_workflow(template(cfg=cfg)).results["3"][0] for cfg in (0.0, 1.0, 3.0)}
    assert torch.equal(found[0.0], found[1.0]) and not torch.equal(found[0.0], found[3.0])


def test_only_what_depends_on_a_changed_widget_runs_again():
    executor = new_executor()
    first = run_workflow(template(), executor=executor)
    again = run_workflow(template(light=1.5), executor=executor)
    assert sum(first.model_calls.values()) > 0 and sum(again.model_calls.values()) == 0
    assert not torch.equal(first.results["3"][0], again.results["3"][0])


def test_a_segmenter_finds_the_subject_where_there_is_no_mask():
    workflow = template()
    workflow["8"] = {"class_type": "PhDLoadSegmenter", "inputs": {"model": "grabcut (no weights)"}}
    del workflow["3"]["inputs"]["subject_mask"]
    workflow["3"]["inputs"]["segmenter"] = ["8", 0]
    with pytest.raises(WorkflowError) as error:
        run_workflow(workflow)
    # GrabCut itself needs a box or a point.
    assert error.value.node_type == "PhDInsertSubject" and "needs a box or positive points" in error.value.message


def test_encoded_prompts_take_the_place_of_clip():
    workflow = template()
    for node_id, text in (("8", workflow["3"]["inputs"]["prompt"]), ("9", "")):
        workflow[node_id] = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["2", 1], "text": text}}
    del workflow["3"]["inputs"]["clip"]
    workflow["3"]["inputs"] |= {"positive": ["8", 0], "negative": ["9", 0], "prompt": "ignored"}
    ours, wanted = run_workflow(workflow), run_workflow(template())
    assert torch.equal(ours.results["3"][0], wanted.results["3"][0])


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"clip": None}, "clip is not connected: connect one, or both positive and negative."),
        ({"background": None}, "background is None; connect an IMAGE"),
        ({"subject_mask": None}, "subject has no alpha and no subject_mask is connected"),
        ({"quality": "perfect"}, "quality"),
        ({"light": float("nan")}, "light is nan"),
        ({"cfg": float("nan")}, "cfg is nan"),
        ({"module": 3}, "module is 3; connect the module of Load PhD Module to it."),
        ({"module": ["2", 0]}, "received_type(MODEL) mismatch input_type(PHD_MODULE)"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(changes, start):
    with pytest.raises(WorkflowError) as error:
        run_workflow(with_module(**changes))
    assert start in error.value.message and "\n" not in error.value.message


def test_one_image_for_both_and_several_nodes_run():
    workflow = template(background=["1", 1])
    workflow["5"] = copy.deepcopy(workflow["3"])
    workflow["5"]["inputs"]["x"] = 0.3
    workflow["6"] = {"class_type": "PreviewImage", "inputs": {"images": ["5", 0]}}
    results = run_workflow(workflow).results
    subject = results["1"][1]
    for node_id in ("3", "5"):
        image, mask = results[node_id][:2]
        assert torch.equal(image[mask == 0], subject[mask == 0])
    assert not torch.equal(results["3"][0], results["5"][0])


class Listed:
    """Gives each background and each mask of a list."""

    values: tuple[list, list] = ([], [])
    INPUT_TYPES = classmethod(lambda cls: {"required": {}})
    RETURN_TYPES, OUTPUT_IS_LIST, FUNCTION = ("IMAGE", "MASK"), (True, True), "give"

    def give(self):
        return self.values


@pytest.mark.parametrize("listed", [(0,), (1,), (0, 1)], ids=["backgrounds", "masks", "both"])
def test_a_list_gives_what_its_items_give_alone(listed, monkeypatch):
    """The values of each item are handed on: by a link, the nodes inside would get all of them, in each run."""
    monkeypatch.setitem(core.NODE_CLASS_MAPPINGS, "PhDTestListed", Listed)
    backgrounds = [make_image(48, 64, seed=seed) for seed in (1, 2)]
    masks, size = [1 - block(32, 32, 4, 4, 28, end) for end in (28, 16)], {"width": 32, "height": 32}
    workflow = template(background=["list", 0], subject=["subject", 0], subject_mask=["inverted", 0])
    workflow["list"] = {"class_type": "PhDTestListed", "inputs": {}}
    workflow["subject"] = {"class_type": "EmptyImage", "inputs": size | {"batch_size": 1, "color": 999}}
    # A node that is run for each item of a list.
    workflow["inverted"] = {"class_type": "InvertMask", "inputs": {"mask": ["list", 1]}}

    def run(*values):
        monkeypatch.setattr(Listed, "values", values)
        return run_workflow(workflow).results["3"]

    def given(items):
        return [batch[items] if place in listed else batch[:1] for place, batch in enumerate((backgrounds, masks))]

    alone = [run(*given(slice(item, item + 1))) for item in range(2)]
    together = run(*given(slice(None)))
    for slot in range(3):
        assert all(torch.equal(*pair) for pair in zip(together[slot], [one[slot] for one in alone], strict=True))
    assert not torch.equal(*together[0])


def test_the_settings_are_asked_of_the_model():
    settings = module("nodes.model_settings").settings_of
    demo = run_node("PhDLoadDemoModel").values[0]
    assert settings(demo)["PhDCrop"] == {"context": 1.35}
    assert settings(tiny_model("EPS")) == {}
    assert settings(tiny_flux())["PhDHarmonizeSampler"] == {"cfg": 1.0}
    assert settings(tiny_model("EPS"), with_module=True) == {
        "PhDHarmonizeSampler": {"cfg": 1.0, "denoise": 1.0, "anchor_strength": 0.0}
    }


def test_a_wish_of_a_model_names_inputs_of_our_nodes(pack):
    demo = run_node("PhDLoadDemoModel").values[0]
    for node_id, widgets in module("nodes.model_settings").settings_of(demo).items():
        assert set(widgets) <= {item.id for item in pack[node_id].GET_SCHEMA().inputs}


def test_the_demo_images_are_the_demo_s_own():
    from devtools.package_images import photograph_path, read_rgb

    background, subject, mask, cutout, returned = run_node("PhDLoadDemoImages").values
    assert torch.equal(subject[0], torch.from_numpy(read_rgb(photograph_path("astronaut"))))
    assert background.shape[1:3] == (427, 640) and mask.shape == subject.shape[:3]
    assert 0.4 < mask.mean() < 0.6 and make_image(2, 2).dtype == mask.dtype
    assert torch.equal(cutout[..., 3], mask) and torch.equal(cutout[mask > 0][:, :3], subject[mask > 0])
    assert not cutout[mask == 0].any()
    # As edit models do, it comes back in a size of its own.
    assert returned.shape[1:] == (448, 672, 3)


def test_a_missing_demo_image_is_named(monkeypatch, tmp_path):
    demo_images = module("nodes.demo_images")
    monkeypatch.setattr(demo_images, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"web/demo_images/background.png is missing or damaged; reinstall"):
        demo_images.PhDLoadDemoImages.execute()
    (tmp_path / "background.png").write_bytes(b"no image")
    with pytest.raises(FileNotFoundError, match="missing or damaged"):
        demo_images.PhDLoadDemoImages.execute()


def test_keyframes_move_the_subject_through_a_clip_in_windows_of_its_own():
    workflow = template(keyframes="0: x 0.3\n2: x 0.7", size=0.3)
    workflow["clip"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 3}}
    workflow["3"]["inputs"]["background"] = ["clip", 0]
    ran = run_workflow(workflow)
    image, mask, before, _ = ran.results["3"]
    centers = [torch.nonzero(one.amax(0) > 0).float().mean().item() / one.shape[1] for one in mask]
    assert centers == pytest.approx([0.3, 0.5, 0.7], abs=0.05)
    background = ran.results["clip"][0]
    assert torch.equal(image[mask == 0], background[mask == 0])
    boxes = next(shown["phd_window"] for shown in ran.outputs.values() if "phd_window" in shown)
    assert len({box["x"] for box in boxes}) == 3 and len({box["width"] for box in boxes}) == 1
