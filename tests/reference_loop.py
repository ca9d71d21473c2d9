"""The reference loop, that of the blog post: written out, on the parts of a stock pipeline."""

import diffusers
import numpy as np
import torch
from tiny_models import BETAS, SIDE


def reference_pipeline(folder):
    return diffusers.StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, requires_safety_checker=False, local_files_only=True
    )


def reference_noise(pipeline, seed):
    generator = torch.Generator("cpu").manual_seed(seed)
    factor = pipeline.vae_scale_factor
    shape = (1, pipeline.unet.config.in_channels, SIDE // factor, SIDE // factor)
    return torch.randn(shape, generator=generator)


def reference_texts(pipeline, texts):
    tokens = pipeline.tokenizer(
        texts,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    return pipeline.text_encoder(tokens.input_ids)[0]


@torch.no_grad()
def reference_frame(
    pipeline, texts, weights, noise, steps=10, guidance=7.5, kind=diffusers.LMSDiscreteScheduler
):
    """One frame of the reference loop, with rows [unconditional, start, end].

    Args:
        weights: the end's at all steps, or at each.
    """
    prediction_type = pipeline.scheduler.config.get("prediction_type", "epsilon")
    scheduler = kind(**BETAS, prediction_type=prediction_type)
    scheduler.set_timesteps(steps)
    embeddings = reference_texts(pipeline, ["", *texts])
    latents = noise * scheduler.init_noise_sigma
    for timestep, t in zip(scheduler.timesteps, np.broadcast_to(weights, steps), strict=True):
        three = scheduler.scale_model_input(torch.cat([latents] * 3), timestep)
        u, s, e = pipeline.unet(three, timestep, encoder_hidden_states=embeddings).sample.chunk(3)
        guided = u + guidance * ((1 - float(t)) * (s - u) + float(t) * (e - u))
        latents = scheduler.step(guided, timestep, latents).prev_sample
    picture = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    picture = (picture / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()[0]
    return (picture * 255).round().astype("uint8")
