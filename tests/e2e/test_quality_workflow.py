"""`bench quality --workflow --server`: scores a workflow on a running ComfyUI as on the headless one."""

import contextlib
import functools
import json
from pathlib import Path

import pytest

from benchmarks.quality import run as quality
from benchmarks.quality import scenes as quality_scenes
from relit_scenes import subjects
from relit_scenes.draw import draw_scene

WORKFLOW = Path(quality.__file__).parent / "workflows" / "phd.json"


@pytest.fixture
def scored(pack, server, tmp_path, monkeypatch, capsys):
    """Scores a workflow on a server or headless: exit status, the last line of stdout, and stderr."""
    import folder_paths

    folder = Path(folder_paths.get_input_directory()).parent
    monkeypatch.setattr("devtools.executor.set_directories", lambda *folders: None)
    monkeypatch.setattr("tempfile.TemporaryDirectory", lambda: contextlib.nullcontext(folder))
    monkeypatch.setattr(subjects, "sprite_archive", bytes)
    monkeypatch.setattr(quality_scenes, "draw_scene", functools.partial(draw_scene, kinds=("solid",)))

    def run(workflow: dict, *arguments: str):
        file = tmp_path / "mine.json"
        file.write_text(json.dumps(workflow))
        out = tmp_path / ("there" if arguments else "here")
        status = quality.main(["--workflow", str(file), "--scenes", "8", "--quick", "--out", str(out), *arguments])
        printed = capsys.readouterr()
        return status, printed.out.strip().splitlines()[-1:], printed.err

    return run


def short() -> dict:
    workflow = json.loads(WORKFLOW.read_text())
    next(node for node in workflow.values() if node["class_type"] == "PhDHarmonizeSampler")["inputs"]["steps"] = 2
    return workflow


def test_images_from_a_server_score_like_those_of_the_headless_executor(scored, server):
    found = []
    for where in ((), ("--server", server.address)):
        status, (line,), _ = scored(short(), *where)
        assert status == 0
        found.append(json.loads(line)["own_color"]["workflow"]["fmse"])
    # The server's image has gone through eight bits.
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_a_workflow_that_the_server_rejects_is_reported(scored, server):
    workflow = short()
    workflow["12"]["class_type"] = "NoSuchNode"
    status, _, message = scored(workflow, "--server", server.address)
    assert status == 2 and "the server has no node NoSuchNode" in message
    failing = short()
    failing["11"]["inputs"]["subject_only"] = True
    del failing["11"]["inputs"]["subject_matte"]
    status, _, message = scored(failing, "--server", server.address)
    assert (
        status == 2
        and "--workflow: node 11 (PhDHarmonizeSampler): subject_only changes nothing but the subject" in message
    )


def test_a_server_that_does_not_answer_is_reported(scored):
    status, _, message = scored(short(), "--server", "http://127.0.0.1:9")
    assert status == 2 and "--server: 127.0.0.1:9 does not respond" in message
