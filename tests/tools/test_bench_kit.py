"""`dev.py bench kit`: which models a server has, a run that was stopped, servers that fail, and what may be posted."""

import dataclasses
import functools
import json
import re

import fake_comfyui
import numpy as np
import pytest
from PIL import Image

from benchmarks.common.titled_workflow import WorkflowInputError
from benchmarks.kit import cases, families, run, similarity
from benchmarks.kit.families import BACKGROUND, FAMILIES, NAMES, RESULT, RETURNED, SUBJECT, find, graph
from relit_scenes import subjects
from relit_scenes.draw import draw_scene

# As ComfyUI's own templates name them, some in a folder.
CHECKPOINTS = [
    "flux1-dev-fp8.safetensors", "sd_xl_base_1.0.safetensors", "sd_xl_refiner_1.0.safetensors",
    "old/v1-5-pruned-emaonly-fp16.safetensors", "512-inpainting-ema.safetensors", "v1-5-inpainting.safetensors",
]  # fmt: skip
MODELS = [
    "flux-2-klein-4b.safetensors", "flux-2-klein-base-4b.safetensors", "flux1-dev-kontext_fp8_scaled.safetensors",
    "flux1-dev.safetensors", "flux1-fill-dev.safetensors", "qwen_image_edit_2509_fp8_e4m3fn.safetensors",
    "qwen_image_fp8_e4m3fn.safetensors", "wan2.1_t2v_1.3B_fp16.safetensors",
]  # fmt: skip
ENCODERS = [
    "clip_l.safetensors", "qwen_2.5_vl_7b_fp8_scaled.safetensors", "qwen_3_4b.safetensors",
    "t5xxl_fp8_e4m3fn_scaled.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
]  # fmt: skip
VAES = ["ae.safetensors", "flux2-vae.safetensors", "qwen_image_vae.safetensors", "wan_2.1_vae.safetensors"]
FILES = {
    ("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINTS,
    ("UNETLoader", "unet_name"): MODELS,
    ("CLIPLoader", "clip_name"): ENCODERS,
    ("DualCLIPLoader", "clip_name1"): ENCODERS,
    ("DualCLIPLoader", "clip_name2"): ENCODERS,
    ("VAELoader", "vae_name"): VAES,
}


def info_of(files: dict) -> dict:
    return fake_comfyui.info_for(*(families.template(family) for family in FAMILIES), files=files)


@pytest.fixture
def info():
    return info_of(FILES)


# Families


def test_families_are_found_by_the_names_of_their_files(info):
    found, reasons = find(info, {}, [])
    assert {each.family.name: each.files[0] for each in found} == {
        "sd15": "old/v1-5-pruned-emaonly-fp16.safetensors",
        "sdxl": "sd_xl_base_1.0.safetensors",
        "flux": "flux1-dev.safetensors",
        "qwen_image": "qwen_image_fp8_e4m3fn.safetensors",
        "kontext": "flux1-dev-kontext_fp8_scaled.safetensors",
        "qwen_edit": "qwen_image_edit_2509_fp8_e4m3fn.safetensors",
        "klein": "flux-2-klein-4b.safetensors",
    }
    assert reasons == {}
    # Without other models the demo model stands in; a checkpoint of Flux is one file.
    assert [each.family.name for each in find(info_of({}), {}, [])[0]] == ["demo"]
    found, _ = find(info_of({("CheckpointLoaderSimple", "ckpt_name"): CHECKPOINTS[:1]}), {}, [])
    assert [(each.family.name, each.files) for each in found] == [("flux", ("flux1-dev-fp8.safetensors",))]


def test_a_missing_part_is_named(info):
    VAES.remove("ae.safetensors")
    try:
        found, reasons = find(info, {}, [])
    finally:
        VAES.insert(0, "ae.safetensors")
    assert reasons["kontext"] == "FLUX Kontext: the server has no file such as ae.safetensors in models/vae."
    assert "kontext" not in [each.family.name for each in found]
    del info["TextEncodeQwenImageEditPlus"]
    assert "has not the node TextEncodeQwenImageEditPlus" in find(info, {}, [])[1]["qwen_edit"]


def test_a_file_and_families_can_be_named(info):
    mine = "mine.safetensors"
    FILES["CheckpointLoaderSimple", "ckpt_name"].append(mine)
    try:
        (found,), _ = find(info, {"sdxl": mine}, ["sdxl"])
        assert found.files == (mine,) and graph(found)["2"]["inputs"]["ckpt_name"] == mine
    finally:
        CHECKPOINTS.remove(mine)
    for named, wanted, problem in (
        ({"sdxl": "none.safetensors"}, [], "SDXL: the server has no file 'none.safetensors' in models/checkpoints"),
        ({"sd4": "x"}, [], "There is no family 'sd4'; there are demo, sd15"),
        ({}, ["sd4"], "There is no family 'sd4'"),
    ):
        with pytest.raises(WorkflowInputError, match=re.escape(problem)):
            find(info, named, wanted)
    with pytest.raises(WorkflowInputError, match="SD 1.5: the server has no file such as v1-5"):
        find(info_of({}), {}, ["sd15"])
    with pytest.raises(WorkflowInputError, match="Demo model: the server has not the PhD pack"):
        find({}, {}, ["demo"])


@pytest.mark.parametrize("name", NAMES)
def test_every_familys_graph_is_whole(comfyui, info, name):
    (found,), _ = find(info, {}, [name])
    workflow = graph(found)
    links = [value for node in workflow.values() for value in node["inputs"].values() if isinstance(value, list)]
    assert {link[0] for link in links} <= set(workflow) and "PhDLoadDemoImages" not in str(workflow)
    assert (RETURNED in workflow) == found.family.edits
    files = [value for node in workflow.values() for value in node["inputs"].values() if str(value).endswith("tensors")]
    assert sorted(files) == sorted(found.files)
    # Every node is reached from what it shows.
    reached, open_ids = set(), [RESULT]
    while open_ids:
        node_id = open_ids.pop()
        reached.add(node_id)
        open_ids += [v[0] for v in workflow[node_id]["inputs"].values() if isinstance(v, list) and v[0] not in reached]
    assert {BACKGROUND, SUBJECT} <= reached and set(workflow) - reached <= {RETURNED}


# Runs


@pytest.fixture
def server():
    """Gives the paste back, a little brighter, and fails as it is asked to."""
    with fake_comfyui.serving(info_of({}), paste_of) as server:
        yield server


def paste_of(prompt, uploads):
    background = uploads[prompt[BACKGROUND]["inputs"]["image"]]
    return {RESULT: [background.point(lambda value: min(255, value + 9))]}


@pytest.fixture
def kit(server, tmp_path, monkeypatch, capsys):
    """Runs the kit on small scenes; exit status, stdout and stderr."""
    monkeypatch.setattr(subjects, "sprite_archive", bytes)
    monkeypatch.setattr(cases, "draw_scene", functools.partial(draw_scene, kinds=("solid",)))
    monkeypatch.setattr(similarity, "KNOWN", {"clip_i": (not_here, "some network")})
    monkeypatch.setattr(families, "FAMILIES", [dataclasses.replace(family, side=64) for family in FAMILIES])

    def start(*arguments):
        counts = ["--scenes", "3", "--photographs", "0"]
        status = run.main(["--server", server.address, "--out", str(tmp_path / "kit"), *counts, *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return start


def not_here():
    raise OSError


def test_the_figures_of_a_family_on_all_scenes_are_kept(kit, monkeypatch):
    kept = []
    monkeypatch.setattr(run.docs, "publish", lambda *arguments: kept.append(arguments))
    assert kit()[0] == 0 and kept == []
    monkeypatch.setattr(run, "SCENES", 3)
    _, out, _ = kit()
    assert kept == [("kit", {"demo": json.loads(out.splitlines()[-1])["demo"]["demo"]}, "demo")]


def test_a_run_writes_a_page_and_a_json_that_can_be_posted(kit, server, tmp_path):
    status, out, _ = kit("--scenes", "2", "--photographs", "1")
    assert status == 0 and len(server.prompts) == 3
    text, page = ((tmp_path / "kit" / name).read_text() for name in ("kit.json", "kit.html"))
    for private in (str(tmp_path), "/home", server.address.partition("//")[2], "127.0.0.1"):
        assert private not in text and private not in page
    found = json.loads(text)
    assert found["device"] == "cuda:0 NVIDIA H200" and found["versions"]["comfyui"] == "0.9.2"
    demo = found["families"]["demo"]
    assert demo["n"] == 3 and demo["scenes"]["demo"]["n"] == 2 and demo["scenes"]["paste"]["fmse_vs_paste"] == 1
    assert demo["scenes"]["demo"]["fmse_vs_paste"] > 0 and len(demo["cases"]) == 3
    assert found["not_measured"] == {"clip_i": "the weights of some network are not on this machine"}
    # The subject, the paste, the result, and the truth of a scene.
    assert page.count("<img") == 2 * 4 + 3 and "photograph astronaut rocket" in page
    assert json.loads(out.splitlines()[-1])["demo"] == demo["scenes"]
    assert (tmp_path / "kit" / "votes" / "page" / "index.html").is_file()


def test_a_run_that_was_stopped_goes_on_where_it_was(kit, server, tmp_path):
    server.dies_after = 2
    status, out, error = kit()
    assert status == 2 and "does not respond" in error and error.count("\n") == 1
    assert "Wrote" in out and json.loads((tmp_path / "kit" / "kit.json").read_text())["families"]["demo"]["n"] == 2
    server.dies_after = None
    rows = tmp_path / "kit" / "rows.jsonl"
    # The last line is cut off, as by a kill.
    rows.write_text(rows.read_text()[:-20])
    assert kit()[0] == 0 and len(server.prompts) == 2 + 2
    assert kit()[0] == 0 and len(server.prompts) == 4
    next((tmp_path / "kit" / "images").rglob("demo/scene_00.png")).unlink()
    assert kit()[0] == 0 and len(server.prompts) == 5
    assert json.loads((tmp_path / "kit" / "kit.json").read_text())["families"]["demo"]["n"] == 3


def test_other_models_or_another_pack_are_run_afresh(kit, server):
    assert kit()[0] == 0
    server.info["PhDInsertSubject"]["input"] = {"required": {"new": ["INT", {}]}}
    assert kit()[0] == 0 and len(server.prompts) == 6


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ([], "scene_00 gave no image instead of one image like its background"),
        ([(64, 64)] * 2, "scene_00 gave 2 images instead"),
        ([(64, 32)], "scene_00 gave 64×32 pixels instead"),
        (None, "node 8 (KSampler): /home/someone/model is damaged"),
    ],
)
def test_a_family_whose_result_cannot_be_used_is_given_up(kit, server, tmp_path, result, problem):
    def makes(prompt, uploads):
        if len(server.prompts) < 2:
            if result is None:
                raise OSError("/home/someone/model is damaged")
            return {RESULT: [Image.new("RGB", size) for size in result]}
        return paste_of(prompt, uploads)

    server.makes = makes
    status, out, _ = kit()
    assert status == 0 and f"Demo model is given up: {problem}" in out
    # Nothing is finished, so nothing is written; the next start tries again.
    assert not (tmp_path / "kit" / "kit.json").exists()
    assert kit()[0] == 0 and json.loads((tmp_path / "kit" / "kit.json").read_text())["families"]["demo"]["n"] == 3


def test_what_failed_is_in_the_json_without_names_of_the_machine(kit, server, tmp_path):
    def makes(prompt, uploads):
        if len(server.prompts) == 3:
            raise OSError("/home/someone/model is damaged")
        return paste_of(prompt, uploads)

    server.makes = makes
    assert kit()[0] == 0
    text = (tmp_path / "kit" / "kit.json").read_text()
    assert json.loads(text)["not_run"] == {"demo": "node 8 (KSampler) failed"} and "/home" not in text


def test_a_server_without_the_pack_is_one_sentence(kit, server):
    del server.info["PhDInsertSubject"]
    status, _, error = kit()
    assert status == 2 and error.count("\n") == 1 and "has not the PhD pack" in error


def test_a_checkpoint_of_another_form_is_one_sentence(kit):
    status, _, error = kit("--checkpoint", "sdxl")
    assert status == 2 and "give FAMILY=FILE" in error


def test_photographs_whose_package_is_missing_are_reported(kit, monkeypatch):
    def gone(package, path):
        raise FileNotFoundError(f"The package {package!r} is not installed; its image {path!r} is needed.")

    monkeypatch.setattr(cases.package_images, "package_file", gone)
    status, out, _ = kit("--scenes", "1", "--photographs", "1")
    assert status == 0 and "Not run: The package 'skimage' is not installed" in out


def test_an_edit_models_own_image_is_kept_beside_the_finished_one(kit, server, tmp_path):
    server.info |= info_of(FILES)

    def makes(prompt, uploads):
        returned = Image.new("RGB", (100, 90), (200, 0, 0))
        return paste_of(prompt, uploads) | ({RETURNED: [returned]} if RETURNED in prompt else {})

    server.makes = makes
    assert kit("--families", "kontext", "--scenes", "1", "--photographs", "0")[0] == 0
    (prompt,) = server.prompts
    assert "Give the pasted subject the light of this scene" in prompt["8"]["inputs"]["text"]
    demo = json.loads((tmp_path / "kit" / "kit.json").read_text())["families"]["kontext"]
    assert set(demo["scenes"]) == {"paste", "kontext", "kontext_as_it_comes"}


# Cases


def test_the_photographs_show_their_subject_whole_in_their_scene():
    found, missing = cases.cases(0, cases.PHOTOGRAPHS)
    assert len(found) == 12 and missing == []
    made = [make(0) for make in found]
    assert len({case.name for case in made}) == 12
    for case in made:
        box, (height, width) = case.box, case.background.shape[:2]
        assert box.y > 0 and box.y + box.height == pytest.approx(height, abs=2)
        assert box.x > 0 and box.x + box.width < width


# Similarity


def test_clip_i_is_the_cosine_of_the_embeddings_of_weights_that_are_here(tmp_path, monkeypatch):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=small | {"vocab_size": 50}, vision_config=small | {"image_size": 32, "patch_size": 16},
        projection_dim=8,
    )  # fmt: skip
    CLIPModel(config).save_pretrained(tmp_path)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(tmp_path)
    monkeypatch.setattr(similarity, "CLIP", str(tmp_path))
    monkeypatch.setattr(similarity, "KNOWN", {"clip_i": (similarity.clip_i, "small")})
    measures, missing = similarity.at_hand()
    assert missing == {}
    rng = np.random.default_rng(0)
    one, other = (rng.random((40, 50, 3), np.float32) for _ in range(2))
    assert measures["clip_i"](one, one) == pytest.approx(1, abs=1e-5)
    assert measures["clip_i"](one, np.zeros_like(other)) < 0.9999
