"""`bench kit` on a real ComfyUI, with the demo model in the place of one of the user's."""

import dataclasses
import functools
import json

import pytest

from benchmarks.kit import cases, families, run, similarity
from relit_scenes import subjects
from relit_scenes.draw import draw_scene

pytestmark = pytest.mark.e2e


def test_the_demo_template_runs_on_a_scene_and_gives_figures(pack, server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(subjects, "sprite_archive", bytes)
    monkeypatch.setattr(cases, "draw_scene", functools.partial(draw_scene, kinds=("solid",)))
    monkeypatch.setattr(families, "FAMILIES", [dataclasses.replace(one, side=64) for one in families.FAMILIES])
    monkeypatch.setattr(similarity, "KNOWN", {})
    arguments = ["--server", server.address, "--scenes", "1", "--photographs", "0", "--out", str(tmp_path)]
    assert run.main(arguments) == 0
    found = json.loads((tmp_path / "kit.json").read_text())
    demo = found["families"]["demo"]
    assert demo["n"] == 1 and demo["scenes"]["demo"]["fmse_vs_paste"] != 1 and demo["cases"][0]["stitch_identity"] > 0.5
    assert found["versions"]["comfyui"] and "127.0.0.1" not in json.dumps(found)
    # All of it is there already.
    capsys.readouterr()
    assert run.main(arguments) == 0 and "scene_00" not in capsys.readouterr().out
