"""Tables of jobs are read from CSV, JSON lines, Parquet and patterns, and what is wrong is said with its row."""

import json

import pytest
from batch_support import images, table

from phd_batch.faults import Faults, UsageError
from phd_batch.jobs import read_jobs


def rows(*sources, folder=None):
    return list(read_jobs([str(source) for source in sources], folder).rows())


def test_csv_has_names_with_commas_newlines_and_emoji(tmp_path):
    names = ["a, b.png", "two\nlines.png", "snow ☃ 🎿.png"]
    file = table(tmp_path / "jobs.csv", ["exemplar", "seed"], *([name, 3] for name in names))
    assert rows(file) == [(i, {"exemplar": name, "seed": "3"}) for i, name in enumerate(names, 1)]


def test_csv_of_a_spreadsheet_has_a_mark_and_empty_cells(tmp_path):
    (tmp_path / "jobs.csv").write_bytes(b"\xef\xbb\xbfexemplar,x\r\na.png,\r\n,0.5\r\n\r\nb.png\r\n")
    found = rows(tmp_path / "jobs.csv")
    assert found == [(1, {"exemplar": "a.png"}), (2, {"x": "0.5"}), (3, {"exemplar": "b.png"})]


@pytest.mark.parametrize("separator", [";", "\t", ", "])
def test_csv_may_be_separated_as_spreadsheets_do_it(separator, tmp_path):
    lines = ["exemplar|prompt", 'a.png|"a, b; c"', "|", "b.png|d"]
    (tmp_path / "jobs.csv").write_text("\n".join(line.replace("|", separator) for line in lines))
    found = rows(tmp_path / "jobs.csv")
    assert found == [(1, {"exemplar": "a.png", "prompt": "a, b; c"}), (2, {"exemplar": "b.png", "prompt": "d"})]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("above", ["", "\r\n", ";;;\r\n\r\n", "sep=;\r\n"])
def test_a_spreadsheets_empty_rows_and_columns_and_its_separator_line_are_no_data(above, mark, tmp_path):
    text = f"{mark}{above}exemplar;prompt;;\r\na.png;x;;\r\n;;;\r\nb.png;;;\r\n"
    (tmp_path / "jobs.csv").write_bytes(text.encode())
    assert rows(tmp_path / "jobs.csv") == [(1, {"exemplar": "a.png", "prompt": "x"}), (2, {"exemplar": "b.png"})]


def test_a_comma_in_a_title_does_not_separate_columns(tmp_path):
    (tmp_path / "jobs.csv").write_text('exemplar;"Paste, Blend.x"\na.png;0.5\n')
    assert rows(tmp_path / "jobs.csv") == [(1, {"exemplar": "a.png", "Paste, Blend.x": "0.5"})]


def test_a_row_with_too_many_cells_is_named(tmp_path):
    (tmp_path / "jobs.csv").write_text("exemplar,x\na.png,1\na, b.png,1\n")
    with pytest.raises(Faults, match="3 cells, but there are 2 columns") as caught:
        rows(tmp_path / "jobs.csv")
    assert caught.value.faults[0].row == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"x,x\n1,2\n", "appears twice"),
        (b"x,\n1,2\n", "has no name"),
        (b"x\n\xff\xfe\n", "not in UTF-8"),
        (b'x\n"1\n', "cannot be read as CSV"),
    ],
)
def test_a_csv_that_cannot_be_read_is_one_sentence(content, words, tmp_path):
    (tmp_path / "jobs.csv").write_bytes(content)
    with pytest.raises(UsageError, match=words):
        rows(tmp_path / "jobs.csv")


def test_json_lines_keep_their_types_and_may_lack_columns(tmp_path):
    file = tmp_path / "jobs.jsonl"
    given = [{"prompt": "ä 🎿", "seed": 5}, {"x": 0.5, "flip": True, "seed": None}]
    file.write_text("\n\n".join(map(json.dumps, given)), encoding="utf-8")
    assert read_jobs([str(file)], None).columns == ("prompt", "seed", "x", "flip")
    assert rows(file) == [(1, given[0]), (2, {"x": 0.5, "flip": True})]


@pytest.mark.parametrize(
    ("line", "words"), [("{", "not JSON"), ("[1]", "not a JSON object"), ('{"x": [1]}', "not text")]
)
def test_a_wrong_line_is_named(line, words, tmp_path):
    (tmp_path / "jobs.jsonl").write_text('{"x": 1}\n' + line)
    with pytest.raises(Faults, match=words) as caught:
        rows(tmp_path / "jobs.jsonl")
    assert caught.value.faults[0].row == 2


def test_parquet_is_read(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is optional")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"exemplar": ["a.png", None], "seed": [1, 2]}), tmp_path / "jobs.parquet")
    assert rows(tmp_path / "jobs.parquet") == [(1, {"exemplar": "a.png", "seed": 1}), (2, {"seed": 2})]
    (tmp_path / "other.parquet").write_bytes(b"no")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        rows(tmp_path / "other.parquet")


def test_patterns_give_every_pair(tmp_path):
    images(tmp_path, "cut/a.png", "cut/b.png", "scenes/one/1.jpg", "scenes/two/2.jpg", "other.png")
    found = rows("exemplar=cut/*.png", "background=scenes/**/*.jpg", folder=str(tmp_path))
    assert len(found) == 4
    assert found[1] == (2, {"exemplar": "cut/a.png", "background": "scenes/two/2.jpg"})


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (["exemplar=none/*.png"], "matches no file"),
        (["exemplar=/etc/*"], "relative to"),
        (["exemplar=*.png", "exemplar=*.jpg"], "same column"),
        (["exemplar=*.png", "b.csv"], "not a pattern"),
        (["none.csv"], "no file"),
        (["."], "no file"),
    ],
)
def test_patterns_and_files_that_give_nothing_are_refused(sources, words, tmp_path):
    images(tmp_path, "a.png")
    with pytest.raises(UsageError, match=words):
        rows(*sources, folder=str(tmp_path))


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "jobs.xlsx").write_bytes(b"")
    with pytest.raises(UsageError, match="Supported: .csv"):
        rows(tmp_path / "jobs.xlsx")
