"""What the documents link to is there: files, and the tests that show a promise."""

import re
from pathlib import Path

import pytest
import yaml

from render.control import FOLLOWING
from render.families import family_of

CHECKOUT = Path(__file__).resolve().parent.parent
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#:]+)\)")
NAMED_TEST = re.compile(r"`(test_\w+)`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_a_page_links_to_is_there(page):
    links = LINK.findall(page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_test_a_page_names_is_there():
    written = {
        name
        for file in (CHECKOUT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
    named = {name for page in PAGES for name in NAMED_TEST.findall(page.read_text())}
    assert len(named) >= 30
    assert named - written == set()


def table_of_families():
    """The table of docs/models.md: a model's config to what works in its family."""
    page = (CHECKOUT / "docs" / "models.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    start = next(place for place, row in enumerate(rows) if row[0] == "| family")
    table = {}
    for row in rows[start + 1 :]:
        models = re.findall(r"`(\w+)`", row[1]) if len(row) == 9 else []
        for model in models:
            table[model] = [row[2], *(cell.strip(" |") == "yes" for cell in row[3:])]
    return table


TABLE = table_of_families()


@pytest.mark.parametrize("model", TABLE)
def test_the_table_of_families_says_what_the_plan_refuses(model):
    written = yaml.safe_load((CHECKOUT / "configs" / "model" / f"{model}.yaml").read_text())
    index = {"_class_name": written["family"], "is_distilled": model == "flux2_klein"}
    family = family_of(index, {"guidance_embeds": model != "flux_schnell"})
    guidance = family.guidance
    assert TABLE[model] == [
        "noise, embedding" if family.lined_up else "noise",
        guidance.negatives,
        guidance.negatives or guidance.argument is not None,
        family.weighted is not None,
        family.from_image is not None,
        family.pipeline in FOLLOWING,
        family.loras,
    ]


def test_every_model_of_the_hub_is_in_the_table():
    configs = {path.stem for path in (CHECKOUT / "configs" / "model").glob("*.yaml")}
    assert set(TABLE) == configs - {"storybook", "local"}
