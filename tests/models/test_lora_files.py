"""LoRAs in the plan and from the command line: identity, weights over time, what is refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from films import composed, write_model
from pictures import same_pictures
from safetensors.numpy import save_file

from render.config.model_group import ModelConfig
from render.errors import ConfigError
from render.run.resolve import open_film

LAYER = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
KEYFRAMES = [
    {"at": 0, "prompt": "one", "seed": 1, "lora": {"paint": 0}},
    {"at": 1, "lora": {"paint": 0.8}},
    {"at": 2, "prompt": "one"},
    {"at": 3, "lora": {"paint": 0.2, "ink": -1}},
]
PLAIN = [{"at": 0, "prompt": "one"}]


def write_lora(file, layer=LAYER, width=32, value=1.0, metadata=None):
    down, up = np.full((2, width), value), np.full((16, 2), value)
    tensors = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
    save_file(tensors, file, metadata)
    return file


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp("models") / "tiny")
    config = {"sample_size": 8, "cross_attention_dim": 32}
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def loras(tmp_path):
    """Two LoRAs as a config names them; the second works nowhere but where a keyframe says so."""
    paint = write_lora(tmp_path / "paint.safetensors")
    ink = write_lora(tmp_path / "other.safetensors", value=2.0)
    return [{"path": str(paint)}, {"path": str(ink), "name": "ink", "weight": 0}]


@pytest.fixture
def film(model, tmp_path, loras):
    """The film of a config with these LoRAs and keyframes."""

    def of(written=loras, keyframes=KEYFRAMES, **changes):
        changes = {"model.loras": written, "timeline.keyframes": keyframes, **changes}
        return open_film(composed(model, tmp_path, {"output.fps": 2, **changes}), "", str)

    return of


def digests(film):
    return [frame.digest for frame in film.plan.frames]


def refusal(film, *arguments, **changes):
    with pytest.raises(ConfigError) as error:
        film(*arguments, **changes)
    assert error.value.exit_code == 2
    return str(error.value)


# --- weights over time ---------------------------------------------------------------------------


def test_weights_travel_between_keyframes_and_stay_where_one_says_nothing(film):
    shown = [dict(frame.spec.loras) for frame in film().plan.frames]
    assert shown == [
        {},
        {"paint": 0.4},
        {"paint": 0.8},
        {"paint": 0.8},
        {"paint": 0.8},
        {"paint": 0.5, "ink": -0.5},
        {"paint": 0.2, "ink": -1.0},
    ]


def test_an_easing_shapes_the_way_of_a_weight(film):
    held = [{**KEYFRAMES[0], "ease": "hold"}, *KEYFRAMES[1:]]
    assert [frame.spec.loras for frame in film(keyframes=held).plan.frames[:3]] == [
        (),
        (),
        (("paint", 0.8),),
    ]


def test_the_models_weight_holds_where_no_keyframe_says_another(film, loras):
    written = [{**loras[0], "weight": 0.3}, loras[1]]
    plain = [{"at": 0, "prompt": "one"}, {"at": 1, "prompt": "two"}]
    frames = film(written, plain).plan.frames
    assert {frame.spec.loras for frame in frames} == {(("paint", 0.3),)}
    assert {frame.spec.loras for frame in film(keyframes=plain).plan.frames} == {(("paint", 1.0),)}


# --- identity ------------------------------------------------------------------------------------


def test_a_weight_of_0_is_no_lora_at_all(film, loras):
    plain = [{key: v for key, v in frame.items() if key != "lora"} for frame in KEYFRAMES]
    off = [{**lora, "weight": 0} for lora in loras]
    without = film([], plain)
    assert digests(film(off, plain)) == digests(without)
    assert digests(film())[0] == digests(without)[0]
    assert not set(digests(film())[1:]) & set(digests(without))


def test_a_lora_is_known_by_its_content(film, loras, tmp_path):
    before = digests(film())
    moved = Path(loras[0]["path"]).rename(tmp_path / "moved.safetensors")
    renamed = [loras[1], {"path": str(moved), "name": "paint"}]
    assert digests(film(renamed)) == before
    write_lora(moved, value=3.0)
    after = digests(film(renamed))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, *[False] * 6]


def test_what_a_lora_is_called_is_no_part_of_it(film, loras):
    written = [{**loras[0], "name": "brush"}, loras[1]]
    keyframes = json.loads(json.dumps(KEYFRAMES).replace("paint", "brush"))
    assert digests(film(written, keyframes)) == digests(film())


def test_an_edited_weight_changes_the_frames_in_which_it_shows(film):
    edited = [*KEYFRAMES[:3], {**KEYFRAMES[3], "lora": {"paint": 0.3, "ink": -1}}]
    pairs = zip(digests(film()), digests(film(keyframes=edited)), strict=True)
    assert [a == b for a, b in pairs] == [True] * 5 + [False] * 2


def test_a_lora_of_the_hub_is_known_by_its_commit(film):
    def of(**more):
        hub = {"repository": "someone/paint", "name": "paint", "revision": COMMIT, **more}
        return digests(film([hub], KEYFRAMES[:2]))

    assert of() == of()
    assert of(revision=COMMIT[::-1])[0] == of()[0]
    others = {of(revision=COMMIT[::-1])[1], of(weight_name="a.safetensors")[1], of()[1]}
    assert len(others) == 3


def test_a_lora_of_the_hub_that_was_trained_with_dropout_is_known_as_added_without_gaps(
    film, tmp_path, monkeypatch
):
    """Earlier versions left out others of its values in each frame."""
    hub = {"repository": "someone/paint", "name": "paint", "revision": COMMIT}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    file = (
        tmp_path / f"hub/models--someone--paint/snapshots/{COMMIT}/pytorch_lora_weights.safetensors"
    )
    file.parent.mkdir(parents=True)
    marked = {}
    for dropout in (0, 0.5):
        settings = {"unet.r": 2, "unet.lora_alpha": 2, "unet.lora_dropout": dropout}
        write_lora(file, metadata={"lora_adapter_metadata": json.dumps(settings)})
        (lora,) = film([hub], PLAIN).loras
        assert lora.file == file
        marked[dropout] = lora.identity
    assert marked[0.5] == f"{marked[0]} no dropout"
    file.unlink()
    (lora,) = film([hub], PLAIN).loras
    assert (lora.file, lora.identity) == (None, marked[0])


# --- what is refused -----------------------------------------------------------------------------


def test_a_keyframe_that_names_no_lora_of_the_model_is_refused_with_those_that_there_are(film):
    keyframes = [{"at": 0, "prompt": "one", "lora": {"pant": 1}}]
    message = refusal(film, keyframes=keyframes)
    assert message == "timeline.keyframes.0.lora: no LoRA is called 'pant'; known: paint, ink"
    assert "the model has none" in refusal(film, [], keyframes)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"path": "gone.safetensors"}, "gone.safetensors is not there; a LoRA of the hub is given"),
        ({"path": "a", "repository": "b/c"}, "path and repository exclude each other"),
        ({"weight": 1}, "give the LoRA's path"),
        ({"path": "a", "revision": "main"}, "revision goes with a repository"),
        ({"repository": "b/c", "weight_name": "d.bin"}, "pickles can run code"),
        ({"path": "a", "wieght": 1}, "unknown key; did you mean 'weight'?"),
        ({"path": "a", "weight": "much"}, "'much' is not a number"),
        ({"path": "a", "weight": 101}, "-100 to 100, not 101"),
        ("paint.safetensors", "'paint.safetensors' stands where keys with values belong"),
    ],
)
def test_a_lora_that_is_written_wrongly_is_a_mistake_in_the_config(film, written, said):
    message = refusal(film, [written], PLAIN)
    assert message.splitlines()[0].startswith("model.loras.0")
    assert said in message


def test_two_loras_of_one_name_are_distinguished_first(film, loras):
    assert "two LoRAs are called 'paint'" in refusal(film, [loras[0], loras[0]])
    assert "LoRAs are a list" in refusal(film, loras[0])


@pytest.mark.parametrize(
    "weights", [["paint"], {"paint": "much"}, {"paint": True}, {"paint": 1000}, 0.5]
)
def test_a_keyframes_weights_are_numbers_by_name(film, weights):
    message = refusal(film, keyframes=[{"at": 0, "prompt": "one", "lora": weights}])
    assert message.startswith("timeline.keyframes.0.lora")


class Canary:
    def __reduce__(self):
        return Path.touch, (Path("canary"),)


@pytest.mark.parametrize("name", ["lora.bin", "lora.pt", "lora.ckpt", "lora.safetensors"])
@pytest.mark.parametrize("whole", ["file", "folder"])
def test_a_pickle_is_refused_and_not_opened(film, tmp_path, monkeypatch, name, whole):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "stranger" / name
    file.parent.mkdir()
    file.write_bytes(pickle.dumps(Canary()))
    refused = refusal(
        film, [{"path": str(file if whole == "file" else file.parent), "name": "paint"}]
    )
    assert ("no whole safetensors" if "safe" in name else "pickled weights can run code") in refused
    assert not Path("canary").exists()


@pytest.mark.parametrize(
    ("layer", "width", "metadata", "said"),
    [
        (LAYER, 768, None, "a U-Net (Stable Diffusion 1.x), and the model is one for texts of 32"),
        ("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k", 2048, None, "XL"),
        ("transformer.single_transformer_blocks.0.attn.to_q", 32, None, "for a transformer, and"),
        ("diffusion_model.double_blocks.0.img_attn.qkv", 32, None, "for a transformer, and"),
        (LAYER, 64, {"modelspec.architecture": "pixie-v2/lora"}, "for 'pixie-v2/lora', and"),
    ],
)
def test_a_lora_for_another_kind_of_model_is_refused_when_the_film_is_planned(
    film, tmp_path, layer, width, metadata, said
):
    file = tmp_path / "stray.safetensors"
    write_lora(file, layer, width, metadata=metadata)
    if layer.startswith("lora_"):  # as kohya's tools spell it
        down = {f"{layer}.lora_down.weight": np.zeros((2, width))}
        save_file(down, file)
    message = refusal(film, [{"path": str(file), "name": "paint"}], PLAIN)
    assert message.startswith(f"model.loras.0: the LoRA 'paint' ({file}) is made for ")
    assert said in message


def test_a_file_that_holds_no_lora_is_refused(film, tmp_path):
    save_file({"unet.conv_in.weight": np.zeros(1)}, tmp_path / "model.safetensors")
    file = tmp_path / "model.safetensors"
    assert "holds no LoRA" in refusal(film, [{"path": str(file)}], PLAIN)


KOHYA = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def pair(layer=KOHYA, width=32, rank=2, **more):
    """A layer's two matrices in kohya's spelling, and what else it has."""
    return {
        f"{layer}.lora_down.weight": np.ones((rank, width), np.float32),
        f"{layer}.lora_up.weight": np.ones((16, rank), np.float32),
        **{f"{layer}.{name}": np.asarray(value, np.float32) for name, value in more.items()},
    }


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (pair(alpha=1, dora_scale=np.ones((16, 1))), "is a DoRA with magnitudes that diffusers"),
        (pair(alpha=1, dora_scale=np.ones((1, 32))), "dora_scale (1 times)"),
        (pair(diff_b=np.ones(16)), "would be left out: diff_b (1 times), the first lora_unet_"),
        (pair(alpha=1, hada_w1_a=np.ones((2, 2))), "hada_w1_a (1 times)"),
        (pair(**{"lora_mid.weight": np.ones((2, 2, 3, 3))}), "out: lora_mid.weight (1 times)"),
        (
            {f"{KOHYA}.lokr_w1": np.ones((2, 2)), f"{KOHYA}.lokr_w2": np.ones((16, 8))},
            "is a LoKr, which diffusers reads for Flux2KleinPipeline, Flux2Pipeline, ZImage",
        ),
        (pair(alpha=[1, 2]), "would be left out: alpha (1 times)"),
        (pair() | {"lora_unet_x.lora_down.weight": np.ones(4)}, "lora_down.weight (1 times)"),
        (pair() | {"emb_params": np.ones((2, 32))}, "the first emb_params"),
        (pair() | {"unet.conv_in.bias": np.ones(16)}, "the first unet.conv_in.bias"),
        ({key: value for key, value in pair().items() if "up" not in key}, "is not whole: lora_u"),
    ],
)
def test_what_would_be_left_out_of_a_file_is_refused_when_the_film_is_planned(
    film, tmp_path, tensors, said
):
    save_file(tensors, tmp_path / "odd.safetensors")
    written = [{"path": str(tmp_path / "odd.safetensors"), "name": "paint"}]
    message = refusal(film, written, PLAIN)
    assert message.startswith("model.loras.0: the LoRA 'paint' (")
    assert said in message
    assert "\n" not in message


def test_magnitudes_that_would_be_left_out_end_a_command_before_anything_is_written(place):
    save_file(pair(alpha=1, dora_scale=np.ones((16, 1))), place.folder / "dora.safetensors")
    before = place.tree()
    for mode in ("plan", "render"):
        ended = place.render(
            "+timeline=t", f"mode={mode}", "model.loras=[{path: dora.safetensors}]"
        )
        assert ended.code == 2
        assert ended.err.startswith("render: model.loras.0: the LoRA 'dora' (dora.safetensors) is ")
        assert len(ended.err.splitlines()) == 1
    assert place.tree() == before


@pytest.mark.parametrize(
    ("alpha", "ranks", "said"),
    [
        (float("nan"), (2, 2), "has nan as "),
        (float("inf"), (2, 2), "has inf as "),
        (1, (2, 3), " has 2 rows and "),
    ],
)
def test_a_layer_without_one_rank_and_strength_is_refused_in_the_plan(
    film, tmp_path, alpha, ranks, said
):
    down, up = np.ones((ranks[0], 32), np.float32), np.ones((32, ranks[1]), np.float32)
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    tensors = {f"{layer}.lora_down.weight": down, f"{layer}.lora_up.weight": up}
    tensors[f"{layer}.alpha"] = np.array(alpha, np.float32)
    save_file(tensors, tmp_path / "odd.safetensors")
    written = [{"path": str(tmp_path / "odd.safetensors"), "name": "paint"}]
    line = refusal(film, written, PLAIN)
    assert said in line
    assert "get the file again" in line


def test_a_suffix_in_capitals_is_named(film, tmp_path):
    write_lora(tmp_path / "A.SAFETENSORS")
    line = refusal(film, [{"path": str(tmp_path / "A.SAFETENSORS"), "name": "paint"}], PLAIN)
    assert "in small letters" in line
    assert "pickle" not in line


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"lora_alpha": 4, "r": 2}, "adapter_config.json (alpha 4 for rank 2), which diffusers"),
        ({"lora_alpha": 2, "r": 2, "use_rslora": True}, "adapter_config.json (alpha 2"),
        ({"lora_alpha": 2, "r": 2}, None),
        ({}, None),
    ],
)
def test_a_strength_that_diffusers_does_not_read_is_refused(film, tmp_path, config, said):
    """peft keeps it beside the file; what counts there as 2 would count as 1."""
    write_lora(tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    written = [{"path": str(tmp_path / "adapter_model.safetensors"), "name": "paint"}]
    if said:
        assert said in refusal(film, written, PLAIN)
    else:
        assert film(written, PLAIN)


def test_what_changes_nothing_may_be_left_out_of_a_file(film, tmp_path):
    """Some tools write differences of zero beside each layer."""
    tensors = pair(alpha=1, diff_b=np.zeros(16), diff=np.zeros((16, 32)))
    save_file(tensors, tmp_path / "zeros.safetensors")
    assert film([{"path": str(tmp_path / "zeros.safetensors"), "name": "paint"}], PLAIN)


@pytest.mark.parametrize(
    ("alphas", "again"),
    [((1, 1), False), ((None, None), False), ((1, 2), True), ((2, None), False), ((1, None), True)],
)
def test_a_file_whose_layers_differ_in_strength_is_known_as_read_layer_by_layer(
    film, tmp_path, alphas, again
):
    """Earlier versions took its layers at wrong strengths, so its frames are rendered again."""
    tensors = {}
    for number, alpha in enumerate(alphas):
        layer = KOHYA.replace("blocks_0_attn", f"blocks_{number}_attn")
        tensors |= pair(layer, **({} if alpha is None else {"alpha": alpha}))
    save_file(tensors, tmp_path / "odd.safetensors")
    (lora,) = film([{"path": str(tmp_path / "odd.safetensors"), "name": "paint"}], PLAIN).loras
    assert lora.identity.endswith(" alpha/rank") == again


def test_a_folder_with_several_files_wants_a_choice(film, loras, tmp_path):
    folder = {"path": str(tmp_path), "name": "paint"}
    assert "say which one in weight_name" in refusal(film, [folder, loras[1]])
    chosen = [{**folder, "weight_name": "paint.safetensors"}, loras[1]]
    assert digests(film(chosen)) == digests(film())


def test_a_hub_that_is_not_there_is_reported_with_the_ways_out(film, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refusal(film, [{"repository": "someone/paint"}])
    assert "model.loras.0: the hub can't say what someone/paint at 'main' is; pin" in message


def test_a_family_that_diffusers_loads_no_loras_into_is_refused_by_name(loras, tmp_path):
    folder = write_model(tmp_path / "pixart", "PixArtSigmaPipeline")
    changes = {"model.loras": loras, "model.width": 64, "model.height": 64}
    with pytest.raises(ConfigError, match="no LoRAs into a PixArtSigmaPipeline"):
        open_film(composed(folder, tmp_path, changes), "", str)


def test_a_lora_is_called_after_what_is_given():
    def called(**written):
        return ModelConfig(name="m", path="p", steps=1, guidance=1, loras=[written]).loras[0].called

    assert called(path="my/paint.v2.safetensors") == "paint.v2"
    assert called(path="my/folder") == "folder"
    assert called(repository="someone/paint") == "paint"
    assert called(repository="someone/all", weight_name="sub/ink.safetensors") == "ink"
    assert called(path="my/paint.safetensors", name="brush") == "brush"


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paint(tmp_path_factory, tiny_sd1):
    from tiny_loras import save_tiny_lora

    file = tmp_path_factory.mktemp("loras") / "paint.safetensors"
    return save_tiny_lora(tiny_sd1, file, 5, "text_encoder")


def test_a_film_renders_again_exactly_the_frames_whose_weights_are_edited(place, paint):
    use = f"model.loras=[{{path:'{paint}',weight:0}}]"
    place.timeline("t", KEYFRAMES[:3])
    ended = place.render("+timeline=t", use)
    assert (ended.code, place.counts("t")) == (0, (0, 9)), ended.err
    before = place.pictures("t")
    edited = [*KEYFRAMES[:2], {**KEYFRAMES[2], "lora": {"paint": 0.3}}]
    place.timeline("t", edited)
    message = place.render("+timeline=t", use, "mode=plan")
    assert "lora  paint at 0 to 0.8" in message.out
    assert "changed: loras (frames 5, 6, 7, 8)" in message.out
    assert place.render("+timeline=t", use, "compute.batch=3").code == 0
    after = place.pictures("t")
    same = [bool(np.array_equal(a, b)) for a, b in zip(before, after, strict=True)]
    assert same == [True] * 5 + [False] * 4
    plan = json.loads((place.folder / "outputs" / "t" / "plan.json").read_text())
    assert list(plan["loras"]) == ["paint"]
    assert [frame.get("loras") for frame in plan["frames"]][:2] == [None, [["paint", 0.2]]]
    for frame in sorted((place.folder / "outputs").rglob("*.png")):
        if frame.stem[-1] in "26" or frame.parent.parent.name == ".store":
            frame.unlink()
    assert place.render("+timeline=t", use).code == 0
    assert place.counts("t") == (7, 2)
    assert same_pictures(place.pictures("t"), after)


def test_a_lora_that_is_never_at_work_leaves_the_film_as_it_is(place, paint):
    assert place.render("+timeline=t").code == 0
    assert place.render("+timeline=t", f"model.loras=[{{path:'{paint}',weight:0}}]").code == 0
    assert place.counts("t") == (5, 0)
