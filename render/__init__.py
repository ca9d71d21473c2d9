"""render: a timeline of keyframes becomes a smooth video with a latent diffusion model."""

__version__ = "0.2.0"
