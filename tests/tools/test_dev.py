"""The door says what is wrong in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def dev(*arguments, **environment):
    command = [sys.executable, str(ROOT / "dev.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "no command 'fly'"),
        (["bench"], "bench needs a name"),
        (["bench", "no_such_benchmark"], "no benchmark 'no_such_benchmark'"),
        (["bench", "../dev"], "no benchmark '../dev'"),
    ],
)
def test_wrong_words_give_exit_code_2_and_one_sentence(arguments, words):
    result = dev(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_without_a_command_lists_the_commands(arguments):
    result = dev(*arguments)
    assert result.returncode == 0
    for command in ("demo", "test", "bench NAME", "serve", "train STAGE", "workflows"):
        assert f"dev.py {command}" in result.stdout


def test_a_comfyui_path_that_is_none_is_named(tmp_path):
    result = dev("serve", COMFYUI_PATH=str(tmp_path))
    assert result.returncode == 2
    assert str(tmp_path) in result.stderr
    assert result.stderr.count("\n") == 1
