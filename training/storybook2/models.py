"""The nets of the second storybook, with sizes for a CPU core or two.

The autoencoder makes latents of 1/8 of the picture's side, so that pictures of 256 pixels cost the
denoiser what pictures of 128 did. Its first levels, which have the most pixels, are thin.
"""

from diffusers import AutoencoderKL, UNet2DConditionModel

from training.storybook.models import TEXT_WIDTH, Net

SIZE = 256  # pixels a side
FACTOR = 8  # pixels a latent
CHANNELS = 8  # of the latents
AUTOENCODER_WIDTHS = (16, 32, 64, 128)
DENOISER_WIDTHS = (48, 64, 128, 160)


def make_autoencoder(widths: tuple[int, ...] = AUTOENCODER_WIDTHS) -> Net:
    """Pictures (B, 3, H, W) in -1..1 to latents (B, 8, H/8, W/8) and back."""
    levels = len(widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,  # the latents' scale is folded into the weights
        mid_block_add_attention=False,
    )


def make_denoiser(widths: tuple[int, ...] = DENOISER_WIDTHS) -> Net:
    """The denoiser of latents (B, 8, 32, 32), which predicts v (Salimans and Ho 2022)."""
    attending = len(widths) - 1  # all levels but the first, which has the most pixels
    return UNet2DConditionModel(
        sample_size=SIZE // FACTOR,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * attending),
        up_block_types=(*("CrossAttnUpBlock2D",) * attending, "UpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        attention_head_dim=tuple(max(1, width // 32) for width in widths),
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        use_linear_projection=True,
    )
