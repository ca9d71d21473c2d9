"""R9: out of memory, pictures that are not finite, passing errors, every frame failing."""

import pytest

LADDER = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(8)]


@pytest.fixture
def film(site):
    """Eight frames, each with a prompt of its own."""
    site.timeline("film", LADDER)
    return site


def test_too_little_memory_halves_the_batch_and_changes_no_identity(film):
    ended = film.render("+timeline=film", "output=frames", "output.fps=1", oom_above=2, batch=8)
    assert ended.code == 0
    assert "out of memory; going on with 2 frames at a time" in ended.err
    assert film.counts("film") == (0, 8, 0)
    film.render("+timeline=film", "output=frames", "output.fps=1")
    assert film.counts("film") == (8, 0, 0)
