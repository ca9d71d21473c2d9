"""The last line of a render says what may be done next."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from render.run.next_step import next_step


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "render show t"),
        (("sampling.speed=draft",), "sampling.speed=exact renders the film itself"),
        (("sampling.path=smooth", "sampling.path_parts=4"), "render show t"),
        (("mode=keyframes",), "the same command without mode=keyframes renders the film"),
        (("page=false",), None),
        (("root=elsewhere",), "render show elsewhere/t"),
        (("shard=0/2",), None),
    ],
)
def test_a_render_says_what_may_come_next(place, more, said):
    place.timeline("t", [{"at": 0, "prompt": "one", "seed": 1}, {"at": 0.5, "prompt": "two"}])
    ended = place.render("+timeline=t", "output=gif", *more)
    assert ended.code == 0, ended.err
    lines = [line.split(None, 1)[1] for line in ended.out.splitlines() if "next " in line]
    assert lines == ([said] if said else [])


def test_a_film_with_flashes_names_the_way_out():
    sampling = SimpleNamespace(speed="exact", path="plain")
    config = SimpleNamespace(mode="render", page=True, sampling=sampling)
    measured = SimpleNamespace(figures=SimpleNamespace(flashes=(3,), snaps=()))
    found = next_step(SimpleNamespace(config=config, follows=False), measured)
    assert found == "sampling.path=smooth timeline.pace=even: a film without flashes and jumps"
    driven = SimpleNamespace(
        config=config, follows=True, folder=Path("outputs/t"), frames=Path("outputs/t/frames")
    )
    config.root = Path("outputs")
    assert next_step(driven, measured) == "render show t"
