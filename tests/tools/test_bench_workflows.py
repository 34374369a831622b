"""API workflows that a benchmark runs: titles, grids, servers that lack something or fail, results that are none."""

import json
from pathlib import Path

import fake_comfyui
import numpy as np
import pytest
from PIL import Image

from benchmarks.common import titled_workflow, widget_grid, workflow_runners
from benchmarks.common.titled_workflow import WorkflowInputError, titled
from benchmarks.common.workflow_runners import OnServer, ServerLostError
from benchmarks.inpaint import run as inpaint
from benchmarks.quality import run as quality
from devtools.paths import ROOT

READY = {
    file.stem + f" ({file.parts[-3]})": file
    for part in ("quality", "inpaint")
    for file in sorted((ROOT / "benchmarks" / part / "workflows").glob("*.json"))
}
FILE = ROOT / "benchmarks" / "quality" / "workflows" / "lanpaint.json"
GRAY = np.full((64, 64, 3), 0.5, np.float32)


@pytest.fixture
def workflow():
    return titled_workflow.read(FILE)


@pytest.fixture
def shown():
    """What the node titled Result shows: sizes of images."""
    return [(64, 64)]


@pytest.fixture
def server(workflow, shown):
    def makes(prompt, uploads):
        return {titled(prompt)["result"]: [Image.new("RGB", size, (10, 20, 30)) for size in shown]}

    with fake_comfyui.serving(fake_comfyui.info_for(workflow), makes) as server:
        yield server


@pytest.fixture
def runner(server, tmp_path):
    return OnServer(server.address, tmp_path)


def ran(runner, workflow):
    images = {"composite": GRAY, "harmonize mask": GRAY[..., 0]}
    return runner.run(titled_workflow.bound(workflow, images, {"prompt": "a cat"}, 7, runner.keep))[0]


# Titles


@pytest.mark.parametrize("file", READY.values(), ids=READY.keys())
def test_a_ready_workflow_can_be_run_as_it_is(file):
    workflow = titled_workflow.read(file)
    # Titles in any case; a rival's nodes say which pack they are of.
    links = [value for node in workflow.values() for value in node["inputs"].values() if isinstance(value, list)]
    assert links and all(link[0] in workflow for link in links)
    core = {"Load", "VAE", "CLIP", "KSampler", "Set", "Preview", "Empty", "Image", "Checkpoint", "PhD"}
    theirs = [node for node in workflow.values() if not any(node["class_type"].startswith(part) for part in core)]
    assert all("pack" in node["_meta"] for node in theirs)
    titles = set(titled(workflow))
    assert {"image", "mask"} <= titles or "composite" in titles or {"background", "exemplar"} <= titles


def test_titled_nodes_get_images_prompts_and_the_seed(runner, server, workflow):
    image = ran(runner, workflow)
    assert image.shape == (64, 64, 3) and np.allclose(image[0, 0] * 255, (10, 20, 30))
    (prompt,) = server.prompts
    names = titled(prompt)
    assert prompt[names["prompt"]]["inputs"]["text"] == "a cat"
    assert prompt[names["lanpaint"]]["inputs"]["seed"] == 7
    uploaded = server.uploads[prompt[names["composite"]]["inputs"]["image"]]
    assert uploaded.size == (64, 64) and uploaded.getpixel((0, 0)) == (128, 128, 128)


# A server that lacks something, or fails


def test_a_server_without_a_pack_is_refused_with_the_packs_name(server, runner, workflow):
    del server.info["LanPaint_KSampler"]
    with pytest.raises(WorkflowInputError, match=r"the server has no node LanPaint_KSampler \(of scraed/LanPaint\)"):
        runner.check(workflow)


def test_a_server_without_the_named_checkpoint_is_refused_with_what_it_has(tmp_path):
    workflow = titled_workflow.read(FILE.parent / "ic_light.json")
    files = {("CheckpointLoaderSimple", "ckpt_name"): ["a.safetensors", "b.safetensors"]}
    with fake_comfyui.serving(fake_comfyui.info_for(workflow, files=files), dict) as server:
        with pytest.raises(WorkflowInputError) as refused:
            OnServer(server.address, tmp_path).check(workflow)
        wanted = "no file 'v1-5-pruned-emaonly-fp16.safetensors' for ckpt_name of CheckpointLoaderSimple; it has a.safe"
        assert wanted in str(refused.value)
        # Newer versions list a combo's choices elsewhere.
        names = ["v1-5-pruned-emaonly-fp16.safetensors"]
        spec = server.info["CheckpointLoaderSimple"]["input"]["required"]
        spec["ckpt_name"] = ["COMBO", {"options": names}]
        OnServer(server.address, tmp_path).check(workflow)


def test_a_server_that_dies_in_mid_run_is_one_sentence(server, runner, workflow):
    server.dies_after = 1
    ran(runner, workflow)
    with pytest.raises(ServerLostError, match="does not respond .* Start the same command again when the server is up"):
        ran(runner, workflow)


def test_an_address_that_is_none_is_one_sentence(tmp_path):
    with pytest.raises(WorkflowInputError, match="is not an address"):
        OnServer("ftp://somewhere", tmp_path)


def test_a_node_that_fails_is_named(server, runner, workflow):
    def fails(prompt, uploads):
        raise ValueError("out of memory")

    server.makes = fails
    with pytest.raises(WorkflowInputError, match=r"^--workflow: node 8 \(KSampler\): out of memory$"):
        ran(runner, workflow)


# Results that are none


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [([], "saves or shows no image"), ([(64, 64)] * 3, "Result is a batch of 3 images; one is needed")],
)
def test_a_batch_or_nothing_is_refused(runner, workflow, shown, sizes, problem):
    shown[:] = sizes
    with pytest.raises(WorkflowInputError, match=problem):
        ran(runner, workflow)


def test_another_size_is_resized_and_reported_once_and_another_shape_is_refused(runner, workflow, shown, capsys):
    workflow_runners.note.cache_clear()
    shown[:] = [(96, 96)]
    for _ in range(2):
        assert workflow_runners.of_side(ran(runner, workflow), 64).shape == (64, 64, 3)
    assert capsys.readouterr().out == "Result is 96×96; it is scored after resizing to the scenes' 64×64.\n"
    shown[:] = [(96, 64)]
    with pytest.raises(WorkflowInputError, match="Result is 96×64; the scenes are 64×64"):
        workflow_runners.of_side(ran(runner, workflow), 64)


# Grids


def test_a_grid_is_all_combinations_in_the_widgets_own_types(workflow):
    found = widget_grid.grid(["LanPaint.steps=4,6", "lanpaint.denoise=0.3,0.5", "LanPaint.scheduler=beta"], workflow)
    assert len(found) == 4
    assert found[1] == {("lanpaint", "steps"): 4, ("lanpaint", "denoise"): 0.5, ("lanpaint", "scheduler"): "beta"}
    assert widget_grid.grid([], workflow) == [{}]
    changed = widget_grid.changed(workflow, found[3])
    assert changed["8"]["inputs"]["steps"] == 6 and workflow["8"]["inputs"]["steps"] == 6
    assert changed["8"]["inputs"]["denoise"] == 0.5 and workflow["8"]["inputs"]["denoise"] == 0.3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("LanPaint.steps", "is not of the form TITLE.WIDGET=VALUE,VALUE"),
        ("Nothing.steps=3", "no node is titled 'Nothing'; there are Load Demo Model, "),
        ("LanPaint.inner=3", "the node titled LanPaint has no widget 'inner'"),
        ("LanPaint.model=3", "the node titled LanPaint has no widget 'model'"),
        ("LanPaint.steps=4,many", "'many' in 'LanPaint.steps=4,many' is not a value for a widget that holds 6"),
    ],
)
def test_a_wrong_grid_is_one_sentence(workflow, text, problem):
    with pytest.raises(WorkflowInputError) as refused:
        widget_grid.grid([text], workflow)
    assert problem in str(refused.value)


def test_the_best_of_a_grid_on_validation_scenes_is_measured(pack, server, shown, tmp_path, monkeypatch, capsys):
    from benchmarks.inpaint import workflow as inpaint_workflow

    file = ROOT / "benchmarks" / "inpaint" / "workflows" / "ksampler.json"
    server.info |= fake_comfyui.info_for(json.loads(file.read_text()))
    splits, hole = [], inpaint_workflow.Square(16, 16, 32)
    truth = np.float32(GRAY + 0.02 * np.random.default_rng(0).standard_normal(GRAY.shape))

    def background(number, split, side):
        splits.append(split)
        return truth, hole, "sand"

    monkeypatch.setattr(inpaint_workflow, "background", background)

    def makes(prompt, uploads):
        steps = prompt["8"]["inputs"]["steps"]
        assert uploads[prompt["2"]["inputs"]["image"]].size == (64, 64)
        return {"10": [Image.new("RGB", (64, 64), (128 + abs(steps - 20),) * 3)]}

    server.makes = makes
    arguments = ["--workflow", str(file), "--server", server.address, "--scenes", "2", "--side", "64"]
    monkeypatch.setattr("devtools.executor.set_directories", lambda *folders: [f.mkdir() for f in folders])
    assert inpaint.main([*arguments, "--grid", "KSampler.steps=10,20,57"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert found["grid"] == {"ksampler.steps": 20} and splits == ["validation"] * 6 + ["test"] * 2
    assert found["workflows"]["ksampler.json"]["l1"] == pytest.approx(255 * 0.02 * np.sqrt(2 / np.pi), rel=0.05)
    assert any("ksampler.steps=57" in line for line in lines)
    assert inpaint.main([*arguments, "--grid", "KSampler.steps=many"]) == 2
    assert "--grid: 'many'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("main", "arguments", "problem"),
    [
        (inpaint.main, ["--grid", "KSampler.steps=3"], "without --workflow it is one of curves, demo"),
        (inpaint.main, ["--server", "http://127.0.0.1:8188"], "--server needs --workflow"),
        (inpaint.main, ["--workflow", "my.json", "--side", "100"], "--side 100: it is a multiple of 8"),
        (quality.main, ["--grid", "KSampler.steps=3"], "--grid needs --workflow"),
        (quality.main, ["--server", "http://127.0.0.1:8188"], "--server needs --workflow"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(main, arguments, problem, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert problem in capsys.readouterr().err


def test_a_file_without_a_hole_or_a_result_is_refused(tmp_path):
    file = Path(tmp_path) / "none.json"
    file.write_text(json.dumps({"1": {"class_type": "KSampler", "inputs": {}}}))
    with pytest.raises(WorkflowInputError, match="is titled Result"):
        titled_workflow.read(file)
