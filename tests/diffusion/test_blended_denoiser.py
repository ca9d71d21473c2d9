"""The patched denoiser, on a denoiser small enough to compute by hand."""

import pytest
import torch

from render.diffusion.blended_denoiser import BlendedDenoiser, DenoiserPlan
from render.diffusion.call_layout import RowsPerCall
from render.diffusion.evaluations import Evaluations, combined
from render.diffusion.recording import recorded
from render.diffusion.text_conditionings import TextConditionings
from render.kernels.call_arguments import LISTED, row_axes, with_leaves
from render.models.families import STABLE_DIFFUSION
from render.models.guidance import beyond_the_prompt, classifier_free, length_kept
from render.plan.conditioning import RowText, frame_rows
from render.timeline.spec import FrameSpec

STATE = frozenset({"sample", "timestep"})
TEXTS = {"": 1.0, "a": 2.0, "b": 5.0, "c": -3.0}


class Toy(torch.nn.Module):
    """Predicts sample x 10 + its text's number; remembers how many rows each call had."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, sample, timestep, text, extras=None, return_dict=True):
        assert not return_dict
        self.calls.append(sample.shape[0])
        return (10 * sample + text.view(-1, 1) + extras["pooled"].view(-1, 1),)


def arguments(sample, number):
    """The arguments that a pipeline gives the toy for one or more rows of one text."""
    text = torch.full((len(sample), 1), number)
    return {"text": text, "extras": {"pooled": 0 * text, "fixed": torch.ones(3)}}


def run(toy, sample, number=0.0):
    return toy(sample, torch.tensor(5), **arguments(sample, number), return_dict=False)[0]


@pytest.fixture
def toy():
    return Toy()


def learned(toy):
    texts = TextConditionings(STATE)
    one = recorded(toy, lambda: run(toy, torch.zeros(1, 4)))
    two = recorded(toy, lambda: run(toy, torch.zeros(2, 4)))
    texts.learn_axes(one, two)
    for text, number in TEXTS.items():
        given = recorded(toy, lambda number=number: run(toy, torch.zeros(1, 4), number))
        texts.learn(RowText(text), given)
    return texts


def patched(toy, compute=None):
    return BlendedDenoiser(toy, learned(toy), DenoiserPlan(compute or toy.forward))


def of_size(rows):
    return RowsPerCall(rows, rows)


def frame(prompts, negatives=(("", 1.0),), guidance=4.0, blend="noise"):
    spec = FrameSpec(tuple(prompts), tuple(negatives), ((0, 1.0),), guidance)
    return frame_rows(spec, blend, STABLE_DIFFUSION)


FRAMES = [
    frame([("a", 1.0)]),
    frame([("a", 0.25), ("b", 0.75)]),
    frame([("a", 0.2), ("b", 0.3), ("c", 0.5)], guidance=7.5),
    frame([("b", 0.5), ("c", 0.5)], [("", 0.4), ("a", 0.6)], 2.0),
    frame([("b", 0.5), ("c", 0.5)], guidance=1.0),
    frame([("b", 1.0)], guidance=0.0),
]


def expected(of, sample):
    """u + g sum w_i (e_i - u) by hand."""

    def side(weights):
        numbers = [sum(w * TEXTS[text.text] for text, w in row) for row in of.rows]
        return sum(w * (10 * sample + n) for w, n in zip(weights, numbers, strict=True))

    conditional, unconditional = side(of.conditional), side(of.unconditional)
    if of.guidance <= 1:
        return conditional
    return unconditional + of.guidance * (conditional - unconditional)


@pytest.mark.parametrize("rows_per_call", [1, 2, 3, 5, 40, None])
def test_every_frame_gets_its_own_blend(toy, rows_per_call):
    denoiser = patched(toy)
    denoiser.prepare(FRAMES, of_size(rows_per_call))
    samples = torch.randn(len(FRAMES), 4, generator=torch.Generator().manual_seed(0))
    out = run(toy, samples)
    for of, sample, got in zip(FRAMES, samples, out, strict=True):
        torch.testing.assert_close(got, expected(of, sample), rtol=1e-5, atol=1e-4)


def test_calls_have_a_constant_number_of_rows(toy):
    denoiser = patched(toy)
    denoiser.prepare(FRAMES, of_size(4))
    run(toy, torch.zeros(len(FRAMES), 4))
    rows = sum(len(of.rows) for of in FRAMES)
    assert rows == 2 + 3 + 4 + 4 + 2 + 1  # guidance up to 1 is none
    assert toy.calls == [4, 4, 4, 4]
    assert (denoiser.rows, denoiser.padded_rows) == (rows, 0)
    denoiser.prepare(FRAMES[:1], of_size(4))
    run(toy, torch.zeros(1, 4))
    assert toy.calls[-1] == 4
    assert (denoiser.rows, denoiser.padded_rows) == (rows + 2, 2)


def test_a_frames_rows_can_be_a_call_of_their_own(toy):
    denoiser = patched(toy)
    denoiser.prepare(FRAMES)
    run(toy, torch.zeros(len(FRAMES), 4))
    assert toy.calls == [len(of.rows) for of in FRAMES]
    assert denoiser.padded_rows == 0


@pytest.mark.parametrize(("rows_per_call", "sizes"), [(None, [1] * 4), (3, [3, 3]), (1, [1] * 4)])
def test_first_rows_of_frames_that_begin_alike_are_computed_once(toy, rows_per_call, sizes):
    """Rows of no constant call are calls of their own: which are known must not change them."""
    denoiser, size = patched(toy), of_size(rows_per_call)
    frames = [FRAMES[1], FRAMES[2]]
    denoiser.prepare(frames, size, evaluations=Evaluations(begins=["one seed", "one seed"]))
    samples = torch.ones(2, 4)
    first = run(toy, samples)
    assert toy.calls == sizes
    run(toy, samples)
    assert denoiser.rows == 4 + 3 + 4
    denoiser.prepare(frames[:1], size, evaluations=Evaluations(begins=["one seed"]))
    assert torch.equal(run(toy, samples[:1]), first[:1])
    assert denoiser.rows == 4 + 3 + 4
    denoiser.prepare(frames[:1], size, evaluations=Evaluations(begins=["another seed"]))
    run(toy, samples[:1])
    assert denoiser.rows == 4 + 3 + 4 + 3


def test_recording_computes_nothing(toy):
    denoiser = patched(toy)
    assert toy.calls == []
    assert denoiser.rows == 0


def test_only_conditioning_that_follows_the_rows_is_kept(toy):
    denoiser = patched(toy)
    kept = set(denoiser.texts.known[RowText("a")])
    assert kept == {("text",), ("extras", "pooled")}


def test_embedding_blend_is_the_weighted_conditioning_in_two_rows(toy):
    denoiser = patched(toy)
    of = frame([("a", 0.25), ("b", 0.75)], [("", 0.5), ("c", 0.5)], blend="embedding")
    denoiser.prepare([of])
    sample = torch.ones(1, 4)
    u, c = 10 + (1 - 3) / 2, 10 + 0.25 * 2 + 0.75 * 5
    torch.testing.assert_close(run(toy, sample), torch.full((1, 4), u + 4 * (c - u)))
    assert denoiser.rows == 2


def test_predictions_meet_in_float32_and_leave_in_their_own_dtype(toy):
    toy_forward, seen = toy.forward, []
    denoiser = patched(toy, lambda **kw: (toy_forward(**kw)[0].half(),))
    denoiser.prepare([frame([("a", 1.0)])])
    combine = denoiser.combine
    denoiser.combine = lambda frames, rows: (
        seen.extend(row.dtype for row in rows.values()),
        combine(frames, rows),
    )[1]
    assert run(toy, torch.zeros(1, 4)).dtype == torch.float16
    assert set(seen) == {torch.float32}


def test_one_row_is_returned_bit_for_bit():
    row = torch.randn(4)
    assert combined(frame([("a", 1.0)], guidance=1.0), [row]) is row


def test_oldest_texts_are_forgotten_beyond_what_is_remembered(toy, monkeypatch):
    monkeypatch.setattr("render.diffusion.text_conditionings.REMEMBERED_TEXTS", 2)
    denoiser = patched(toy)
    assert RowText("") in denoiser.texts
    assert RowText("a") in denoiser.texts
    denoiser.prepare([frame([("a", 1.0)])])
    assert set(denoiser.texts.known) == {RowText(""), RowText("a")}
    assert RowText("b") not in denoiser.texts


def test_texts_of_the_frames_are_kept_however_many(toy, monkeypatch):
    monkeypatch.setattr("render.diffusion.text_conditionings.REMEMBERED_TEXTS", 1)
    denoiser = patched(toy)
    denoiser.prepare(FRAMES)
    assert set(denoiser.texts.known) == {RowText(text) for text in TEXTS}


def test_closing_gives_the_denoiser_its_forward_back(toy):
    patched(toy).close()
    assert "forward" not in vars(toy)
    assert run(toy, torch.zeros(2, 4), 3.0).tolist() == [[3.0] * 4] * 2


def test_a_pipeline_that_never_denoises_is_an_error(toy):
    with pytest.raises(RuntimeError, match="without calling its denoiser"):
        recorded(toy, lambda: None)


def test_replacement_in_a_nest():
    nest = {"a": torch.zeros(2), "b": [torch.ones(1), {"c": torch.ones(3)}], "d": None}
    replaced = with_leaves(nest, {("b", 1, "c"): torch.full((1,), 7.0)})
    assert replaced["b"][1]["c"].tolist() == [7.0]
    assert replaced["a"] is nest["a"]
    assert replaced["d"] is None


def test_what_follows_the_rows_is_found_by_comparing_and_not_by_length():
    row = torch.zeros(3, 2)
    one = {"x": torch.zeros(1, 2), "y": {"z": torch.zeros(3, 1)}, "fixed": [row], "list": [row]}
    two = {"x": torch.zeros(2, 2), "y": {"z": torch.zeros(3, 2)}, "fixed": [row], "list": [row] * 2}
    assert row_axes(one, two) == {("x",): 0, ("y", "z"): 1, ("list",): LISTED}


class Ragged(Toy):
    """Takes and gives lists; a text is as long as it likes, and its number is in every place."""

    def forward(self, sample, timestep, text, scale=None, return_dict=True):
        self.calls.append([len(part) for part in text])
        pairs = zip(sample, text, scale, strict=True)
        return ([10 * row + part.mean() + own for row, part, own in pairs],)


def run_ragged(toy, sample, text="", scale=0.0):
    texts = [torch.full((1 + len(text),), TEXTS.get(text[:1], 1.0))] * len(sample)
    scales = torch.full((len(sample),), scale)
    return toy(list(sample), torch.tensor(5), texts, scales, return_dict=False)[0]


def test_texts_of_different_lengths_never_share_a_call_and_lists_stay_lists():
    toy = Ragged()
    texts = TextConditionings(STATE | {"scale"})
    of_rows = [recorded(toy, lambda n=n: run_ragged(toy, torch.zeros(n, 4))) for n in (1, 2)]
    texts.learn_axes(*of_rows)
    for text in ("", "a", "bbb"):
        given = recorded(toy, lambda text=text: run_ragged(toy, torch.zeros(1, 4), text))
        texts.learn(RowText(text), given)
    denoiser = BlendedDenoiser(toy, texts, DenoiserPlan(toy.forward))
    frames = [frame([("a", 0.5), ("bbb", 0.5)], guidance=3.0), frame([("bbb", 1.0)], guidance=2.0)]
    denoiser.prepare(frames, of_size(2), {"scale": torch.tensor([100.0, 200.0])})
    out = run_ragged(toy, torch.zeros(2, 4))
    assert toy.calls == [[1, 1], [2, 2], [4, 4]]
    assert isinstance(out, list)
    assert [row[0].item() for row in out] == [100 + 1 + 3 * (3.5 - 1), 200 + 1 + 2 * (5 - 1)]


U, C = torch.tensor([3.0, 4.0]), torch.tensor([6.0, 8.0])


def test_guidance_of_the_families():
    assert classifier_free(U, C - U, 2.0).tolist() == [9.0, 12.0]
    assert beyond_the_prompt(U, C - U, 2.0).tolist() == [12.0, 16.0]
    torch.testing.assert_close(length_kept(U, C - U, 2.0), C)
    side = torch.tensor([0.0, 1.0])
    assert length_kept(side, C - side, 3.0).norm().item() == pytest.approx(10.0)


def test_the_familys_guidance_is_used(toy):
    of = frame([("b", 1.0)], guidance=4.0)
    u, c = [torch.tensor([TEXTS[row[0][0].text]]) for row in of.rows]
    assert combined(of, [u, c], beyond_the_prompt).item() == 1 + 5 * (5 - 1)
