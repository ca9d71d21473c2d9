"""LoRAs with random weights for the tiny models, written as diffusers writes them."""

from pathlib import Path

import diffusers
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
READING = ["q_proj", "k_proj", "v_proj", "out_proj"]


def save_tiny_lora(model: Path, file: Path, seed: int, *encoders: str) -> Path:
    """A LoRA for the denoiser of a model's folder, and for these of its text encoders."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(model)
    denoiser = "unet" if hasattr(pipeline, "unet") else "transformer"
    layers = {
        f"{part}_lora_layers": lora_layers(getattr(pipeline, part), wanted, seed)
        for part, wanted in [(denoiser, ATTENTION), *[(part, READING) for part in encoders]]
    }
    type(pipeline).save_lora_weights(file.parent, weight_name=file.name, **layers)
    return file


def lora_layers(part: torch.nn.Module, wanted: list[str], seed: int) -> dict[str, torch.Tensor]:
    """Additions to the layers of these names, large enough to show."""
    part.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=wanted))
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(tensor.shape, generator=generator) * 0.4
        for key, tensor in get_peft_model_state_dict(part).items()
    }


def as_kohya_writes(file: Path, target: Path) -> Path:
    """A U-Net's LoRA in the other spelling there is, at half its strength (alpha is half its
    rank)."""
    spelled = {}
    for key, tensor in load_file(file).items():
        layer, _, kind = key.removeprefix("unet.").removesuffix(".weight").rpartition(".")
        name = f"lora_unet_{layer.replace('.', '_')}"
        spelled[f"{name}.{'lora_down' if kind == 'lora_A' else 'lora_up'}.weight"] = tensor
        spelled[f"{name}.alpha"] = torch.tensor(1.0)
    save_file(spelled, target, {"ss_base_model_version": "sd_v1"})
    return target
