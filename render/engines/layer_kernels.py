"""Our own ways to compute a network's layers, put into a loaded model; `compute.kernels=stock`
leaves all of them out.

On a GPU torch's own layers are used, but for those that a frame's rows have in common. On a CPU,
where all parts are in main memory, layers write over what is no longer needed, linear layers are
computed by oneDNN, and large pictures in tiles. These only where a frame's rows are a call of their
own, since a row's last bits depend on its place in a product.
"""

from __future__ import annotations

from typing import Any

import torch

from render.engines.protocol import Computation, Opened
from render.kernels.cpu_chunked_attention import use_chunks
from render.kernels.cpu_inplace_resnet import write_in_place
from render.kernels.cpu_onednn_linear import use_onednn
from render.kernels.cpu_winograd import use_tiles
from render.kernels.fused_upsampling import Doubling, merge_upsampling
from render.kernels.memory_format import put_channels_last
from render.kernels.shared_prefix import SharedPrefix
from render.models.memory_budget import whole_memory

FOR_TILES = 0.2  # of the whole memory: what weights for tiles may take more than their layers did
FOR_WEIGHTS = 0.75  # of it: all weights with those for tiles; the rest is for pictures and others


def computed_by_layers(opened: Opened) -> Computation:
    """The denoiser computed by torch with our layers in it, or with the stock ones alone."""
    if opened.compute.kernels == "stock":
        return Computation(opened.denoiser.forward)
    unet, patches = unet_of(opened), opened.patches
    networks = [net for net in (unet, controlnet_of(opened)) if net is not None]
    vae = opened.pipeline.vae
    if opened.on_cpu:
        lay_out(opened)
        attend_in_chunks(opened, [*networks, vae])
        for net in networks:
            write_in_place(net, patches)
            use_onednn(net, patches)
        write_in_place(vae, patches)
    prefix = SharedPrefix(unet, patches) if unet is not None else None
    if opened.on_cpu and opened.rows.frames == 1:
        changed = unet if opened.stock.adapters.adapters else None  # by LoRAs
        unchanged = [net for net in networks if net is not changed]
        use_tiles(unchanged, vae, opened.stock.noise_shape, room_for_tiles(opened), patches)
    return Computation(opened.denoiser.forward, prefix)


def unet_of(opened: Opened) -> Any:
    """The denoiser, if it is made of layers that kernels know; else None."""
    return opened.denoiser if opened.stock.family.has_kernels else None


def controlnet_of(opened: Opened) -> Any:
    """The ControlNet beside the denoiser; None if there is none."""
    return opened.residuals.net if opened.residuals else None


def lay_out(opened: Opened) -> None:
    """Lay networks out on a CPU: channels last, and each upsampling merged into the convolution
    after it, but for layers that LoRAs change."""
    unet, vae, patches = unet_of(opened), opened.pipeline.vae, opened.patches
    merge_upsampling(vae.decoder, unet, opened.stock.noise_shape, Doubling, patches)
    if unet is not None:
        for net in (unet, vae, controlnet_of(opened)):
            if net is not None:
                put_channels_last(net, patches)


def attend_in_chunks(opened: Opened, networks: list[Any]) -> None:
    """Let networks in 16 bits attend in chunks, where torch's attention is slow on a CPU."""
    if unet_of(opened) is not None:
        for net in networks:
            if net.dtype != torch.float32:
                use_chunks(net, opened.patches)


def room_for_tiles(opened: Opened) -> int:
    """Bytes by which weights may grow: by the model and the whole memory, and not by what happens
    to be free, since tiles have a say in a picture's last bits."""
    net = controlnet_of(opened)
    loaded = opened.stock.weights()
    if net is not None:
        loaded += sum(weight.nbytes for weight in net.parameters())
    whole = whole_memory()
    return max(0, int(min(FOR_TILES * whole, FOR_WEIGHTS * whole - loaded)))
