"""S2: YAML that is more, larger or other than a timeline is refused quickly, with its line."""

import pytest
from outside import tree

MEGABYTES = 200
SECONDS = 1.0  # of CPU more than for a config that is simply wrong


def film(extra="", first="{at: 0, prompt: a}"):
    """A timeline whose second line is in question."""
    return f"keyframes:\n  - {first}\n{extra}"


def aliases(rows):
    """The bomb: every row is nine of the row before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, rows)]
    return "\n".join(lines)


CASES = {
    "a tag that calls": (film("x: !!python/object/apply:os.system [touch pwned]\n"), 3, "tag"),
    "a tag that makes": (film("x: !!python/object/new:os.mkdir [pwned]\n"), 3, "tag"),
    "a tag of a name": (film(first="{at: 0, prompt: !!python/name:os.system }"), 2, "tag"),
    "a tag of a module": (film("x: !!python/module:os\n"), 3, "tag"),
    "a tag of bytes": (film(first="{at: 0, prompt: !!binary aGk=}"), 2, "tag"),
    "a tag of its own": (film(first="{at: 0, prompt: !mine a}"), 2, "tag"),
    "an alias bomb": (aliases(12), 1, "anchors and aliases"),
    "a small alias bomb": (aliases(5), 1, "anchors and aliases"),
    "a merge bomb": ("a: &a {b: 1}\nc: {<<: [*a, *a]}\n", 1, "anchors and aliases"),
    "a merge": (film("<<: {loop: true}\n"), 3, "<<"),
    "an anchor to itself": ("a: &a [*a]\n", 1, "anchors and aliases"),
    "50 MB": (b"#" * 50_000_000, 1, "a timeline has at most 1,000,000"),
    "50 MB of zeros": (b"\0" * 50_000_000, 1, "a timeline has at most 1,000,000"),
    "a depth of 10,000": (f"keyframes: {'[' * 10_000}", 1, "nested more than 20 deep"),
    "a closed depth": (f"a: {'[' * 10_000}{']' * 10_000}", 1, "nested more than 20 deep"),
    "a depth of mappings": (f"a: {'{a: ' * 10_000}", 1, "nested more than 20 deep"),
    "a depth of lines": ("".join(f"{' ' * d}a:\n" for d in range(1300)), 21, "nested more than"),
    "a depth of dashes": ("- " * 10_000, 1, "nested more than 20 deep"),
    "a line of a megabyte": ("a" * 999_999, 1, "mapping"),
    "a megabyte of empty lines": ("\n" * 999_000 + "- a\n", 1, "mapping"),
    "a megabyte of blanks and marks": (" \n#\n" * 240_000 + "- a\n", 1, "mapping"),
    "a number of a megabyte": (film(first=f"{{at: {'9' * 900_000}, prompt: a}}"), 2, "not a time"),
    "a megabyte of text in every frame": (
        f"keyframes:\n- {{at: 0, prompt: {'a' * 900_000}}}\n- {{at: 300}}\n",
        1,
        "shorten the texts",
    ),
    "2,000 seeds in every frame": (
        "keyframes:\n- at: 0\n  prompt: a\n  seed:\n"
        + "".join(f"    {n}: 1\n" for n in range(2_000))
        + "- at: 30000\n",
        1,
        "or the film",
    ),
    "10⁹ frames": (film("  - {at: 1000000000, prompt: b}\n"), 1, "more than 1,000,000 frames"),
    "10⁹ frames long": (film("duration: 1e9\n"), 3, "more than 1,000,000 frames"),
    "10⁹ frames as frames": (film('  - {at: "1000000000f"}\n'), 1, "more than 1,000,000 frames"),
    "a time of 10⁹⁹": (film("duration: 1e99\n"), 3, "more than 1,000,000 frames"),
    "a time of 10⁹⁹⁹": (film("duration: 1e999\n"), 3, "not a time"),
    "a time that is nan": (film(first="{at: .nan, prompt: a}"), 2, "not a time"),
    "a time that is inf": (film("duration: .inf\n"), 3, "not a time"),
    "a negative time": (film(first="{at: -1, prompt: a}"), 2, "negative"),
    "a weight that is nan": (film(first="{at: 0, prompt: {a: .nan}}"), 2, "not a finite number"),
    "a weight that is inf": (film(first="{at: 0, prompt: {a: .inf}}"), 2, "not a finite number"),
    "a negative weight": (film(first="{at: 0, prompt: {a: -1, b: 2}}"), 2, "not negative"),
    "guidance that is nan": (film(first="{at: 0, prompt: a, guidance: .nan}"), 2, "finite number"),
    "guidance that is inf": (film(first="{at: 0, prompt: a, guidance: -.inf}"), 2, "finite number"),
    "negative guidance": (film(first="{at: 0, prompt: a, guidance: -1}"), 2, "not between 0"),
    "a seed that is nan": (film(first="{at: 0, prompt: a, seed: .nan}"), 2, "whole number"),
    "a negative seed": (film(first="{at: 0, prompt: a, seed: -1}"), 2, "not between 0"),
    "a seed beyond 64 bits": (film(first=f"{{at: 0, prompt: a, seed: {2**64}}}"), 2, "not between"),
    "an easing that is nan": (film(first="{at: 0, prompt: a, ease: [.nan, 0, 1, 1]}"), 2, "finite"),
    "a key twice": (film("loop: false\nloop: true\n"), 4, "'loop' stands twice"),
    "a keyframe's key twice": (film(first="{at: 0, at: 0, prompt: a}"), 2, "'at' stands twice"),
    "a prompt twice": (film(first="{at: 0, prompt: {a: 1, a: 2}}"), 2, "'a' stands twice"),
    "a prompt that is no": (film(first="{at: 0, prompt: no}"), 2, "put it in quotes"),
    "a prompt that is on": (film(first="{at: 0, prompt: On}"), 2, "put it in quotes"),
    "a prompt that is 1:30": (
        film(first="{at: 1:30, prompt: a}"),
        2,
        "the first keyframe has to be at 0",
    ),
    "a prompt that is a number": (film(first="{at: 0, prompt: 7}"), 2, "put it in quotes"),
    "a negative that is no": (film(first="{at: 0, prompt: a, negative: no}"), 2, "in quotes"),
    "Latin-1": ("keyframes:\n  - {at: 0, prompt: Bär}\n".encode("latin-1"), 2, "not UTF-8"),
    "UTF-16": ("keyframes:\n".encode("utf-16"), 1, "not UTF-8"),
    "half of a letter": (b"keyframes:\n  - {at: 0, prompt: \xc3}\n", 2, "not UTF-8"),
    "half of a pair": (film(first='{at: 0, prompt: "\\ud800"}'), 2, ""),
    "NUL": (b"keyframes:\n  - {at: 0, prompt: a\0}\n", 1, "broken YAML"),
    "two documents": (film("---\na: 1\n"), 3, "broken YAML"),
    "no end": (film(first="{at: 0, prompt: 'a"), 3, "broken YAML"),
    "no mapping": ("- 1\n", 1, "mapping"),
    "nothing": ("", 1, "mapping"),
}


@pytest.fixture(scope="module")
def harmless(calls):
    """The cost of a config that is simply wrong."""
    calls.site.timeline("bad", film("sede: 1\n"))
    answer = calls("+timeline=bad")
    assert answer.err.startswith("render: configs/timeline/bad.yaml:3: unknown key")
    return answer


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_timeline_is_refused_quickly_and_with_its_line(calls, harmless, case):
    content, line, said = CASES[case]
    calls.site.timeline("bad", content)
    before = tree(calls.site.here)
    answer = calls("+timeline=bad")
    assert answer.code == 2, answer.err
    assert f"render: configs/timeline/bad.yaml:{line}: " in answer.err
    assert said in answer.err
    assert "bug" not in answer.err
    assert len(answer.err) < 2000
    assert answer.cpu < harmless.cpu + SECONDS
    assert answer.megabytes < MEGABYTES
    assert not answer.modules
    assert tree(calls.site.here) == before


def test_a_thousand_mistakes_are_reported_as_quickly_as_one(calls, harmless):
    """Each with its line; the file is read once and not once a mistake."""
    calls.site.timeline("bad", "keyframes:\n" + "  - {at: 0, prompt: no}\n" * 1000)
    answer = calls("+timeline=bad")
    assert answer.code == 2
    assert [f"bad.yaml:{line}: " in answer.err for line in (2, 500, 1001)] == [True] * 3
    assert answer.cpu < harmless.cpu + 5 * SECONDS
    assert answer.megabytes < MEGABYTES
