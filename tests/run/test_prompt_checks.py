"""A plan's warnings about texts, guidance and revisions that do not do what their writer thinks."""

import shutil

import pytest
from films import composed, edit, write_model

from render.errors import ConfigError
from render.models.prompt_weights import pieces, plain, weighted_part
from render.run.resolve import open_film

pytestmark = pytest.mark.filterwarnings("ignore:`FluxPosEmbed`:FutureWarning")  # by Chroma

COMMIT = "a" * 40


@pytest.fixture
def film(tmp_path):
    """Opens a film on a declared model, with changes by dotted path."""
    model = write_model(tmp_path / "model")
    return lambda changes: open_film(composed(model, tmp_path, changes), "", str)


def refused(open_it):
    with pytest.raises(ConfigError) as lines_found:
        open_it()
    return str(lines_found.value).splitlines()


# --- weights inside texts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a town with (a castle:1.3) by night", "(a castle:1.3)"),
        ("((red:1.1) roofs:0.8)", "(red:1.1)"),
        ("a (castle: 2 )", "(castle: 2 )"),
        ("(fog:-.5)", "(fog:-.5)"),
        ("(in 1900:1.2)", "(in 1900:1.2)"),
        ("a town (at 10:30), (16:9), (red:1)", "(red:1)"),
    ],
)
def test_words_with_a_weight_are_found(text, part):
    assert weighted_part(text) == part


@pytest.mark.parametrize(
    "text",
    [
        "a castle (with a tower) by night",
        "a clock (at 10:30)",
        "wide (16:9)",
        "(John 3:16)",
        "a note: (castle) 1.3",
        "(castle: big)",
        "((a castle))",
        "[a castle]",
        r"\(a castle:1.3)",
        "(" * 20_000 + ":" * 20_000,
    ],
)
def test_brackets_in_prose_are_no_weights(text):
    assert weighted_part(text) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a (castle: 1.3) and (fog:.5)", (("a ", 1), ("castle", 1.3), (" and ", 1), ("fog", 0.5))),
        ("(red:1)(green:2)", (("red", 1), ("green", 2))),
        ("a castle (at 10:30)", (("a castle (at 10:30)", 1),)),
    ],
)
def test_a_text_is_read_in_pieces(text, read):
    assert pieces(text) == read
    assert plain(text) == "".join(words for words, _ in read)


def test_a_weight_is_refused_with_its_keyframe_where_the_model_is_given_none(film):
    changes = {
        "timeline.keyframes.1.prompt": "a (castle:1.3)",
        "timeline.keyframes.2.negative": "(fog:0.5)",
        "sampling.negative": "(blurry:2)",
        "model.clip_skip": 1,
    }
    lines = refused(lambda: film(changes))
    places = ["sampling.negative", "timeline.keyframes.1.prompt", "timeline.keyframes.2.negative"]
    assert [line.partition(": ")[0] for line in lines] == places
    assert all("is a weight inside a text" in line for line in lines)
    assert "'(castle:1.3)'" in lines[1]
    del changes["model.clip_skip"]
    assert film(changes)


def test_other_families_are_given_no_weights(family_folder, tmp_path):
    written = composed(family_folder("pixart"), tmp_path, {"timeline.keyframes.1.prompt": "(a:2)"})
    (line,) = refused(lambda: open_film(written, "", str))
    assert "only Stable Diffusion 1, 2 and XL" in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("((red:1.1) roofs:0.8)", "inside of weights"),
        ("(fog:-0.5)", "from 0 to 10"),
        ("(fog:11)", "from 0 to 10"),
    ],
)
def test_weights_that_mean_nothing_are_refused(film, text, said):
    (line,) = refused(lambda: film({"timeline.keyframes.1.prompt": text}))
    assert line.startswith("timeline.keyframes.1.prompt: ")
    assert said in line


def test_who_reads_weights_is_in_the_identity_of_their_frames_only(film, monkeypatch):
    def digests():
        frames = film({"timeline.keyframes.1.prompt": "a (castle:1.3)"}).plan.frames
        return [frame.digest for frame in frames]

    before = digests()
    monkeypatch.setattr("render.plan.digest.reader_name", lambda: "another")
    changed = [old != new for old, new in zip(before, digests(), strict=True)]
    assert changed == [False] + [True] * 23 + [False]


# --- negatives, revisions ------------------------------------------------------------------------


def about(film, word):
    return [line for line in film.plan.warnings if word in line]


@pytest.mark.parametrize(
    ("changes", "times"),
    [
        ({"sampling.negative": "fog", "sampling.guidance": 1.0}, "0, 1, 2 s"),
        ({"timeline.keyframes.1.negative": "fog", "timeline.keyframes.1.guidance": 0.5}, "1 s"),
        ({"sampling.negative": "fog"}, None),
        ({"sampling.guidance": 1.0}, None),
    ],
)
def test_negatives_that_guidance_switches_off_are_reported_once(film, changes, times):
    lines_found = about(film(changes), "negatives do nothing")
    assert len(lines_found) == (times is not None)
    assert all(f"at {times}" in line for line in lines_found)


@pytest.mark.parametrize(("revision", "lines"), [("main", 1), (None, 1), ("v1", 1), (COMMIT, 0)])
def test_a_revision_that_may_move_is_reported(tmp_path, monkeypatch, revision, lines):
    monkeypatch.setattr("render.models.resolve.resolve_commit", lambda repository, revision: COMMIT)
    changes = {"model.path": None, "model.repository": "some/model", "model.revision": revision}
    changes |= {"model.family": "StableDiffusionPipeline", "model.width": 64, "model.height": 64}
    lines_found = about(open_film(composed(tmp_path, tmp_path, changes), "", str), "may move")
    assert len(lines_found) == lines
    assert all(f"model.revision={COMMIT}" in line for line in lines_found)


# --- models that would only fail when rendering --------------------------------------------------


@pytest.fixture
def family_copy(family_folder, tmp_path):
    return lambda name: shutil.copytree(family_folder(name), tmp_path / "model")


def test_a_qwen_model_with_guidance_as_an_input_is_refused(family_copy, tmp_path):
    folder = family_copy("qwen_image")
    assert open_film(composed(folder, tmp_path), "", str)
    edit(folder / "transformer" / "config.json", guidance_embeds=True)
    (line,) = refused(lambda: open_film(composed(folder, tmp_path), "", str))
    assert "transformer/config.json: guidance_embeds: a Qwen-Image model" in line


@pytest.mark.parametrize("there", [True, False])
def test_a_tokenizer_that_wants_torchvision_is_refused_without_it(
    family_copy, tmp_path, monkeypatch, there
):
    folder = family_copy("flux2")
    monkeypatch.setattr("render.models.safety.find_spec", lambda name: object() if there else None)
    edit(folder / "model_index.json", tokenizer=["transformers", "PixtralProcessor"])
    if there:
        assert open_film(composed(folder, tmp_path), "", str)
    else:
        (line,) = refused(lambda: open_film(composed(folder, tmp_path), "", str))
        assert "component 'tokenizer' is a PixtralProcessor, which needs torchvision" in line
