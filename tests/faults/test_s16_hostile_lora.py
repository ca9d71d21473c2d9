"""S16: a LoRA whose header has settings of peft's that run code, never end, or change the model.

diffusers hands them to peft as they are. Each is named while the film is planned, without torch."""

import json

import numpy as np
import pytest
from films import write_model
from safetensors.numpy import save_file

FILM = [{"at": 0, "prompt": "a", "seed": 1}]
LOCAL = ("+timeline=t", "model=local", "model.steps=2", "model.guidance=7.5", "model.path=model",
         "model.loras=[{path: paint.safetensors}]", "mode=plan")  # fmt: skip
LAYER = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
USUAL = {
    "r": 2, "lora_alpha": 4, "target_modules": ["to_k", "to_out.0"], "task_type": None,
    "peft_type": "LORA", "auto_mapping": None, "base_model_name_or_path": "someone/model",
    "revision": None, "inference_mode": False, "exclude_modules": None, "lora_dropout": 0.1,
    "fan_in_fan_out": False, "bias": "none", "use_rslora": False, "modules_to_save": None,
    "init_lora_weights": "gaussian", "layers_to_transform": None, "layers_pattern": None,
    "rank_pattern": {"^down_blocks.0.attentions.0": 2}, "alpha_pattern": {r"mid_block\.x": 1.5},
    "megatron_config": None, "megatron_core": "megatron.core", "loftq_config": {},
    "eva_config": None, "use_dora": False, "qalora_group_size": 16, "layer_replication": None,
    "lora_bias": False, "trainable_token_indices": None,
}  # fmt: skip
"""As peft writes them."""
PATTERNS = [r"(([\w.]+)+)+to_k!", r".*.*.*.*.*!", r".*(a|.*)(b|.*)(c|.*)!", r"(?=.*.*.*.*!)x",
            r".?.?.?.?.?.?.?.?!", r"(.*)\1\1!", r"x{5000}"]  # fmt: skip


@pytest.fixture(scope="module")
def planned(calls):
    """The answer to a plan with a LoRA of these settings."""
    here = calls.site.here
    calls.site.timeline("t", FILM)
    model = write_model(here / "model")
    config = {"sample_size": 8, "cross_attention_dim": 32}
    (model / "unet" / "config.json").write_text(json.dumps(config))

    def plan(header):
        tensors = {f"{LAYER}.lora_A.weight": np.ones((2, 32)),
                   f"{LAYER}.lora_B.weight": np.ones((16, 2))}  # fmt: skip
        save_file(tensors, here / "paint.safetensors", {"lora_adapter_metadata": header})
        answer = calls(*LOCAL)
        assert not answer.modules
        assert answer.cpu < 8
        return answer

    return plan


def under(part, settings):
    return json.dumps({f"{part}.{name}": value for name, value in settings.items()})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("megatron_config", {"a": 1}),
        ("init_lora_weights", "pissa"),
        ("init_lora_weights", "olora"),
        ("modules_to_save", ["conv_in"]),
        ("target_parameters", ["conv_in.weight"]),
        ("layer_replication", [[0, 1000000]]),
        ("layers_pattern", "(x+)+"),
        ("alora_invocation_tokens", [1]),
        ("arrow_config", {"top_k": 1}),
        ("use_qalora", True),
        ("something_new", "net.py"),
        ("r", 1_000_000_000),
        ("r", "2"),
        ("rank_pattern", {"to_k": 20_000_000}),
        ("rank_pattern", {"(([a-z.]+)+)+!": 2}),
        ("alpha_pattern", {".*.*.*.*!": 2}),
        ("lora_alpha", [1]),
        ("lora_dropout", 2),
        *(("target_modules", pattern) for pattern in PATTERNS),
        *(("exclude_modules", pattern) for pattern in PATTERNS),
        ("target_modules", ["(x+)+!"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_setting_that_is_no_plain_loras_is_refused(planned, part, name, value):
    answer = planned(under(part, USUAL | {name: value}))
    assert answer.code == 2, answer.err
    assert f"has peft's setting {name} in its header" in answer.err


@pytest.mark.parametrize(
    "header",
    ["{", "[1]", "null", "[" * 100_000, '{"unet.r": NaN}', f'{{"unet.lora_alpha": {10**400}}}'],
)
def test_settings_that_are_none_are_refused(planned, header):
    answer = planned(header)
    assert answer.code == 2, answer.err
    assert "has settings of peft's in its header that can't be read" in answer.err


def test_magnitudes_that_are_promised_and_not_there_are_refused(planned):
    answer = planned(under("unet", USUAL | {"use_dora": True}))
    assert answer.code == 2, answer.err
    assert "lacks them" in answer.err


@pytest.mark.parametrize(
    "layers",
    [
        ["to_k"],
        "all-linear",
        r".*\.(to_q|to_k|to_v)$",
        r"(.*x_embedder|.*(?<!single_)transformer_blocks\.[0-9]+\.attn\.to_k|.*\.proj_out)",
    ],
    ids=str,
)
def test_usual_settings_are_no_obstacle(planned, layers):
    answer = planned(under("unet", USUAL | {"target_modules": layers}))
    assert answer.code == 0, answer.err
