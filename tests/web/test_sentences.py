"""What the nodes say: every sentence of the code stands in every language, and the browser finds it again."""

import ast
import json
import re
import string

import pytest
from test_languages import LOCALES, OTHERS, SCHEMA, texts
from test_modules import answers, node  # noqa: F401

ROOT = LOCALES.parent
CODE = [*(ROOT / "nodes").rglob("*.py"), *(ROOT / "phd_ops").rglob("*.py")]
HOLES = re.compile(r"\{(\w+)[^}]*\}")
# What speaks to the user, by the name of what is called; of an error what is raised.
SPEAKERS = {"Message", "tell", "warn"}


def language(name: str) -> dict:
    return json.loads((ROOT / "web" / "languages" / f"{name}.json").read_text(encoding="utf-8"))


def calls():
    for path in CODE:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
                yield path, call


def templates() -> set[str]:
    found = [call.args[0] for _, call in calls() if call.func.id == "sentence"]
    assert all(isinstance(given, ast.Constant) for given in found)
    return {given.value for given in found}


def test_what_nodes_say_is_written_as_sentences():
    spoken = [
        f"{path.name}:{call.lineno}"
        for path, call in calls()
        if (call.func.id in SPEAKERS or re.fullmatch(r"\w+Error", call.func.id)) and call.args
        if isinstance(call.args[0], (ast.JoinedStr, ast.Constant, ast.BinOp))
    ]
    assert spoken == []


@pytest.mark.parametrize("name", OTHERS)
def test_a_language_has_every_sentence_and_no_other(name):
    wanted, sentences = templates(), language(name)["sentences"]
    assert wanted - set(sentences) == set() and set(sentences) - wanted == set()


@pytest.mark.parametrize("name", OTHERS)
def test_a_translated_sentence_has_the_same_values(name):
    for english, own in language(name)["sentences"].items():
        assert set(HOLES.findall(own)) == set(HOLES.findall(english)), english
        assert own.strip() and "{{" not in english
        assert own.endswith((".", "。")) == english.endswith(".") or english.startswith("a text"), english


@pytest.mark.parametrize("name", OTHERS)
def test_a_translated_sentence_names_nodes_and_inputs_as_the_page_does(name):
    english, own, names = texts("en"), texts(name), {}
    for node_id, entry in english.items():
        names[entry["display_name"].split(" / ")[0]] = own[node_id]["display_name"]
        for group in ("inputs", "outputs"):
            for key, item in entry.get(group, {}).items():
                if "_" in item["name"]:
                    names[item["name"]] = own[node_id][group][key]["name"]
    wrong = [
        (said, wanted)
        for said, translation in language(name)["sentences"].items()
        for each, wanted in names.items()
        if re.search(rf"\b{re.escape(each)}\b", HOLES.sub("", said)) and wanted.lower() not in translation.lower()
    ]
    assert wrong == []


@pytest.mark.parametrize("name", OTHERS)
def test_the_browser_recognizes_every_sentence(node, name):  # noqa: F811
    sentences = language(name)["sentences"]
    values = {hole: f"V{index}" for index, hole in enumerate(sorted({h for t in sentences for h in HOLES.findall(t)}))}
    # What only joins others is tested below.
    own_words = {text: own for text, own in sentences.items() if re.search("[a-z]", HOLES.sub("", text))}
    texts = [HOLES.sub(lambda hole: values[hole[1]], english) for english in own_words]
    wanted = [HOLES.sub(lambda hole: values[hole[1]], own) for own in own_words.values()]
    assert answers(node, [("translated", {"sentences": sentences, "texts": texts})]) == [wanted]


@pytest.mark.parametrize("name", OTHERS)
def test_the_browser_recognizes_sentences_inside_others_and_real_values(node, name):  # noqa: F811
    sentences = language(name)["sentences"]

    def said(template, **values):
        return template.format(**values), HOLES.sub(lambda hole: str(values[hole[1]]), sentences[template])

    def around(template, own, **values):
        english, translation = own
        (hole,) = {key for _, key, _, _ in string.Formatter().parse(template) if key} - set(values)
        return (
            template.format(**values, **{hole: english}),
            HOLES.sub(lambda each: str((values | {hole: translation})[each[1]]), sentences[template]),
        )

    size = said("{width}×{height} pixels", width=12, height=34)
    cases = [
        around("Images {numbers}: {message}", said("No subject found: the mask is empty."), numbers="1-3, 5"),
        around("sampled is {size}: the image's margin, which the VAE cut off, stays as it is.", size),
        around(
            "sampled had moved by up to {moved} pixels ({motion}) and was moved back, to {residual} pixels.",
            said("zoom and rotation"), moved="4.0", residual="0.05",
        ),
        around(
            "{name}: {error}",
            around(
                "this is {what}; {supported}.", said("a SAM 2 checkpoint"), supported=said(
                    "supported are SAM (ViT-B, ViT-L, ViT-H), DeepLabV3+ of segmentation-models-pytorch or "
                    "transformers, DeepLabV3 of torchvision, and salient-object models as .onnx"
                )[0]
            ),
            name="my model 2.safetensors",
        ),
        around(
            "{name} is {value}; it must be {wanted}.", said("a number from {low} to {high}", low=0.0, high=1.0),
            name="denoise", value="'; or: it'",
        ),
    ]  # fmt: skip
    found = answers(node, [("translated", {"sentences": sentences, "texts": [english for english, _ in cases]})])[0]
    for (english, wanted), own in zip(cases, found, strict=True):
        supported = next(text for text in sentences if text.startswith("supported"))
        assert own == wanted.replace(supported, sentences[supported]), english


# Combos whose options are ComfyUI's own, or files.
COMFYS = {"sampler_name", "scheduler"}
FILES = {"model": ["grabcut (no weights)"]}


@pytest.mark.parametrize("name", OTHERS)
def test_a_language_has_every_option_of_the_combos(name):
    wanted = {}
    for schema in SCHEMA.values():
        for key, given in schema["inputs"].items():
            if given["type"] == "COMBO" and key not in COMFYS:
                wanted.setdefault(key, set()).update(FILES.get(key) or given["options"])
    options = language(name)["options"]
    assert {key: set(labels) for key, labels in options.items()} == wanted
    assert all(label.strip() for labels in options.values() for label in labels.values())
