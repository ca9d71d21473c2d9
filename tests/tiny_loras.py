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


KOHYA = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
"""How names begin in the other spelling, by component."""


def linear_layers(part: torch.nn.Module) -> dict[str, torch.nn.Linear]:
    """The attention and feed-forward layers of a component by their paths."""
    return {
        path: layer
        for path, layer in part.named_modules()
        if isinstance(layer, torch.nn.Linear)
        and any(name in f".{path}" for name in (".attn", ".ff.", "_attn", ".mlp."))
    }


def kohya_name(component: str, path: str) -> str:
    """A layer's name in the other spelling; text encoders had one more level then."""
    if component != "unet" and not path.startswith("text_model."):
        path = f"text_model.{path}"
    return KOHYA[component] + path.replace(".", "_")


def save_uneven_lora(
    model: Path, file: Path, strengths: list[tuple[int, float | None]], dtype=torch.float32
) -> Path:
    """A LoRA in the other spelling whose layers take these ranks and alphas in turn, as a resized
    file has them; None leaves the alpha out."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(model)
    generator, tensors, count = torch.Generator().manual_seed(8), {}, 0
    for component in [name for name in KOHYA if name in pipeline.components]:
        for path, layer in linear_layers(getattr(pipeline, component)).items():
            rank, alpha = strengths[count % len(strengths)]
            count += 1
            down = torch.randn(rank, layer.in_features, generator=generator)
            up = torch.randn(layer.out_features, rank, generator=generator)
            name = kohya_name(component, path)
            tensors[f"{name}.lora_down.weight"] = (down * 0.4).to(dtype)
            tensors[f"{name}.lora_up.weight"] = (up * 0.4 / rank).to(dtype)
            if alpha is not None:
                tensors[f"{name}.alpha"] = torch.tensor(alpha, dtype=dtype)
    save_file(tensors, file)
    return file


def add_by_hand(pipeline, file: Path, weight: float) -> None:
    """Write a LoRA of the other spelling into the weights: weight * alpha / rank * up @ down."""
    tensors = load_file(file)
    for component in [name for name in KOHYA if name in pipeline.components]:
        for path, layer in getattr(pipeline, component).named_modules():
            name = kohya_name(component, path)
            if f"{name}.lora_down.weight" not in tensors:
                continue
            down, up = (tensors[f"{name}.lora_{way}.weight"].float() for way in ("down", "up"))
            alpha = tensors.get(f"{name}.alpha", torch.tensor(len(down))).float()
            with torch.no_grad():
                layer.weight += weight * alpha / len(down) * up @ down
