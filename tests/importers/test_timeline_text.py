"""An imported timeline as a file: every text comes back as the text that it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from render.config.timeline_file import document_of
from render.importers.imported import Imported
from render.importers.timeline_text import timeline_text

TEXTS = ["1e5", "-.5E-3", "1_000", "1.", "+7", "null", "yes", "- a", "a: b", "a # b", "${oc.env:X}"]


@pytest.mark.parametrize(
    "text", [*TEXTS, "'", '"', "\\", "{a: 1}", "&a *b !!c", "ü 中 👩‍🎨", "36f", "~"]
)
def test_a_text_stays_one(text: str) -> None:
    film = Imported([{"at": 0, "prompt": text}], lost=["a\nb"], lost_at={0: ["c\r# d"]})
    written = timeline_text(film, "name", "file\nkeyframes: []", "render")
    content = document_of(written, Path("x.yaml")).content
    assert content["keyframes"][0]["prompt"] == text
    assert set(content) == {"name", "keyframes"}
