"""The Python door: films declared, planned, rendered and encoded by a program, beside the command
line, and without a trace in the process that imports it."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from command_line import CHECKOUT
from pictures import same_pictures

import render
from render.errors import FolderBusy, FramesFailed
from render.report.events import Finished, FrameFailed, FrameRendered
from render.run import frame_loop

KEYFRAMES = [{"at": 0, "prompt": "one", "seed": 1}, {"at": 1, "prompt": "two"}]


@pytest.fixture
def here(place, monkeypatch):
    """The folder as the current one: films go to outputs/ in it."""
    monkeypatch.chdir(place.folder)
    return place


def load(place, timeline="t", *more):
    return render.load(timeline, *place.arguments(*more))


def images(film):
    return [np.asarray(frame.image) for frame in film.render()]


# --- load ------------------------------------------------------------------------------------


def test_a_film_is_the_same_however_its_timeline_is_given(here):
    file = here.folder / "configs" / "timeline" / "t.yaml"
    whole = {"name": "t", "keyframes": KEYFRAMES}
    films = [load(here, given) for given in ("t", str(file), file, whole, KEYFRAMES)]
    assert len({tuple(f.digest for f in film.plan().frames) for film in films}) == 1
    assert [film.folder.name for film in films] == ["t", "t", "t", "t", "film"]
    films.append(render.load(films[0].config))
    assert films[-1].plan().frames == films[0].plan().frames


def test_overrides_change_a_timeline_that_is_given_as_data(here):
    film = load(here, KEYFRAMES, "timeline.keyframes.1.prompt=three", "output.fps=2", "name=mine")
    assert film.folder == Path("outputs/mine")
    assert [frame.spec.prompts for frame in film.plan().frames][-1] == (("three", 1.0),)
    assert len(film.plan().frames) == 3


def test_a_timeline_of_data_is_read_as_it_stands(here):
    odd = [{"at": 0, "prompt": "a ${b} {c}, d: $(e)"}, {"at": 1, "prompt": ("no", "list")[0]}]
    prompts = [frame.spec.prompts for frame in load(here, odd).plan().frames]
    assert prompts[0] == (("a ${b} {c}, d: $(e)", 1.0),)
    assert prompts[-1] == (("no", 1.0),)


@pytest.mark.parametrize(
    "wrong",
    [
        ["t", "output.fbs=24"],
        ["nothing-of-this-name"],
        ["t", "model=none", "scheduler=none"],
        ["t", "output.fps=1,2"],
        ["t", "sampling.guidance=-1", "output.quality=999"],
        ["broken"],
    ],
)
def test_mistakes_are_the_command_lines_own_lines(here, wrong):
    here.timeline("broken", "keyframes: [{at: 0, prompt: a}, {at: x, promt: b}]\n")
    said = here.render(*wrong)
    assert said.code == 2
    with pytest.raises(render.ConfigError) as raised:
        load(here, *wrong)
    assert [f"render: {line}" for line in str(raised.value).splitlines()] == said.err.splitlines()


def test_mistakes_in_data_name_their_place(here):
    with pytest.raises(render.ConfigError, match=r"timeline\.keyframes\.1\.promt: unknown key"):
        load(here, [KEYFRAMES[0], {"at": 1, "promt": "two"}])
    with pytest.raises(render.ConfigError, match=r"timeline\.defaults: unknown key"):
        load(here, {"keyframes": KEYFRAMES, "defaults": ["evil"]})
    with pytest.raises(render.ConfigError, match="--help: is no override"):
        render.load("t", "--help")
    with pytest.raises(render.ConfigError, match="change the config itself"):
        render.load(load(here).config, "output.fps=3")


def test_a_film_that_is_only_planned_writes_nothing(here):
    before = here.tree()
    plan = load(here).plan()
    assert plan.facts.new == 5
    assert plan.summary.splitlines()[0].split() == ["t", "5", "frames"]
    assert here.tree() == before


# --- render ----------------------------------------------------------------------------------


def test_frames_come_in_order_with_their_pictures_and_as_the_command_line_makes_them(
    here, capfd, tmp_path
):
    film = load(here)
    frames = list(film.render())
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time for frame in frames] == [0, 0.25, 0.5, 0.75, 1]
    assert frames[1].prompts == (("one", 0.75), ("two", 0.25))
    assert frames[2].image is frames[2].image
    assert capfd.readouterr() == ("", "")
    pictures = [np.asarray(frame.image) for frame in frames]
    assert same_pictures(pictures, here.pictures("t"))
    assert here.counts("t") == (0, 5)
    assert here.render("t", "root=other").code == 0
    assert same_pictures(pictures, here.pictures("t", "other"))
    assert film.plan().facts.kept == 5
    assert here.render("t").code == 0
    assert here.counts("t") == (5, 0)


def test_a_loop_that_is_broken_off_goes_on_where_it_stopped(here):
    film = load(here, "t", "compute.batch=1")
    for frame in film.render():
        if frame.index == 1:
            break
    there = film.plan().facts.kept
    assert 2 <= there < 5
    assert here.counts("t") == (0, there)
    assert not here.temps()
    assert [frame.index for frame in film.render()] == [0, 1, 2, 3, 4]
    assert here.counts("t") == (there, 5 - there)


def test_a_film_that_is_being_rendered_is_held(here):
    film = load(here, "t", "compute.batch=1")
    frames = film.render()
    next(frames)
    with pytest.raises(FolderBusy):
        next(load(here).render())
    frames.close()
    assert len(list(load(here).render())) == 5


def test_a_loop_that_is_interrupted_ends_in_good_order(here):
    film = load(here, "t", "compute.batch=1")
    frames = film.render()
    next(frames)
    with pytest.raises(KeyboardInterrupt):
        frames.throw(KeyboardInterrupt)
    kept, rendered = here.counts("t")
    assert (kept, film.plan().facts.kept) == (0, rendered)
    log = (here.folder / "outputs" / "t" / "render.log").read_text()
    assert log.splitlines()[-1].endswith(" ended: interrupted")
    assert len(list(film.render())) == 5


@pytest.mark.parametrize("path", [None, "elsewhere.mp4"])
@pytest.mark.parametrize("moved", [False, True], ids=["in place", "under other names"])
def test_a_film_whose_store_is_gone_is_encoded_from_its_folder(here, path, moved):
    film = load(here)
    images(film)
    shutil.rmtree("outputs/.store")
    if moved:
        first, *_, last = sorted((film.folder / "frames").iterdir())
        first.rename("kept")
        last.rename(first)
        Path("kept").rename(last)
    assert film.encode(path).is_file()
    assert len(list(Path("outputs/.store").glob("??/*.png"))) == len(film.plan().frames)


def test_a_film_is_rendered_and_encoded_in_a_thread(here):
    made = []

    def work():
        film = load(here)
        made.extend(images(film))
        made.append(film.encode("thread.mp4"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert made.pop() == Path("thread.mp4")
    assert same_pictures(made, here.pictures("t"))


def test_two_films_of_two_models_at_the_same_time(here, family_folder):
    other = str(family_folder("sdxl"))
    first, second = load(here), load(here, "t", "name=other", f"model.path={other}")
    pairs = list(zip(first.render(), second.render(), strict=True))
    alone = [here.render("t", "root=alone", "name=first")]
    alone.append(here.render("t", "root=alone", "name=second", f"model.path={other}"))
    assert [ended.code for ended in alone] == [0, 0]
    for place, name in enumerate(("first", "second")):
        pictures = [np.asarray(pair[place].image) for pair in pairs]
        assert same_pictures(pictures, here.pictures(name, "alone"))


def test_frames_that_fail_are_left_out_and_raised_at_the_end(here, monkeypatch):
    real = frame_loop.once

    def faulty(diffusion, part, on_step):
        if any(frame.index == 2 for frame in part):
            raise RuntimeError("shapes of these don't fit")
        return real(diffusion, part, on_step)

    monkeypatch.setattr("render.run.frame_loop.once", faulty)
    seen, events = [], Collected()
    frames = (seen.append(frame.index) for frame in load(here).render(events))
    with pytest.raises(FramesFailed, match="1 frame failed, the first: frame 2: RuntimeError"):
        list(frames)
    assert seen == [0, 1, 3, 4]
    assert [event.index for event in events.of(FrameFailed)] == [2]
    assert [failed for failed, _ in events.of(Finished)[0].failed] == [2]


class Collected:
    """A reporter that keeps what it receives."""

    def __init__(self):
        self.events = []

    def on_event(self, event):
        self.events.append(event)

    def ask(self, question):
        return None

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def test_a_reporter_of_ones_own_receives_the_events(here):
    collected = Collected()
    film = load(here)
    frames = list(film.render(collected))
    rendered = {event.index: event for event in collected.of(FrameRendered)}
    assert sorted(rendered) == [0, 1, 2, 3, 4]
    assert [rendered[frame.index].path for frame in frames] == [frame.path for frame in frames]
    (finished,) = collected.of(Finished)
    assert (finished.rendered, finished.kept, finished.failed) == (5, 0, [])


def test_a_reporter_that_fails_is_named_and_what_was_rendered_stays(here):
    class Failing(Collected):
        def on_event(self, event):
            super().on_event(event)
            if isinstance(event, FrameRendered) and len(self.of(FrameRendered)) == 2:
                raise KeyError("frame")

    film = load(here)
    said = "the reporter Failing failed .KeyError: 'frame'. at FrameRendered; mend it"
    with pytest.raises(render.RenderError, match=said):
        list(film.render(Failing()))
    assert film.plan().facts.kept >= 2


# --- encode ----------------------------------------------------------------------------------


def test_a_video_goes_where_it_is_asked_for_in_the_format_of_its_suffix(here):
    film = load(here)
    with pytest.raises(render.RenderError, match="5 of 5 frames are not there"):
        film.encode("early.mp4")
    list(film.render())
    assert film.encode("city.gif") == Path("city.gif")
    assert (here.folder / "city.gif").read_bytes().startswith(b"GIF8")
    assert film.encode() == Path("outputs/t/t.mp4")
    with pytest.raises(render.ConfigError, match=r"no format has this suffix; known: \.mp4"):
        film.encode("city.avi")
    assert not (here.folder / "early.mp4").exists()


# --- the process -----------------------------------------------------------------------------

UNTOUCHED = """
import logging, os, resource, signal, sys, warnings
import numpy, torch, diffusers, transformers

def takes_new_pages():
    # The heap gives freed memory back to the system, so that the next of that size is new pages.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        held = b"x" * 70_000_000
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before > 2 * 70_000_000 / 4096

def state():
    loggers = {n: (l.level, l.disabled, list(l.handlers), l.propagate)
               for n, l in logging.root.manager.loggerDict.items() if isinstance(l, logging.Logger)}
    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "tf32": (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32,
                 torch.get_float32_matmul_precision()),
        "allocator": takes_new_pages(),
        "seed": torch.initial_seed(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "root logger": (logging.root.level, list(logging.root.handlers)),
        "loggers": {n: loggers[n] for n in known} if known else loggers,
        "verbosity": (diffusers.utils.logging.get_verbosity(),
                      transformers.utils.logging.get_verbosity()),
        "filters": list(warnings.filters),
        "signals": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "environment": dict(os.environ),
        "cwd": os.getcwd(),
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
        "argv": list(sys.argv),
    }

known = None
known = set(state()["loggers"])
torch.set_num_threads(3)
before = state()
import render
film = render.load({keyframes}, *{overrides})
for frame in film.render():
    assert state() == before, [k for k in before if state()[k] != before[k]]
    if frame.index == 1:
        break
list(film.render())
film.encode("made.mp4")
after = state()
print([key for key in before if after[key] != before[key]])
"""


WARNING = """
import warnings
import diffusers, transformers

def warning(way):
    def warned(*given, **named):
        warnings.warn("it is old", FutureWarning, stacklevel=2)
        return way(*given, **named)
    return warned

for part, name in ((diffusers.AutoencoderKL, "decode"), (diffusers.DDIMScheduler, "from_config"),
                   (diffusers.UNet2DConditionModel, "from_pretrained"),
                   (transformers.CLIPTokenizer, "__call__")):
    setattr(part, name, warning(getattr(part, name)))
warnings.resetwarnings()
warnings.simplefilter("error")
before = list(warnings.filters)
import render
film = render.load({keyframes}, *{overrides})
for _ in film.render():
    assert warnings.filters == before
assert warnings.filters == before
print(len(list(film.render())))
"""


def run_python(place, program):
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=place.folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_process_that_imports_it_is_left_as_it_was(place):
    overrides = place.arguments("compute.batch=1", "compute.threads=1")
    program = UNTOUCHED.replace("{keyframes}", repr(KEYFRAMES)).replace(
        "{overrides}", repr(overrides)
    )
    assert run_python(place, program) == "[]\n"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_a_heap_that_keeps_what_is_freed_is_noticed(place):
    looked_for = UNTOUCHED.partition("def state")[0] + "print(takes_new_pages())\n"
    kept = "from render.kernels.cpu_malloc import keep_freed\nkeep_freed()\n"
    assert run_python(place, f"{looked_for}{kept}print(takes_new_pages())") == "True\nFalse\n"


def test_a_librarys_warning_ends_no_render_where_warnings_are_errors(place):
    overrides = place.arguments("scheduler=ddim")
    program = WARNING.replace("{keyframes}", repr(KEYFRAMES)).replace(
        "{overrides}", repr(overrides)
    )
    assert run_python(place, program) == "5\n"


def test_a_plan_and_a_film_that_is_there_need_no_torch(here):
    list(load(here).render())
    program = f"""
import sys, json
import render
assert not {{"hydra", "torch", "PIL", "numpy"}} & set(sys.modules)
film = render.load("t", *{here.arguments()!r})
assert len(list(film.render())) == film.plan().facts.kept == 5
film.encode("x.mp4")
print(json.dumps("torch" in sys.modules))
"""
    assert json.loads(run_python(here, program)) is False


def test_hydras_own_state_is_left_to_the_program(here):
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("package", lambda part: f"theirs {part}", replace=True)
    before = dict(SourcesRegistry.instance().types)
    try:
        load(here)
        made = OmegaConf.create({"a": "${package:b}"})
        assert made.a == "theirs b"
    finally:
        OmegaConf.clear_resolver("package")
    assert SourcesRegistry.instance().types == before or not before
    assert GlobalHydra.instance().hydra is None or GlobalHydra.instance().is_initialized()


def test_the_public_names():
    assert sorted(render.__all__) == [
        "ConfigError", "DiskFull", "EncodeError", "Film", "FolderBusy", "Frame", "FramesFailed",
        "Plan", "RenderError", "__version__", "load", "measure",
    ]  # fmt: skip
    page = (CHECKOUT / "docs" / "python.md").read_text()
    named = set(re.findall(r"`render\.(\w+)", page)) - {"log"}  # render.log is a file
    assert named == set(render.__all__) - {
        "Film", "Frame", "Plan", "__version__",
    }  # fmt: skip
    assert all(getattr(render, name) is not None for name in render.__all__)
    assert set(render.__all__) <= set(dir(render))
    assert (Path(render.__file__).parent / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = render.nothing
