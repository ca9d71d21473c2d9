"""Storybook: a small latent diffusion model, trained from nothing on pictures painted by program.

The scenes are continuous, so that the model morphs. The order of the making, one module a step:

    scene → painter → captions → examples → autoencoder → dataset → denoiser → decoder → folder

A render never imports this package; it reads the diffusers folder `render/storybook/weights`.
"""
