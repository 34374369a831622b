"""dev.py reports a wrong call in one sentence, with exit code 2."""

import subprocess
import sys

import pytest

import dev
from devtools.paths import ROOT

WRONG_CALLS = [
    (["fly"], "no command 'fly'"),
    (["bench"], "bench needs a name"),
    (["bench", "no_such_benchmark"], "no benchmark 'no_such_benchmark'"),
    (["bench", "../dev"], "no benchmark '../dev'"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG_CALLS)
def test_a_wrong_call_gives_exit_code_2_and_one_sentence(arguments, words, capsys):
    assert dev.main(arguments) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_the_exit_code_and_the_sentence_come_out_of_the_process():
    command = [sys.executable, str(ROOT / "dev.py"), "fly"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "no command 'fly'" in result.stderr and result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_lists_the_commands(arguments, capsys):
    assert dev.main(arguments) == 0
    printed = capsys.readouterr().out
    for command in ("demo", "batch JOBS", "test", "bench NAME", "serve", "train STAGE", "workflows"):
        assert f"dev.py {command}" in printed


def test_a_comfyui_path_without_a_comfyui_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    assert dev.main(["serve"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1
