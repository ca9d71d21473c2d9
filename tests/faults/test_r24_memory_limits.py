"""R24: a container with little memory, whose limit the kernel keeps by killing: it is said before
torch is loaded, and what a run had finished when it was killed is kept."""

from memory_group import memory_group

KEYFRAMES = [{"at": 0, "prompt": "A castle", "seed": 1}, {"at": 1, "prompt": "A town"}]
FRAMES = 3
CALL = ("+timeline=film", "output=frames", "output.fps=2", "output.width=32", "output.height=32")


def test_too_little_is_named_before_torch_is_loaded(site):
    site.timeline("film", KEYFRAMES)
    with memory_group(300) as site.prefix:
        ended = site.render(*CALL, "scheduler.steps=1", model="real")
        site.prefix = []
    assert ended.code == 1, ended.err
    assert "too little memory for torch, which takes " in ended.err.splitlines()[-1]


def test_a_run_that_the_kernel_kills_loses_no_finished_frame(site):
    """A frame that takes more than the limit; those before it are there."""
    site.timeline("film", KEYFRAMES)
    with memory_group(700) as site.prefix:
        ended = site.start(*CALL, batch=1, blocks=8, seconds=0.5, greedy=["A town"]).wait()
        site.prefix = []
    assert ended.code == -9, ended.err
    there = len(site.stored())
    assert there == len(site.frames("film")) == 1
    ended = site.render(*CALL, blocks=8)
    assert ended.code == 0, ended.err
    assert site.counts("film") == (there, FRAMES - there, 0)
    assert site.temps() == []
