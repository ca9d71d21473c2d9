"""Tiny diffusers folders with random weights, shaped like Stable Diffusion 1.x and 2.x."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers import UNet2DConditionModel as UNet
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

torch.set_num_threads(1)  # tests run beside each other on few cores

SIDE = 64  # pixels of a picture; the latents are 8 x 8
BETAS = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
}
TOKENS = 16


def tiny_tokenizer():
    """Every byte is a token; no merges."""
    byte_tokens = sorted(ByteLevel.alphabet())
    tokens = byte_tokens + [byte + "</w>" for byte in byte_tokens]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    vocabulary |= {"<|startoftext|>": len(tokens), "<|endoftext|>": len(tokens) + 1}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def tiny_text_encoder(tokenizer):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return CLIPTextModel(config)


def tiny_denoiser(**changes):
    return UNet(
        **{
            "sample_size": SIDE // 8,
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": 8,
            "cross_attention_dim": 32,
            "norm_num_groups": 8,
        }
        | changes
    )


@torch.no_grad()
def assert_predicts_the_same(unet, change, sides=(16, 16)):
    """That a change of a tiny denoiser leaves what it predicts."""
    given = torch.randn(2, 4, *sides), 500, torch.randn(2, 16, 32)
    stock = unet(*given).sample
    change(unet)
    torch.testing.assert_close(unet(*given).sample, stock, rtol=1e-4, atol=1e-5)


def tiny_autoencoder():
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )


def save_tiny_sd1(folder: Path) -> Path:
    """Epsilon prediction and the scheduler config of CompVis/stable-diffusion-v1-4."""
    scheduler = PNDMScheduler(**BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    written = {"_class_name": "PNDMScheduler", **BETAS, "clip_sample": False}
    written |= {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}
    return save_tiny(folder, tiny_denoiser(), scheduler, written)


def save_tiny_sd2(folder: Path) -> Path:
    """v-prediction and the scheduler config of stable-diffusion-2-1."""
    scheduler = DDIMScheduler(
        **BETAS, prediction_type="v_prediction", clip_sample=False, steps_offset=1
    )
    written = {"_class_name": "DDIMScheduler", **BETAS, "clip_sample": False}
    written |= {"prediction_type": "v_prediction", "set_alpha_to_one": False}
    written |= {"skip_prk_steps": True, "steps_offset": 1}
    denoiser = tiny_denoiser(attention_head_dim=(4, 8), use_linear_projection=True)
    return save_tiny(folder, denoiser, scheduler, written)


def save_tiny(folder: Path, denoiser: UNet, scheduler, written: dict) -> Path:
    """A whole folder; `written` is the scheduler's config as the hub's folders spell it."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    pipeline = StableDiffusionPipeline(
        vae=tiny_autoencoder(),
        text_encoder=tiny_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=randomised(denoiser),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(written))
    return folder


def randomised(net: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough that texts, seeds and times all show in the picture."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if weight.ndim > 1:
                fan_in = weight[0].numel()
                gain = 3.0 if "attn2" in name else 1.2
                weight.normal_(0, gain / fan_in**0.5, generator=generator)
    return net
