"""Columns bind to inputs by title and name; cells become values, or are refused in a sentence."""

import contextlib
import json
import os
import unicodedata
from dataclasses import replace

import pytest
from batch_support import INFO, images, node, workflow

from phd_batch import graph
from phd_batch.bindings import bind, check_values, file_of, own_files, value_of
from phd_batch.faults import UsageError
from phd_batch.keys import Keys, resolved


def bound(*columns, graph=None):
    return bind(columns, graph or workflow(), INFO)


def target(column):
    return bound(column)[0][column][0]


def test_short_names_and_titles_bind():
    found, faults = bound("exemplar", "background", "prompt", "seed", "Sampler.cfg", "5.tiled")
    assert not faults
    places = {column: [(each.node, each.input, each.kind) for each in targets] for column, targets in found.items()}
    assert places == {
        "exemplar": [("1", "image", "FILE")],
        "background": [("2", "image", "FILE")],
        "prompt": [("3", "text", "STRING")],
        "seed": [("5", "seed", "INT")],
        "Sampler.cfg": [("5", "cfg", "FLOAT")],
        "5.tiled": [("5", "tiled", "BOOLEAN")],
    }


def test_two_samplers_get_different_seeds():
    samplers = {"1": node("PhDMaskedInpaintSampler", "I", seed=1), "2": node("PhDHarmonizeSampler", "H", seed=2)}
    info = {node["class_type"]: INFO["KSampler"] for node in samplers.values()}
    found, _ = bind(["seed"], samplers, info)
    assert [each.added for each in found["seed"]] == [0, 1]
    assert value_of("7", found["seed"][1]) == 8


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("promt", "sets no input; did you mean prompt"),
        ("Sampler.cgf", "has no input 'cgf'; similar: cfg"),
        ("x", "no node for this short name"),
        ("mask", "no Load Image titled Mask"),
        ("Sampler.positive", "takes a link"),
        ("Sampler.api_key", "written into the ledger"),
    ],
)
def test_a_column_that_does_not_bind_is_explained(column, words):
    found, (fault,) = bound(column)
    assert not found and fault.column == column and words in fault.message


def test_two_nodes_of_one_title_must_be_told_apart():
    twice = workflow() | {"7": node("LoadImage", "Exemplar", image="x.png")}
    _, (fault,) = bound("exemplar", graph=twice)
    assert "1.image, 7.image" in fault.message
    assert not bound("7.image", graph=twice)[1]


def test_two_columns_for_one_input_are_refused():
    _, (fault,) = bound("seed", "Sampler.seed")
    assert "'seed' sets the same input" in fault.message


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("seed", "12", 12),
        ("seed", 12.0, 12),
        ("seed", "12.0", 12),
        ("Sampler.cfg", "1.5", 1.5),
        ("Sampler.tiled", "Yes", True),
        ("Sampler.tiled", False, False),
        ("Sampler.sampler_name", "ddim", "ddim"),
        ("prompt", "007", "007"),
        ("prompt", 7, "7"),
    ],
)
def test_cells_become_values_of_the_inputs_type(column, cell, value):
    found = value_of(cell, target(column))
    assert found == value and type(found) is type(value)


def test_a_list_that_is_empty_has_no_value_and_one_that_the_page_fetches_any():
    nothing = target("Sampler.sampler_name")
    with pytest.raises(ValueError, match=r"\(none\)"):
        value_of("euler", replace(nothing, spec={"options": []}))
    assert value_of("euler", replace(nothing, spec={"options": [], "remote": {"route": "/x"}})) == "euler"


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("seed", "1.5", "not a whole number"),
        ("seed", True, "not a whole number"),
        ("seed", "-1", "not between 0"),
        ("Sampler.cfg", "nan", "not a number"),
        ("Sampler.cfg", "1,5", "not a number; write 1.5"),
        ("Sampler.cfg", "1000", "not between"),
        ("Sampler.tiled", "maybe", "neither true nor false"),
        ("Sampler.sampler_name", "eular", r"\(euler"),
    ],
)
def test_cells_of_another_type_are_refused(column, cell, words):
    with pytest.raises(ValueError, match=words):
        value_of(cell, target(column))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_with_accents_is_found_in_both_of_its_spellings(form, tmp_path):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    written, named = (unicodedata.normalize(one, "caf\u00e9.png") for one in (form, other))
    assert written != named
    (tmp_path / written).write_bytes(b"")
    assert file_of(named, tmp_path.resolve()).is_file()


def test_names_with_spaces_around_them_of_windows_and_of_the_home_folder_are_found(tmp_path, monkeypatch):
    folder = tmp_path.resolve()
    images(folder, "cut/a b.png")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    for name in ("cut/a b.png ", " cut/a b.png", "cut\\a b.png", "~/cut/a b.png"):
        assert file_of(name, folder) == folder / "cut" / "a b.png"
    for name in ("..\\secret.png", "~/../secret.png"):
        with pytest.raises(ValueError, match="there is no file|is outside"):
            file_of(name, folder)


def test_an_address_in_the_place_of_a_file_is_said(tmp_path):
    with pytest.raises(ValueError, match="is an address; save its file in"):
        file_of("https://example.org/a.png", tmp_path)


def test_files_outside_the_folder_are_refused(tmp_path):
    folder = (tmp_path / "in").resolve()
    odd = "deep/b, ☃.png" if os.name == "nt" else "deep/b, ☃\n.png"
    images(folder, "a.png", odd)
    images(tmp_path, "secret.png")
    outside = ["../secret.png", str(tmp_path / "secret.png"), "deep/../../secret.png"]
    with contextlib.suppress(OSError):  # Windows lets only developers and administrators make links
        (folder / "link.png").symlink_to(tmp_path / "secret.png")
        outside.append("link.png")
    assert file_of("a.png", folder) == file_of(str(folder / "a.png"), folder) == folder / "a.png"
    assert file_of(f"deep/../{odd}", folder).is_file()
    for name in outside:
        with pytest.raises(ValueError, match="is outside"):
            file_of(name, folder)
    for name, words in (("none.png", "there is no file"), ("deep", "there is no file"), ("a\0b", "not a file name")):
        with pytest.raises(ValueError, match=words):
            file_of(name, folder)
    with pytest.raises(ValueError, match="not a file name"):
        file_of(5, folder)
    with pytest.raises(ValueError, match="no file|not a file name"):
        file_of("x" * 5000, folder)


def read(tmp_path, content, name="w.json"):
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return graph.read_workflow(tmp_path / name)


def test_a_workflow_of_the_page_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(UsageError, match=r"UI format.*Export \(API\)"):
        read(tmp_path, {"nodes": [], "links": []})
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "w.json").write_text("{}")
    with pytest.raises(UsageError, match="use .*api"):
        read(tmp_path, {"nodes": [], "links": []})
    for content in ("{", "[]", {}, {"1": {"inputs": {}}}, {"prompt": workflow()}):
        with pytest.raises(UsageError, match="--workflow: .* is no"):
            read(tmp_path, content)
    assert read(tmp_path, workflow()) == workflow()


def test_a_workflow_is_checked_against_the_nodes_that_are_there():
    broken = workflow() | {"8": node("NoSuch", "Odd", image=["99", 0])}
    del broken["6"]
    words = " ".join(fault.message for fault in graph.check_workflow(broken, INFO))
    assert "no node 'NoSuch'" in words and "node '99'" in words and "add Save Image" in words
    assert graph.check_workflow(workflow(), INFO) == []


def test_what_comfyui_would_refuse_in_every_job_is_found_before():
    broken = workflow()
    broken["5"]["inputs"] |= {"cfg": 1000.0, "sampler_name": "eular", "seed": -1}
    del broken["5"]["inputs"]["tiled"]
    words = " ".join(fault.message for fault in check_values(broken, INFO, [("5", "seed")]))
    assert "Sampler.cfg: 1000.0 is not between" in words and "Sampler.sampler_name: 'eular'" in words
    assert "is missing its input tiled" in words and "seed" not in words
    assert check_values(workflow(), INFO, []) == []


def test_files_that_the_workflow_names_are_found_unless_they_are_there():
    named = workflow()
    named["2"]["inputs"]["image"] = "y.png"
    assert own_files(named, INFO, []) == [("2", "image", "y.png")]
    assert own_files(named, INFO, [("2", "image")]) == []


def test_previews_are_left_out_unless_they_are_all_there_is():
    preview = workflow() | {"9": node("PreviewImage", "Preview", images=["5", 0])}
    assert "9" not in graph.without_previews(preview, INFO)
    del preview["6"]
    assert "9" in graph.without_previews(preview, INFO)


def test_other_outputs_are_saved_on_request():
    found, faults = graph.with_saved(workflow(), ["Sampler.mask", "Sampler.image"], INFO)
    assert not faults
    saves = {
        each["_meta"]["title"]: each["inputs"]["images"] for each in found.values() if each["class_type"] == "SaveImage"
    }
    assert saves["Sampler.image"] == ["5", 0] and found[saves["Sampler.mask"][0]]["inputs"] == {"mask": ["5", 1]}
    _, faults = graph.with_saved(workflow(), ["Sampler.report", "None.mask"], INFO)
    assert "Sampler has image, mask" in faults[0].message and "no such image" in faults[1].message


def test_a_key_is_that_of_the_resolved_prompt():
    found, _ = bound("prompt", "seed")
    targets = [each for targets in found.values() for each in targets]
    keys, prompt = Keys(workflow(), targets, {"pack": "1"}), workflow()
    prompt["5"]["inputs"]["seed"], prompt["3"]["inputs"]["text"] = 9, 'a "dog"\n ☃'
    assert resolved(workflow(), list(zip(targets, ['a "dog"\n ☃', 9], strict=True))) == prompt
    assert keys.key(['a "dog"\n ☃', 9]) == Keys(prompt, targets, {"pack": "1"}).key([None, None])
    assert keys.key([None, None]) == keys.key(["a cat", 1]) != keys.key(["a cat", 2])
    assert keys.key([None, None]) != Keys(workflow(), targets, {"pack": "2"}).key([None, None])
    titled = workflow()
    titled["5"]["_meta"]["title"] = "other"
    assert Keys(titled, targets, {"pack": "1"}).key([None, 5]) == keys.key([None, 5])


DEMO_INFO = INFO | {
    "PhDLoadDemoImages": {"input": {}, "output": ["IMAGE", "IMAGE", "MASK", "IMAGE", "IMAGE"]},
    "InvertMask": {"input": {"required": {"mask": ["MASK"]}}},
    "LoadImageMask": INFO["LoadImage"],
}


def demo_workflow(slot: int) -> dict:
    inputs = {"background": ["1", 0], "subject": ["1", slot]} | ({"subject_mask": ["1", 2]} if slot == 1 else {})
    return {"1": node("PhDLoadDemoImages", "Demo images"), "2": node("PhDInsertSubject", "Insert", **inputs)}


@pytest.mark.parametrize("slot", [1, 3])
def test_columns_replace_the_demo_images_of_shipped_workflows(slot):
    found = graph.with_own_images(demo_workflow(slot), ("exemplar", "background"))
    inputs = found["2"]["inputs"]
    kinds = {name: found[link[0]]["class_type"] for name, link in inputs.items()}
    assert kinds == {"background": "LoadImage", "subject": "LoadImage", "subject_mask": "InvertMask"}
    assert "1" not in found and demo_workflow(slot)["1"]
    targets, faults = bind(["exemplar", "background"], found, DEMO_INFO)
    assert not faults
    assert [targets[name][0].spec["alpha"] for name in ("exemplar", "background")] == [True, False]


def test_a_mask_of_ones_own_replaces_transparency():
    found = graph.with_own_images(demo_workflow(1), ("exemplar", "mask"))
    inputs = found["2"]["inputs"]
    assert found[inputs["subject_mask"][0]]["class_type"] == "LoadImageMask"
    assert inputs["background"] == ["1", 0] and "1" in found
    assert not bind(["exemplar"], found, DEMO_INFO)[0]["exemplar"][0].spec["alpha"]
    assert graph.with_own_images(demo_workflow(1), ("prompt",)) == demo_workflow(1)


def test_a_node_that_repeats_the_background_does_not_share_its_short_name():
    given = {"1": node("PhDLoadDemoImages", "Demo images"), "2": node("RepeatImageBatch", "Background", image=["1", 0])}
    found = graph.with_own_images(given, ("background",))
    targets, faults = bind(["background"], found, DEMO_INFO)
    assert not faults and [target.node for target in targets["background"]] == found["2"]["inputs"]["image"][:1]
