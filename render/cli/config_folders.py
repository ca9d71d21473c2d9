"""Config folders, the page of `--help`, and errors of Hydra in plain words.

Overrides are made forgiving before Hydra sees them, and what Hydra says of a bad one is put in a
person's words. Also where configs are found, and `--help`. Knows Hydra's rules, imports none of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from render.config.parse import keys_at
from render.config.values import OF_THE_HUB, nearest
from render.errors import Mistake
from render.extensions import lost_configs, shipped_configs
from render.models.scheduler_signatures import class_flaw, nearest_class
from render.models.scheduler_sources import signature

PACKAGE = Path(__file__).resolve().parent.parent
MAX_VARIANT = 120
LEAST_LETTERS = 5  # of an override in a folder's name
OUTPUTS = {
    "frames": ("png", "jpg", "jpeg", "images", "none", "null"),
    "mp4": ("mkv", "avi", "m4v", "h264", "x264", "h.264", "video"),
    "prores": ("mov", "quicktime"),
    "webm": ("vp9",),
}
"""Names of files and codecs in other tools, by the output that stands for them."""
GROUPS = ("model", "scheduler", "output", "compute", "timeline")

QUOTING = (
    "texts with , ( ) { } [ ] : or = need a second pair of quotes: "
    "'timeline.keyframes.1.prompt=\"a town, by night (old)\"'"
)

LISTED = (
    "keyframes in a list are those that are there, from 0 on; give them names in the file "
    "(a mapping instead of a list) to add and remove them here"
)
SAID = (
    (r"Could not delete from config. '(?P<key>[^']+)' does not", "is not there to be removed"),
    (r"Could not delete from config. The value of '(?P<key>[^']+)' is", "has another value"),
    (r"Could not append to config. An item is already at '(?P<key>[^']+)'", "is there already; "
     "leave the + out"),
    (r"Error merging override \+*~?(?P<key>timeline\.keyframes\.[^=]*)=", LISTED),
    (r"Error merging override \+*~?(?P<key>model\.(loras|embeddings))=",
     "is a list, as [{path: FILE}]"),
    (r"Error merging override \+*~?(?P<key>[^=]+)=", "is no place for this value"),
    (r"Index '.*' \(str\) is not an int|list (assignment )?ind(ex|ices)|ListConfig", LISTED),
    (r"Missing mandatory value: (?P<key>\S+)", "is open (???); give it a value"),
    (r"Interpolation key '(?P<key>[^']*)' not found", "is named by ${…} and is not there"),
    (r"Unsupported interpolation type (?P<key>\S+)", "is named by ${…:…}, and there is none"),
    (r"Multiple values for (?P<key>\w+)", "is chosen twice; keep one of them"),
    (r"(Ambiguous value for argument|Sweep parameters) '\+*(?P<key>[^=']+)=\d+,\d+'",
     "a decimal point is a dot; several values are a sweep, which needs -m"),
    (r"Ambiguous value for argument '\+*(?P<key>[^=']+)=",
     f"several values are a sweep, which needs -m; {QUOTING}"),
    (r"Sweep parameters '\+*(?P<key>[^=']+)=.*requires --multirun",
     "several values are a sweep, which needs -m"),
    (r"Config group override must be", "a config is chosen by its name"),
    (r"Error parsing override '\+*(?P<key>[^=']*)", f"can't be read as it stands; {QUOTING}"),
    (r"LexerNo|no viable alternative|(mismatched|extraneous) input|token recog|missing .* at",
     f"an argument can't be read as it stands; {QUOTING}"),
)  # fmt: skip
"""Patterns of Hydra's and OmegaConf's words for common slips, each with the way out."""


def bundled_configs() -> Path:
    """The package's own configs: beside the module in a wheel, beside the package in a checkout."""
    inside = PACKAGE / "_configs"
    return inside if (inside / "render.yaml").is_file() else PACKAGE.parent / "configs"


def config_folders() -> list[Path]:
    """Where configs are looked for: the user's ./configs, $RENDER_CONFIGS, the bundled ones, those
    that other packages ship."""
    named = os.environ.get("RENDER_CONFIGS")
    more = [Path(os.path.expanduser(named))] if named else []
    folders = [Path.cwd() / "configs", *more, bundled_configs(), *shipped_configs()]
    unique = {folder.resolve(): None for folder in folders if folder.is_dir()}
    return list(unique)


def known_choices(group: str) -> list[str]:
    """Names of all choices of a config group."""
    files = (p for folder in config_folders() for p in folder.glob(f"{group}/*.yaml"))
    return sorted({path.stem for path in files if path.is_file()})


IN_ANY_FOLDER = ("root", "name", "mode", "report", "shard", "frames", "at")
"""Keys that no sweep's job is called by."""


def job_folder(overrides: Sequence[str], name: str | None = None) -> str:
    """A sweep job's folder: its overrides, sorted; with a hash when they had to be changed.

    The timeline's name is among them, unless the run has the same name. The part of the film is
    not, since all parts of a film are rendered in one folder. Capital
    letters bring a hash, since not every disk can keep `Fog` and `fog` apart.

    Args:
        overrides: as they were typed, `key=value`.
        name: the run's; None: its timeline's.
    """
    task = [override.lstrip("+") for override in overrides]
    left_out = (*IN_ANY_FOLDER, *(() if name else ("timeline",)))
    named = sorted(o for o in task if o.split("=")[0] not in left_out and o != f"timeline={name}")
    full = ",".join(named or [o for o in task if o.startswith("timeline=")])
    safe = re.sub(r"[^\w.,=+-]", "-", full, flags=re.ASCII).lstrip("-.")
    if safe == full == full.lower() and len(safe) <= MAX_VARIANT:
        return safe
    mark = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{short(safe.split(','), MAX_VARIANT - 9)}-{mark}"


def short(overrides: Sequence[str], most: int) -> str:
    """Overrides in so many letters. Something of each is kept, as it may be the one that a sweep is
    about: keys lose their groups, and then the longest override a letter of what is longer of it,
    its key or its value."""
    parts = list(overrides)
    if len(",".join(parts)) > most:
        parts = [re.sub(r"^[\w.+-]*\.(?=\w+=)", "", part) for part in parts]
    while len(",".join(parts)) > most and max(map(len, parts)) > LEAST_LETTERS:
        longest = parts.index(max(parts, key=len))
        key, _, value = parts[longest].partition("=")
        middle = len(value) // 2
        shorter = value[:middle] + value[middle + 1 :]
        parts[longest] = f"{key[:-1]}={value}" if len(key) > len(value) else f"{key}={shorter}"
    return ",".join(parts)[:most]


def reworded(message: str) -> Mistake:
    """A mistake that Hydra or OmegaConf found, in a person's words."""
    first = message.strip().partition("\n")[0]
    if found := re.search(r"Could not find '(\w+)/([^']*)'", message):
        return unknown_choice(found[1], found[2])
    if "Could not override" in first and (found := re.search(r"'([^']+)'", first)):
        return Mistake(found[1], f"unknown key{nearest(found[1], keys_at([]))}")
    for theirs, ours in SAID:
        if found := re.search(theirs, first):
            key = found.groupdict().get("key")
            return Mistake(key or "timeline.keyframes" if ours == LISTED else key or "config", ours)
    return Mistake("config", first)


def unknown_choice(group: str, name: str) -> Mistake:
    """A config group has no such file."""
    known = known_choices(group)
    if not known:
        return Mistake(group, f"no {name!r} here; see render --help for what there is")
    ways = {"timeline": file_beside, "output": same_output}
    near = (ways[group](name) if group in ways else "") or nearest(name, known)
    begun = " Known" if near.endswith("?") else "; known"
    listed = "" if near.startswith("; known") else f"{begun}: {', '.join(known)}"
    hints = {"scheduler": class_hint, "model": model_hint}
    more = hints[group](name) if group in hints else ""
    lost = "".join(f"; {line}" for line in lost_configs())
    return Mistake(group, f"no {group} {name!r}{near}{listed}{more}{lost}")


def file_beside(name: str) -> str:
    """A timeline file here that was meant by its name alone."""
    files = (f"{name}{suffix}" for suffix in (".yaml", ".yml"))
    found = next((file for file in files if os.path.isfile(os.path.expanduser(file))), None)
    if not found and os.path.isfile(os.path.expanduser(name)):
        return "; a timeline is a file whose name ends with .yaml or .yml"
    return f"; did you mean {found!r}?" if found else ""


def model_hint(name: str) -> str:
    """How a model is chosen that no config names: a folder, or a repository of the hub."""
    if found := OF_THE_HUB.fullmatch(name):
        return f"; one of the hub is model=local model.repository={found[1]}"
    if name.startswith((".", "/", "~")) or os.path.exists(name):
        return f"; a folder or file of your own is model=local model.path={name}"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return f"; one of the hub is model=local model.repository={name}"
    return ""


def same_output(name: str) -> str:
    """The output that makes the files which other tools call so."""
    ours = next((ours for ours, theirs in OUTPUTS.items() if name.lower() in theirs), None)
    return f"; did you mean {ours!r}?" if ours else ""


def class_hint(name: str) -> str:
    """Where a scheduler class of diffusers is named, which is no choice of a file."""
    if signature(name) is not None:
        wrong = class_flaw(name)
        return f"; {wrong}" if wrong else f"; it is a class of diffusers: scheduler.class={name}"
    near = nearest_class(name) or "NAME (docs/models.md)"
    return f"; or a class of diffusers: scheduler.class={near}"


HELP = """render: a timeline of keyframes becomes a smooth video.

  render city                            frames and video in outputs/city/: +timeline=city
  render path/to/mine.yaml               the same for a timeline file anywhere
  render city mode=plan                  what would be rendered, kept and redone, and why
  render +timeline=city output=webm output.fps=24 scheduler=dpmpp_2m scheduler.steps=25
  render +timeline=city model=local model.path=./my-model
  render +timeline=city mode=stitch output=gif
  render city mode=keyframes             the keyframes alone, on a sheet: a cheap look
  render mode=measure input=FOLDER_OR_VIDEO                          how smooth it is
  render -m +timeline=city,city_seeds sampling.guidance=3,7.5        a sweep
  render show [city]                     the page of a run in a browser; --open behind any command
  render list                            the runs; models, schedulers, timelines, formats, easings
  render diff city city-2                what differs between two runs
  render promote outputs/city/VARIANT    drafts of a sweep, exactly and at their full size
  render import settings.txt             a timeline of Deforum, ComfyUI, MIDI, an editor …
  render export city otio                a film's timeline for an editor: otio, srt, labels, csv …
  render from city.mp4 [output=gif]      a film again, or a frame, by the recipe in its file

Choices (name=choice):
{groups}

Keys (name=value), with their defaults, are explained in
{file}

  --cfg job [--resolve]   print the composed config        --hydra-help   Hydra's own options
  -m                      sweep over comma-separated values

The same command continues where it stopped. Exit codes: 0 done, 2 config, 3 frames failed,
4 video failed, 28 disk full, 75 another run holds the folder, 129/130/143 interrupted, 141
nobody read the answer."""


def help_text() -> str:
    """The page of `--help`; the choices are the files that are there."""
    lines = [f"  {group:<10} {', '.join(known_choices(group))}" for group in GROUPS]
    lines += [f"  {line}" for line in lost_configs()]
    return HELP.format(groups="\n".join(lines), file=bundled_configs() / "render.yaml")
