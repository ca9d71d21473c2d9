"""Any timeline file and any command line: a plan, or exit code 2 and lines that say what is wrong
and where. Never a traceback, another code, or a file written where none belongs."""

import json
import re
import string
import sys
from pathlib import Path

import pytest
import yaml
from command_line import Place
from films import write_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import outcome
from stand_in import Faults, without_a_model

CASES = sorted(Path(__file__).with_name("cases").iterdir())
A_MISTAKE = re.compile(r"render: \S.*?: \S.*")  # where: what
SLOW = pytest.mark.slow
MOST_FRAMES = 40  # that are rendered; a timeline may ask for millions


def often(examples: int):
    """So many examples, the same ones every time."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


numbers = st.one_of(
    st.integers(-3, 12),
    st.floats(-1, 12),
    st.sampled_from([0.1, 1e-9, 1e9, 1e308, 10**25, 2**63, float("inf"), float("nan"), -0.0]),
)
words = st.one_of(
    st.text(max_size=12),
    st.text(string.printable, max_size=12),
    st.sampled_from(
        ["", " ", "no", "~", "36f", "1.5f", "-1f", "1e9f", "1:30", "0x10", "١٢", "1_000", "linear",
         "hold", "${oc.env:HOME}", "${", "\\${x}", "a: b", "- a", "#", "%s {x}", "\ue000{a}",
         "\u2028", "\ufeff", "\x85", "e\u0301", "𝔘𝔫𝔦", "👩\u200d👧", "‮right"]
    ),
)  # fmt: skip
values = st.recursive(
    st.one_of(numbers, words, st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)
prompts = st.one_of(words, st.dictionaries(words, numbers, max_size=3))
seeds = st.one_of(st.integers(-1, 5), st.dictionaries(st.integers(0, 9), numbers, max_size=3))
FIELDS = {
    "at": numbers | words,
    "prompt": prompts,
    "seed": seeds,
    "guidance": numbers,
    "negative": words,
    "ease": st.sampled_from(["linear", "smooth", "in", "hold"]) | st.lists(numbers, max_size=5),
}


@st.composite
def keyframes(draw):
    """A list of keyframes in order, and in a few places something else than what belongs there."""
    at, listed = 0, []
    for place in range(draw(st.integers(1, 4))):
        asked = draw(st.sets(st.sampled_from(sorted(FIELDS))))
        frame = {name: draw(FIELDS[name]) for name in sorted(asked)}
        if draw(st.integers(0, 7)):
            frame["at"] = at
        if place == 0:
            frame.setdefault("prompt", draw(words))
        if not draw(st.integers(0, 9)):
            frame[draw(words)] = draw(values)
        at += draw(st.integers(0, 8)) / 4
        listed.append(frame)
    return listed


@st.composite
def timelines(draw):
    """The text of a timeline file that is almost right."""
    whole = {"keyframes": draw(keyframes())}
    if not draw(st.integers(0, 5)):
        whole["keyframes"] = draw(values)
    for name in draw(st.sets(st.sampled_from(["loop", "duration", "name", "extra"]))):
        whole[name] = draw(values if name == "extra" else st.booleans() | numbers | words)
    style = draw(st.sampled_from([True, False, None]))
    text = yaml.safe_dump(whole, default_flow_style=style, allow_unicode=draw(st.booleans()))
    if not draw(st.integers(0, 4)):
        cut = draw(st.integers(0, len(text)))
        text = text[:cut] + draw(words) + text[cut + draw(st.integers(0, 2)) :]
    return text.encode("utf-8", "surrogatepass")


pieces = st.one_of(
    words,
    st.sampled_from(
        ["keyframes:", "\n", "\n  - ", "{at: 0, prompt: a}", "[", "]", "{", "}", ",", ": ", "&a ",
         "*a", "!!x ", "|\n", ">\n  ", "? ", "---\n", "...\n", "'", '"', "\t", "%TAG ! x\n", "<<: "]
    ),
)  # fmt: skip
anything = st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=12).map("".join).map(
    lambda text: text.encode("utf-8", "surrogatepass")
))  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("read")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_a_fuzzer_found_stays_mended(folder, case):
    outcome(folder, case.read_bytes())


@often(200)
@given(content=timelines() | anything)
def test_any_timeline_is_read_or_refused(folder, content):
    outcome(folder, content)


@SLOW
@often(20_000)
@given(content=timelines() | anything)
def test_very_many_timelines_are_read_or_refused(folder, content):
    outcome(folder, content)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to call `render` in, in this process, without torch."""
    around = tmp_path_factory.mktemp("around")
    place = Place(around / "here", write_model(around / "model"))
    place.timeline("film", [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}])
    return place


def answers(place, *arguments):
    """Call `render`; it plans or ends with 2 and says what and where, and that is all it does."""
    before = outside(place)
    ended = place.render("mode=plan", *arguments)
    assert "Traceback" not in ended.out + ended.err
    assert "bug in render" not in ended.err
    assert ended.code in (0, 2), ended.err
    if ended.code == 2:
        assert ended.err
        for line in ended.err.splitlines():
            assert A_MISTAKE.fullmatch(line), line
    assert outside(place) == before
    return ended


def outside(place) -> list[Path]:
    """Everything around but a run's own files."""
    around = place.folder.parent
    return sorted(p for p in around.rglob("*") if place.folder / "outputs" not in (p, *p.parents))


@often(12)
@given(content=timelines() | anything)
def test_a_plan_of_any_timeline_answers(place, content):
    place.timeline("any", "").write_bytes(content)
    answers(place, "+timeline=any")


@pytest.fixture(scope="module")
def painting(place):
    """The same folder with the stand-in for the denoiser, in this process too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "render.engines.open_model", without_a_model(Faults(blocks=8)))
        yield place


def renders(place, content) -> None:
    """A timeline that can be planned is rendered: every frame, and nothing is left behind."""
    place.timeline("any", "").write_bytes(content)
    small = ("name=any", "output=frames", "output.fps=2", "output.width=64", "output.height=64")
    if answers(place, "+timeline=any", *small).code == 2:
        return
    frames = json.loads((place.folder / "outputs" / "any" / "plan.json").read_text())["frames"]
    if not isinstance(frames, list) or len(frames) > MOST_FRAMES:
        return
    ended = place.render("+timeline=any", *small)
    assert ended.code == 0, ended.err
    assert sum(place.counts("any")) == len(frames) == len(place.pictures("any"))
    assert place.temps() == []


@often(12)
@given(content=timelines())
def test_a_timeline_that_can_be_planned_is_rendered(painting, content):
    renders(painting, content)


@SLOW
@often(500)
@given(content=timelines())
def test_very_many_timelines_that_can_be_planned_are_rendered(painting, content):
    renders(painting, content)


KEYS = [
    "timeline.keyframes.0.at", "timeline.keyframes.1.prompt", "timeline.keyframes.0.seed",
    "timeline.keyframes", "timeline.loop", "timeline.duration", "timeline", "timeline.name",
    "name", "shard", "model", "model.path", "model.steps", "model.family", "model.width",
    "model.dtype", "scheduler", "scheduler.steps", "scheduler.class", "scheduler.beta_start",
    "sampling.guidance", "sampling.blend", "sampling.negative", "sampling.seed", "sampling",
    "output", "output.fps", "output.format", "output.width", "output.quality", "output.audio",
    "compute", "compute.batch", "compute.device", "compute.dtype", "+new", "~sampling.seed",
    "~timeline", "++a.b.c", "package",
]  # fmt: skip
RIGHT = [
    "1", "2", "0/2", "1/1", "64", "30000/1001", "24", "0.5", "euler", "lms", "gif", "mp4", "cpu",
    "noise", "embedding", "auto", "float32", "null", "true", "{a: 1}", "[1,2]", "a,b", "'x y'",
    "city", "film", "storybook", "local", "[{at: 0, prompt: a}]", "${name}", "${sampling.seed}",
    "${oc.env:HOME}", "${package:x}", "${", "???", "range(1,3)", "glob(*)", "2026-01-01", "1e400",
    "nan", "-inf", "\\", "\\,", "../x", "/", ".", "\x00", "\n",
]  # fmt: skip


@st.composite
def overrides(draw):
    """One argument of the command line."""
    if not draw(st.integers(0, 9)):
        return draw(words)
    key = draw(st.sampled_from(KEYS) | words) if draw(st.integers(0, 4)) == 0 else draw(
        st.sampled_from(KEYS)
    )  # fmt: skip
    value = draw(st.sampled_from(RIGHT) | words)
    return f"{key}={value}"


def allowed(argument: str) -> bool:
    """Not the few keys that are orders to do something else, or elsewhere."""
    key = argument.partition("=")[0].strip().lstrip("+~")
    return not key.startswith(("mode", "root", "hydra", "-", '"mode', "'mode"))


lines = st.lists(overrides().filter(allowed), min_size=1, max_size=3)


@often(25)
@given(arguments=lines)
def test_any_command_line_answers(place, arguments):
    answers(place, "+timeline=film", *arguments)


@SLOW
@often(1500)
@given(arguments=lines)
def test_very_many_command_lines_answer(place, arguments):
    answers(place, "+timeline=film", *arguments)


def test_an_argument_of_many_lines_is_reported_on_one(place):
    """Found by the slow form."""
    ended = answers(place, "+timeline=film", "zJf{\r>=cX]tPND9!q\x0ct")
    assert ended.code == 2
