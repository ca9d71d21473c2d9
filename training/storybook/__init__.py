"""Storybook: a small latent diffusion model, trained from nothing on pictures painted by program.

The order of the making, one module a step:

    scene → painter → captions → tokenizer → dataset → autoencoder → denoiser → folder → evaluation

A render never imports this package; it reads the diffusers folder `render/storybook/weights`.
"""
