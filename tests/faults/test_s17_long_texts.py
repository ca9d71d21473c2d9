"""S17: texts that look, to whoever searches them for weights and for spellings of other tools, as
if they could be divided in endlessly many ways: a plan takes time by their length alone."""

import pytest

LENGTH = 24_000  # characters each
SECONDS = 8.0  # of a CPU; a plan of short texts takes about one
SMALL = ("output.fps=1", "output.width=64", "output.height=64", "mode=plan")
PARTS = {
    "blanks": [" ", "\n", ": ", " |", ("(a:", " "), ("[a:b:", " "), ("Steps:", " ")],
    "digits": ["1", ("::", "1", "a"), ("(a:", "1", "x"), ("[a:", "1."), "a:1.1."],
    "words": ["a", "a-", "a'", "a.", "/__a", "_", ("A", "a"), "a++", " AND "],
    "brackets": ["(", "[", "(a,", "{a|", ("[", ":"), ("[", "|"), ("{", "|"), ("(", "a:1"), "\\("],
    "marks": ["|", "::", "--", '"', "<lora:", "<a", ".swap(", "().and(", "embedding:"],
}


def text(part):
    """A part that is repeated, perhaps between a beginning and an end."""
    begin, repeated, *end = part if isinstance(part, tuple) else ("", part)
    return begin + repeated * (LENGTH // len(repeated)) + "".join(end)


@pytest.mark.parametrize("kind", PARTS)
def test_a_plan_takes_time_by_their_length_alone(calls, kind):
    calls.site.timeline("film", [{"at": k, "prompt": text(p)} for k, p in enumerate(PARTS[kind])])
    answer = calls("+timeline=film", *SMALL)
    assert answer.code == 0, answer.err
    assert answer.cpu < SECONDS


def test_so_does_one_with_many_weights(calls):
    weights = "(a:1.1)" * (LENGTH * 10 // 7)
    calls.site.timeline("film", [{"at": 0, "prompt": weights}])
    answer = calls("+timeline=film", *SMALL)
    assert answer.code == 0, answer.err
    assert answer.cpu < SECONDS
