"""Many keyframes: OmegaConf, which is slow, sees none of them, and everyone else sees them all."""

import omegaconf
import pytest
from reading import read_timeline

from render.cli.compose import MANY_KEYFRAMES, TimelineSource


def film(count):
    """A timeline of so many keyframes, with a text that OmegaConf would take for its own."""
    later = "".join(f"- {{at: {k}, prompt: 'p{k % 7} ${{x}}'}}\n" for k in range(1, count))
    return f"keyframes:\n- {{at: 0, prompt: one}}\n{later}".encode()


@pytest.fixture
def made(monkeypatch):
    """How many mappings OmegaConf makes."""
    counted, init = [], omegaconf.DictConfig.__init__

    def counting(self, *arguments, **options):
        counted.append(1)
        init(self, *arguments, **options)

    monkeypatch.setattr(omegaconf.DictConfig, "__init__", counting)
    monkeypatch.setattr(TimelineSource, "arguments", ["+timeline=film"])
    return counted


def test_the_work_of_omegaconf_does_not_grow_with_the_keyframes(tmp_path, made):
    counts = []
    for count in (MANY_KEYFRAMES + 1, 2 * MANY_KEYFRAMES):
        made.clear()
        timeline = read_timeline(tmp_path, film(count))
        assert len(timeline.keyframes) == count
        counts.append(len(made))
    assert counts[0] == counts[1] < 100


@pytest.mark.parametrize("more", ["++timeline.keyframes.3.prompt=x", "--cfg"])
def test_whoever_names_or_prints_them_gets_the_same(tmp_path, made, monkeypatch, more):
    content = film(MANY_KEYFRAMES + 1)
    quickly = read_timeline(tmp_path, content)
    made.clear()
    monkeypatch.setattr(TimelineSource, "arguments", ["+timeline=film", more])
    assert read_timeline(tmp_path, content) == quickly
    assert len(made) > MANY_KEYFRAMES


def test_a_sign_that_someone_wrote_stands_for_nothing(tmp_path, made):
    with pytest.raises(Exception, match="keyframes"):
        read_timeline(tmp_path, 'keyframes: "\ue001film"\n'.encode())
