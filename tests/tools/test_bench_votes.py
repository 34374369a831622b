"""Blind comparisons: the page names no method, and `bench votes` turns results into Bradley–Terry scores."""

import json
import math

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.common.votes_page import write_votes_page
from benchmarks.votes import run
from benchmarks.votes.scores import Vote, scored, steadied, strengths

METHODS, CASES = ("ours", "paste", "kontext_as_it_comes"), ("tulip", "bear")


def stored(folder, size=(32, 24)):
    """Images of all methods and cases, and the subjects' own."""
    images, rng = {}, np.random.default_rng(0)
    for method in (*METHODS, "subject"):
        for case in CASES:
            file = folder / method / f"{case}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            info = PngInfo()
            info.add_text("workflow", method)
            Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), np.uint8)).save(file, pnginfo=info)
            images.setdefault(method, {})[case] = file
    return images, images.pop("subject")


@pytest.fixture
def folder(tmp_path):
    write_votes_page(tmp_path / "votes", *stored(tmp_path / "made"))
    return tmp_path / "votes"


@pytest.fixture
def key(folder):
    return json.loads((folder / "key.json").read_text())


def name_of(key, method, case):
    return next(name for name, of in key["images"].items() if of == {"method": method, "case": case})


def result(key, voter, *choices):
    """A result file's content; choices: (left method, right method, case, choice)."""
    listed = [
        {"left": name_of(key, left, case), "right": name_of(key, right, case), "choice": choice}
        for left, right, case, choice in choices
    ]
    return {"page": key["page"], "voter": voter, "choices": listed}


# The page


def test_the_page_names_no_method_and_no_case(folder):
    files = [file for file in (folder / "page").iterdir() if file.suffix == ".png"]
    assert len(files) == 8
    for file in [folder / "page" / "index.html", *files]:
        content = file.read_bytes()
        assert not any(word.encode() in content + file.name.encode() for word in (*METHODS, *CASES, "secret"))
    assert not (folder / "page" / "key.json").exists()


def test_the_page_has_every_pair_of_a_case_once_in_an_order_that_says_nothing(folder, key):
    text = (folder / "page" / "index.html").read_text()
    content = json.loads(text.split("const content = ")[1].split(";\n")[0])
    assert len(content["pairs"]) == 2 * 3 and content["pairs"] == sorted(content["pairs"])
    for one, other, subject in content["pairs"]:
        assert one < other and key["images"][one]["case"] == key["images"][other]["case"]
        assert (folder / "page" / f"{subject}.png").is_file() and subject not in key["images"]


def test_written_again_only_what_changed_gets_another_name(folder, key, tmp_path):
    images, subjects = stored(tmp_path / "made")
    Image.new("RGB", (32, 24)).save(images["ours"]["bear"])
    write_votes_page(folder, images, subjects)
    again = json.loads((folder / "key.json").read_text())
    assert again["page"] == key["page"] and len(set(again["images"]) & set(key["images"])) == 5
    assert len(list((folder / "page").glob("*.png"))) == 8


def test_images_of_a_case_are_brought_to_the_smallest_size(tmp_path):
    images, subjects = stored(tmp_path / "made")
    Image.new("RGB", (16, 12)).save(images["ours"]["bear"])
    write_votes_page(tmp_path / "votes", images, subjects)
    key = json.loads((tmp_path / "votes" / "key.json").read_text())
    for name, of in key["images"].items():
        assert (
            Image.open(tmp_path / "votes" / "page" / f"{name}.png").size
            == {"bear": (16, 12), "tulip": (32, 24)}[of["case"]]
        )


def test_one_method_alone_makes_no_page(tmp_path):
    images, subjects = stored(tmp_path / "made")
    assert write_votes_page(tmp_path / "votes", {"ours": images["ours"]}, subjects) == []


# Scores


def test_strengths_of_two_methods_are_their_ratio_of_wins():
    log = strengths(np.array([[0, 3.0], [1.0, 0]]))
    assert log[0] - log[1] == pytest.approx(math.log(3)) and log.sum() == pytest.approx(0)


def test_strengths_of_three_methods_by_hand():
    # 4 : 2 : 1 explains all pairs exactly.
    log = strengths(np.array([[0, 2.0, 4.0], [1.0, 0, 2.0], [1.0, 1.0, 0]]))
    np.testing.assert_allclose(log, np.log([4, 2, 1]) - np.log(2), atol=1e-6)


def test_a_method_that_never_lost_has_a_finite_score():
    log = strengths(steadied(np.array([[0, 5.0], [0, 0]])))
    assert np.isfinite(log).all() and log[0] > 1 and log[1] == pytest.approx(-log[0])


def votes(count, share, voters=1):
    return [Vote(f"v{i % voters}", f"c{i}", "a", "b", share) for i in range(count)]


def test_ties_are_half_a_win_for_both():
    even = scored(votes(4, 0.5))
    assert [one.score for one in even] == pytest.approx([0, 0], abs=1e-9) and even[0].ties == even[1].ties == 4
    # Two ties count as a win and a loss.
    mixed = scored([*votes(6, 1.0), *votes(2, 0.5)])
    assert [one.score for one in mixed] == pytest.approx(
        [one.score for one in scored([*votes(7, 1.0), *votes(1, 0.0)])], abs=1e-9
    )
    assert (mixed[0].method, mixed[0].wins, mixed[0].ties, mixed[0].losses) == ("a", 6, 2, 0)


def test_more_votes_narrow_the_interval_and_more_cases_do_too():
    def width(count, voters):
        rng = np.random.default_rng(1)
        cast = [
            Vote(f"v{v}", f"c{c}", "a", "b", float(rng.random() < 0.6)) for v in range(voters) for c in range(count)
        ]
        first = scored(cast)[0]
        assert first.low < first.score < first.high
        return first.high - first.low

    assert width(100, 3) < 0.7 * width(12, 3)


# Files


def started(tmp_path, folder, *contents):
    files = []
    for index, content in enumerate(contents):
        files.append(tmp_path / f"votes_{index}.json")
        files[-1].write_text(content if isinstance(content, str) else json.dumps(content))
    return run.main([*map(str, files), "--key", str(folder / "key.json")])


def test_results_become_scores(tmp_path, folder, key, capsys):
    ours = ("ours", "paste", "tulip", "left"), ("paste", "ours", "bear", "right")
    first = result(key, "one", *ours, ("kontext_as_it_comes", "ours", "bear", "tie"))
    second = result(key, "two", ("ours", "paste", "bear", "right"))
    # The same person's file again counts once, and a later choice replaces an earlier one.
    assert started(tmp_path, folder, first, first, second, result(key, "two", ("paste", "ours", "bear", "right"))) == 0
    lines = capsys.readouterr().out.splitlines()
    found = json.loads(lines[-1])
    assert (found["votes"], found["people"], found["cases"]) == (4, 2, 2)
    own = found["scores"]["ours"]
    assert (own["wins"], own["ties"], own["losses"]) == (3, 1, 0) and found["scores"]["paste"]["losses"] == 3
    assert next(iter(found["scores"])) == "ours" and own["low"] <= own["score"] <= own["high"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda content: "{", "is not a readable JSON file"),
        (lambda content: [], "has no page and voter and choices"),
        (lambda content: {**content, "page": "other"}, "is about another page than"),
        (lambda content: {**content, "choices": [{"left": "a"}]}, "a choice that is not left, right or tie"),
        (lambda content: {**content, "choices": []}, "There is no vote in these files"),
    ],
)
def test_a_wrong_file_is_one_sentence(tmp_path, folder, key, capsys, change, problem):
    content = change(result(key, "one", ("ours", "paste", "tulip", "left")))
    assert started(tmp_path, folder, content) == 2
    error = capsys.readouterr().err
    assert problem in error and error.count("\n") == 1


def test_votes_on_images_that_have_changed_are_left_out(tmp_path, folder, key, capsys):
    content = result(key, "one", ("ours", "paste", "tulip", "left"), ("ours", "paste", "bear", "left"))
    content["choices"][0]["left"] = "gone"
    assert started(tmp_path, folder, content) == 0
    out = capsys.readouterr().out
    assert "1 votes are about images that have changed since" in out and json.loads(out.splitlines()[-1])["votes"] == 1
