"""Transformer blocks that are skipped: which rows compute them, and that no neighbour has a say."""

import numpy as np
import pytest
from films import composed
from pictures import render
from tiny_families import SIDE, SIDES

from render.engines.open_model import open_diffusion
from render.errors import ConfigError
from render.models.families import FAMILIES
from render.models.model_source import ModelSource
from render.plan.approximations import Approximations
from render.plan.frame_plan import Recipe
from render.run.resolve import open_film
from render.timeline.spec import FrameSpec

STEPS = 6


def spec(*texts, seed=1, guidance=3.0):
    prompts = tuple((text, 1 / len(texts)) for text in texts)
    return FrameSpec(prompts, (("blurry", 1.0),), ((seed, 1.0),), guidance)


FILM = [spec("a castle"), spec("a castle", "a lake"), spec("a lake", seed=2)]


def opened(folder, name, threshold):
    side = SIDES.get(name, SIDE)
    approximations = Approximations(block_cache=threshold)
    recipe = Recipe(
        "t", "model", {}, STEPS, side, side, "float32", "noise", approximations=approximations
    )
    return open_diffusion(ModelSource(folder, None, None, None, None), recipe, "cpu")


def counted(diffusion):
    """How often the transformer's last block is computed, as a list that grows."""
    net, calls = diffusion.pipeline.transformer, []
    blocks = getattr(net, "single_transformer_blocks", None) or net.transformer_blocks
    layer = next(each for each in blocks[-1].modules() if type(each).__name__ == "Linear")
    layer.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize(("name", "threshold"), [("flux", 0.5), ("qwen_image", 10.0)])
def test_a_frame_is_the_same_alone_and_among_others(family_folder, name, threshold):
    diffusion = opened(family_folder(name), name, threshold)
    calls = counted(diffusion)
    together = render(diffusion, *FILM)
    assert 0 < len(calls) < diffusion.rows  # some were skipped
    alone = opened(family_folder(name), name, threshold)
    for frame, picture in zip(FILM, together, strict=True):
        assert np.array_equal(render(diffusion, frame)[0], picture)
        assert np.array_equal(render(alone, frame)[0], picture)


def test_a_threshold_that_nothing_keeps_to_is_the_exact_film(family_folder):
    folder = family_folder("flux")
    exact = render(opened(folder, "flux", 0), *FILM)
    least, much = (render(opened(folder, "flux", t), *FILM) for t in (1e-9, 1.0))
    assert all(map(np.array_equal, exact, least))
    assert not np.array_equal(exact[0], much[0])


def test_a_closed_models_transformer_has_no_hooks(family_folder):
    diffusion = opened(family_folder("flux"), "flux", 0.5)
    net = diffusion.pipeline.transformer
    assert net.is_cache_enabled
    diffusion.close()
    assert not net.is_cache_enabled
    assert not any("forward" in vars(module) for module in net.modules())


def test_models_whose_blocks_cant_be_cached_are_refused_in_the_plan(tiny_sd1, tmp_path):
    changes = {"sampling.block_cache": 0.1}
    with pytest.raises(ConfigError, match=r"^sampling.block_cache: StableDiffusionPipeline has no"):
        open_film(composed(tiny_sd1, tmp_path, changes), "", str)


def test_it_is_part_of_the_identity():
    assert Approximations(block_cache=0.1).in_recipe() == {"block_cache": 0.1}
    caching = {family.pipeline for family in FAMILIES.values() if family.caches_blocks}
    assert caching == {"FluxPipeline", "QwenImagePipeline"}
