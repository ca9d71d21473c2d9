"""The diffusion core: prompts blended inside of the denoiser's call."""
