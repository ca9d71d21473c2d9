"""A plan's warnings: other tools' spellings, words that were never learnt, odd sizes."""

import re

import pytest
from command_line import Place
from films import write_model

from render.models.other_tools import misread
from render.models.prompt_weights import has_weights
from render.models.word_list import known_words, unknown_words
from training.storybook.captions import words

STORYBOOK = "render/storybook/weights"
ODD = {
    "a castle <lora:paint:0.6>": ("<lora:paint:0.6>", "model.loras"),
    "a castle:1.3 by a lake": ("castle:1.3", "(castle:1.3)"),
    "a castle:2": ("castle:2", "(castle:1.3)"),
    "[castle:0]": ("[castle:0]", "(castle:1.3)"),
    "[castle] and a town": ("[castle]", "(castle:1.3)"),
    "[castle:town:0.5]": ("[castle:town:0.5]", "two keyframes"),
    "a [red|blue] castle": ("[red|blue]", "two texts with weights"),
    "an unclosed (castle:1.3": ("(castle:1.3", "not closed"),
    "(a:1.2) and (b:1.3": ("(b:1.3", "not closed"),
    "((castle))": ("((castle))", "(castle:1.3)"),
    "a castle++ by a lake": ("castle++", "(castle:1.3)"),
    "(red castle)1.3": ("(red castle)1.3", "(castle:1.3)"),
    "a castle BREAK a town": ("BREAK", "long_prompts"),
    "a castle AND a town": ("AND", "weights"),
    "{red|blue} castle": ("{red|blue}", "at random"),
    "__colour__ castle": ("__colour__", "at random"),
    "a castle embedding:cat": ("embedding:cat", "model.embeddings"),
    "a castle --ar 16:9": ("--ar 16:9", "output.width"),
    "<hypernet:x:1>": ("<hypernet:x:1>", "leave it out"),
    "a castle <LORA:paint:1>": ("<LORA:paint:1>", "model.loras"),
    "a castle EMBEDDING:cat": ("EMBEDDING:cat", "model.embeddings"),
    "a {{red}} castle": ("{{red}}", "(castle:1.3)"),
    "a castle Negative prompt: fog Steps: 20, Sampler: Euler a": (
        "Negative prompt:",
        "sampling.negative",
    ),
    '("a castle", "a town").blend(1, 1)': (
        '("a castle", "a town").blend(1, 1)',
        "by their weights",
    ),
    '("fog","snow").and()': ('("fog","snow").and()', "by their weights"),
    'a "cat".swap("dog") asleep': ('"cat".swap("dog")', "two keyframes"),
    "a cat.swap(dog, s_start=0.3)": ("cat.swap(dog, s_start=0.3)", "two keyframes"),
    "a castle | a town": ("castle | a", "two keyframes"),
    "castle|town": ("castle|town", "by their weights"),
    "[castle|town]": ("[castle|town]", "two texts with weights"),
    "(castle,1.3) by a lake": ("(castle,1.3)", "(castle:1.3)"),
    "(a red castle, .8)": ("(a red castle, .8)", "(castle:1.3)"),
    'a "red castle"++': ('"red castle"++', "(castle:1.3)"),
    "a castle ::2 at night": ("::2", "(castle:1.3)"),
    "a castle --neg fog": ("--neg fog", "sampling.negative"),
    "a castle --negative-prompt fog": ("--negative-prompt fog", "sampling.negative"),
    "a castle --aspect 3:2": ("--aspect 3:2", "output.width"),
    "a castle, CFG scale: 7": ("CFG scale: 7", "sampling.guidance"),
    r"saber \(fate\), a castle": (r"\(fate\)", "backslash"),
    r"a \(castle:1.2\) by night": (r"\(castle:1.2\)", "backslash"),
    r"a lone \( here": (r"\(", "backslash"),
    "a {castle} by a lake": ("{castle}", "(castle:1.3)"),
    "(castle:1,3) by a lake": ("(castle:1,3)", "a point"),
    "a castle —ar 16:9": ("—ar 16:9", "output.width"),
    "a castle <lora:paint:0.6": ("<lora:paint:0.6", "model.loras"),
    "a <cat> by a castle": ("<cat>", "model.embeddings"),
    "<segment:face> a castle": ("<segment:face>", "leave it out"),
    "/imagine prompt: a castle": ("/imagine prompt:", "leave it out"),
    "“a castle”": ("“a castle”", "letters of the text"),
    "„Ein Schloß“": ("„Ein Schloß“", "letters of the text"),
    "«un château»": ("«un château»", "letters of the text"),
    "a castle ADDCOL a town": ("ADDCOL", "whole picture"),
}
PLAIN = [
    "(castle:1.3) fine", "a town, by night (old)", "at 10:30", "John 3:16", "16:9", "a -- b", "C++",
    "A CASTLE AND A TOWN", "it's (at 10:30", "a well-known castle", "snow & ice; 50 %", "R&B: 4k",
    "Hand in hand", "a < b > c", "castle: old", "Steps: old and worn", "", "🏰",
    "(a town, 1999)", "(a castle, 3 towers)", "a castle --old and worn", 'a "red" castle', "no. 1",
    "a castle — old and worn", "5 < 6 > 4", "I <3 you", "a castle <- here -> there", "{}",
    "the “old” castle", "“Old” castle by a lake", "’tis a castle",
    "at 1,000 (a crowd: 1,000)", "and/or imagine", "a \\ b",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_a_spelling_of_another_tool_is_named_with_what_stands_for_it(text):
    part, advice = ODD[text]
    found = list(misread(text, weighted=True))
    assert [said for said, _ in found] == [part]
    assert advice in found[0][1]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_english_is_no_spelling_of_another_tool(text):
    assert list(misread(text, weighted=True)) == []


def test_a_word_that_was_learned_is_a_word():
    assert list(misread("a <cat> by a castle", weighted=True, learned=["<cat>"])) == []
    found = list(misread("a <cat> by a <dog>", weighted=True, learned=["<cat>"]))
    assert [said for said, _ in found] == ["<dog>"]


def test_a_model_without_weights_is_not_offered_any():
    assert "blend two texts" in next(misread("a castle:1.3", weighted=False))[1]
    assert all(has_weights(text) for text in ("(castle:1.3)", "a (castle:1.3) fine"))


def test_the_list_of_words_is_what_storybook_was_trained_on():
    from pathlib import Path

    known = known_words(Path(__file__).parent.parent.parent / STORYBOOK)
    assert known == set(words())
    assert unknown_words("A Castle's town, 4k 12 & dragon-like", known) == ["dragon", "like"]
    assert known_words(None) == frozenset()


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    around = tmp_path_factory.mktemp("around")
    place = Place(around / "here", write_model(around / "model"))
    place.timeline("plain", [{"at": 0, "prompt": "a castle"}, {"at": 1, "prompt": "a town"}])
    return place


def test_the_plan_warns_of_words_that_storybook_never_learnt(at):
    text = "keyframes:\n  - {at: 0, prompt: a castle}\n  - {at: 1, prompt: a dragon by a castel}\n"
    at.timeline("dragon", text)
    warned = at.call("dragon", "mode=plan")
    assert warned.code == 0
    assert re.search(
        r"warning +configs/timeline/dragon.yaml:3: storybook never learnt 'dragon', "
        r"'castel' \('castle'\?\) and reads past it; its words are in .*words.txt",
        warned.out,
    )
    negative = at.call("plain", "mode=plan", "sampling.negative=blurry")
    assert "sampling.negative: storybook never learnt 'blurry'" in negative.out
    assert "warning" not in at.call("plain", "mode=plan").out
    assert "never learnt" not in at.render("dragon", "mode=plan").out


@pytest.mark.parametrize("name", ["city", "city_seeds", "city_two", "everything", "seasons"])
def test_the_bundled_timelines_know_their_words(at, name):
    warned = at.call(name, "mode=plan")
    assert warned.code == 0
    assert "never learnt" not in warned.out
    assert "read as words" not in warned.out


def test_the_plan_warns_of_spellings_at_their_place_and_not_without_end(at):
    texts = [f"a castle:1.{n} <lora:x:1>" for n in range(9)]
    at.timeline("odd", [{"at": n, "prompt": text} for n, text in enumerate(texts)])
    warned = at.render("odd", "mode=plan")
    assert warned.code == 0
    assert re.search(r"warning +configs/timeline/odd.yaml:\d+: '<lora:x:1>' is read as", warned.out)
    assert "and more texts like these" in warned.out
    ended = at.render("plain", "mode=plan", "sampling.negative=<lora:x:1>")
    assert "sampling.negative: '<lora:x:1>' is read as words" in ended.out


@pytest.mark.parametrize(
    ("size", "warned"),
    [
        (["output.width=512"], "512 × 256 is far from storybook's own 256 × 256: it repeats"),
        (["output.width=512", "output.height=512"], "512 × 512 is far"),
        (["output.width=512", "output.height=128"], "512 × 128 is far"),
        (["output.width=128", "output.height=128"], "it paints worse"),
        (["output.width=320", "output.height=320"], ""),
        (["output.width=384"], ""),
        (["output.height=192"], ""),
        ([], ""),
    ],
)
def test_the_plan_warns_of_a_size_far_from_the_models_own(at, size, warned):
    ended = at.call("plain", "mode=plan", *size)
    assert ended.code == 0
    assert (warned in ended.out) if warned else "far from" not in ended.out
