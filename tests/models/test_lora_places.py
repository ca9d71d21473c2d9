"""LoRAs whose layers are not in the model end a plan, by the headers of both."""

import numpy as np
import pytest
from films import composed, write_model
from safetensors.numpy import save_file

from render.errors import ConfigError
from render.run.resolve import open_film

PLAIN = [{"at": 0, "prompt": "one"}]
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
TO_K, TO_OUT, CONV = f"{BLOCK}.attn2.to_k", f"{BLOCK}.attn2.to_out.0", "mid_block.resnets.0.conv1"
UNET = {TO_K: (16, 32), TO_OUT: (16, 16), CONV: (16, 16, 3, 3)}
LOST = TO_K.replace("blocks.0", "blocks.9", 1)
READ, BEYOND = (f"encoder.layers.{number}.self_attn.q_proj" for number in (1, 11))
TEXT = {f"text_model.{READ}": (32, 32)}
OLDER = (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")
OLDEST = ("_lora.down.weight", "_lora.up.weight")


def two(layer, takes, gives, sides=(), kinds=(".lora_A.weight", ".lora_B.weight")):
    """A layer's two matrices; those of a convolution have sides."""
    down = np.ones((2, takes, *sides), np.float32)
    up = np.ones((gives, 2, *[1 for _ in sides]), np.float32)
    return {f"{layer}{kinds[0]}": down, f"{layer}{kinds[1]}": up}


def kohya(layer, takes, gives, sides=()):
    kinds = (".lora_down.weight", ".lora_up.weight")
    return two(f"lora_{layer.replace('.', '_')}", takes, gives, sides, kinds)


@pytest.fixture
def planned(tmp_path):
    """The line by which a plan refuses a LoRA of these tensors, or "" if it does not."""
    folder = write_model(tmp_path / "model")
    for part, held, name in (
        ("unet", UNET, "diffusion_pytorch_model"),
        ("text_encoder", TEXT, "model"),
    ):
        tensors = {f"{key}.weight": np.ones(shape, np.float32) for key, shape in held.items()}
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        save_file(tensors, folder / part / f"{name}.safetensors")

    def of(tensors):
        file = tmp_path / "paint.safetensors"
        save_file(tensors, file)
        changes = {"model.loras": [{"path": str(file)}], "timeline.keyframes": PLAIN}
        try:
            open_film(composed(folder, tmp_path, changes), "", str)
        except ConfigError as error:
            return str(error)
        return ""

    of.folder = folder
    return of


WRONG = [
    (two(f"base_model.model.{TO_K}", 32, 16), f"first base_model.model.{TO_K}.lora_A.weight: "),
    (two(TO_K, 32, 16), f"the first {TO_K}.lora_A.weight: names begin with unet."),
    (two(f"unet.{TO_K}", 32, 16) | two(f"text_model.{READ}", 32, 32), "the first text_model."),
    (two(f"unet.{TO_K}", 32, 16) | kohya(f"unet.{TO_K}", 32, 16), "names its layers in two spell"),
    (kohya(f"unet.{TO_K}", 32, 16) | kohya("unet.input_blocks.4.1.proj_in", 32, 16), "in two spel"),
    (two(f"unet.{LOST}", 32, 16), "a layer that this model has not (unet.down_blocks.9."),
    (kohya(f"unet.{LOST}", 32, 16), "this model has not (lora_unet_down_blocks_9_"),
    (two(f"text_encoder.text_model.{BEYOND}", 32, 32), "has not (text_encoder.text_model.encoder."),
    (kohya(f"te.text_model.{BEYOND}", 32, 32), "has not (lora_te_text_model_encoder_layers_11_"),
    (kohya(f"te2.text_model.{READ}", 32, 32), "changes a text_encoder_2 (lora_te2_"),
    (two(f"text_encoder_2.text_model.{READ}", 32, 32), "changes a text_encoder_2 (text_encoder_2."),
    (two(f"unet.{TO_K}", 32, 24), f"from 32 to 24 channels (unet.{TO_K}.lora_A.weight), and this "),
    (kohya(f"unet.{TO_OUT}", 48, 16), "this model's goes from 16 to 16: it was made for another"),
    (kohya(f"unet.{CONV}", 8, 16, (3, 3)), "from 8 to 16 channels (lora_unet_mid_block"),
    (kohya(f"te1.text_model.{READ}", 768, 768), "from 768 to 768 channels (lora_te1_"),
    (two(f"unet._orig_mod.{TO_K}", 32, 16), "with '_orig_mod.' taken out of every name"),
]


@pytest.mark.parametrize(("tensors", "said"), WRONG)
def test_a_layer_without_a_place_is_refused_in_the_plan_by_its_key(planned, tensors, said):
    line = planned(tensors)
    assert line.startswith("model.loras.0: the LoRA 'paint' (")
    assert said in line
    assert "\n" not in line


RIGHT = [
    two(f"unet.{TO_K}", 32, 16) | two(f"text_encoder.text_model.{READ}", 32, 32),
    two(f"unet.{TO_K}", 32, 16) | two(f"text_encoder.{READ}", 32, 32),
    kohya(f"unet.{TO_K}", 32, 16) | kohya(f"te.text_model.{READ}", 32, 32),
    kohya(f"unet.{TO_K}", 32, 16) | kohya(f"te1.text_model.{READ}", 32, 32),
    kohya(f"unet.{CONV}", 16, 16, (3, 3)),
    two(f"unet.{TO_OUT}", 16, 16, kinds=(".lora.down.weight", ".lora.up.weight")),
    two(f"unet.{BLOCK}.attn2.processor.to_out", 16, 16, kinds=OLDEST),
    two(f"unet.{BLOCK}.attn2.processor.to_k", 32, 16, kinds=OLDEST),
    two(f"text_encoder.text_model.{READ.replace('q_proj', 'to_q')}", 32, 32, kinds=OLDEST),
    two(f"text_encoder.text_model.{READ}", 32, 32, kinds=OLDER),
    kohya("unet.input_blocks.4.1.transformer_blocks.0.attn2.to_k", 32, 64),
    kohya("unet.down_blocks.0.downsamplers.0.op", 16, 16, (3, 3)),
]


@pytest.mark.parametrize("tensors", RIGHT)
def test_every_spelling_that_may_have_its_place_passes(planned, tensors):
    assert planned(tensors) == ""


def test_where_not_all_weights_are_here_nothing_is_refused(planned):
    """As of a hub's model that is being downloaded."""
    file = planned.folder / "unet" / "diffusion_pytorch_model.safetensors"
    lost = two(f"unet.{LOST}", 32, 16)
    assert planned(lost)
    file.rename(file.with_name("diffusion_pytorch_model-00001-of-00002.safetensors"))
    assert planned(lost) == ""
    save_file({"a.weight": np.ones((1,), np.float32)}, file)
    assert planned(lost) == ""
