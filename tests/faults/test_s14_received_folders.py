"""S14: an outputs folder that someone else gave: whatever stands in its files is data. Each odd
thing is named, and passed over or set aside; no run is blocked by it."""

import json
import shutil
import socket

import pytest
from pictures import chunk
from PIL import PngImagePlugin
from things import SIDE, picture

FILM = [{"at": k, "prompt": f"p{k}", "seed": k, "ease": "hold"} for k in range(3)]
CALL = ["+timeline=film", "output.fps=1", f"output.width={SIDE}", f"output.height={SIDE}"]
DEEP = 100_000

# What may stand where a frame's spec belongs.
SPECS = {
    "a list": "[1]",
    "nothing": "null",
    "a text": '"x"',
    "a number": "1e999",
    "a deep list": "[" * DEEP,
    "a deep mapping": '{"prompts": ' * DEEP + "1" + "}" * DEEP,
    "long names": json.dumps({"x" * 5000 + "\x1b[31m\n": 1}),
    "no JSON": "{",
}
# What may stand in a file of JSON, behind its mark, and what is said of it.
ODD = {
    "NaN": ("NaN", "holds NaN, which is no number"),
    "infinity": ("-Infinity", "holds -Infinity, which is no number"),
    "too large": ("1e999", "holds 1e999, which is no number"),
    "too long": ("9" * 400, f"holds {'9' * 20}…, which is no number"),
    "deep": ("[" * DEEP + "]" * DEEP, "is nested too deeply"),
    "cut": ("[1", "is no JSON"),
}
# The files, each with its mark: `%s` is the odd thing.
FILES = {
    "film/run.json": '{\n  "by": "render 1",\n  "videos": {"film.mp4": {"mtime_ns": %s}}}',
    ".store/models.json": '{\n "/m/model.safetensors": [\n  1,\n  %s]}',
    ".store/timings.json": '{\n "here cpu": {\n  "bytes_per_frame": %s, "seconds_per_row": 1}}',
}
# Files of right JSON that say what no run writes.
SHAPES = {
    "film/run.json": [
        '{"videos": [1]}',
        '{"videos": {"film.mp4": 1}}',
        '{"videos": {"film.mp4": {"digest": [], "mtime_ns": "x", "content": [{}], "before": 1}}}',
        "[1]",
    ],
    ".store/models.json": ['{"KEY": [1]}', '{"KEY": [1, 2, {}]}', '{"KEY": 1}', "[1]"],
    ".store/timings.json": [
        '{"KEY": {"bytes_per_frame": "x", "seconds_per_row": []}}',
        '{"KEY": {"bytes_per_frame": -1, "seconds_per_row": 1e300}}',
        f'{{"KEY": {{"bytes_per_frame": {10**400}, "seconds_per_row": 1}}}}',
        '{"KEY": {}}',
        '{"KEY": 1}',
    ],
}


@pytest.fixture(scope="module")
def place(film_site):
    site = film_site(FILM, *CALL)
    assert site.rounds.render().code == 0
    shutil.copytree(site.root, site.here / "copy")
    return site


@pytest.fixture
def film(place):
    shutil.rmtree(place.root)
    shutil.copytree(place.here / "copy", place.root)
    return place


def assert_whole(site, ended, kept=3):
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    assert site.counts("film") == (kept, 3 - kept, 0)
    assert len(site.frames("film")) == len(site.stored()) == 3
    again = site.rounds.render()
    assert again.code == 0
    assert site.counts("film") == (3, 0, 0)


def with_spec(spec: str) -> bytes:
    proofs = PngImagePlugin.PngInfo()
    proofs.add_itxt("render:spec", spec)
    kind, content, _ = proofs.chunks[0]
    return picture(digest="ab" * 32, extra=chunk(kind, content))


@pytest.mark.parametrize("mode", ["plan", "render"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_frame_with_any_spec_is_stale_and_no_obstacle(film, spec, mode):
    film.frames("film")[1].write_bytes(with_spec(SPECS[spec]))
    ended = film.rounds.render({"mode": mode})
    assert ended.code == 0, ended.err
    said = ended.err + ended.out
    assert "Traceback" not in said
    assert len(max(said.splitlines(), key=len)) < 500
    assert "\x1b" not in said
    if mode == "render":
        assert_whole(film, ended)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_json_is_named_and_passed_over(film, name, odd):
    value, why = ODD[odd]
    (film.root / name).write_text(FILES[name] % value)
    ended = film.rounds.render({"mode": "plan"})
    assert ended.code == 0, ended.err
    (film.root / name).write_text(FILES[name] % value)
    ended = film.rounds.render()
    assert f"outputs/{name} {why}" in ended.err, ended.err
    assert_whole(film, ended)


FIGURES = {
    "no end": {"flashes": [1] * 100_000},
    "large steps": {"steps": [1e308, 1e308]},
    "a median of nothing": {"median": 1e-308, "flashes": [1]},
    "large figures": {"gini": 10**300},
    "large in a part": {"segments": [{"gini": -1e300}]},
}


@pytest.mark.parametrize("odd", FIGURES)
def test_figures_that_can_not_be_are_measured_again(film, odd):
    path = film.run_folder("film") / "run.json"
    record = json.loads(path.read_text())
    for key, value in FIGURES[odd].items():
        whole = [{**record["measure"][key][0], **value[0]}] if key == "segments" else value
        record["measure"][key] = whole
    path.write_text(json.dumps(record, indent=2))
    assert_whole(film, film.rounds.render())
    assert "1e+" not in path.read_text()
    assert len(path.read_bytes()) < 10_000


TIMES = {
    "a long time": ("time", 10**300),
    "an early time": ("time", -1e308),
    "a heavy text": ("prompts", [["p", 10**300]]),
    "a light text": ("prompts", [["p", -1e308], ["q", 1e308]]),
}


@pytest.mark.parametrize("odd", TIMES)
def test_a_plan_of_numbers_that_can_not_be_is_measured_all_the_same(calls, film, odd):
    plan = film.run_folder("film") / "plan.json"
    record = json.loads(plan.read_text())
    for number, frame in enumerate(record["frames"]):
        key, value = TIMES[odd]
        frame |= {key: value, "digest": f"{number:064x}"}
    plan.write_text(json.dumps(record))
    answer = calls("mode=measure", f"input={film.run_folder('film')}")
    assert answer.code == 0, answer.err
    assert len(max((answer.err + answer.out).splitlines(), key=len)) < 500
    assert "inf" not in answer.out


def key_of(site, name):
    """The first name in a file that a run wrote."""
    return next(iter(json.loads((site.here / "copy" / name).read_text())), "")


@pytest.mark.parametrize(("name", "text"), [(n, text) for n in SHAPES for text in SHAPES[n]])
def test_what_no_run_writes_is_no_obstacle(film, name, text):
    path = film.root / name
    path.write_text(text.replace("KEY", key_of(film, name)))
    assert_whole(film, film.rounds.render())


@pytest.mark.parametrize("odd", ["deep", "NaN", "cut"])
def test_a_plan_of_anything_is_replaced_by_a_run_and_stops_a_prune(film, odd):
    value = ODD[odd][0]
    plan = film.run_folder("film") / "plan.json"
    start = plan.read_text().partition(' "frames"')[0]
    plan.write_text(f'{start} "frames": {value}}}')
    ended = film.rounds.render({"mode": "prune", "prune": "yes"})
    assert ended.code == 1
    assert ended.err.endswith(
        "outputs/film/plan.json can't be read, so nothing is pruned; remove or mend it\n"
    )
    assert_whole(film, film.rounds.render())


@pytest.mark.parametrize("frames", ["../../outside/canary", "/dev/zero", "/proc/self/mem"])
def test_a_plan_names_no_file_elsewhere(film, frames):
    plan = film.run_folder("film") / "plan.json"
    plan.write_text(json.dumps({"frames": frames}))
    ended = film.rounds.render({"mode": "prune", "prune": "yes"})
    assert ended.code == 1
    assert "nothing is pruned" in ended.err
    assert len(film.stored()) == 3


@pytest.mark.parametrize("pid", [10**30, 0, 1])
def test_a_temporary_files_name_may_hold_any_number(film, pid):
    for folder in (film.run_folder("film"), film.root / ".store"):
        for form in (f"{socket.gethostname()}-{pid}-{'0' * 16}", f"render-{pid:016x}"):
            (folder / f".film.mp4.{form}.tmp").write_text("x")
    assert_whole(film, film.rounds.render())


@pytest.mark.parametrize(
    "content", ["[" * 4000, '{"pid": ' * 900, '{"pid": [[]], "host": "a\\nb"}']
)
def test_a_lock_of_anything_is_no_obstacle(film, content):
    (film.run_folder("film") / ".lock").write_text(content)
    ended = film.rounds.render()
    if content.startswith('{"pid": '):
        assert_whole(film, ended)
    else:
        assert ended.code == 75
        assert "is not ours" in ended.err


@pytest.mark.parametrize("begin", [b"\0" * (1 << 17), b'{"pid": 1}\n' + b"x" * (1 << 17)])
@pytest.mark.parametrize("shard", [None, "0/1"])
def test_what_only_begins_like_a_lock_of_ours_is_never_emptied(film, begin, shard):
    """Holding a folder writes its lock anew."""
    lock = film.run_folder("film") / (".lock-0-of-1" if shard else ".lock")
    lock.write_bytes(begin + b"an image of a disk")
    ended = film.rounds.render({"shard": shard})
    assert ended.code == 75
    assert f"{lock.name} is not ours, so it can't be held; move it away" in ended.err
    assert lock.read_bytes() == begin + b"an image of a disk"


def test_no_control_character_of_a_name_reaches_the_terminal(film):
    """A link under such a name that leads nowhere stops a prune, which names it on one line."""
    (film.root / "a\x1b]0;title\x07\nrender: done\r").symlink_to("nowhere")
    ended = film.rounds.render({"mode": "prune", "prune": "yes"})
    assert ended.code == 1
    assert not set("\x1b\x07\r").intersection(ended.err + ended.out)
    (line,) = [line for line in ended.err.splitlines() if "can't be read" in line]
    assert "nothing is pruned" in line


@pytest.mark.parametrize("value", [1e14, 9e14, 1e-300])
def test_a_memory_of_times_and_sizes_that_can_not_be_keeps_no_run_from_its_work(film, value):
    """Under the right name, for which the sender has to know the host's."""
    path = film.root / ".store" / "timings.json"
    known = json.loads(path.read_text())
    odd = {name: dict.fromkeys(entry, value) for name, entry in known.items()}
    path.write_text(json.dumps(odd, indent=1, sort_keys=True))
    planned = film.rounds.render({"mode": "plan", "sampling.guidance": 3.0})
    assert planned.code == 0, planned.err
    assert "no room" not in planned.err
    assert len(max(planned.out.splitlines(), key=len)) < 500
    ended = film.rounds.render({"sampling.guidance": 3.0})
    assert ended.code == 0, ended.err
