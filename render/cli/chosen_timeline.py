"""The timeline that a person means: a name in a config folder, or a file anywhere.

A file becomes a choice of the group `timeline` under a name of its own, so that Hydra composes it
like any other; it is read as data (config/timeline_file.py), wherever it lies.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import MutableMapping
from pathlib import Path

from render.cli.config_folders import config_folders, known_choices, unknown_choice
from render.config.parse import done_anyway
from render.config.schema import NAME_PATTERN
from render.config.values import ADDRESS, address_flaw, nearest
from render.errors import ConfigError, Mistake
from render.files.names import on_disk
from render.text import shortened

SUFFIXES = (".yaml", ".yml")
OTHER_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,12}$", re.ASCII)
VERBS = ("import", "export", "from", "promote", "list", "show", "diff")
"""Reserved words in place of a timeline: what is called so is chosen with +timeline=NAME."""
MODES = ("plan", "stitch", "prune", "render", "measure", "keyframes")
PLAIN_CHOICE = re.compile(r"(?!(?i:true|false|null|nan|inf)$)[A-Za-z_][\w.-]*", re.ASCII)
"""Names that Hydra's grammar reads as texts; it takes these five words for values."""
MARK_LETTERS = 6
MAX_LETTERS = 1000  # of a timeline's name or path

Files = MutableMapping[str, Path]
"""Timeline files from outside of the config folders, by the choice that stands for each."""


def is_file_name(written: str) -> bool:
    """Whether a timeline is given by its file."""
    return written.lower().endswith(SUFFIXES)


def is_of_others(written: str) -> bool:
    """Whether a timeline is given by a file of another tool, which has another suffix."""
    if is_file_name(written) or not OTHER_SUFFIX.search(written) or "\0" in written:
        return False
    return os.path.isfile(home(written))


def chosen_by_word(word: str, files: Files) -> str:
    """The override that a bare word stands for: `city`, `my.yaml`, `path/to/my.yaml`.

    Raises:
        ConfigError: the word is reserved, or no timeline is called so.
    """
    if word in VERBS:
        what = f"is a command and comes first; a timeline of this name is +timeline={word}"
        raise ConfigError([Mistake(word, what)])
    known = all(is_file_name(part) or is_named(part) for part in word.split(","))
    if known or is_file_name(word) or is_named(word) or is_of_others(word):
        return f"+timeline={chosen_by_key(word, files)}"
    if way := done_anyway(word):
        raise ConfigError([Mistake(word, f"is no timeline; {way}")])
    if key := key_of(word):
        raise ConfigError([Mistake(word, f"is no timeline; did you mean {key}={word}")])
    raise ConfigError([unknown_choice("timeline", word)])


def check_without_timeline(mode: object, given: object) -> None:
    """Check that a config without a timeline measures an input.

    Raises:
        ConfigError: it does not.
    """
    if mode == "measure" and given is not None:
        return
    if given is not None:
        raise ConfigError([Mistake("timeline", "no timeline; an input takes mode=measure")])
    known = ", ".join(known_choices("timeline"))
    what = f"no timeline; say which: render +timeline=NAME ({known})"
    more = "; or what else to measure: input=FOLDER_OR_VIDEO" if mode == "measure" else ""
    raise ConfigError([Mistake("timeline", what + more)])


def key_of(word: str) -> str | None:
    """The key that a word is a value of, if it is one of a mode or of a config."""
    if word in MODES:
        return "mode"
    groups = ("output", "model", "scheduler", "compute")
    return next((group for group in groups if word in known_choices(group)), None)


def chosen_by_key(written: str, files: Files) -> str:
    """The value of `timeline=` with files replaced by the choices that stand for them.

    Raises:
        ConfigError: a file is not there, or is meant as well as a name.
    """
    whole = unquoted(written)
    if is_of_others(whole) or (is_file_name(whole) and os.path.exists(home(whole))):
        return choice_for(whole, files)
    if written[:1] in "[{(" or written.startswith(("choice(", "glob(")):
        return written
    parts = [written] if whole != written else written.split(",")
    return ",".join(part_chosen(part.strip(), files) for part in parts)


def part_chosen(part: str, files: Files) -> str:
    """One timeline of a sweep; what is no file stays as it is written."""
    choice = choice_for(unquoted(part), files)
    return part if choice == unquoted(part) else choice


def unquoted(written: str) -> str:
    """A text without the quotes that Hydra would take off."""
    for quote in ("'", '"'):
        if len(written) > 1 and written[0] == written[-1] == quote:
            return written[1:-1].replace(f"\\{quote}", quote)
    return written


def choice_for(written: str, files: Files) -> str:
    """Hydra's choice for a timeline as a person gives it; a file is entered in `files`."""
    if "\0" in written or len(written) > MAX_LETTERS:
        raise ConfigError([unknown_choice("timeline", shortened(written))])
    if ".." in re.split("[/,]", written) and not is_file_name(written):
        raise ConfigError([unknown_choice("timeline", written)])
    if is_of_others(written):
        return entered(home(written), files)
    if not is_file_name(written):
        return quoted(written) if is_named(written) else written
    if ADDRESS.match(written):
        raise ConfigError([Mistake("timeline", address_flaw(written))])
    file = home(written)
    configs = named_files(written)
    if not os.path.exists(file):
        if configs:
            return quoted(written.rpartition(".")[0])
        raise ConfigError([Mistake("timeline", no_such_file(file))])
    if configs and "/" not in written and not file.samefile(configs[0]):
        name = written.rpartition(".")[0]
        what = f"both ./{written} and {configs[0]} are there; say ./{written} or +timeline={name}"
        raise ConfigError([Mistake("timeline", what)])
    return entered(file, files)


def entered(file: Path, files: Files) -> str:
    """The choice that stands for a file from now on."""
    choice = free_choice(file, files)
    files[choice] = file
    return choice


def home(written: str) -> Path:
    """A path as written, with `~` for the home folder."""
    try:
        return Path(on_disk(written)).expanduser()
    except RuntimeError:
        return Path(on_disk(written))


def is_named(written: str) -> bool:
    """Whether a config folder holds a timeline of this name."""
    return bool(named_files(written))


def named_files(written: str) -> list[Path]:
    """The files in config folders that a name may stand for, the first before the others."""
    name = written.removesuffix(".yaml")
    if not name or name.startswith("/") or ".." in name.split("/"):
        return []
    places = [folder / "timeline" / f"{name}.yaml" for folder in config_folders()]
    return [place for place in places if os.path.isfile(place)]


def no_such_file(file: Path) -> str:
    """The message for a timeline file that is not there."""
    message = f"there is no file {shortened(str(file))!r}"
    beside = [other.name for other in file.parent.glob("*") if is_file_name(other.name)]
    near = nearest(file.name, sorted(beside)) if beside else ""
    return message + (near if "did you mean" in near else known_by_name(file))


def known_by_name(file: Path) -> str:
    """The timelines that have a name, for a file without a folder that is not there."""
    known = known_choices("timeline") if file.name == str(file) else []
    return f"; known by name: {', '.join(known)}" if known else ""


def free_choice(file: Path, files: Files) -> str:
    """A name for a file among the choices: its own, unless another timeline is called so."""
    stem = plain_name(file.stem)
    same = stem in files and files[stem].samefile(file)
    taken = is_named(stem) or (stem in files and not same)
    if PLAIN_CHOICE.fullmatch(stem) and not taken:
        return stem
    mark = marked(str(file.resolve()))
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', stem).lstrip('-.')}-{mark}"


def plain_name(stem: str) -> str:
    """A file's name as that of a run: as it is, or in ASCII letters with a mark of its own."""
    if NAME_PATTERN.fullmatch(stem):
        return stem
    letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    safe = re.sub(r"[^\w .,=+@()-]", "-", letters).lstrip("-_ .,=+@()")
    return f"{safe[: 100 - MARK_LETTERS - 1].rstrip('- ') or 'timeline'}-{marked(stem)}"


def marked(text: str) -> str:
    """A few letters that differ between texts, however a file system spells their accents."""
    spelled = unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")
    return hashlib.sha256(spelled).hexdigest()[:MARK_LETTERS]


def quoted(text: str) -> str:
    """A text as Hydra's command line takes it: in quotes, unless it is plain."""
    if PLAIN_CHOICE.fullmatch(text) or "'" in text:
        return text
    return f"'{text}'" if not text.endswith("\\") else text
