"""The command line as people type it: what they may leave out, what they read back.

Overrides are made forgiving before Hydra sees them, and what Hydra says of a bad one is put in a
person's words. Also where configs are found, and `--help`. Knows Hydra's rules, imports none of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from render.errors import ConfigError, Mistake
from render.parsing import keys_at
from render.schedulers import class_mistake, nearest_class
from render.sources import signature
from render.values import nearest
from render.words import one_line

PACKAGE = Path(__file__).resolve().parent
FOLDERS = re.compile(r"\+{0,2}hydra\.(run|sweep|output_subdir|job\.chdir)\b|\+{0,2}hydra/output")
GRAMMAR = re.compile(
    r"LexerNo|no viable alternative|(mismatched|extraneous) input|token recog|missing .* at"
)
MAX_VARIANT = 80
GROUPS = ("model", "scheduler", "output", "compute", "timeline")

OPTIONS = ("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun",
           "-m", "--shell-completion", "-sc")  # fmt: skip
OPTIONS_WITH_VALUE = ("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd",
                      "--cfg", "-c", "--experimental-rerun", "--package", "-p", "--info",
                      "-i")  # fmt: skip
QUOTING = (
    "texts with , ( ) { } [ ] : or = need a second pair of quotes: "
    "'timeline.keyframes.1.prompt=\"a town, by night (old)\"'"
)


def bundled_configs() -> Path:
    """The package's own configs: beside the module in a wheel, beside the package in a checkout."""
    inside = PACKAGE / "_configs"
    return inside if (inside / "render.yaml").is_file() else PACKAGE.parent / "configs"


def config_folders() -> list[Path]:
    """Where configs are looked for: the user's ./configs, $RENDER_CONFIGS, the bundled ones."""
    named = os.environ.get("RENDER_CONFIGS")
    folders = [Path.cwd() / "configs", *([Path(named)] if named else []), bundled_configs()]
    unique = {folder.resolve(): None for folder in folders if folder.is_dir()}
    return list(unique)


def known_choices(group: str) -> list[str]:
    """Names of all choices of a config group."""
    return sorted({p.stem for folder in config_folders() for p in folder.glob(f"{group}/*.yaml")})


def forgiving(arguments: Sequence[str]) -> list[str]:
    """The command line with what Hydra is strict about put right.

    `timeline=x` becomes `+timeline=x`, `a.b=c` becomes `++a.b=c`: the config's own types know
    which keys there are, and tell all unknown ones at once with the nearest right names.
    """
    if "-sc" in arguments or "--shell-completion" in arguments:
        return list(arguments)
    options: list[str] = []  # first: Hydra's parser takes overrides from one place only
    overrides: list[str] = []
    value_follows = False
    for argument in arguments:
        if value_follows or argument.startswith("-"):
            options.append(argument)
            if not value_follows:
                check_option(argument.partition("=")[0])
        else:
            overrides.append(argument if argument.startswith("~") else forgiven(argument))
        value_follows = argument in OPTIONS_WITH_VALUE and not value_follows
    return options + overrides


def check_option(option: str) -> None:
    """Hydra's parser answers an unknown option with a page; this is a line."""
    if option not in OPTIONS and option not in OPTIONS_WITH_VALUE:
        raise ConfigError([Mistake(option, "no such option; see render --help")])


def forgiven(argument: str) -> str:
    """One override as Hydra wants it."""
    key, equals, _ = argument.partition("=")
    bare = key.lstrip("+")
    if not equals:
        what = "is no name=value; a timeline is chosen with +timeline=NAME"
        raise ConfigError([Mistake(one_line(argument) or "''", what)])
    if FOLDERS.match(argument):
        what = "Hydra's folders are fixed; use root=FOLDER and name=NAME"
        raise ConfigError([Mistake(key, what)])
    if bare == "hydra" or re.match(r"timeline[^=]*@", bare):
        raise ConfigError(
            [Mistake(key, "has its fixed place; a timeline is chosen with +timeline=NAME")]
        )
    if bare == "timeline":
        name = argument[len(key) + 1 :]
        if ".." in re.split("[/,]", name):
            raise ConfigError([unknown_choice("timeline", name)])
        return f"+{bare}{argument[len(key) :]}"
    of_hydra = "/" in bare or "@" in bare or bare.startswith("hydra")
    return argument if key != bare or of_hydra or bare in known_groups() else f"++{argument}"


def known_groups() -> frozenset[str]:
    """Config groups: the folders in the config folders."""
    return frozenset(p.name for folder in config_folders() for p in folder.iterdir() if p.is_dir())


def job_folder(overrides: Sequence[str], name: str | None = None) -> str:
    """A sweep job's folder: its overrides, sorted; with a hash when they had to be changed.

    Which timeline it is stands there too, unless the run's name is the timeline's own. Capital
    letters bring a hash, since not every disk can keep `Fog` and `fog` apart.

    Args:
        overrides: as they were typed, `key=value`.
        name: the run's; None: its timeline's.
    """
    task = [override.lstrip("+") for override in overrides]
    left_out = ("root", "name", "mode", *(() if name else ("timeline",)))
    told = sorted(o for o in task if o.split("=")[0] not in left_out and o != f"timeline={name}")
    full = ",".join(told or [o for o in task if o.startswith("timeline=")])
    safe = re.sub(r"[^\w.,=+-]", "-", full, flags=re.ASCII).lstrip("-.")
    if safe == full == full.lower() and len(safe) <= MAX_VARIANT:
        return safe
    mark = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{safe[: MAX_VARIANT - 9]}-{mark}"


def reworded(message: str) -> Mistake:
    """What Hydra or OmegaConf said, in a person's words."""
    first = message.strip().partition("\n")[0]
    if found := re.search(r"Could not find '(\w+)/([^']*)'", message):
        return unknown_choice(found[1], found[2])
    if "Could not override" in first and (found := re.search(r"'([^']+)'", first)):
        return Mistake(found[1], f"unknown key{nearest(found[1], keys_at([]))}")
    if first.startswith("Error parsing override") or GRAMMAR.match(first):
        return Mistake("command line", f"{first}; {QUOTING}")
    if found := re.match(r"Multiple values for (\w+)", first):
        return Mistake(found[1], f"is chosen twice; keep one {found[1]}=")
    if "Ambiguous value for argument" in first:
        what = f"{first}: several values are a sweep, which needs -m; {QUOTING}"
        return Mistake("command line", what)
    return Mistake("config", first)


def unknown_choice(group: str, name: str) -> Mistake:
    """A config group has no such file."""
    known = known_choices(group)
    if not known:
        return Mistake(group, f"no {name!r} here; see render --help for what there is")
    near = nearest(name, known)
    listed = "" if near.startswith("; known") else f"; known: {', '.join(known)}"
    more = class_hint(name) if group == "scheduler" else ""
    return Mistake(group, f"no {group} {name!r}{near}{listed}{more}")


def class_hint(name: str) -> str:
    """Where a scheduler class of diffusers is named, which is no choice of a file."""
    if signature(name) is not None:
        wrong = class_mistake(name)
        return f"; {wrong}" if wrong else f"; it is a class of diffusers: scheduler.class={name}"
    near = nearest_class(name) or "NAME (docs/models.md)"
    return f"; or a class of diffusers: scheduler.class={near}"


HELP = """render: a timeline of keyframes becomes a smooth video.

  render +timeline=city                  frames and video in outputs/city/
  render +timeline=city mode=plan        what would be rendered, kept and redone, and why
  render +timeline=city output=webm output.fps=24 scheduler=dpmpp_2m scheduler.steps=25
  render +timeline=city model=local model.path=./my-model
  render +timeline=city mode=stitch output=gif
  render -m +timeline=city,city_seeds sampling.guidance=3,7.5        a sweep

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
    """What `--help` prints; the choices are the files that are there."""
    lines = [f"  {group:<10} {', '.join(known_choices(group))}" for group in GROUPS]
    return HELP.format(groups="\n".join(lines), file=bundled_configs() / "render.yaml")
