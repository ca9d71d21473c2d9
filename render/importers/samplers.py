"""Schedulers and steps by the names that other tools have for them."""

from __future__ import annotations

from collections.abc import Mapping

SCHEDULERS: Mapping[str, str] = {
    "euler": "euler", "k_euler": "euler",
    "euler a": "euler_a", "euler_a": "euler_a", "euler_ancestral": "euler_a",
    "k_euler_ancestral": "euler_a",
    "heun": "heun", "k_heun": "heun",
    "lms": "lms", "klms": "lms", "k_lms": "lms",
    "dpm++ 2m": "dpmpp_2m", "dpmpp_2m": "dpmpp_2m",
    "ddim": "ddim", "plms": "pndm", "pndm": "pndm",
    "unipc": "unipc", "uni_pc": "unipc", "lcm": "lcm",
}  # fmt: skip
"""render's schedulers by their names in AUTOMATIC1111's web UI, ComfyUI, Deforum's notebook and
animatediff-cli, in small letters."""


def scheduler_settings(name: str, karras: bool = False) -> dict[str, object]:
    """The settings for a sampler of another tool; none if render has no such scheduler.

    Args:
        karras: whether it takes the noise levels of Karras et al. (2022), which its name may say,
            too.
    """
    written = name.casefold().strip()
    spaced = written.removesuffix(" karras")
    known = SCHEDULERS.get(spaced)
    if known is None:
        return {}
    settings: dict[str, object] = {"scheduler": known}
    if karras or spaced != written:
        settings["scheduler.use_karras_sigmas"] = True
    return settings


def sampler_loss(name: str) -> str:
    """The sentence about a sampler that render has not."""
    return f"sampler {name!r}: render has no scheduler of that name; choose one (scheduler=…)"
