"""Checkpoints in one file, in the layout of the original code, from a tiny diffusers pipeline."""

import re

import torch
from diffusers.loaders.single_file_utils import DIFFUSERS_TO_LDM_MAPPING
from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    ".fc1.": ".c_fc.",
    ".fc2.": ".c_proj.",
    "self_attn": "attn",
    "final_layer_norm": "ln_final",
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
}


def save_single_file(pipeline, path):
    """All weights of a Stable Diffusion pipeline, 1.x or XL, as its authors' code spells them."""
    weights = prefixed("model.diffusion_model.", unet(pipeline.unet))
    weights |= prefixed("first_stage_model.", autoencoder(pipeline.vae))
    if hasattr(pipeline, "text_encoder_2"):
        weights |= prefixed("conditioner.embedders.0.transformer.", clip(pipeline.text_encoder))
        weights |= prefixed("conditioner.embedders.1.model.", open_clip(pipeline.text_encoder_2))
    else:
        weights |= prefixed("cond_stage_model.transformer.", clip(pipeline.text_encoder))
    save_file({name: weight.clone().contiguous() for name, weight in weights.items()}, path)
    return path


def prefixed(prefix, weights):
    return {prefix + name: weight for name, weight in weights.items()}


def replaced(text, pairs):
    for old, new in pairs.items():
        text = text.replace(old, new)
    return text


def unet(net):
    tables = DIFFUSERS_TO_LDM_MAPPING["unet"]
    plain = tables["layers"] | tables["addition_embed_type"]
    each = net.config.layers_per_block + 1
    return {plain.get(n) or unet_name(n, each): w for n, w in net.state_dict().items()}


def unet_name(name, each):
    """`each`: layers of a block of the way down, with its downsampler."""
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        place = 2 * int(match[2]) + (match[1] == "attentions")
        return f"middle_block.{place}.{inner(match[1], match[3])}"
    way, block, kind, layer, rest = re.match(
        r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name
    ).groups()
    block, layer = int(block), int(layer)
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * each}.0.{rest.replace('conv', 'op')}"
    if kind == "upsamplers":
        return (
            f"output_blocks.{(block + 1) * each - 1}.2.{rest}"  # the tiny one has attention there
        )
    place = block * each + layer + (way == "down")
    return f"{'in' if way == 'down' else 'out'}put_blocks.{place}.{inner_place(kind, rest)}"


def inner(kind, rest):
    return replaced(rest, RESNET) if kind == "resnets" else rest


def inner_place(kind, rest):
    return f"{int(kind == 'attentions')}.{inner(kind, rest)}"


def autoencoder(net):
    plain, last = DIFFUSERS_TO_LDM_MAPPING["vae"], len(net.config.up_block_types) - 1
    spelled = {}
    for name, weight in net.state_dict().items():
        if new := plain.get(name):
            spelled[new] = weight
            continue
        half, rest = name.split(".", 1)
        rest = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{last - int(m[1])}", rest)
        rest = rest.replace("down_blocks.", "down.").replace("mid_block.attentions.0", "mid.attn_1")
        rest = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", rest)
        rest = re.sub(r"(down|up)samplers\.0", r"\1sample", rest)
        rest = rest.replace("resnets", "block").replace("conv_shortcut", "nin_shortcut")
        if "attn_1" in rest:
            rest = replaced(rest, ATTENTION)
            weight = weight[:, :, None, None] if weight.ndim == 2 else weight
        spelled[f"{half}.{rest}"] = weight
    return spelled


def clip(net):
    return {f"text_model.{n.removeprefix('text_model.')}": w for n, w in net.state_dict().items()}


def open_clip(net):
    weights = {name.removeprefix("text_model."): w for name, w in net.state_dict().items()}
    spelled = {"text_projection": weights.pop("text_projection.weight").T}
    for name, weight in weights.items():
        if name.endswith(("q_proj.weight", "q_proj.bias")):
            three = [weights[name.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            name, weight = name.replace("q_proj.", "in_proj_"), torch.cat(three)
        if not re.search(r"[kv]_proj", name):
            spelled[replaced(name, OPEN_CLIP)] = weight
    return spelled
