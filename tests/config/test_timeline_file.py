"""Timeline files are data: what is more than that is refused with file and line, quickly."""

import tracemalloc

import pytest

from render.config.timeline_file import MAX_BYTES, MAX_DEPTH, read_document
from render.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    """Reads a text as a timeline file."""

    def reading(text):
        file = tmp_path / "film.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_document(file)

    return reading


@pytest.fixture
def refused(read):
    """The one line with which a text is refused, behind the file's name."""

    def refusing(text):
        with pytest.raises(ConfigError) as error:
            read(text)
        line = str(error.value)
        assert "\n" not in line
        return line.partition("film.yaml:")[2]

    return refusing


def test_a_document_and_its_lines(read):
    document = read("# a film\nkeyframes:\n  - at: 0\n    prompt: A castle\n  - {at: 1}\n")
    assert document.content == {"keyframes": [{"at": 0, "prompt": "A castle"}, {"at": 1}]}
    paths = ["keyframes", "keyframes.0.prompt", "keyframes.1.at", "keyframes.1.sede", "loop"]
    assert [document.line(path) for path in paths] == [2, 4, 5, 5, 1]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-01", "2024-01-01"),
        ("1:30", "1:30"),
        ("010", 10),
        ("0x10", "0x10"),
        ("1e3", 1000.0),
        (str(2**63 - 1), 2**63 - 1),
        ("9" * 5000, float("inf")),
        (".5", 0.5),
        ("-1", -1),
        ("36f", "36f"),
        ("no", False),
        ("On", True),
        ('"no"', "no"),
        ("~", None),
        ("", None),
        ("nothing", "nothing"),
        ("${oc.env:HOME}", "${oc.env:HOME}"),
        ("'${5}'", "${5}"),
        ("100% cotton, {x}", "100% cotton, {x}"),
    ],
)
def test_scalars_are_what_people_mean(read, written, meant):
    value = read(f"x: {written}\n").content["x"]
    assert (value, type(value)) == (meant, type(meant))


def test_infinities_are_numbers_so_that_they_are_refused_as_such(read):
    content = read("a: .inf\nb: -.INF\nc: .nan\n").content
    assert content["a"] == float("inf")
    assert content["b"] == float("-inf")
    assert content["c"] != content["c"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "tag"),
        ("a: !!set {x, y}\n", 1, "tag"),
        ("a: !mine x\n", 1, "tag"),
        ("a: &x [1]\nb: *x\n", 1, "anchors and aliases"),
        ("a: 1\nb: *x\n", 2, "anchors and aliases"),
        ("a: 1\n<<: {b: 2}\n", 2, "<<"),
        ("a: 1\nb: 2\na: 3\n", 3, "'a' stands twice"),
        ("keyframes:\n  - {at: 0, at: 1}\n", 2, "'at' stands twice"),
        ("a: 1\n? [x]\n: 2\n", 2, "a key is a text or a number"),
        ("a: 1\nb: {~: 2}\n", 2, "a key is a text or a number"),
        ("a:\n  b:\n    _target_: os.system\n", 3, "_target_"),
        ("keyframes:\n  - {at: 0, _target_: x}\n", 2, "_target_"),
        ("a: 1\ndefaults:\n  - base\n", 2, "defaults"),
        ("a: 1\nhydra:\n  job: {}\n", 2, "hydra"),
        ("# a film\n# @package _global_\na: 1\n", 2, "@package"),
        ("\ufeff#@package _global_\na: 1\n", 1, "@package"),
        ("- 1\n- 2\n", 1, "mapping"),
        ("", 1, "mapping"),
        ("just text", 1, "mapping"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "broken YAML"),
        ("a: 1\n\tb: 2\n", 2, "broken YAML"),
        ("a: {b: A castle: red}\n", 1, "a colon or # in it needs quotes"),
        ("a: {b: A town # old}\n", 2, "a colon or # in it needs quotes"),
        ("a: 1\n---\nb: 2\n", 2, "broken YAML: a second document begins here"),
        ("a:\n  - at: 0\n   b: x\n", 3, "the indentation of this line fits no line above"),
        ("a:\n  - at: 0\n    b: x\n     c: 3\n", 4, "indented further than the key above it"),
        ("a:\n-at: 0\n b: x\n", 3, "a `-` above has no space"),
        ("a:\n  -{at: 0, b: x}\n  -{at: 1, b: y}\n", 2, "a dash needs a space behind it"),
        ("a:\n  - {at:0, b: x}\n", 2, "a colon needs a space behind it: at: 0"),
        ("a:\n  - {at: 0, prompt:a castle}\n", 2, "a space behind it: prompt: a castle"),
        ("a:\n  - at: 0\n\tb: x\n", 3, "a tab stands where spaces belong; indent with spaces"),
        ("a: *castle*\n", 1, "a text that begins with * or & needs quotes"),
        ("a: & castle\n", 1, "a text that begins with * or & needs quotes"),
        ("a: 'the king's castle'\nb: 1\n", 1, "put the text in double quotes"),
        ("a:\n  - b: x\n\u00a0 - b: y: z\n", 3, "a non-breaking space"),
        ("a:\n  - b: x: y\n", 2, "broken YAML: a text with a colon"),
        ("a: {at: 0, guidance: 7,5}\n", 1, "a decimal point is a dot: 7.5"),
        ("prompt: A castle #1 by night\n", 1, "takes '#1 by night' for a comment"),
        ("a:\n  - prompt: é日 {x #2\n    at: 0\n", 2, "takes '#2' for a comment"),
        ("negative:   fog\t#fog\n", 1, "takes '#fog' for a comment"),
        ("a: 'open\n", 2, "broken YAML"),
        ("a: 1\nb: \x07\n", 1, "broken YAML"),
    ],
)
def test_what_is_no_plain_data_is_refused_with_its_line(refused, text, line, said):
    where, _, what = refused(text).partition(": ")
    assert where == str(line)
    assert said in what


@pytest.mark.parametrize(
    "text",
    [
        "prompt: x # by night\n",
        'prompt: "x" #1\n',
        "prompt: x\n#1\nat: 0 #1\n",
        "prompt: x#1\n",
        "prompt: x ## old\n",
        "keyframes: [{prompt: x}] #1\n",
    ],
)
def test_comments_are_comments(read, text):
    assert read(text)


def test_the_other_groups_keys_are_only_refused_at_the_top(read):
    assert read("prompts: {hydra: 1, defaults: 2}\n").content["prompts"] == {
        "hydra": 1,
        "defaults": 2,
    }


def test_what_is_no_utf_8_is_refused_with_its_line(refused):
    assert refused("a: 1\nb: é\n".encode("latin-1")) == "2: is not UTF-8 text"
    assert "UTF-8" in refused("a: 1\n".encode("utf-16"))


def test_nesting_is_refused_before_anything_is_built(refused):
    assert refused(f"a: {'[' * MAX_DEPTH}").startswith("1: nested more than")
    assert refused(f"a: {'[' * 10_000}").startswith("1: nested more than")
    assert refused("".join(f"{' ' * d}a:\n" for d in range(1000))).startswith("21: nested")


def test_an_alias_bomb_is_refused(refused):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert refused("\n".join(rows)).startswith("1: anchors and aliases")


def test_a_big_file_is_not_even_read(tmp_path):
    file = tmp_path / "film.yaml"
    with file.open("wb") as stream:
        stream.truncate(50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=rf"at most {MAX_BYTES:,}"):
            read_document(file)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_what_can_not_be_read_is_reported(tmp_path, kind):
    file = tmp_path / "film.yaml"
    if kind == "folder":
        file.mkdir()
    with pytest.raises(ConfigError, match=r"film\.yaml:1: can't be read"):
        read_document(file)
