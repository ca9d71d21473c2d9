"""Tiny diffusers folders with random weights, one for each model family."""

from pathlib import Path

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from tiny_models import BETAS, randomised, tiny_denoiser, tiny_text_encoder, tiny_tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

SIDE = 16  # pixels of a picture; the latents are 8 x 8 where the autoencoder halves once
SIDES = {"sana": 32, "lumina2": 64}  # whose pipelines count on larger factors
WIDTH = 32  # channels of the text encoders
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}"
)


# --- parts -------------------------------------------------------------------------------------


def t5_tokenizer(limit=512):
    letters = [(token, -1.0) for token in "abcdefghijklmnopqrstuvwxyz ▁"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *letters]
    return transformers.T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=limit)


def gemma_tokenizer():
    marks = ["<pad>", "<eos>", "<bos>", "<unk>"]
    letters = sorted(set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ▁.,:-'>< "))
    vocabulary = {token: index for index, token in enumerate([*marks, *letters])}
    return transformers.GemmaTokenizer(vocab=vocabulary, merges=[])


def qwen_tokenizer():
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {
        token: index for index, token in enumerate([*sorted(ByteLevel.alphabet()), *marks])
    }
    made = transformers.Qwen2Tokenizer(vocab=vocabulary, merges=[])
    made.chat_template = CHAT
    return made


def t5(width=WIDTH):
    torch.manual_seed(2)
    config = T5Config(
        vocab_size=64,
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        decoder_start_token_id=0,
    )
    return randomised(T5EncoderModel(config))


def projecting_clip(tokenizer):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return CLIPTextModelWithProjection(config)


def gemma():
    config = transformers.Gemma2Config(
        vocab_size=128,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    torch.manual_seed(2)
    return randomised(transformers.Gemma2Model(config))


def qwen(kind, layers=2):
    config = transformers.Qwen3Config(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=1024,
    )
    torch.manual_seed(2)
    return randomised(kind(config))


def autoencoder(channels, kind=AutoencoderKL, **changes):
    """Halves once, so that pictures are small."""
    torch.manual_seed(3)
    settings = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "latent_channels": channels,
        "norm_num_groups": 4,
        "sample_size": SIDE,
    }
    return kind(**settings | changes)


def flow_autoencoder(channels):
    shift = {"use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.1}
    return autoencoder(channels, **shift)


def flow_scheduler(**options):
    return FlowMatchEulerDiscreteScheduler(shift=3.0, **options)


def made(kind, **settings):
    """A denoiser whose weights let texts show."""
    torch.manual_seed(1)
    return randomised(kind(**settings))


def made_attentive(kind, **settings):
    """A denoiser that attends sharply: a prompt is a small part of its template."""
    denoiser = made(kind, **settings)
    with torch.no_grad():
        for name, weight in denoiser.named_parameters():
            if "norm_added_k" in name or "norm_k" in name or "add_v_proj.weight" in name:
                weight.mul_(4)
    return denoiser


# --- families ----------------------------------------------------------------------------------


def sdxl(**changes):
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    denoiser = tiny_denoiser(
        sample_size=8,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        **changes,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=autoencoder(4),
        text_encoder=tiny_text_encoder(tokenizer),
        text_encoder_2=projecting_clip(tokenizer),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=randomised(denoiser),
        scheduler=diffusers.EulerDiscreteScheduler(**BETAS, steps_offset=1),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def sdxl_lcm():
    return sdxl(time_cond_proj_dim=8)


def sd3():
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    return diffusers.StableDiffusion3Pipeline(
        transformer=made(
            diffusers.SD3Transformer2DModel,
            sample_size=8,
            patch_size=2,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=2 * WIDTH,
            pooled_projection_dim=2 * WIDTH,
            pos_embed_max_size=8,
        ),
        scheduler=flow_scheduler(),
        vae=flow_autoencoder(4),
        text_encoder=projecting_clip(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=projecting_clip(tokenizer),
        tokenizer_2=tokenizer,
        text_encoder_3=t5(2 * WIDTH),
        tokenizer_3=t5_tokenizer(),
    )


def flux(guidance_embeds=True):
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    return diffusers.FluxPipeline(
        transformer=made(
            diffusers.FluxTransformer2DModel,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=32,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=guidance_embeds,
        ),
        scheduler=flow_scheduler(use_dynamic_shifting=guidance_embeds),
        vae=flow_autoencoder(4),
        text_encoder=tiny_text_encoder(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5(),
        tokenizer_2=t5_tokenizer(),
    )


def flux_schnell():
    return flux(guidance_embeds=False)


def pixart():
    return diffusers.PixArtSigmaPipeline(
        transformer=made(
            diffusers.PixArtTransformer2DModel,
            sample_size=8,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=3,
            caption_channels=WIDTH,
            in_channels=4,
            out_channels=8,
            cross_attention_dim=24,
            attention_bias=True,
            use_additional_conditions=False,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(**BETAS),
        vae=autoencoder(4),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(),
    )


def sana():
    torch.manual_seed(3)
    vae = diffusers.AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        scaling_factor=0.41407,
    )
    return diffusers.SanaPipeline(
        transformer=made(
            diffusers.SanaTransformer2DModel,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            num_attention_heads=2,
            attention_head_dim=8,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=WIDTH,
            sample_size=8,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        vae=vae,
        text_encoder=gemma(),
        tokenizer=gemma_tokenizer(),
    )


def lumina2():
    return diffusers.Lumina2Pipeline(
        transformer=made(
            diffusers.Lumina2Transformer2DModel,
            sample_size=8,
            in_channels=4,
            hidden_size=32,
            num_layers=2,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=16,
            axes_dim_rope=(8, 4, 4),
            cap_feat_dim=WIDTH,
        ),
        scheduler=flow_scheduler(),
        vae=autoencoder(
            4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 8, 8, 8),
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.1,
        ),
        text_encoder=gemma(),
        tokenizer=gemma_tokenizer(),
    )


def chroma():
    return diffusers.ChromaPipeline(
        transformer=made(
            diffusers.ChromaTransformer2DModel,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
            approximator_num_channels=8,
            approximator_hidden_dim=32,
            approximator_layers=1,
        ),
        scheduler=flow_scheduler(),
        vae=flow_autoencoder(4),
        text_encoder=t5(),
        tokenizer=t5_tokenizer(),
    )


def z_image():
    return diffusers.ZImagePipeline(
        transformer=made(
            diffusers.ZImageTransformer2DModel,
            in_channels=4,
            dim=32,
            n_layers=2,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=16,
            axes_dims=(8, 4, 4),
            axes_lens=(1024, 32, 32),
        ),
        scheduler=flow_scheduler(),
        vae=flow_autoencoder(4),
        text_encoder=qwen(transformers.Qwen3Model),
        tokenizer=qwen_tokenizer(),
    )


def qwen_image():
    torch.manual_seed(3)
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            **shape,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [1, 1, 2],
                "rope_theta": 1000000.0,
            },
            "vocab_size": 300,
            "max_position_embeddings": 2048,
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
        },
        vocab_size=300,
    )
    transformer = made_attentive(
        diffusers.QwenImageTransformer2DModel,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )
    torch.manual_seed(2)
    return diffusers.QwenImagePipeline(
        transformer=transformer,
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=randomised(transformers.Qwen2_5_VLForConditionalGeneration(config)),
        tokenizer=qwen_tokenizer(),
    )


def flux2_transformer(joint, guidance_embeds):
    return made_attentive(
        diffusers.Flux2Transformer2DModel,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=joint,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance_embeds,
    )


def flux2():
    text = {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 30,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "model_type": "mistral",
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "model_type": "pixtral",
    }
    config = transformers.Mistral3Config(text_config=text, vision_config=vision)
    torch.manual_seed(2)
    return diffusers.Flux2Pipeline(
        transformer=flux2_transformer(3 * 16, True),
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=autoencoder(4, diffusers.AutoencoderKLFlux2),
        text_encoder=randomised(transformers.Mistral3ForConditionalGeneration(config)),
        tokenizer=qwen_tokenizer(),  # the real one's class wants torchvision
    )


def flux2_klein():
    return diffusers.Flux2KleinPipeline(
        transformer=flux2_transformer(3 * 16, False),
        scheduler=flow_scheduler(use_dynamic_shifting=True),
        vae=autoencoder(4, diffusers.AutoencoderKLFlux2),
        text_encoder=qwen(transformers.Qwen3ForCausalLM, layers=27),
        tokenizer=qwen_tokenizer(),
    )


BUILDERS = {
    build.__name__: build
    for build in (
        sdxl,
        sdxl_lcm,
        sd3,
        flux,
        flux_schnell,
        pixart,
        sana,
        lumina2,
        chroma,
        z_image,
        qwen_image,
        flux2,
        flux2_klein,
    )
}


def save_tiny_family(name: str, folder: Path) -> Path:
    """A whole folder of a family."""
    BUILDERS[name]().save_pretrained(folder, safe_serialization=True)
    return folder
