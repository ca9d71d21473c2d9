"""The command line made right for Hydra: omissions filled in, dangerous settings refused.

`city` and `my.yaml` become `+timeline=…`, `a.b=c` becomes `++a.b=c`, texts get the quotes that
Hydra's grammar wants. Hydra's options and keys that open pickles, import code or lead files
elsewhere are refused. Knows Hydra's rules, imports none of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from render.cli.chosen_timeline import Files, chosen_by_key, chosen_by_word, is_file_name, key_of
from render.cli.config_folders import QUOTING, config_folders, unknown_choice
from render.config.parse import done_anyway, meant
from render.config.values import nearest
from render.errors import ConfigError, Mistake
from render.text import one_line, shortened

Parses = Callable[[str], bool]
"""Whether Hydra's grammar takes an argument."""

OPTIONS = ("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun",
           "-m", "--shell-completion", "-sc")  # fmt: skip
OPTIONS_WITH_VALUE = ("--config-name", "-cn", "--config-dir", "-cd", "--cfg", "-c", "--package",
                      "-p", "--info", "-i")  # fmt: skip
SHOWN = ("job", "hydra", "all")
TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
CHOICES = {"--cfg": SHOWN, "-c": SHOWN, "--info": TOPICS, "-i": TOPICS}
"""Options with a choice; the first is meant where none is named."""
SHORT_OPTIONS = {
    "-f": "force",
    "-n": "dry-run",
    "-o": "out",
    "-q": "quiet",
    "-V": "version",
    "-v": "version",
    "-y": "overwrite",
}
"""Short options of other tools, each with its long form."""
REFUSED_OPTIONS = {
    "--experimental-rerun": "it opens a pickle, which can run code; the same command continues",
    "--config-path": "render's own configs stay; add a folder with --config-dir",
    "-cp": "render's own configs stay; add a folder with --config-dir",
}
OF_HYDRA = re.compile(r"hydra/(launcher|sweeper)|hydra\.(launcher|sweeper|searchpath|verbose|mode)")
"""The keys of Hydra's own that may be set: how a sweep's jobs are started, where configs lie."""
FOLDERS = re.compile(r"hydra\.(run|sweep|output_subdir|job\.chdir)\b|hydra/output")
BUILDING = re.compile(r"_(target|args|partial|recursive|convert)_")  # Hydra's `instantiate`
OTHER_SCHEME = re.compile(r"\b(?!file\b)\w+://")
ONE_WORD = (
    "a timeline is chosen once, by its name; a value with spaces needs quotes, 'name=A forest', "
    "and no space stands beside ="
)
SPECIAL = frozenset(',(){}[]"')


def forgiving(arguments: Sequence[str], parses: Parses, files: Files) -> list[str]:
    """The command line with what Hydra is strict about put right.

    Args:
        parses: Hydra's grammar.
        files: gets the timeline files that are named, by Hydra's choice for each.

    Raises:
        ConfigError: everything that is no option, no override and no timeline, a line each.
    """
    if "-sc" in arguments or "--shell-completion" in arguments:
        return list(arguments)
    options: list[str] = []  # first: Hydra's parser takes overrides from one place only
    overrides: list[str] = []
    mistakes: list[Mistake] = []
    option_before = ""
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        option, option_before = option_before, ""
        try:
            check_text(argument)
            if option:
                options.append(option_value(option, argument))
            elif argument in CHOICES and following not in CHOICES[argument]:
                options.append(f"{argument}={CHOICES[argument][0]}")
            elif argument.startswith("-"):
                takes_value = argument in OPTIONS_WITH_VALUE or argument in REFUSED_OPTIONS
                option_before = argument if takes_value else ""
                options.append(checked_option(argument))
            else:
                overrides.append(forgiven(argument, overrides, parses, files))
        except ConfigError as error:
            mistakes += error.mistakes
    if option_before:
        mistakes.append(Mistake(option_before, "needs a value behind it"))
    if mistakes:
        raise ConfigError(mistakes)
    return options + overrides


def check_text(argument: str) -> None:
    """Refuse bytes that are no text here; a name of a file alone may be any."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        where = one_line(argument.partition("=")[0].encode("utf-8", "replace").decode())
        if not is_file_name(argument):
            what = "holds bytes that are no UTF-8; let the terminal write UTF-8"
            raise ConfigError([Mistake(where, what)]) from None


def checked_option(argument: str) -> str:
    """An option that Hydra may be given; its parser answers an unknown one with a page."""
    option, equals, value = argument.partition("=")
    if option in REFUSED_OPTIONS:
        raise ConfigError([Mistake(option, f"is refused: {REFUSED_OPTIONS[option]}")])
    if option not in OPTIONS and option not in OPTIONS_WITH_VALUE:
        name = SHORT_OPTIONS.get(option, option.lstrip("-"))
        close = meant(name.replace("-", "_"), value or "…")
        way = done_anyway(name) or (f"did you mean {close}" if close else "")
        hint = f"; {way}" if way else ""
        raise ConfigError([Mistake(one_line(option), f"no such option{hint}; see render --help")])
    return f"{option}={option_value(option, value)}" if equals else argument


def option_value(option: str, value: str) -> str:
    """The value of an option; a config that is named lies in a config folder."""
    if option in ("--config-name", "-cn") and not re.fullmatch(r"\w[\w.-]*", value):
        what = f"{value!r} is no name of a config in ./configs; a config is code"
        raise ConfigError([Mistake(option, what)])
    if value not in CHOICES.get(option, (value,)):
        raise ConfigError(
            [Mistake(option, f"{value!r} is not known{nearest(value, CHOICES[option])}")]
        )
    if option in ("--config-dir", "-cd"):
        return str(Path(value).expanduser()) if value.startswith("~/") else value
    return value


def forgiven(argument: str, before: Sequence[str], parses: Parses, files: Files) -> str:
    """One argument as Hydra wants it.

    Args:
        before: the overrides that stand before it.
    """
    key, equals, value = argument.partition("=")
    if not equals or (is_file_name(argument) and os.path.isfile(argument)):
        return bare(argument, before, parses, files)
    name = key.lstrip("+~")
    if not name.strip() or not parses(f"{key}=x"):
        raise ConfigError([Mistake(one_line(key) or "''", no_key(key))])
    check_hydra(key, name, argument)
    if name == "timeline":
        argument = f"{'~' if '~' in key else '+'}timeline={chosen_by_key(value, files)}"
    elif name in known_groups() or "/" in name:
        check_choice(name, value)
    elif key == name and "@" not in name and not name.startswith("hydra"):
        argument = f"++{argument}"
    argument = readable(argument, parses)
    if not parses(argument):
        what = f"{shortened(value, 40)!r} can't be read as it stands; {QUOTING}"
        raise ConfigError([Mistake(one_line(key), what)])
    return argument


def bare(argument: str, before: Sequence[str], parses: Parses, files: Files) -> str:
    """A word without a value: a timeline, or the key of something to remove."""
    if argument.startswith("~") and not argument.startswith("~/"):
        check_hydra(argument, argument.lstrip("~"), argument)
        if not argument.strip("~ ") or not parses(argument):
            raise ConfigError([Mistake(one_line(argument), no_key(argument))])
        return argument
    if not argument.strip() or any(other.lstrip("+").startswith("timeline=") for other in before):
        key = key_of(argument)
        hint = f"did you mean {key}={argument}" if key else ONE_WORD
        what = f"is no name=value; {hint}"
        raise ConfigError([Mistake(one_line(argument) or "''", what)])
    return readable(chosen_by_word(argument, files), parses)


def no_key(key: str) -> str:
    """The flaw of a key that can't be one."""
    if not key.strip():
        return "has no name; write name=value without spaces beside ="
    if re.search(r"\[-?\d+\]|\.-\d", key):
        return "places are counted from 0 and stand behind a dot: timeline.keyframes.0.prompt"
    return "is no key of a config; keys are ASCII letters, digits and _, with dots between them"


def check_hydra(key: str, name: str, argument: str) -> None:
    """Refuse what would lead Hydra's files elsewhere, or let it open code."""
    if re.match(r"timeline[^=]*@", name):
        what = "has its fixed place; a timeline is chosen with +timeline=NAME"
        raise ConfigError([Mistake(key, what)])
    if FOLDERS.match(name) or name == "hydra":
        what = "Hydra's folders are fixed; use root=FOLDER and name=NAME"
        raise ConfigError([Mistake(key, what)])
    if re.search(r"[@:]hydra\b", name) or (re.match(r"hydra\b", name) and not OF_HYDRA.match(name)):
        what = "Hydra's own settings are fixed: they can open code and files anywhere"
        raise ConfigError([Mistake(key, what)])
    if name.startswith("hydra") and (BUILDING.search(argument) or OTHER_SCHEME.search(argument)):
        what = "names code to be run, which no command line may do; leave it out"
        raise ConfigError([Mistake(key, what)])


def check_choice(group: str, name: str) -> None:
    """A config is chosen from the config folders and from nowhere else."""
    if name.startswith(("/", "'/", '"/')) or ".." in re.split(r"[/,'\"]", name):
        raise ConfigError([unknown_choice(group.partition("@")[0], name)])


def readable(argument: str, parses: Parses) -> str:
    """The argument with quotes around what only Hydra's grammar minds: `é`, `!`, `#`, `'`, `~`.

    Where there are double quotes or brackets, a person has to say what is meant. Commas divide the
    values of a sweep.
    """
    key, _, value = argument.partition("=")
    if parses(argument) or SPECIAL - {","} & set(value):
        return argument
    parts = [part.strip() for part in value.split(",")]
    return f"{key}=" + ",".join(p if parses(f"{key}={p}") else in_quotes(p) for p in parts)


def in_quotes(text: str) -> str:
    """A text without double quotes in double quotes; backslashes before the last one count."""
    end = len(text) - len(text.rstrip("\\"))
    return f'"{text}{text[len(text) - end :]}"'


def known_groups() -> frozenset[str]:
    """Config groups: the folders in the config folders."""
    return frozenset(p.name for folder in config_folders() for p in folder.iterdir() if p.is_dir())
