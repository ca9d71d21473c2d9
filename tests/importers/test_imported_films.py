"""Imported timelines are films that the command takes, and each file has one importer."""

from pathlib import Path

import pytest
import test_animatediff
import test_deforum
import test_fizznodes
import test_parseq
import test_prompt_relay_import
import test_walk
from imported_files import BROKEN, source_of

from render.cli.importing import check
from render.importers.imported import IMPORTERS, imported, importer_of
from render.importers.timeline_text import setting

FADE = [
    {"deforum_prompt": test_parseq.fade(frame, 9), "scale": 7, "seed": 3 + frame / 9, "zoom": 2}
    for frame in range(10)
]
SAMPLES = {
    "deforum": test_deforum.settings(W=256, H=256, sampler="Euler", zoom="0: (1.1)"),
    "parseq": test_parseq.manifest(FADE),
    "fizznodes": test_fizznodes.workflow(),
    "animatediff": test_animatediff.config(prompt_map={"8": "a", "24": "b"}),
    "walk": test_walk.walk(),
    "prompt_relay": test_prompt_relay_import.relay(segment_lengths=[7, 12, 14]),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_is_a_film(kind):
    source = source_of(SAMPLES[kind])
    found = imported(source)[1]
    check(found, "film", source.path, [setting(*pair) for pair in found.settings.items()])


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_has_one_importer(kind):
    source = source_of(SAMPLES[kind])
    assert [name for name, each in IMPORTERS.items() if each.recognises(source)] == [kind]


@pytest.mark.parametrize("text", [*BROKEN, '{"prompts": [], "seeds": 1}', "a: b\nc: [d]\n"])
def test_other_files_have_none(text):
    assert importer_of(source_of(text)) is None


def test_a_file_that_names_others_is_only_read(tmp_path, monkeypatch):
    """Names of files in it are looked at, and no more: nothing is opened, nothing written."""
    monkeypatch.chdir(tmp_path)
    settings = test_deforum.settings(use_init=True, init_image="../x\0y", seed_schedule="0:(s)")
    found = imported(source_of(settings, "film.txt"))[1]
    assert "image" not in found.keyframes[0]
    assert list(Path(tmp_path).iterdir()) == []
